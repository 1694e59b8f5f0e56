package workload

import (
	"fmt"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// SleeperNap is how long a sleeper that wakes now and then sleeps.
const SleeperNap = 500 * time.Millisecond

// forever is a sleep that outlasts every life.
const forever = 1 << 30 * time.Second

// sleepers makes processes that sleep, about 10 000 a second, each with so many
// threads, and sleeps. One thread in wake of all of them wakes up every
// [SleeperNap], none if that is 0.
//
// The threads are bare: no stack, no Go runtime. A process of 20 takes a third of
// a megabyte that way, nearly all of it the kernel's.
func sleepers(processes, threads, wake int) error {
	awake, asleep := unix.NsecToTimespec(int64(SleeperNap)), unix.NsecToTimespec(int64(forever))
	for i := range processes {
		pid, err := fork()
		if err != nil {
			return fmt.Errorf("fork process %d of %d: %w", i+1, processes, err)
		}
		if pid == 0 {
			sleeper(i*threads, threads, wake, &awake, &asleep)
		}
	}
	if err := ready(); err != nil {
		return err
	}
	pause()
	return nil
}

// sleeper is what one of the processes does; first is the number of its leader
// among all threads.
//
//go:norace
//go:nosplit
func sleeper(first, threads, wake int, awake, asleep *unix.Timespec) {
	const flags = unix.CLONE_VM | unix.CLONE_FS | unix.CLONE_FILES | unix.CLONE_SIGHAND | unix.CLONE_THREAD | unix.CLONE_SYSVSEM
	every := asleep
	for n := first; n < first+threads; n++ {
		mine := asleep
		if wake > 0 && n%wake == 0 {
			mine = awake
		}
		if n == first {
			every = mine
			continue
		}
		if clone(flags, mine) != 0 {
			exit()
		}
	}
	for {
		_, _, _ = syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(every)), 0, 0)
	}
}

// clone makes a thread that sleeps this long, again and again.
//
//go:noescape
func clone(flags uintptr, every *unix.Timespec) (errno uintptr)
