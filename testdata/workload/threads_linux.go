package workload

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// What each thread of [threads] uses at least.
const (
	ThreadCPU      = 5 * time.Millisecond
	ThreadFaults   = 50
	ThreadSwitches = 5
)

// threads runs threads of which some stay and some exit. When those are gone it
// stops itself; leaderless, its leader exits instead.
func threads(live, gone int, leaderless bool) error {
	errs := make(chan error)
	ids := make(chan int)
	for range live {
		go func() {
			errs <- useThread()
			// Not a raw call: the other threads need the runtime to go on.
			_, _, _ = syscall.Syscall6(unix.SYS_PPOLL, 0, 0, 0, 0, 0, 0)
		}()
	}
	for range gone {
		go func() {
			// Not unlocked: the thread exits with the goroutine.
			err := useThread()
			ids <- unix.Gettid()
			errs <- err
		}()
	}
	var exiting []int
	for range live + 2*gone {
		select {
		case id := <-ids:
			exiting = append(exiting, id)
		case err := <-errs:
			if err != nil {
				return err
			}
		}
	}
	for _, id := range exiting {
		for exists(fmt.Sprintf("/proc/self/task/%d", id)) {
			time.Sleep(time.Millisecond)
		}
	}
	if err := ready(); err != nil {
		return err
	}
	if leaderless {
		_, _, errno := syscall.Syscall(unix.SYS_EXIT, 0, 0, 0)
		return errno
	}
	return stop()
}

func useThread() error {
	runtime.LockOSThread()
	memory, err := pages(ThreadFaults)
	if err != nil {
		return err
	}
	touch(memory)
	for range ThreadSwitches {
		nap(100 * time.Microsecond)
	}
	spin(unix.CLOCK_THREAD_CPUTIME_ID, ThreadCPU.Nanoseconds())
	return nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
