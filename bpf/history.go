package bpf

// lookBack does what look_back of contention.bpf.c does, for a wait that goes
// on: the last part of it is behind the process that runs now. The kernel goes on
// writing while it is read, so a slice need not make sense.
func (c *contentionCpu) lookBack(t *Waiting, charge func(by uint32, ns uint64)) {
	queued, now := t.Since, t.Now
	if came := max(t.RunningSince, c.Open.End, queued); now > came {
		charge(t.Running, now-came)
		now = came
	}
	for s := range c.slices {
		if s.End == 0 || s.End < s.Begin {
			return
		}
		if gap := max(s.End, queued); now > gap {
			charge(0, now-gap)
		}
		if from, to := max(s.Begin, queued), min(s.End, now); to > from {
			s.share(to-from, charge)
		}
		if s.Begin <= queued {
			return
		}
		// A slice that moves on while it is read is there twice.
		now = min(now, s.Begin)
	}
}

// slices yields all slices, the newest first.
func (c *contentionCpu) slices(yield func(s *contentionSlice) bool) {
	if !yield(&c.Open) {
		return
	}
	for n := range c.Levels {
		for i := range c.Levels[n].Slices {
			if !yield(c.Levels[n].back(i)) {
				return
			}
		}
	}
}

// back returns the slice i before the newest.
func (l *contentionLevel) back(i int) *contentionSlice {
	return &l.Slices[(l.Head-uint64(i))%uint64(len(l.Slices))]
}

// share divides part of a slice among those who took turns in it.
func (s *contentionSlice) share(part uint64, charge func(by uint32, ns uint64)) {
	if s.Used <= 1 && s.Various == 0 {
		charge(s.Pid[0], part)
		return
	}
	span := s.End - s.Begin
	of := func(ns uint64) uint64 { return uint64(float64(min(ns, span)) * (float64(part) / float64(span))) }
	for i := range min(int(s.Used), len(s.Pid)) {
		charge(s.Pid[i], of(s.Ns[i]))
	}
	if s.Various > 0 {
		charge(Various, of(s.Various))
	}
}

// tally sums who has run in one look back, as tally of contention.bpf.c does: a
// process belongs to a set by its pid, and a set that is full keeps those who ran
// longest.
type tally struct {
	sets    [8][4]tallied
	various uint64 // ns of all others
}

type tallied struct {
	by uint32
	ns uint64
}

func (t *tally) add(by uint32, ns uint64) {
	if by == Various {
		t.various += ns
		return
	}
	set := &t.sets[by%uint32(len(t.sets))]
	least := &set[0]
	for i := range set {
		if of := &set[i]; of.by == by || of.ns == 0 {
			of.by = by
			of.ns += ns
			return
		} else if of.ns < least.ns {
			least = of
		}
	}
	if ns > least.ns {
		least.by, least.ns, ns = by, ns, least.ns
	}
	t.various += ns
}

// settle charges each process, and the others as one.
func (t *tally) settle(charge func(by uint32, ns uint64)) {
	for _, set := range t.sets {
		for _, of := range set {
			if of.ns > 0 {
				charge(of.by, of.ns)
			}
		}
	}
	if t.various > 0 {
		charge(Various, t.various)
	}
}
