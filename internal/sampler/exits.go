package sampler

import (
	"time"

	"github.com/hotspot-otel/hotspot/bpf"
)

// How many passes a process that the census no longer sees is kept for its last
// record: the kernel frees a task some milliseconds after it is reaped, on
// kernels with lazy RCU up to ten seconds.
const limboPasses = 12

// exit takes in the last word on a thread, or on a process.
func (s *Sampler) exit(e *bpf.Exit) {
	id := ID{Pid: e.Pid, Start: time.Duration(e.ProcessStart)}
	p := s.find(id)
	if p == nil {
		if s.hasDeparted(id) {
			return // a thread of it, said late
		}
		p = s.begin(id)
	}
	if t := s.threads[e.Tid]; t != nil && t.of == p {
		delete(s.threads, e.Tid)
	}
	p.deadRunQueue += e.RunDelay
	if e.Tid != e.Pid {
		return
	}
	p.rename(e.Comm)
	p.Parent = e.Parent
	p.Kernel = e.Flags&bpf.KernelThread != 0
	p.Cgroup, p.CPUCgroup, p.MemoryCgroup = e.Cgroup, e.CpuCgroup, e.MemoryCgroup
	p.sums.exit(e)
	s.gone = append(s.gone, p)
}

// last closes the account of a process that is gone and fills in its last
// window. One no census has seen is all in this window, if it is not older than
// the watch.
func (s *Sampler) last(p *process, w *Window) {
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

// bury removes what has exited from the living. Pairs may still name it for two
// passes.
func (s *Sampler) bury() {
	for _, p := range s.departed[0] {
		s.forgetVictim(p)
	}
	clear(s.departed[0])
	s.departed[0], s.departed[1] = s.departed[1], s.departed[0]
	for _, p := range s.gone {
		if s.processes[p.Pid] == p {
			delete(s.processes, p.Pid)
		}
		delete(s.limbo, p.ID)
		s.departed[1][p.Pid] = p
	}
	s.gone = s.gone[:0]
}

func (s *Sampler) hasDeparted(id ID) bool {
	for _, departed := range s.departed {
		if p := departed[id.Pid]; p != nil && p.ID == id {
			return true
		}
	}
	return false
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
	return s.limbo[id]
}

// begin makes a process known. Whose pid it has now is not alive any more.
func (s *Sampler) begin(id ID) *process {
	p := &process{
		Process: Process{ID: id, Created: s.booted.Add(id.Start)},
		heard:   s.pass,
		window:  -1,
	}
	if old := s.called(id.Pid); old != nil {
		// The kernel goes on counting by pid until that is forgotten.
		p.waited.kernel = old.waited.kernel
	}
	if old := s.processes[id.Pid]; old != nil {
		s.limbo[old.ID] = old
	}
	s.processes[id.Pid] = p
	return p
}

// forget moves what this pass has not seen to the limbo, and drops what has been
// there for long. It may come back: a task that changes its id in an exec can
// slip past a pass.
func (s *Sampler) forget() {
	for id, p := range s.limbo {
		if p.heard+limboPasses < s.pass {
			s.forgetVictim(p)
			delete(s.limbo, id)
		}
	}
	if len(s.processes) > len(s.seen) {
		for pid, p := range s.processes {
			if p.pass == s.pass {
				continue
			}
			delete(s.processes, pid)
			s.limbo[p.ID] = p
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
