package workload

import (
	"time"

	"golang.org/x/sys/unix"
)

// burn uses the given CPU time and stops itself.
func burn(cpu time.Duration) error {
	if err := ready(); err != nil {
		return err
	}
	spin(unix.CLOCK_PROCESS_CPUTIME_ID, cpu.Nanoseconds())
	return stop()
}
