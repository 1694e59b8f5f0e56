package workload

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// spawn forks children at a steady rate, each of which uses the given CPU time
// and exits, and reaps them.
func spawn(perSecond int, cpu time.Duration) error {
	if perSecond <= 0 {
		return fmt.Errorf("%d processes per second", perSecond)
	}
	if err := ready(); err != nil {
		return err
	}
	each := cpu.Nanoseconds()
	gap := int64(time.Second) / int64(perSecond)
	for next := now(unix.CLOCK_MONOTONIC); ; next += gap {
		pid, err := fork()
		if err != nil {
			return fmt.Errorf("fork: %w", err)
		}
		if pid == 0 {
			spin(unix.CLOCK_PROCESS_CPUTIME_ID, each)
			exit()
		}
		for {
			if err := reapAll(); err != nil {
				return err
			}
			early := next + gap - now(unix.CLOCK_MONOTONIC)
			if early <= 0 {
				break
			}
			nap(time.Duration(early)) // the exit of a child ends it
		}
	}
}

// reapAll reaps the children that have exited.
func reapAll() error {
	for {
		pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ECHILD):
			return nil
		case err != nil:
			return fmt.Errorf("reap: %w", err)
		case pid == 0:
			return nil
		}
	}
}
