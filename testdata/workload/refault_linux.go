package workload

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// refault gives pages back and touches them again without end: minor faults
// and no growth.
func refault(n int) error {
	memory, err := pages(n)
	if err != nil {
		return err
	}
	if err := ready(); err != nil {
		return err
	}
	for {
		touch(memory)
		if err := unix.Madvise(memory, unix.MADV_DONTNEED); err != nil {
			return fmt.Errorf("give pages back: %w", err)
		}
	}
}
