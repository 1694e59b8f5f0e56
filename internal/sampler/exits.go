package sampler

import (
	"slices"
	"time"

	"github.com/hotspot-otel/hotspot/bpf"
)

const (
	// exitPatience is how long a process that the census no longer sees is kept for
	// its exit. The kernel frees a task some milliseconds after it was reaped, up to
	// 10 s where RCU is lazy (CONFIG_RCU_LAZY), and not while a CPU holds up a grace
	// period, which it reports as a stall after 21 s.
	exitPatience = 30 * time.Second
	// threadPatience is how long the exit of a process is kept for threads of it that
	// were reaped before and are not freed yet.
	threadPatience = 10 * time.Second
)

// exit takes in the last word on a process.
func (s *Sampler) exit(e *bpf.Exit) {
	id := ID{Pid: e.Pid, Start: time.Duration(e.ProcessStart)}
	p := s.find(id)
	if p == nil {
		if s.givenUp.has(id) {
			return // later than anything is waited for: it was told of without
		}
		p = s.begin(id)
	}
	if p.ended {
		return
	}
	p.ended, p.endedAt, p.threadsDue = true, s.now, uint64(e.ThreadsDue)
	p.sums.exit(e)
	p.rename(e.Comm)
	p.Parent = e.Parent
	p.Kernel = e.Flags&bpf.KernelThread != 0
	p.Cgroup, p.CPUCgroup, p.MemoryCgroup = e.Cgroup, e.CpuCgroup, e.MemoryCgroup
	s.exiting = append(s.exiting, p)
}

// dead takes in what threads of a process used that are gone.
func (s *Sampler) dead(g bpf.Group, d bpf.Dead) {
	if s.claim(g, d) {
		return
	}
	// Of a process that no census has seen yet, or whose exit was lost.
	u, known := s.unclaimed[g]
	if !known {
		u.since = s.now
	}
	u.dead, u.pass = d, s.pass
	s.unclaimed[g] = u
}

// unclaimed are sums of dead threads whose process is not known.
type unclaimed struct {
	dead  bpf.Dead
	since time.Duration // since boot
	pass  uint64        // the last that read them
}

// claim gives what threads used to their process; false if it is not known.
func (s *Sampler) claim(g bpf.Group, d bpf.Dead) bool {
	p := s.find(ID{Pid: g.Pid, Start: time.Duration(d.ProcessStart)})
	if p != nil {
		p.group, p.dead, p.deadRunQueue = g, d, d.RunDelay
	}
	return p != nil
}

// claimAll does so once the census has made new processes known, and forgets the
// sums that nobody claims.
func (s *Sampler) claimAll() {
	for g, u := range s.unclaimed {
		switch {
		case u.pass != s.pass || s.claim(g, u.dead):
			delete(s.unclaimed, g)
		case s.now-u.since >= exitPatience:
			delete(s.unclaimed, g)
			s.from.Exits.Forget(g)
		}
	}
}

// readExits takes in which processes have exited, and what the dead threads of
// all used.
func (s *Sampler) readExits() error {
	if err := s.from.Exits.Read(s.exit); err != nil {
		return err
	}
	// After the exits: those that need the sums still have them.
	if err := s.from.Exits.Dead(s.dead); err != nil {
		return err
	}
	s.exiting = slices.DeleteFunc(s.exiting, func(p *process) bool {
		if p.dead.Threads < p.threadsDue && s.now-p.endedAt < threadPatience {
			return false
		}
		s.gone = append(s.gone, p)
		return true
	})
	return nil
}

// last closes the account of a process that is gone and fills in its last
// window. One no census has seen is all in this window, if it is not older than
// the watch.
func (s *Sampler) last(p *process, w *Window) {
	if p.threadsDue == 0 {
		p.dead, p.deadRunQueue = bpf.Dead{}, 0 // in the record of the exit
	}
	// The kernel's own sum is more where it is older than the watch.
	p.sums.cpu = max(p.sums.cpu+p.tail, p.sums.ran+p.dead.Ran)
	before := p.total
	p.total = p.sums.advance(before, p.deadRunQueue)
	shortLived := p.closed == 0 && p.Start >= s.first
	if p.closed == 0 && !shortLived {
		before = p.total
	}
	*w = Window{
		Process:    p.Process,
		Exited:     true,
		ShortLived: shortLived,
		Total:      p.total,
		Used:       p.total.since(before),
	}
	p.contend(w, s.pass)
}

// How many short-lived processes are kept of a pass: as many as the kernel keeps
// pairs by default, so that a storm of processes is not kept for two passes more.
const nameable = 16_384

// remove takes what has exited from the living. Pairs may still name it for two
// passes.
func (s *Sampler) remove() {
	for _, p := range s.exited[0] {
		s.forgetVictim(p)
	}
	clear(s.exited[0])
	s.exited[0], s.exited[1] = s.exited[1], s.exited[0]
	for _, p := range s.gone {
		if s.processes[p.Pid] == p {
			delete(s.processes, p.Pid)
		}
		delete(s.missing, p.ID)
		if p.closed != 0 || p.waited.kernel != (bpf.Victim{}) || len(s.exited[1]) < nameable {
			s.exited[1][p.Pid] = p
		}
		if p.threadsDue != 0 {
			s.from.Exits.Forget(p.group)
		}
	}
	clear(s.gone)
	s.gone = s.gone[:0]
}

// forgetVictim gives up what the kernel keeps of a process that is gone.
func (s *Sampler) forgetVictim(p *process) {
	if p.waited.kernel != (bpf.Victim{}) && s.processes[p.Pid] == nil {
		s.from.Contention.ForgetVictim(p.Pid)
	}
}

// find returns a process that is alive or was not long ago, nil if none.
func (s *Sampler) find(id ID) *process {
	if p := s.processes[id.Pid]; p != nil && p.Start == id.Start {
		return p
	}
	return s.missing[id]
}

// begin makes a process known. Whose pid it has now is not alive any more.
func (s *Sampler) begin(id ID) *process {
	p := &process{
		Process: Process{ID: id, Created: s.booted.Add(id.Start)},
		window:  -1,
	}
	if old := s.called(id.Pid); old != nil {
		// The kernel goes on counting by pid until that is forgotten.
		p.waited.kernel = old.waited.kernel
	}
	if old := s.processes[id.Pid]; old != nil {
		s.miss(old)
	}
	s.processes[id.Pid] = p
	return p
}

// miss keeps a process that the census does not see for its exit.
func (s *Sampler) miss(p *process) {
	p.missedAt = s.now
	s.missing[p.ID] = p
}

// forget moves what this pass has not seen to the missing, and drops those that
// are for long. One may come back: a task that changes its id in an exec can slip
// past a pass.
func (s *Sampler) forget() {
	for id, p := range s.missing {
		if !p.ended && s.now-p.missedAt >= exitPatience {
			s.forgetVictim(p)
			delete(s.missing, id)
			s.givenUp.add(id, s.now)
		}
	}
	if len(s.processes) > len(s.seen) {
		for pid, p := range s.processes {
			if p.pass == s.pass {
				continue
			}
			delete(s.processes, pid)
			s.miss(p)
		}
	}
	if len(s.threads) <= s.threadsN {
		return
	}
	for tid, t := range s.threads {
		if t.pass < s.closed {
			delete(s.threads, tid)
			s.lose(t)
		}
	}
}

// lose keeps the run queue of a thread that is gone, as far as it is known,
// where exits are not read. Exec ends all threads but the one that calls it,
// which is the leader then, with its counters: none of them is lost.
func (s *Sampler) lose(t *thread) {
	if t != nil && s.from.Exits == nil && t.of.execed <= t.pass {
		t.of.deadRunQueue += t.now.runQueue
	}
}

// remembered is a set of processes, each there for a while.
type remembered struct {
	now, before map[ID]struct{}
	since       time.Duration // when now was empty, since boot
}

// For how long at least, unless there are too many: a few MB.
const (
	rememberFor  = 10 * time.Minute
	rememberMost = 1 << 15
)

func (r *remembered) add(id ID, now time.Duration) {
	if r.now == nil || now-r.since >= rememberFor || len(r.now) == rememberMost {
		r.now, r.before, r.since = map[ID]struct{}{}, r.now, now
	}
	r.now[id] = struct{}{}
}

func (r *remembered) has(id ID) bool {
	_, now := r.now[id]
	_, before := r.before[id]
	return now || before
}
