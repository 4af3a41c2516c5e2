// Package api is what the command `gitlab-runner wrapper` is compiled against here, in the place of
// a module that is not to be had. The command is never started.
package api

import (
	"context"
	"errors"
)

var ErrProcessNotInitialized = errors.New("no process")

type Status int

const (
	StatusUnknown Status = iota
	StatusRunning
	StatusInShutdown
	StatusStopped
)

func (s Status) String() string {
	return [...]string{"unknown", "running", "in shutdown", "stopped"}[s]
}

type ShutdownCallbackDef interface {
	URL() string
	Method() string
}

type InitGracefulShutdownRequest interface {
	ShutdownCallbackDef() ShutdownCallbackDef
}

type ShutdownCallback interface {
	Run(ctx context.Context)
}

func NewShutdownCallback(any, ShutdownCallbackDef) ShutdownCallback {
	panic("not here")
}
