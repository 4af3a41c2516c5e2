// Package client belongs to package api.
package client

import "time"

type State int

const (
	StateUnknown State = iota
	StateSuccess
	StateCancelled
)

func (State) String() string { return "not here" }

type ErrorKind int

const (
	ErrorUnknown ErrorKind = iota + 1
	ErrorInternal
	ErrorStepFailure
	ErrorCancelled
	ErrorTimeout
)

type Status struct {
	State     State
	ErrorKind ErrorKind
	Message   string
}

type Variable struct {
	Key, Value   string
	File, Masked bool
}

type RunRequest struct {
	Id, WorkDir, BuildDir, Steps string
	Timeout                      *time.Duration
	Env                          map[string]string
	Variables                    []Variable
}
