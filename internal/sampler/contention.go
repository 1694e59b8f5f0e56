package sampler

import (
	"cmp"
	"slices"
	"time"

	"github.com/hotspot-otel/hotspot/bpf"
)

// kept is what is kept of a pair over its life.
type kept struct {
	kernel   uint64        // ns, as last read
	active   bool          // charged in this window, and so among the active
	idle     bool          // among the idle, which it leaves when the window is closed
	over     bool          // replaced: one of its pids is another process's by now
	activeAt time.Duration // when the last pass began in which it was active, since boot
}

// byWait puts the longest wait of the window first.
func byWait(a, b *Pair) int {
	if a.Wait != b.Wait {
		return cmp.Compare(b.Wait, a.Wait)
	}
	return byRest(a, b)
}

// byRest puts the longest wait first of all since the pair began but for this
// window: what it has when it rests, and as long as it does.
func byRest(a, b *Pair) int {
	if a, b := a.Total-a.Wait, b.Total-b.Wait; a != b {
		return cmp.Compare(b, a)
	}
	return cmp.Or(cmp.Compare(a.Victim.Pid, b.Victim.Pid), cmp.Compare(a.Aggressor.Pid, b.Aggressor.Pid))
}

// waited is how a process waited, charges of the kernel and of this package
// together.
type waited struct {
	kernel bpf.Victim    // as last read
	at     time.Duration // when that had changed, since boot
	Wait                 // in this window
	over   float64       // which share was more than the run-queue time, and is given up

	various time.Duration // since the watch began
}

// waiter is a thread whose wait in progress is to be charged.
type waiter struct {
	of *process
	bpf.Waiting
}

// wait takes note of a wait the census has marked: what of it has not been
// charged in a window before is to be charged now.
func (s *Sampler) wait(th *thread, a *bpf.Activity) {
	since := a.Queued
	if th.queued == a.Queued {
		since = th.charged
	}
	now := a.Queued + a.Waiting
	th.queued, th.charged = a.Queued, now
	s.waiters = append(s.waiters, waiter{th.of, bpf.Waiting{
		CPU: a.CpuId, Held: a.Held != 0, Since: since, Now: now, Running: a.Running, RunningSince: a.RunningSince,
	}})
}

func (s *Sampler) charge(key bpf.Pair, now uint64) {
	if p := s.pairs[key]; p != nil && now == p.kernel {
		return // as most of them: whose the pids are is not asked
	}
	p := s.pairOf(key)
	p.add(since(now, p.kernel))
	p.kernel = now
	s.activate(p)
}

// victim takes in how a process waited. What the kernel keeps of one that nobody has
// heard of for two passes, or that has not waited for long, is given up: its place is
// another's.
func (s *Sampler) victim(pid uint32, now bpf.Victim) {
	p := s.called(pid)
	if p == nil {
		if s.unknown[0][pid] {
			s.from.Contention.ForgetVictim(pid)
		}
		s.unknown[1][pid] = true
		return
	}
	w := &p.waited
	if now != w.kernel {
		w.at = s.now
	} else if s.now-w.at > s.pairExpiry {
		s.from.Contention.ForgetVictim(pid)
		w.kernel = bpf.Victim{}
		return
	}
	if now.Total < w.kernel.Total {
		w.kernel = bpf.Victim{} // it was forgotten and begun anew
	}
	w.Others += time.Duration(now.Others - w.kernel.Others)
	w.Various += time.Duration(now.Various - w.kernel.Various)
	w.Self += time.Duration(now.Self - w.kernel.Self)
	w.Idle += time.Duration(now.Idle - w.kernel.Idle)
	w.Throttled += time.Duration(now.Throttled - w.kernel.Throttled)
	w.kernel = now
}

func (p *Pair) add(wait time.Duration) {
	p.Wait += wait
	p.Total += wait
}

// pairOf returns the pair, begun anew if one of its pids is another process's
// by now.
func (s *Sampler) pairOf(key bpf.Pair) *Pair {
	p := s.pairs[key]
	if p == nil {
		p = s.beginPair(0)
		s.pairs[key] = p
	}
	_, same1 := s.resolve(&p.Victim, key.Victim)
	_, same2 := s.resolve(&p.Aggressor, key.Aggressor)
	if !same1 || !same2 {
		p.over = true
		s.leave(p)
		p = s.beginPair(p.kernel)
		s.pairs[key] = p
		s.resolve(&p.Victim, key.Victim)
		s.resolve(&p.Aggressor, key.Aggressor)
	}
	return p
}

// beginPair returns a pair that has not waited before this window.
func (s *Sampler) beginPair(kernel uint64) *Pair {
	p := &Pair{Since: s.lastWall, kept: kept{kernel: kernel}}
	s.activate(p)
	return p
}

// activate puts a pair among those of this window.
func (s *Sampler) activate(p *Pair) {
	p.activeAt = s.now
	if !p.active {
		p.active = true
		s.active = append(s.active, p)
		s.leave(p)
	}
}

// leave has a pair leave the idle, if it is among them, when the window is closed.
func (s *Sampler) leave(p *Pair) {
	if p.idle {
		p.idle = false
		s.leaving = append(s.leaving, p)
	}
}

// resolve brings one side of a pair up to date. It returns the process, nil if
// none has the pid, and whether the side is still the process it was: one that
// was never found can be any.
func (s *Sampler) resolve(side *Process, pid uint32) (*process, bool) {
	side.Pid = pid
	p := s.called(pid)
	if p == nil {
		return nil, true
	}
	if side.Start != 0 && side.ID != p.ID {
		return nil, false
	}
	*side = p.Process
	return p, true
}

// called returns the process that has the pid, or had it until lately; nil if
// none.
func (s *Sampler) called(pid uint32) *process {
	if p := s.processes[pid]; p != nil {
		return p
	}
	for _, exited := range s.exited {
		if p := exited[pid]; p != nil {
			return p
		}
	}
	return nil
}

// attributeWaiting charges the waits the census found in progress to who has run
// meanwhile: a process that is kept from the CPU altogether would otherwise have
// nobody to blame.
func (s *Sampler) attributeWaiting() error {
	slices.SortStableFunc(s.waiters, func(a, b waiter) int { return cmp.Compare(a.CPU, b.CPU) })
	for i := range s.waiters {
		victim, w := s.waiters[i].of, &s.waiters[i].Waiting
		if w.Held {
			victim.waited.Throttled += time.Duration(w.Now - w.Since)
			continue
		}
		err := s.from.Contention.InProgress(w, func(by uint32, ns uint64) {
			wait := time.Duration(ns)
			switch by {
			case 0:
				victim.waited.Idle += wait
			case victim.Pid:
				victim.waited.Self += wait
			case bpf.Various:
				victim.waited.Others += wait
				victim.waited.Various += wait
			default:
				victim.waited.Others += wait
				p := s.pairOf(bpf.Pair{Victim: victim.Pid, Aggressor: by})
				p.add(wait)
				s.activate(p)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// closePairs makes this window's pairs and tells the aggressors of them. Of the
// idle, tens of thousands after a crowd, it looks at none.
func (s *Sampler) closePairs() []*Pair {
	for _, p := range s.active {
		if victim, _ := s.resolve(&p.Victim, p.Victim.Pid); victim != nil {
			p.add(-portion(p.Wait, victim.waited.over))
		}
		if aggressor, _ := s.resolve(&p.Aggressor, p.Aggressor.Pid); aggressor != nil {
			aggressor.impose(p.Wait, s.pass)
		}
	}
	s.idle = without(s.idle, s.leaving)
	s.leaving = s.leaving[:0]
	s.unfound = slices.DeleteFunc(s.unfound, func(p *Pair) bool {
		if !p.idle {
			return true
		}
		s.resolve(&p.Victim, p.Victim.Pid)
		s.resolve(&p.Aggressor, p.Aggressor.Pid)
		return p.found()
	})
	slices.SortFunc(s.active, byWait)
	pairs := s.snapshot.Pairs[:0]
	for _, p := range s.active {
		if !p.over {
			pairs = append(pairs, p)
		}
	}
	return append(pairs, s.idle...)
}

// found tells whether both its processes are known.
func (p *Pair) found() bool { return p.Victim.Start != 0 && p.Aggressor.Start != 0 }

// openPairs makes the pairs ready for the next window, after its predecessor
// has been used.
func (s *Sampler) openPairs() {
	if s.closed != s.pass {
		return // the last pass failed: its window goes on
	}
	rested := s.active
	s.active, s.rested = s.rested[:0], rested
	s.expire()
	rested = slices.DeleteFunc(rested, func(p *Pair) bool { return p.over })
	for _, p := range rested {
		p.Wait, p.active, p.idle = 0, false, true
		s.oldest = min(s.oldest, p.activeAt)
		if !p.found() {
			s.unfound = append(s.unfound, p)
		}
	}
	slices.SortFunc(rested, byRest)
	s.idle = with(s.idle, rested)
}

// Every so many passes it is looked which idle pairs are of the dead.
const lookEvery = 4

// expire gives up the idle pairs that are so for long, or of the dead, and what
// the kernel keeps of them, to make room for others.
func (s *Sampler) expire() {
	look := s.pass%lookEvery == 0
	if !look && s.now-s.oldest < s.pairExpiry {
		return
	}
	s.oldest = s.now
	s.idle = slices.DeleteFunc(s.idle, func(p *Pair) bool {
		if s.now-p.activeAt < s.pairExpiry && !(look && s.ended(p)) {
			s.oldest = min(s.oldest, p.activeAt)
			return false
		}
		p.idle = false
		s.giveUp(p)
		return true
	})
}

// ended tells whether a process of the pair is gone, its pid another's maybe.
func (s *Sampler) ended(pair *Pair) bool {
	gone := func(side *Process) bool {
		p := s.called(side.Pid)
		return p == nil || side.Start != 0 && side.ID != p.ID
	}
	return gone(&pair.Victim) || gone(&pair.Aggressor)
}

func (s *Sampler) giveUp(p *Pair) {
	key := bpf.Pair{Victim: p.Victim.Pid, Aggressor: p.Aggressor.Pid}
	if final, ok := s.from.Contention.Forget(key); ok && final > p.kernel {
		// Charged between the last reading and now: it is not idle after all.
		p.add(time.Duration(final - p.kernel))
		p.kernel = 0
		s.activate(p)
		return
	}
	delete(s.pairs, key)
}

// with returns the idle pairs and others that rest now, both as byRest has them.
// It finds their places rather than looking at all.
func with(idle, others []*Pair) []*Pair {
	end := len(idle)
	idle = append(idle, others...)
	for n := len(others); n > 0; n-- {
		p := others[n-1]
		at, _ := slices.BinarySearchFunc(idle[:end], p, byRest)
		copy(idle[at+n:], idle[at:end])
		idle[at+n-1] = p
		end = at
	}
	return idle
}

// without returns the idle pairs but those that leave them.
func without(idle, leaving []*Pair) []*Pair {
	slices.SortFunc(leaving, byRest)
	stay, from := idle[:0], 0
	for _, p := range leaving {
		n, _ := slices.BinarySearchFunc(idle[from:], p, byRest)
		stay = append(stay, idle[from:from+n]...)
		from += n + 1
	}
	stay = append(stay, idle[from:]...)
	clear(idle[len(stay):])
	return stay
}

// impose counts wait another process had behind this one.
func (p *process) impose(wait time.Duration, pass uint64) {
	if p.causedIn != pass {
		p.caused, p.causedIn = 0, pass
	}
	p.caused += wait
	p.totalCaused += wait
}

// contend fills in how the process waited and what it imposed in this window,
// and begins the next.
func (p *process) contend(w *Window, pass uint64) {
	w.Waited = p.waited.Wait
	w.Waited.Unattributed = max(0, w.Used.RunQueue-w.Waited.attributed())
	w.TotalCaused = p.totalCaused
	if p.causedIn == pass {
		w.Caused = p.caused
	}
	p.waited.various += w.Waited.Various
	w.TotalVarious = p.waited.various
	p.waited.Wait = Wait{}
	p.waited.over = 0
}

func (w *Wait) attributed() time.Duration { return w.Others + w.Self + w.Idle + w.Throttled }

// fit scales the parts of a wait down to the run-queue time there was: short waits
// are counted by a sample of them, and waits that end while a pass goes on may be
// charged before the census has seen their end.
func (p *process) fit() {
	w, dead := &p.waited, p.deadRunQueue
	if p.ended && p.threadsDue == 0 {
		dead = 0 // in the record of the exit
	}
	runQueue := time.Duration(p.sums.runQueue+dead) - p.total.RunQueue
	w.over = 0
	// It goes back while a thread is dead and not freed: then it says nothing.
	if sum := w.attributed(); sum > runQueue && runQueue >= 0 {
		w.over = 1 - float64(runQueue)/float64(sum)
	}
	for _, part := range []*time.Duration{&w.Others, &w.Self, &w.Idle, &w.Throttled, &w.Various} {
		*part -= portion(*part, w.over)
	}
}

func portion(d time.Duration, of float64) time.Duration { return time.Duration(float64(d) * of) }
