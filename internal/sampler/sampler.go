// Package sampler turns the kernel's cumulative counters into windows: what
// each process did between two census passes.
package sampler

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/hotspot-otel/hotspot/bpf"
)

// Sampler reads the kernel and keeps what the next window is measured against.
// It is not safe for concurrent use.
type Sampler struct {
	from       Sources
	pageSize   uint64
	booted     time.Time
	pairExpiry time.Duration

	threads   map[uint32]*thread     // by thread id
	processes map[uint32]*process    // by process id
	missing   map[ID]*process        // not seen by the last census, and no word of their exit
	exited    [2]map[uint32]*process // told of in the last two passes, the older first
	unknown   [2]map[uint32]bool     // victims of no process, by pid: of the last pass, of this
	exiting   []*process             // exited, and threads of them are still due
	givenUp   remembered             // missing for so long that they are not waited for
	unclaimed map[bpf.Group]unclaimed
	pairs     map[bpf.Pair]*Pair
	active    []*Pair       // charged in this window
	rested    []*Pair       // charged in the one before; kept for its memory
	idle      []*Pair       // the others, as byRest has them
	leaving   []*Pair       // are among the idle, and should not be
	unfound   []*Pair       // idle ones of a process that is not known yet
	oldest    time.Duration // none of the idle was active before, since boot

	// Of this pass.
	current  *process   // that of the last record: threads come together
	order    []*thread  // in the order of the census
	before   []*thread  // the same of the last pass: most of them come again
	next     int        // the first of these that may
	seen     []*process // in the order of the census
	gone     []*process // exited, in the order of their records
	waiters  []waiter
	kills    []bpf.OOMKill
	threadsN int

	pass      uint64
	closed    uint64          // the last pass that did not fail
	began     time.Time       // when the watch did
	first     time.Duration   // the same, since boot
	now       time.Duration   // when this one did
	at        time.Duration   // when the thread was looked at that came last, since boot less the suspended
	suspended time.Duration   // for how long the host was, since the watch began
	readings  []time.Duration // when the last passes began, since boot; oldest first
	lastWall  time.Time       // when the window began; before the first, when the watch did
	lastStall stalls
	snapshot  Snapshot
	scratch   []float64
	mostChild map[uint32]time.Duration // the most CPU time of one short-lived child, by parent
}

// Option changes how a sampler works.
type Option func(*Sampler)

// WithPairExpiry sets how long a pair may be idle before it is forgotten, 5
// minutes otherwise: it gives its place in the kernel to another, and counts
// from 0 should it wait again.
func WithPairExpiry(idle time.Duration) Option {
	return func(s *Sampler) { s.pairExpiry = idle }
}

// stalls is for how long some task of the host has stood still, since boot.
type stalls struct{ memory, io time.Duration }

// New returns a sampler whose growth rates go by the last readings of the
// resident set; at least 2.
func New(from Sources, readings int, options ...Option) *Sampler {
	wall, sinceBoot := from.Host.Now()
	s := &Sampler{
		from:     from,
		pageSize: uint64(os.Getpagesize()),
		booted:   wall.Add(-sinceBoot).Round(0),
		lastWall: wall,

		pairExpiry: 5 * time.Minute,

		threads:   make(map[uint32]*thread),
		processes: make(map[uint32]*process),
		missing:   make(map[ID]*process),
		unknown:   [2]map[uint32]bool{{}, {}},
		exited:    [2]map[uint32]*process{make(map[uint32]*process), make(map[uint32]*process)},
		unclaimed: make(map[bpf.Group]unclaimed),
		pairs:     make(map[bpf.Pair]*Pair),
		mostChild: make(map[uint32]time.Duration),
		began:     wall,
		first:     sinceBoot,
		readings:  make([]time.Duration, 0, max(readings, 2)),
	}
	for _, option := range options {
		option(s)
	}
	return s
}

// Sample makes one pass and returns the window since the last one. The first
// pass has nothing to be measured against: its snapshot has no length and no
// windows. Nothing is lost when a pass fails or comes late; the next window is
// longer. The snapshot is good until the next call.
func (s *Sampler) Sample() (*Snapshot, error) {
	s.openPairs()
	wall, sinceBoot := s.from.Host.Now()
	// The time since boot goes on while the host is suspended, the wall clock's
	// monotonic reading and the CPU time of threads do not. Two clocks are not read
	// at once: less than a second is no suspend.
	if suspended := sinceBoot - s.first - wall.Sub(s.began); suspended-s.suspended > time.Second {
		s.suspended = suspended
	}
	if err := s.read(sinceBoot); err != nil {
		return nil, err
	}
	stall := stalls{s.from.Host.MemoryStall(), s.from.Host.IOStall()}
	snapshot := &s.snapshot
	kills := s.closeKills() // before the windows they are told with are overwritten
	*snapshot = Snapshot{
		End:     wall,
		CPUs:    s.from.Host.CPUs(),
		Threads: s.threadsN,
		Windows: snapshot.Windows[:0],
		Pairs:   snapshot.Pairs,
		Kills:   kills,
		Lost:    s.lost(),
	}
	first := len(s.readings) == 0
	if !first {
		snapshot.Length = wall.Sub(s.lastWall)
		snapshot.MemoryStall = snapshot.Share(stall.memory - s.lastStall.memory)
		snapshot.IOStall = snapshot.Share(stall.io - s.lastStall.io)
	}
	s.readings = push(s.readings, sinceBoot)
	s.close(snapshot, first)
	s.closed, s.lastWall, s.lastStall = s.pass, wall, stall
	return snapshot, nil
}

// read takes in all the sources have to say, in an order in which nothing is
// counted twice: what exits before its record is read is not in the census that
// follows, and of the waits the census has marked the kernel charges the rest.
func (s *Sampler) read(sinceBoot time.Duration) error {
	s.pass++
	s.now, s.at = sinceBoot, sinceBoot-s.suspended
	s.seen, s.waiters, s.current, s.threadsN = s.seen[:0], s.waiters[:0], nil, 0
	s.order, s.before, s.next = s.before[:0], s.order, 0
	if s.from.Exits != nil {
		if err := s.readExits(); err != nil {
			return fmt.Errorf("read what has exited: %w", err)
		}
	}
	if s.closed == 0 {
		s.from.Census.Whole() // somebody else may have made the passes before
	}
	if err := s.from.Census.Read(s.visit); err != nil {
		return fmt.Errorf("take a census: %w", err)
	}
	s.claimAll()
	if s.from.Contention != nil {
		s.unknown[0], s.unknown[1] = s.unknown[1], s.unknown[0]
		clear(s.unknown[1])
		if err := s.from.Contention.Read(s.charge, s.victim); err != nil {
			return fmt.Errorf("read who waited for whom: %w", err)
		}
		if err := s.attributeWaiting(); err != nil {
			return fmt.Errorf("read who has run while others wait: %w", err)
		}
	}
	if s.from.OOM != nil {
		err := s.from.OOM.Read(func(k *bpf.OOMKill) { s.kills = append(s.kills, *k) })
		if err != nil {
			return fmt.Errorf("read the OOM kills: %w", err)
		}
	}
	return nil
}

// How many times as many windows as there are may find room before that is given
// back.
const spacious = 8

// close ends the window of every process.
func (s *Sampler) close(snapshot *Snapshot, first bool) {
	for _, p := range s.seen {
		p.fit()
	}
	for _, p := range s.gone {
		p.fit()
	}
	snapshot.Pairs = s.closePairs()
	available := s.from.Host.AvailableMemory()
	n := len(s.seen) + len(s.gone) + 1
	if cap(snapshot.Windows) > spacious*n {
		snapshot.Windows = nil // of a storm of processes that is over
	}
	windows := slices.Grow(snapshot.Windows, n)
	for _, p := range s.seen {
		n := len(windows)
		if s.advance(p, available, &windows[:n+1][n]) && !first {
			p.window, windows = n, windows[:n+1]
		}
	}
	for _, p := range s.gone {
		n := len(windows)
		w := &windows[:n+1][n]
		s.last(p, w)
		w.Length = s.lengthOfLast(p, w)
		if !first {
			windows = windows[:n+1]
		}
	}
	snapshot.Windows = windows
	s.countChildren(snapshot)
	s.remove()
	s.forget()
}

// lengthOfLast returns the time in which a process that has exited used what its
// last window says: up to this pass, but no shorter than all CPUs take for that.
func (s *Sampler) lengthOfLast(p *process, w *Window) time.Duration {
	length := s.snapshot.Length
	switch now := s.now - s.suspended; {
	case p.closed != 0:
		length = max(length, now-p.looked)
	case w.ShortLived:
		length = max(length, now-(p.Start-s.suspended))
	}
	return max(length, w.Used.CPU()/time.Duration(max(s.snapshot.CPUs, 1)))
}

// countChildren credits the processes that came and went to who made them.
func (s *Sampler) countChildren(snapshot *Snapshot) {
	for i := range snapshot.Windows {
		child := &snapshot.Windows[i]
		if !child.ShortLived {
			continue
		}
		p := s.processes[child.Parent]
		if p == nil || p.window < 0 || p.closed != s.pass {
			continue
		}
		c, used := &snapshot.Windows[p.window].Children, child.Used.CPU()
		c.Exits++
		c.CPU += used
		if c.Name == "" || used > s.mostChild[p.Pid] {
			c.Name, s.mostChild[p.Pid] = child.Name, used
		}
	}
	clear(s.mostChild)
}

// lost returns what found no room in the kernel. What cannot be read is 0.
func (s *Sampler) lost() (l Lost) {
	if s.from.Exits != nil {
		l.Exits, _ = s.from.Exits.Lost()
	}
	if s.from.Contention != nil {
		l.Contention, _ = s.from.Contention.Lost()
	}
	if s.from.OOM != nil {
		l.Kills, _ = s.from.OOM.Lost()
	}
	return l
}

// closeKills tells of the kills of this window, with the last window before it.
func (s *Sampler) closeKills() []Kill {
	kills := s.snapshot.Kills[:0]
	for i := range s.kills {
		kills = append(kills, s.kill(&s.kills[i]))
	}
	s.kills = s.kills[:0]
	return kills
}

// kill finds what is known of a process the kernel killed.
func (s *Sampler) kill(k *bpf.OOMKill) Kill {
	out := Kill{
		Process: Process{ID: ID{Pid: k.Pid, Start: time.Duration(k.ProcessStart)}},
		RSS:     (k.FilePages + k.AnonPages + k.ShmemPages) * s.pageSize,
	}
	if k.ProcessStart != 0 {
		out.Process.Created = s.booted.Add(out.Process.Start)
	}
	p := s.called(k.Pid)
	if p == nil || k.ProcessStart != 0 && p.Start != out.Process.Start {
		return out
	}
	out.Process = p.Process
	if last := s.snapshot.Windows; p.window >= 0 && p.window < len(last) && last[p.window].ID == p.ID {
		out.Last, out.Known = last[p.window], true
	}
	return out
}

// visit takes in one record of the census.
func (s *Sampler) visit(t *bpf.Thread, a *bpf.Activity, shared *bpf.Process) {
	th := s.known(t.Tid)
	if a == nil && (th == nil || th.start != t.Start) {
		// It slipped past the passes before: from what it has done nothing is known.
		s.from.Census.Whole()
		return
	}
	s.threadsN++
	p := s.owner(t, th)
	s.measure(p, th, t, a, shared)
	if shared == nil {
		return
	}
	p.sums.addProcess(shared, s.pageSize)
	p.Parent = shared.Parent
	p.Cgroup, p.CPUCgroup, p.MemoryCgroup = shared.Cgroup, shared.CpuCgroup, shared.MemoryCgroup
	if t.Tid == t.Pid {
		p.rename(shared.Comm)
		p.Kernel = t.Flags&bpf.KernelThread != 0
		if shared.ExecId != p.ExecID {
			p.ExecID, p.execed = shared.ExecId, s.pass
		}
	}
}

// known returns the thread that has, or had, this id; nil if none. The census goes
// by the id, so it is looked for where the last pass had it before it is looked up.
func (s *Sampler) known(tid uint32) *thread {
	for ; s.next < len(s.before) && s.before[s.next].tid <= tid; s.next++ {
		if th := s.before[s.next]; th.tid == tid {
			return th
		}
	}
	return s.threads[tid]
}

// owner returns the process of a thread, made ready for this pass.
func (s *Sampler) owner(t *bpf.Thread, th *thread) *process {
	id := ID{Pid: t.Pid, Start: time.Duration(t.ProcessStart)}
	p := s.current
	switch {
	case p != nil && p.ID == id:
	case th != nil && th.of.ID == id && th.of.pass+1 == s.pass:
		p = th.of
	default:
		if p = s.find(id); p == nil {
			p = s.begin(id)
		} else if s.processes[id.Pid] != p {
			delete(s.missing, id)
			s.processes[id.Pid] = p
		}
	}
	s.current = p
	if p.pass != s.pass {
		p.pass = s.pass
		p.sums = sums{}
		s.seen = append(s.seen, p)
	}
	return p
}

// measure finds out what the thread has done in this window.
func (s *Sampler) measure(p *process, th *thread, t *bpf.Thread, a *bpf.Activity, shared *bpf.Process) {
	now := useOf(a, th)
	if a != nil {
		s.at = max(s.at, time.Duration(a.At)-s.suspended)
	}
	switch {
	case th == nil || th.start != t.Start:
		s.lose(th)
		th = &thread{tid: t.Tid, start: t.Start}
		s.threads[t.Tid] = th
		if start := time.Duration(t.Start); s.bornSinceLast(start) {
			th.before.at = min(start-s.suspended, s.at)
		} else {
			// Not new, but not seen before: its past is not of this window.
			th.before = now.scheduled(s.at)
		}
	case t.Tid == t.Pid && shared != nil && shared.ExecId != p.ExecID && !th.now.canBecome(now, s.at-th.at):
		// A thread that execs takes the leader's place, id and start. These
		// counters are another thread's than last time.
		th.before = now.scheduled(s.at)
	case th.pass <= s.closed:
		th.before = th.now.scheduled(th.at)
	}
	th.of, th.now, th.at, th.pass = p, now, s.at, s.pass
	s.order = append(s.order, th)
	if a != nil && a.Marked != 0 {
		s.wait(th, a)
	}
	p.sums.addThread(&th.now, th.before.at, s.at)

	did := Thread{
		TID:      t.Tid,
		CPU:      since(now.cpu, th.before.cpu),
		RunQueue: since(now.runQueue, th.before.runQueue),
		Runs:     now.runs() - min(now.runs(), th.before.runs),
		Span:     s.at - th.before.at,
	}
	if b := p.sums.busiest; b.TID == 0 || did.CPU+did.RunQueue > b.CPU+b.RunQueue {
		p.sums.busiest = did
	}
	if d := p.sums.delayed; d.TID == 0 || did.RunQueue > d.RunQueue {
		p.sums.delayed = did
	}
	p.sums.maxThreadCPU = max(p.sums.maxThreadCPU, did.CPU)
}

// bornSinceLast tells whether something that started then can be in this
// window only.
func (s *Sampler) bornSinceLast(start time.Duration) bool {
	return len(s.readings) > 0 && start >= s.readings[len(s.readings)-1]
}

// since returns how far a counter of ns has come, 0 if it went back.
func since(now, before uint64) time.Duration {
	if now < before {
		return 0
	}
	return time.Duration(now - before)
}

// advance closes the pass for one process and fills in its window; false as long
// as the process's own record has never come.
func (s *Sampler) advance(p *process, available uint64, w *Window) bool {
	if p.Name == "" && !p.sums.complete {
		return false
	}
	if !p.sums.complete {
		p.sums.common = p.common
	}
	p.addTail()
	before := p.total
	p.total = p.sums.advance(before, p.deadRunQueue)
	began := p.sums.began
	if p.closed != 0 {
		began = min(began, p.looked) // a thread that has exited since may have been the first
	}
	// readings already holds this pass: the one before is what counts.
	isNew := p.closed == 0 && len(s.readings) > 1 && p.Start >= s.readings[len(s.readings)-2]
	if p.closed == 0 && !isNew {
		before = p.total
	}
	if p.closed != s.closed {
		p.rss = p.rss[:0]
	}
	if cap(p.rss) == 0 {
		p.rss = make([]uint64, 0, cap(s.readings))
	}
	grew := uint64(0)
	if n := len(p.rss); n > 0 {
		grew = p.sums.rss - min(p.sums.rss, p.rss[n-1])
	} else if isNew {
		grew = p.sums.rss
	}
	p.rss = push(p.rss, p.sums.rss)
	at := s.readings[len(s.readings)-len(p.rss):]

	length := p.sums.last - began
	if p.closed == 0 {
		length = max(length, s.snapshot.Length)
	}

	*w = Window{
		Process:        p.Process,
		Length:         length,
		Total:          p.total,
		Used:           p.total.since(before),
		Threads:        p.sums.threads,
		Busiest:        p.sums.busiest,
		MaxThreadCPU:   p.sums.maxThreadCPU,
		Delayed:        p.sums.delayed,
		RSS:            p.sums.rss,
		Swap:           p.sums.swap,
		GrowthSpan:     at[len(at)-1] - at[0],
		GrowthReadings: len(at),
	}
	w.Growth, s.scratch = slope(at, p.rss, s.scratch)
	w.GrowthSteps, w.Grew = rises(p.rss), grew
	w.Refaults = w.Used.MinorFaults - min(w.Used.MinorFaults, grew/s.pageSize)
	w.MemoryStall, w.IOStall = s.snapshot.MemoryStall, s.snapshot.IOStall
	if available > 0 {
		w.Limit, w.Headroom = w.RSS+available, available
	}
	if p.throttledIn == p.CPUCgroup && p.closed != 0 {
		w.Throttled = since(p.sums.throttled, p.common.throttled)
	}
	w.TotalThrottled, w.Quota = time.Duration(p.sums.throttled), p.sums.quota
	p.contend(w, s.pass)
	p.common, p.throttledIn = p.sums.common, p.CPUCgroup
	p.closed, p.looked = s.pass, p.sums.first
	return true
}

// push appends v and drops the oldest once the slice is at its capacity.
func push[T any](s []T, v T) []T {
	if len(s) == cap(s) {
		s = s[:copy(s, s[1:])]
	}
	return append(s, v)
}
