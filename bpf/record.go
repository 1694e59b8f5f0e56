package bpf

import (
	"errors"
	"fmt"
	"math"
	"unsafe"
)

// KernelThread is the bit of [Thread].Flags that a thread of the kernel itself
// carries: PF_KTHREAD of linux/sched.h.
const KernelThread = 0x00200000

type (
	// Thread is one thread in one census pass: struct thread of census.bpf.c.
	Thread = censusThread

	// Activity is what a thread has done: struct activity of census.bpf.c. Times are
	// nanoseconds; every sum counts from the thread's start and is never reset. At is
	// when they were read, in the clock of the thread's start. The CPU time of a
	// thread that runs and the wait of one that waits may be a tick older.
	Activity = censusActivity

	// Process is what the threads of a process share: struct process of
	// census.bpf.c. It follows the record of the thread group leader, of a thread
	// that comes before it, and of further threads once the leader is dead. The dead
	// sums of the first in a pass and the activities of that pass count nobody twice.
	Process = censusProcess
)

type (
	// Pair is a process that waited and one that ran meanwhile, by process id.
	Pair = contentionPair
	// Victim is how a process waited, in all: struct victim of contention.bpf.c.
	Victim = contentionVictim
	// ContentionLoss is what found no room in the kernel: struct loss of
	// contention.bpf.c.
	ContentionLoss = contentionLoss
)

// Various stands, where a wait is charged, for all processes that are not named.
const Various = math.MaxUint32

// Waiting is the part of a wait in progress that is to be charged, and who has
// the CPU meanwhile, 0 for the idle task. The times are in the clock of the CPU's
// run queue, in ns; RunningSince is 0 if it is not known. Held says that it waits
// for its own quota or reservation.
type Waiting struct {
	CPU          uint32
	Held         bool
	Since, Now   uint64
	Running      uint32
	RunningSince uint64
}

type (
	// Exit is the last word on a process: struct exit of exits.bpf.c.
	Exit = exitsExit
	// Group is a process as long as any of its threads is in the kernel's memory:
	// struct group of exits.bpf.c.
	Group = exitsGroup
	// Dead is what threads of a process used that are gone, its leader not among
	// them: struct dead of exits.bpf.c.
	Dead = exitsDead
	// ExitLoss counts what found no room: struct exit_loss of exits.bpf.c.
	ExitLoss = exitsExitLoss
)

// OOMKill is a process the kernel killed for want of memory: struct oom_kill of
// oom.bpf.c.
type OOMKill = oomOomKill

const (
	threadSize   = int(unsafe.Sizeof(Thread{}))
	activitySize = int(unsafe.Sizeof(Activity{}))
	processSize  = int(unsafe.Sizeof(Process{}))
)

// ErrRecord says that the census did not come in whole records.
var ErrRecord = errors.New("census record cut short or malformed")

// decode calls visit with each whole record in b and returns how many bytes
// they took; a record of which only the beginning is there is left for the next
// call. The pointers are good during the call only. b must be aligned to 8
// bytes, as every allocation of this size is.
func decode(b []byte, visit func(*Thread, *Activity, *Process)) (int, error) {
	done := 0
	for len(b)-done >= threadSize {
		thread := (*Thread)(unsafe.Pointer(&b[done]))
		if thread.HasActivity > 1 || thread.HasProcess > 1 {
			return done, fmt.Errorf("%w: has_activity is %d, has_process is %d", ErrRecord, thread.HasActivity, thread.HasProcess)
		}
		next := done + threadSize
		activity, process := next, next+int(thread.HasActivity)*activitySize
		end := process + int(thread.HasProcess)*processSize
		if end > len(b) {
			break
		}
		var a *Activity
		if thread.HasActivity == 1 {
			a = (*Activity)(unsafe.Pointer(&b[activity]))
		}
		var p *Process
		if thread.HasProcess == 1 {
			p = (*Process)(unsafe.Pointer(&b[process]))
		}
		done = end
		visit(thread, a, p)
	}
	return done, nil
}
