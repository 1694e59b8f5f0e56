package sampler

import "time"

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
	CPU, RunQueue time.Duration
}

// Window is one process in one window.
type Window struct {
	Process

	Total   Usage // since the process was created
	Used    Usage // in this window
	Threads int   // alive at the end of the window

	// Busiest is the thread that ran or waited to run the longest; MaxThreadCPU
	// is the most any one thread ran.
	Busiest      Thread
	MaxThreadCPU time.Duration

	RSS  uint64 // resident set size at the end, bytes
	Swap uint64 // swapped out at the end, bytes

	// Growth is the slope of the RSS over the last readings, robust against a
	// minority of outliers, in bytes per second. It is 0 until there are two.
	Growth float64
	// GrowthSpan is the time between the first and the last of these readings,
	// and GrowthReadings their number.
	GrowthSpan     time.Duration
	GrowthReadings int

	// Limit is the resident size at which the process runs out of memory, and
	// Headroom how far it is from there, in bytes; both 0 if unknown.
	Limit, Headroom uint64

	// Throttled is how long the quota of its cgroup held that cgroup back in
	// this window, over all CPUs.
	Throttled time.Duration
}

// Grown returns by how many bytes the resident set grew over GrowthSpan, going
// by Growth.
func (w *Window) Grown() float64 { return w.Growth * w.GrowthSpan.Seconds() }

// Snapshot is all processes in one window.
type Snapshot struct {
	End    time.Time
	Length time.Duration // as measured, between the beginnings of two census passes
	CPUs   int           // online

	// MemoryStall is the share of the window, 0 to 1, in which some task of the
	// host stood still for want of memory (PSI); 0 if the kernel does not say.
	MemoryStall float64

	Threads int      // seen by the census
	Windows []Window // in the order of the census
}

// Share returns d as a share of the window; 0 for a window without length.
func (s *Snapshot) Share(d time.Duration) float64 {
	if s.Length <= 0 {
		return 0
	}
	return float64(d) / float64(s.Length)
}
