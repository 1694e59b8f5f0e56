package identity

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// Failure is why something of a process could not be read.
type Failure uint8

// The failures. That a process is gone is none.
const (
	Denied     Failure = iota // no permission
	Hidden                    // it lives, but /proc does not show it (hidepid)
	Unreadable                // anything else

	kinds
)

// failures are those of one kind.
type failures struct {
	n    int
	last error
}

// Failures calls visit with the kinds of failures there were since the last
// call: how many, and the last error of each.
func (r *Reader) Failures(visit func(kind Failure, n int, last error)) {
	for kind := range r.failures {
		if f := &r.failures[kind]; f.n > 0 {
			visit(Failure(kind), f.n, f.last)
			*f = failures{}
		}
	}
}

func (r *Reader) failed(p sampler.Process, err error) {
	kind := Unreadable
	switch {
	case errors.Is(err, fs.ErrPermission):
		kind = Denied
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH):
		if !lives(p.Pid) {
			return
		}
		kind = Hidden
	}
	f := &r.failures[kind]
	f.n++
	f.last = err
}

func lives(pid uint32) bool {
	process, err := os.FindProcess(int(pid))
	if err != nil {
		return false
	}
	err = process.Signal(syscall.Signal(0))
	return !errors.Is(errors.Join(err, process.Release()), os.ErrProcessDone)
}
