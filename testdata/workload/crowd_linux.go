package workload

import (
	"errors"
	"runtime"

	"golang.org/x/sys/unix"
)

// crowd runs many threads without end; the main thread sleeps. Pinned, they
// stay where they are, the same number on every CPU.
func crowd(n int, pinned bool) error {
	runtime.GOMAXPROCS(n + 1)
	cpus, err := allowed()
	if err != nil {
		return err
	}
	running := make(chan error, n)
	for i := range n {
		go func() {
			runtime.LockOSThread()
			var err error
			if pinned {
				var only unix.CPUSet
				only.Set(cpus[i%len(cpus)])
				err = unix.SchedSetaffinity(0, &only)
			}
			running <- err
			for {
				continue
			}
		}()
	}
	var errs error
	for range n {
		errs = errors.Join(errs, <-running)
	}
	if errs != nil {
		return errs
	}
	if err := ready(); err != nil {
		return err
	}
	pause()
	return nil
}
