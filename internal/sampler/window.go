package sampler

import (
	"math"
	"time"

	"github.com/hotspot-otel/hotspot/bpf"
)

// ID names one process for as long as the host runs: a pid is used again, a
// pid with a start time is not.
type ID struct {
	Pid   uint32
	Start time.Duration // since boot
}

// Process is what does not change from window to window, or seldom.
type Process struct {
	ID
	Name    string // the thread group leader's comm, at most 15 bytes; what does not print is U+FFFD
	Created time.Time
	Parent  uint32
	Kernel  bool // a thread of the kernel itself

	// The control groups it is in, by kernfs id: in the v2 hierarchy, and where
	// the cpu and memory controllers have it. A change is a move.
	Cgroup, CPUCgroup, MemoryCgroup uint64
	// ExecID changes when the process runs another program.
	ExecID uint64
}

// Usage is what a process has used: since it was created, or in one window.
// Threads that have exited are included.
type Usage struct {
	User, System time.Duration // on a CPU; their sum is exact, their ratio the tick's
	RunQueue     time.Duration // runnable, but waiting for a CPU

	MinorFaults, MajorFaults uint64
	Voluntary, Involuntary   uint64 // context switches
}

// CPU returns the time on a CPU, in user and system mode.
func (u Usage) CPU() time.Duration { return u.User + u.System }

// Thread is one thread's share of a window.
type Thread struct {
	TID           uint32
	CPU, RunQueue time.Duration // together at most a tick more than the span
	Runs          uint64        // times it was given a CPU and left it again
	// Span is the time between the moments at which it was looked at: a pass that is
	// itself kept from its CPU looks at some threads much later than at others. Of a
	// thread that began in this window it is its age.
	Span time.Duration
}

// Wait is run-queue time by what ran meanwhile. Of short waits it is an estimate:
// see bpf.ContentionOptions.
type Wait struct {
	Others       time.Duration // other processes
	Self         time.Duration // its own threads
	Idle         time.Duration // nothing
	Throttled    time.Duration // held back by its cgroup's quota or its own reservation (SCHED_DEADLINE)
	Unattributed time.Duration

	// Various is the part of Others that is in no pair: behind processes too many to
	// be told apart.
	Various time.Duration
}

// Window is one process in one window.
type Window struct {
	Process
	// Exited says that the process is gone. Used and Total are final then, and
	// what only a living process has is 0.
	Exited bool
	// ShortLived says that it came and went between two censuses: Used is all it
	// ever used.
	ShortLived bool

	// Length is the time in which Used was used: from when the pass before looked at
	// the first of its threads, or from its start, to when this pass looked at the
	// last. It holds the spans of all its threads. Of a process that was not seen
	// before it is at least the host's window: one that is busy all its life of ten
	// milliseconds is not busy for a window. Of an exited process it is the host's
	// window, or the time since it was first not seen to be gone, if that is longer:
	// its end is not known.
	Length time.Duration

	Total   Usage // since the process was created
	Used    Usage // in this window
	Threads int   // alive at the end of the window

	Waited      Wait          // in this window; the sum is Used.RunQueue
	Caused      time.Duration // wait it imposed on other processes in this window
	TotalCaused time.Duration // since the watch began
	// TotalVarious is Waited.Various since the watch began.
	TotalVarious time.Duration

	// Busiest is the thread that ran or waited to run the longest; MaxThreadCPU
	// is the most any one thread ran.
	Busiest      Thread
	MaxThreadCPU time.Duration
	// Delayed is the thread that waited to run the longest.
	Delayed Thread

	RSS  uint64 // resident set size at the end, bytes
	Swap uint64 // swapped out at the end, bytes

	// Growth is the slope of the RSS over the last readings, robust against a
	// minority of outliers, in bytes per second. It is 0 until there are two.
	Growth float64
	// GrowthSpan is the time between the first and the last of these readings,
	// and GrowthReadings their number.
	GrowthSpan     time.Duration
	GrowthReadings int

	// GrowthSteps is how many of these readings are higher than the one before.
	GrowthSteps int
	// Grew is by how many bytes the RSS grew in this window, all of it for a new
	// process; 0 if it shrank.
	Grew uint64
	// Refaults are minor faults of this window that the growth of the resident set
	// does not explain.
	Refaults uint64

	// Limit is the memory the process may use, and Headroom how much of it is
	// left, in bytes; both 0 if unknown. The sampler knows the host's: what is
	// available. Package memory sets that of the control groups, if it is less.
	Limit, Headroom uint64
	// GroupLimit is the smallest limit of its control groups, in bytes, as package
	// memory sets it; 0 if there is none.
	GroupLimit uint64
	// MemoryStall is the share of the window, 0 to 1, in which some task of its
	// control group stood still for want of memory (PSI); the host's where the
	// kernel does not keep it by group.
	MemoryStall float64
	// IOStall is the same of standing still for a disk.
	IOStall float64
	// Returned is how many pages came back to its control group in this window
	// that the kernel had taken from it before (refaults of the working set), by
	// whichever of its processes.
	Returned uint64

	// Throttled is how long the quotas of its cgroup and of those above held
	// their cgroups back in this window, over all CPUs.
	Throttled      time.Duration
	TotalThrottled time.Duration // since the cgroup was created
	// Quota is how many CPUs the cgroup may use, 0 if it may use all.
	Quota float64

	// Children are the processes it had made that came and went in this window.
	Children Children
}

// Children is what short-lived children of a process did in a window.
type Children struct {
	Exits int
	CPU   time.Duration
	Name  string // of the one that used the most
}

// Grown returns by how many bytes the resident set grew over GrowthSpan, going
// by Growth.
func (w *Window) Grown() float64 { return w.Growth * w.GrowthSpan.Seconds() }

// TimeToLimit returns when nothing is left if the process goes on growing as it
// does; false if it does not grow or the limit is not known.
func (w *Window) TimeToLimit() (time.Duration, bool) {
	if w.Limit == 0 || !(w.Growth > 0) {
		return 0, false
	}
	left := float64(w.Headroom) / w.Growth * float64(time.Second)
	if !(left < math.MaxInt64/2) {
		return 0, false
	}
	return time.Duration(left), true
}

// Pair is a process that waited for a CPU and one that ran meanwhile.
type Pair struct {
	Victim, Aggressor Process
	Wait              time.Duration // in this window, waits in progress included
	Since             time.Time     // when the window began in which it was first seen
	Total             time.Duration // since then

	kept
}

// Kill is a process the kernel killed for want of memory.
type Kill struct {
	Process Process // only the pid is set if no census saw it
	RSS     uint64  // when it was chosen, bytes; 0 if the kernel does not say
	Last    Window  // the last the census saw of it
	Known   bool    // whether there was one
}

// Lost is what found no room in the kernel since the watch began.
type Lost struct {
	Exits      bpf.ExitLoss
	Contention bpf.ContentionLoss
	Kills      uint64
}

// Snapshot is all processes in one window.
type Snapshot struct {
	End    time.Time
	Length time.Duration // as measured, between the beginnings of two census passes
	CPUs   int           // online

	// MemoryStall is the share of the window, 0 to 1, in which some task of the
	// host stood still for want of memory (PSI); 0 if the kernel does not say.
	MemoryStall float64
	IOStall     float64 // the same for a disk

	Threads int      // seen by the census
	Windows []Window // in the order of the census, then those that have exited
	Pairs   []*Pair  // all that are known, the longest wait of this window first
	Kills   []Kill   // in the order they came
	Lost    Lost
}

// Share returns d as a share of the window; 0 for a window without length.
func (w *Window) Share(d time.Duration) float64 { return share(d, w.Length) }

// Share returns d as a share of the host's window; 0 for one without length. What
// one process has used is a share of its own window.
func (s *Snapshot) Share(d time.Duration) float64 { return share(d, s.Length) }

func share(d, of time.Duration) float64 {
	if of <= 0 {
		return 0
	}
	return float64(d) / float64(of)
}
