package workload

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// pingpong passes a byte to and fro between two threads of one process as fast as
// it goes: a ring of two that takes less time, since the memory stays the same.
func pingpong() error {
	var there, back [2]int
	for _, pipe := range []*[2]int{&there, &back} {
		if err := unix.Pipe(pipe[:]); err != nil {
			return fmt.Errorf("make a pipe: %w", err)
		}
	}
	runtime.GOMAXPROCS(2) // the runtime knows nothing of who waits in a raw call
	go func() {
		runtime.LockOSThread()
		relay(there[0], back[1])
	}()
	if err := ready(); err != nil {
		return err
	}
	if _, err := unix.Write(there[1], []byte{0}); err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	relay(back[0], there[1])
	return fmt.Errorf("the other end is gone")
}

// relay passes bytes on until there are no more.
//
//go:norace
//go:nosplit
func relay(from, to int) {
	var ball byte
	for {
		n, _, _ := syscall.RawSyscall(unix.SYS_READ, uintptr(from), uintptr(unsafe.Pointer(&ball)), 1)
		if n != 1 {
			return
		}
		n, _, _ = syscall.RawSyscall(unix.SYS_WRITE, uintptr(to), uintptr(unsafe.Pointer(&ball)), 1)
		if n != 1 {
			return
		}
	}
}
