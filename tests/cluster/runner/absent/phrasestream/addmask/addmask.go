// Package addmask would hide words in what `gitlab-runner-helper proxy-exec` passes on, which is off here.
package addmask

import (
	"errors"
	"io"
)

type AddMask struct{}

func New(any, ...io.Writer) (*AddMask, error) { return nil, errors.New("not here") }

func (*AddMask) Get(int) io.Writer { return io.Discard }

func (*AddMask) Close() error { return nil }
