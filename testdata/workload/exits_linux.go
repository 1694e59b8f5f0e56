package workload

import (
	"fmt"
	"os/signal"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// exits makes children at a steady rate, or as fast as it can, that exit at once.
// If it is told how many, it stops itself after the last; 0 is without end.
//
// Each is a process of its own but for the memory, which is its parent's: a copy
// of the page tables and its teardown are nearly all that a child of [spawn]
// costs, and are not what is counted here. The kernel reaps them itself.
func exits(perSecond, count int) error {
	const flags = unix.CLONE_VM | unix.CLONE_VFORK | unix.CLONE_FS | unix.CLONE_FILES | uintptr(unix.SIGCHLD)
	if perSecond <= 0 {
		return fmt.Errorf("%d processes per second", perSecond)
	}
	signal.Ignore(unix.SIGCHLD)
	if err := ready(); err != nil {
		return err
	}
	gap := int64(time.Second) / int64(perSecond)
	next := now(unix.CLOCK_MONOTONIC)
	for i := 0; count == 0 || i < count; i++ {
		if early := next - now(unix.CLOCK_MONOTONIC); early > 0 {
			nap(time.Duration(early))
		}
		if errno := vanish(flags, 0); errno != 0 {
			return fmt.Errorf("make a process: %w", syscall.Errno(errno))
		}
		next += gap
	}
	return stop()
}

// vanish makes a child, a process or a thread, that counts to loops and exits.
//
//go:noescape
func vanish(flags, loops uintptr) (errno uintptr)
