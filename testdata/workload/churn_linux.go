package workload

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// churn makes threads as fast as it can, each of which runs for a time and exits. If it is told how many, it stops itself after the
// last; 0 is without end.
func churn(cpu time.Duration, count int) error {
	const flags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND |
		unix.CLONE_THREAD | unix.CLONE_SYSVSEM
	// A thread shares the stack of its maker: no signal may come to it.
	all := ^uint64(0)
	sigmask(&all, nil)
	loops := uintptr(cpu.Seconds() * loopsPerSecond())
	if err := ready(); err != nil {
		return err
	}
	for i := 0; count == 0 || i < count; {
		switch errno := syscall.Errno(vanish(flags, loops)); errno {
		case 0:
			i++
		case unix.EAGAIN:
			nap(time.Millisecond) // all ids are taken
		default:
			return fmt.Errorf("make a thread: %w", errno)
		}
	}
	return stop()
}

// loopsPerSecond is how fast a child of [vanish] counts.
func loopsPerSecond() float64 {
	const loops = 10_000_000
	begin := now(unix.CLOCK_MONOTONIC)
	_ = vanish(unix.CLONE_VM|unix.CLONE_VFORK, loops)
	return loops / time.Duration(now(unix.CLOCK_MONOTONIC)-begin).Seconds()
}
