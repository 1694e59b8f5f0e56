package workload

import (
	"time"

	"golang.org/x/sys/unix"
)

// account uses at least the given CPU time by its own getrusage, minor faults
// and voluntary context switches, and stops itself or exits.
func account(cpu time.Duration, fresh, switches int, exit bool) error {
	if err := ready(); err != nil {
		return err
	}
	memory, err := pages(fresh)
	if err != nil {
		return err
	}
	touch(memory)
	for range switches {
		nap(100 * time.Microsecond)
	}
	for {
		var used unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
			return err
		}
		if used.Utime.Nano()+used.Stime.Nano() >= cpu.Nanoseconds() {
			break
		}
		spin(unix.CLOCK_PROCESS_CPUTIME_ID, time.Millisecond.Nanoseconds())
	}
	if exit {
		return nil
	}
	return stop()
}
