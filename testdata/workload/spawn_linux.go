package workload

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// spawn forks children at a steady rate, each of which uses the given CPU time
// and exits, and reaps them. If it is told how many, it stops itself when all
// are reaped; 0 is without end.
func spawn(perSecond int, cpu time.Duration, count int) error {
	if perSecond <= 0 {
		return fmt.Errorf("%d processes per second", perSecond)
	}
	if err := ready(); err != nil {
		return err
	}
	each := cpu.Nanoseconds()
	gap := int64(time.Second) / int64(perSecond)
	next := now(unix.CLOCK_MONOTONIC)
	for i := 0; count == 0 || i < count; i++ {
		pid, err := fork()
		if err != nil {
			return fmt.Errorf("fork: %w", err)
		}
		if pid == 0 {
			spin(unix.CLOCK_PROCESS_CPUTIME_ID, each)
			exit()
		}
		for {
			if err := reapAll(unix.WNOHANG); err != nil {
				return err
			}
			early := next + gap - now(unix.CLOCK_MONOTONIC)
			if early <= 0 {
				break
			}
			nap(time.Duration(early)) // the exit of a child ends it
		}
		next += gap
	}
	if err := reapAll(0); err != nil {
		return err
	}
	return stop()
}

// reapAll reaps the children that have exited; with options of 0, all.
func reapAll(options int) error {
	for {
		pid, err := unix.Wait4(-1, nil, options, nil)
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
