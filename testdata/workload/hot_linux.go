package workload

import (
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// HotThread is the name of the busy thread of [hot].
const HotThread = "spinner"

// hot runs one thread without end among many that sleep, the main thread too.
func hot(sleepers int) error {
	runtime.GOMAXPROCS(2) // one for the thread that runs, one for all others
	asleep := make(chan struct{})
	for range sleepers {
		go func() {
			runtime.LockOSThread()
			asleep <- struct{}{}
			// Not a raw call: the other threads need the runtime to go on.
			_, _, _ = syscall.Syscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
		}()
		<-asleep
	}
	failed := make(chan error)
	go func() {
		runtime.LockOSThread()
		name, err := unix.BytePtrFromString(HotThread)
		if err == nil {
			// Last, since threads that this one starts are named like it.
			err = unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0)
		}
		if err == nil {
			err = ready()
		}
		if err != nil {
			failed <- err
		}
		for {
			continue
		}
	}()
	return <-failed
}
