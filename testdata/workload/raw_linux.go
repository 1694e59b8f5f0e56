package workload

import (
	"errors"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fork makes a child with all signals blocked that dies with the calling
// thread. The child returns 0. It has this one thread and no Go runtime to
// speak of: it may run functions marked nosplit, which make raw system calls
// and allocate nothing, and must never return to others.
//
//go:norace
//go:noinline
func fork() (int, error) {
	parent, _, _ := syscall.RawSyscall(unix.SYS_GETPID, 0, 0, 0)
	all, before := ^uint64(0), uint64(0)
	sigmask(&all, &before)
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		_, _, errno = syscall.RawSyscall6(unix.SYS_PRCTL, unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0, 0)
		if now, _, _ := syscall.RawSyscall(unix.SYS_GETPPID, 0, 0, 0); errno != 0 || now != parent {
			exit()
		}
		return 0, nil
	}
	sigmask(&before, nil)
	if errno != 0 {
		return 0, errno
	}
	return int(pid), nil
}

//go:norace
//go:nosplit
func sigmask(set, before *uint64) {
	const setmask = 2
	_, _, _ = syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, setmask,
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(before)), 8, 0, 0)
}

//go:norace
//go:nosplit
func exit() {
	for {
		_, _, _ = syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// pause sleeps until the process is killed.
//
//go:norace
//go:nosplit
func pause() {
	for {
		_, _, _ = syscall.RawSyscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
	}
}

// nap sleeps once: one voluntary context switch at least.
//
//go:norace
//go:nosplit
func nap(d time.Duration) {
	ts := unix.Timespec{Sec: int64(d / time.Second), Nsec: int64(d % time.Second)}
	_, _, _ = syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
}

// now reads a clock, in nanoseconds.
//
//go:norace
//go:nosplit
func now(clock uintptr) int64 {
	var ts unix.Timespec
	_, _, _ = syscall.RawSyscall(unix.SYS_CLOCK_GETTIME, clock, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Sec*1e9 + ts.Nsec
}

// spin runs until the clock, one of CPU time, has gone on by d nanoseconds.
//
//go:norace
//go:nosplit
func spin(clock uintptr, d int64) {
	for end := now(clock) + d; now(clock) < end; {
		for range 20_000 {
			continue
		}
	}
}

// stop stops the whole process until somebody continues it.
func stop() error { return unix.Kill(unix.Getpid(), unix.SIGSTOP) }

// pages maps n pages that are not there until they are touched, and never huge.
func pages(n int) ([]byte, error) {
	memory, err := unix.Mmap(-1, 0, n*unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, err
	}
	// EINVAL: a kernel without transparent huge pages.
	if err := unix.Madvise(memory, unix.MADV_NOHUGEPAGE); err != nil && !errors.Is(err, unix.EINVAL) {
		return nil, err
	}
	return memory, nil
}

// touch writes to every page: one minor fault for each that is not there.
func touch(memory []byte) {
	for i := 0; i < len(memory); i += unix.Getpagesize() {
		memory[i] = 1
	}
}
