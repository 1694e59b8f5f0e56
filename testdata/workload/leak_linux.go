package workload

import (
	"time"

	"golang.org/x/sys/unix"
)

// leak takes memory at a steady rate and never gives it back. If it is to have
// a base of memory already, it stops itself with it and begins when continued.
func leak(base, bytesPerSecond int) error {
	if base > 0 {
		memory, err := pages(base / unix.Getpagesize())
		if err != nil {
			return err
		}
		touch(memory)
	}
	if err := ready(); err != nil {
		return err
	}
	if base > 0 {
		if err := stop(); err != nil {
			return err
		}
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
