package workload

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// options is what every workload takes; they act on the main thread, but for the
// CPU, which is for all.
type options struct {
	nice int
	fifo int // 0: not in real time
	cpu  int // -1: any
	comm string
	life time.Duration
}

func (o options) apply() error {
	if err := killAfter(o.life); err != nil {
		return err
	}
	name, err := unix.BytePtrFromString(o.comm)
	if err != nil {
		return fmt.Errorf("set the name: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NAME, uintptr(unsafe.Pointer(name)), 0, 0, 0); err != nil {
		return fmt.Errorf("set the name: %w", err)
	}
	if o.nice != 0 {
		// On Linux this is of the calling thread alone.
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, o.nice); err != nil {
			return fmt.Errorf("set nice to %d: %w", o.nice, err)
		}
	}
	if o.cpu >= 0 {
		var only unix.CPUSet
		only.Set(o.cpu)
		if err := Pin(only); err != nil {
			return fmt.Errorf("pin to CPU %d: %w", o.cpu, err)
		}
	}
	if o.fifo > 0 {
		// Last: what comes before is not to be in anybody's way.
		attr := &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: uint32(o.fifo), Flags: unix.SCHED_FLAG_RESET_ON_FORK}
		if err := unix.SchedSetAttr(0, attr, 0); err != nil {
			return fmt.Errorf("set real-time priority %d: %w", o.fifo, err)
		}
	}
	return nil
}

// Pin keeps all threads of this process on some CPUs, those of Go's runtime too:
// their waits on another would be counted as the workload's. Threads to come
// inherit it, and so do processes.
func Pin(cpus unix.CPUSet) error {
	for pinned := map[string]bool{}; ; {
		threads, err := os.ReadDir("/proc/self/task")
		if err != nil {
			return err
		}
		before := len(pinned)
		for _, thread := range threads {
			if pinned[thread.Name()] {
				continue
			}
			tid, err := strconv.Atoi(thread.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(tid, &cpus); err != nil && !errors.Is(err, unix.ESRCH) {
				return err
			}
			pinned[thread.Name()] = true
		}
		if len(pinned) == before {
			return nil
		}
	}
}

// LeaveCPU keeps this process, and what it starts, off the first CPU it may run on
// until the test is over, and returns the option that pins a workload to that.
// False says that there is no other.
func LeaveCPU(t testing.TB) (option string, ok bool) {
	t.Helper()
	var allowed unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &allowed))
	if allowed.Count() < 2 {
		return "", false
	}
	cpu := 0
	for !allowed.IsSet(cpu) {
		cpu++
	}
	others := allowed
	others.Clear(cpu)
	require.NoError(t, Pin(others))
	t.Cleanup(func() { require.NoError(t, Pin(allowed)) })
	return "-cpu=" + strconv.Itoa(cpu), true
}

// killAfter sets a timer that kills the process, even if it is stopped.
func killAfter(life time.Duration) error {
	event := struct {
		value  uint64
		signal int32
		notify int32 // SIGEV_SIGNAL is 0
		_      [48]byte
	}{signal: int32(unix.SIGKILL)}
	var id int32
	_, _, errno := syscall.RawSyscall(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC,
		uintptr(unsafe.Pointer(&event)), uintptr(unsafe.Pointer(&id)))
	if errno != 0 {
		return fmt.Errorf("create the timer that ends the workload: %w", errno)
	}
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(life.Nanoseconds())}
	_, _, errno = syscall.RawSyscall6(unix.SYS_TIMER_SETTIME, uintptr(id), 0,
		uintptr(unsafe.Pointer(&at)), 0, 0, 0)
	if errno != 0 {
		return fmt.Errorf("set the timer that ends the workload: %w", errno)
	}
	return nil
}
