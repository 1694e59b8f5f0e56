package sampler

import (
	"time"

	"github.com/hotspot-otel/hotspot/bpf"
)

// Sources is what the sampler reads. Package bpf has the kernel's part, package
// host the rest.
type Sources struct {
	Census     Census
	Exits      Exits      // nil: the last moments of a process are missed
	Contention Contention // nil: waits are not attributed
	OOM        OOM        // nil: kills are not heard of
	Host       Host
}

// Census is where the accounts of threads are read.
type Census interface {
	// Read calls visit with every thread of the host; activity is nil for those that
	// have done nothing since the last pass, process for those that bring no record
	// of their process. All are good during the call only.
	Read(visit func(thread *bpf.Thread, activity *bpf.Activity, process *bpf.Process)) error
	// Whole lets the next pass bring the activity of every thread.
	Whole()
}

// Exits is where the final accounts of threads and processes are read.
type Exits interface {
	// Read calls visit with every process that has exited since the last call. The
	// record is good during the call only.
	Read(visit func(*bpf.Exit)) error
	// Dead calls visit with every process of which threads are gone, but for those
	// whose exit has it all. Sums go on.
	Dead(visit func(bpf.Group, bpf.Dead)) error
	// Forget gives up what the kernel keeps of the dead threads of a process that is
	// gone.
	Forget(bpf.Group)
	Lost() (bpf.ExitLoss, error)
}

// Contention is where it is read who ran while a process waited.
type Contention interface {
	// Read calls pair with each pair and the ns its victim waited, and victim with each
	// victim. Counts go on.
	Read(pair func(bpf.Pair, uint64), victim func(pid uint32, v bpf.Victim)) error
	// InProgress calls charge with who has run on the CPU of a waiting thread; by is
	// 0 for the idle task, and bpf.Various for all that are not named.
	InProgress(t *bpf.Waiting, charge func(by uint32, ns uint64)) error
	// Forget removes a pair and returns the ns its victim had waited.
	Forget(bpf.Pair) (uint64, bool)
	ForgetVictim(pid uint32)
	Lost() (bpf.ContentionLoss, error)
}

// OOM is where it is read which processes the kernel killed for want of memory.
type OOM interface {
	// Read calls visit with every kill since the last call. The record is good
	// during the call only.
	Read(visit func(*bpf.OOMKill)) error
	Lost() (uint64, error)
}

// Host is what the sampler needs to know of the host as a whole. What cannot be
// read is 0.
type Host interface {
	// Now returns the time of day and the time since boot, suspend included.
	Now() (time.Time, time.Duration)
	// CPUs returns how many CPUs are online.
	CPUs() int
	// AvailableMemory returns how many bytes can be had without swapping.
	AvailableMemory() uint64
	// MemoryStall returns for how long, since boot, some task stood still for
	// want of memory.
	MemoryStall() time.Duration
	// IOStall returns for how long, since boot, some task stood still for a disk.
	IOStall() time.Duration
}
