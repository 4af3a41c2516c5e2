// Package runner belongs to package api.
package runner

import (
	"io"
	"time"

	"google.golang.org/protobuf/types/known/structpb"
)

type BuiltinContext interface {
	GetEnvs() map[string]string
	GetJobVars() map[string]*structpb.Value
	GracefulExitDelay() time.Duration
	Pipe() (stdout, stderr io.Writer)
	WorkDir() string
}
