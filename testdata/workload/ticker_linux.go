package workload

import (
	"time"

	"golang.org/x/sys/unix"
)

// ticker runs for a short time again and again, and sleeps in between.
func ticker(run, every time.Duration) error {
	if err := ready(); err != nil {
		return err
	}
	for next := now(unix.CLOCK_MONOTONIC); ; next += every.Nanoseconds() {
		if early := next - now(unix.CLOCK_MONOTONIC); early > 0 {
			nap(time.Duration(early))
		}
		spin(unix.CLOCK_THREAD_CPUTIME_ID, run.Nanoseconds())
	}
}
