package workload

import (
	"time"

	"golang.org/x/sys/unix"
)

// leak takes memory at a steady rate and never gives it back.
func leak(bytesPerSecond int) error {
	if err := ready(); err != nil {
		return err
	}
	begin := now(unix.CLOCK_MONOTONIC)
	taken := 0
	for {
		seconds := float64(now(unix.CLOCK_MONOTONIC)-begin) / 1e9
		if due := (int(seconds*float64(bytesPerSecond)) - taken) / unix.Getpagesize(); due > 0 {
			memory, err := pages(due)
			if err != nil {
				return err
			}
			touch(memory)
			taken += len(memory)
		}
		nap(10 * time.Millisecond)
	}
}
