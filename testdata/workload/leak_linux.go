package workload

import (
	"time"

	"golang.org/x/sys/unix"
)

// leak takes memory at a steady rate. If it is to have a base of memory already,
// it stops itself with it and begins when continued. If it collects, it gives
// back three eighths of what it has taken since it last did, and goes on: as a
// process does that has a garbage collector and leaks all the same.
func leak(base, bytesPerSecond int, collect time.Duration) error {
	if base > 0 {
		memory, err := pages(base / unix.Getpagesize())
		if err != nil {
			return err
		}
		// Quickly: filled over some windows it would look like a leak itself.
		if err := populate(memory); err != nil {
			return err
		}
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
	taken, since, collected := 0, [][]byte(nil), begin
	for {
		t := now(unix.CLOCK_MONOTONIC)
		seconds := float64(t-begin) / 1e9
		if due := (int(seconds*float64(bytesPerSecond)) - taken) / unix.Getpagesize(); due > 0 {
			memory, err := pages(due)
			if err != nil {
				return err
			}
			touch(memory)
			taken += len(memory)
			since = append(since, memory)
		}
		if collect > 0 && t-collected >= collect.Nanoseconds() {
			for _, memory := range since[len(since)*5/8:] {
				if err := unix.Munmap(memory); err != nil {
					return err
				}
			}
			since, collected = nil, t
		}
		nap(10 * time.Millisecond)
	}
}
