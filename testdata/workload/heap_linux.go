package workload

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// heap fills its memory over a time, as a server does that starts, and then
// gives back and takes again a small part of it at a steady rate.
func heap(size int, fill time.Duration, faultsPerSecond int) error {
	const beat = 10 * time.Millisecond
	memory, err := pages(size)
	if err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	part := memory[:faultsPerSecond*int(beat)/int(time.Second)*unix.Getpagesize()]
	begin, filled := now(unix.CLOCK_MONOTONIC), 0
	for next := begin; ; next += int64(beat) {
		if filled < len(memory) {
			share := min(float64(now(unix.CLOCK_MONOTONIC)-begin)/float64(fill), 1)
			due := int(share*float64(size)) * unix.Getpagesize()
			if err := populate(memory[filled:due]); err != nil {
				return err
			}
			filled = due
		} else if err := unix.Madvise(part, unix.MADV_DONTNEED); err != nil {
			return fmt.Errorf("give pages back: %w", err)
		} else {
			touch(part)
		}
		if early := next + int64(beat) - now(unix.CLOCK_MONOTONIC); early > 0 {
			nap(time.Duration(early))
		}
	}
}

// populate fills memory without a fault for each page: where faults are slow they
// would be all the CPU time there is, and it would truly be limited by that.
func populate(memory []byte) error {
	if len(memory) == 0 {
		return nil
	}
	err := unix.Madvise(memory, unix.MADV_POPULATE_WRITE)
	if errors.Is(err, unix.EINVAL) { // before 5.14
		touch(memory)
		return nil
	}
	if err != nil {
		return fmt.Errorf("fill memory: %w", err)
	}
	return nil
}
