// Package sampler turns the kernel's cumulative counters into windows: what
// each process did between two census passes.
package sampler

import (
	"fmt"
	"os"
	"time"

	"github.com/hotspot-otel/hotspot/bpf"
)

// Kernel is where the accounts of threads are read; package bpf has it.
type Kernel interface {
	// Read calls visit with every thread of the host; process is nil for those
	// that bring no record of their process. Both are good during the call only.
	Read(visit func(thread *bpf.Thread, process *bpf.Process)) error
}

// Host is what the sampler needs to know of the host as a whole; package host
// has it. What cannot be read is 0.
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
}

// Sampler reads the kernel and keeps what the next window is measured against.
// It is not safe for concurrent use.
type Sampler struct {
	kernel   Kernel
	host     Host
	pageSize uint64
	booted   time.Time

	threads   map[uint32]*thread  // by thread id
	processes map[uint32]*process // by process id
	current   *process            // that of the last record: threads come together
	seen      []*process          // in this pass, in the order of the census

	pass      uint64
	closed    uint64          // the last pass that did not fail
	elapsed   uint64          // ns since the last pass began
	readings  []time.Duration // when the last passes began, since boot; oldest first
	threadsN  int
	lastWall  time.Time
	lastStall time.Duration
	snapshot  Snapshot
	scratch   []float64
}

// New returns a sampler whose growth rates go by the last readings of the
// resident set; at least 2.
func New(kernel Kernel, host Host, readings int) *Sampler {
	wall, sinceBoot := host.Now()
	return &Sampler{
		kernel:    kernel,
		host:      host,
		pageSize:  uint64(os.Getpagesize()),
		booted:    wall.Add(-sinceBoot).Round(0),
		threads:   make(map[uint32]*thread),
		processes: make(map[uint32]*process),
		readings:  make([]time.Duration, 0, max(readings, 2)),
	}
}

// Sample makes one pass and returns the window since the last one. The first
// pass has nothing to be measured against: its snapshot has no length and no
// windows. Nothing is lost when a pass fails or comes late; the next window is
// longer. The snapshot is good until the next call.
func (s *Sampler) Sample() (*Snapshot, error) {
	wall, sinceBoot := s.host.Now()
	s.pass++
	if n := len(s.readings); n > 0 {
		s.elapsed = uint64(sinceBoot - s.readings[n-1])
	}
	s.seen = s.seen[:0]
	s.current = nil
	s.threadsN = 0
	if err := s.kernel.Read(s.visit); err != nil {
		return nil, fmt.Errorf("take a census: %w", err)
	}

	first := len(s.readings) == 0
	stall := s.host.MemoryStall()
	snapshot := &s.snapshot
	*snapshot = Snapshot{
		End:     wall,
		CPUs:    s.host.CPUs(),
		Threads: s.threadsN,
		Windows: snapshot.Windows[:0],
	}
	if !first {
		snapshot.Length = wall.Sub(s.lastWall)
		snapshot.MemoryStall = snapshot.Share(stall - s.lastStall)
	}
	available := s.host.AvailableMemory()
	s.readings = push(s.readings, sinceBoot)
	for _, p := range s.seen {
		if w, ok := s.advance(p, available); ok && !first {
			snapshot.Windows = append(snapshot.Windows, w)
		}
	}
	s.forget()
	s.closed = s.pass
	s.lastWall, s.lastStall = wall, stall
	return snapshot, nil
}

// visit takes in one record of the census.
func (s *Sampler) visit(t *bpf.Thread, shared *bpf.Process) {
	s.threadsN++
	p := s.owner(t)
	p.sums.addThread(t)
	s.measure(p, t, shared)
	if shared == nil {
		return
	}
	p.sums.addProcess(shared, s.pageSize)
	p.Parent = shared.Parent
	p.Cgroup, p.CPUCgroup, p.MemoryCgroup = shared.Cgroup, shared.CpuCgroup, shared.MemoryCgroup
	if t.Tid == t.Pid {
		p.rename(t.Comm)
		p.Kernel = t.Flags&bpf.KernelThread != 0
		p.ExecID = shared.ExecId
	}
}

// owner returns the process of a thread, made ready for this pass.
func (s *Sampler) owner(t *bpf.Thread) *process {
	start := time.Duration(t.ProcessStart)
	p := s.current
	if p == nil || p.Pid != t.Pid || p.Start != start {
		p = s.processes[t.Pid]
		if p == nil || p.Start != start {
			p = &process{Process: Process{
				ID:      ID{Pid: t.Pid, Start: start},
				Created: s.booted.Add(start),
			}}
			s.processes[t.Pid] = p
		}
		s.current = p
	}
	if p.pass != s.pass {
		p.pass = s.pass
		p.sums = sums{}
		s.seen = append(s.seen, p)
	}
	return p
}

// measure counts what the thread has done since the last pass. Only the run
// queue has to be summed thread by thread over time: the kernel forgets it with
// the thread.
func (s *Sampler) measure(p *process, t *bpf.Thread, shared *bpf.Process) {
	now := use{cpu: t.Cpu, runQueue: t.RunDelay + t.Waiting}
	th := s.threads[t.Tid]
	switch {
	case th == nil || th.start != t.Start:
		th = &thread{start: t.Start}
		s.threads[t.Tid] = th
		p.runQueue += now.runQueue
		if !s.bornSinceLast(time.Duration(t.Start)) {
			// Not new, but not seen before: its past is not of this window.
			th.before = now
		}
	case t.Tid == t.Pid && shared != nil && shared.ExecId != p.ExecID && !th.now.canBecome(now, s.elapsed):
		// A thread that execs takes the leader's place, id and start. These
		// counters are another thread's than last time, whose past is counted.
		th.before = now
	default:
		if th.pass <= s.closed {
			th.before = th.now
		}
		if now.runQueue > th.now.runQueue {
			p.runQueue += now.runQueue - th.now.runQueue
		}
		now.runQueue = max(now.runQueue, th.now.runQueue)
	}
	th.now, th.pass = now, s.pass

	did := Thread{TID: t.Tid, RunQueue: time.Duration(now.runQueue - th.before.runQueue)}
	if now.cpu > th.before.cpu {
		did.CPU = time.Duration(now.cpu - th.before.cpu)
	}
	if b := p.sums.busiest; b.TID == 0 || did.CPU+did.RunQueue > b.CPU+b.RunQueue {
		p.sums.busiest = did
	}
	p.sums.maxThreadCPU = max(p.sums.maxThreadCPU, did.CPU)
}

// bornSinceLast tells whether something that started then can be in this
// window only.
func (s *Sampler) bornSinceLast(start time.Duration) bool {
	return len(s.readings) > 0 && start >= s.readings[len(s.readings)-1]
}

// advance closes the pass for one process and returns its window; false as long
// as the process's own record has never come.
func (s *Sampler) advance(p *process, available uint64) (Window, bool) {
	if p.Name == "" && !p.sums.complete {
		return Window{}, false
	}
	if !p.sums.complete {
		p.sums.common = p.common
	}
	before := p.total
	p.total = p.sums.advance(before, p.runQueue)
	// readings already holds this pass: the one before is what counts.
	if p.closed == 0 && !(len(s.readings) > 1 && p.Start >= s.readings[len(s.readings)-2]) {
		before = p.total
	}
	if p.closed != s.closed {
		p.rss = p.rss[:0]
	}
	if cap(p.rss) == 0 {
		p.rss = make([]uint64, 0, cap(s.readings))
	}
	p.rss = push(p.rss, p.sums.rss)
	at := s.readings[len(s.readings)-len(p.rss):]

	w := Window{
		Process:        p.Process,
		Total:          p.total,
		Used:           p.total.since(before),
		Threads:        p.sums.threads,
		Busiest:        p.sums.busiest,
		MaxThreadCPU:   p.sums.maxThreadCPU,
		RSS:            p.sums.rss,
		Swap:           p.sums.swap,
		GrowthSpan:     at[len(at)-1] - at[0],
		GrowthReadings: len(at),
	}
	w.Growth, s.scratch = slope(at, p.rss, s.scratch)
	if available > 0 {
		w.Limit, w.Headroom = w.RSS+available, available
	}
	if p.throttledIn == p.CPUCgroup && p.sums.throttled > p.common.throttled && p.closed != 0 {
		w.Throttled = time.Duration(p.sums.throttled - p.common.throttled)
	}
	p.common, p.throttledIn, p.closed = p.sums.common, p.CPUCgroup, s.pass
	return w, true
}

// forget drops what two passes in a row have not seen. One is not enough: a
// task that changes its id in an exec can slip past a pass.
func (s *Sampler) forget() {
	if len(s.processes) > len(s.seen) {
		for pid, p := range s.processes {
			if p.pass < s.closed {
				delete(s.processes, pid)
			}
		}
	}
	if len(s.threads) > s.threadsN {
		for tid, t := range s.threads {
			if t.pass < s.closed {
				delete(s.threads, tid)
			}
		}
	}
}

// push appends v and drops the oldest once the slice is at its capacity.
func push[T any](s []T, v T) []T {
	if len(s) == cap(s) {
		s = s[:copy(s, s[1:])]
	}
	return append(s, v)
}
