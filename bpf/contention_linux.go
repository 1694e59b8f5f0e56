package bpf

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// ContentionOptions sizes the contention program.
type ContentionOptions struct {
	// MinWait is the shortest wait that is looked into.
	MinWait time.Duration
	// MaxPairs is how many pairs, and how many victims, the kernel keeps.
	MaxPairs uint32
}

// Contention tells who ran while a process waited for its CPU. It is not safe
// for concurrent use.
type Contention struct {
	objects struct {
		Contention, Migration *ebpf.Program
		CPUs, Pairs, Victims  *ebpf.Map
		Losses                *ebpf.Variable
	}
	links   []link.Link
	unmoved error // why waits that end with a move to another CPU are charged to nobody

	pairs   batch[Pair, Charge]
	victims batch[uint32, Victim]
	cpus    []contentionCpu   // as of the last Read
	taken   map[Pair]uint64   // involuntary switches that are not in the maps yet
	lost    map[uint32]uint64 // the same by victim
}

// OpenContention loads the programs and attaches them to every context switch and
// every migration. From then on the census marks the waits it finds in progress:
// those records say Marked, and their part of the wait is the reader's to charge
// (InProgress). The programs charge the rest when the wait is over. It does not
// fail if only the program of migrations does: what that sees is unattributed.
func OpenContention(census *Census, o ContentionOptions) (*Contention, error) {
	spec, err := loadContention()
	if err != nil {
		return nil, err
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count the CPUs: %w", err)
	}
	spec.Maps["cpus"].MaxEntries = uint32(cpus)
	for cpu := range uint32(cpus) {
		of := ebpf.MapKV{Key: cpu, Value: contentionCpu{MinWait: uint64(o.MinWait)}}
		spec.Maps["cpus"].Contents = append(spec.Maps["cpus"].Contents, of)
	}
	spec.Maps["pairs"].MaxEntries = o.MaxPairs
	spec.Maps["victims"].MaxEntries = o.MaxPairs
	c := &Contention{
		cpus:  make([]contentionCpu, cpus),
		taken: make(map[Pair]uint64),
		lost:  make(map[uint32]uint64),
	}
	shared := ebpf.CollectionOptions{MapReplacements: map[string]*ebpf.Map{"marks": census.marks}}
	if err := c.load(spec, shared); err != nil {
		return nil, err
	}
	if err := c.attach(c.objects.Contention); err != nil {
		return nil, errors.Join(fmt.Errorf("attach the contention program: %w", err), c.Close())
	}
	if c.objects.Migration != nil {
		if err := c.attach(c.objects.Migration); err != nil {
			c.unmoved = fmt.Errorf("attach the migration program: %w", err)
		}
	}
	if err := census.mark(o.MinWait); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// load loads both programs, or the one without that of migrations.
func (c *Contention) load(spec *ebpf.CollectionSpec, o ebpf.CollectionOptions) error {
	loaded, err := newCollection(spec, o)
	if err != nil {
		c.unmoved = fmt.Errorf("load the migration program: %w", err)
		delete(spec.Programs, "migration")
		if loaded, err = newCollection(spec, o); err != nil {
			return fmt.Errorf("load the contention program: %w", err)
		}
	}
	defer loaded.Close()
	to := &c.objects
	to.Contention, to.Migration = loaded.DetachProgram("contention"), loaded.DetachProgram("migration")
	to.CPUs, to.Pairs, to.Victims = loaded.DetachMap("cpus"), loaded.DetachMap("pairs"), loaded.DetachMap("victims")
	to.Losses = loaded.Variables["losses"]
	return nil
}

func (c *Contention) attach(p *ebpf.Program) error {
	l, err := link.AttachTracing(link.TracingOptions{Program: p, AttachType: ebpf.AttachTraceRawTp})
	if err == nil {
		c.links = append(c.links, l)
	}
	return err
}

// Read calls pair with every pair and victim with every victim the kernel
// keeps. All counts go on: nothing is cleared by reading it. Involuntary switches
// may be behind by what moved from a CPU to the maps meanwhile: the next time
// they are not.
func (c *Contention) Read(pair func(Pair, Charge), victim func(pid uint32, v Victim)) error {
	pairs, charges, err := c.pairs.read(c.objects.Pairs)
	if err != nil {
		return fmt.Errorf("read the pairs: %w", err)
	}
	pids, victims, err := c.victims.read(c.objects.Victims)
	if err != nil {
		return fmt.Errorf("read the victims: %w", err)
	}
	// After the maps, or what moves there in between would be counted twice.
	if err := c.readCPUs(); err != nil {
		return err
	}
	for i, p := range pairs {
		charges[i].Involuntary += c.taken[p]
		delete(c.taken, p)
		pair(p, charges[i])
	}
	for p, times := range c.taken {
		pair(p, Charge{Involuntary: times})
	}
	for i, pid := range pids {
		victims[i].Involuntary += c.lost[pid]
		delete(c.lost, pid)
		victim(pid, victims[i])
	}
	for pid, times := range c.lost {
		victim(pid, Victim{Involuntary: times})
	}
	return nil
}

// readCPUs reads what ran on each CPU, and the involuntary switches that are not
// in the maps yet.
func (c *Contention) readCPUs() error {
	clear(c.taken)
	clear(c.lost)
	for cpu := range c.cpus {
		of := &c.cpus[cpu]
		if err := c.objects.CPUs.Lookup(uint32(cpu), of); err != nil {
			return fmt.Errorf("read what ran on CPU %d: %w", cpu, err)
		}
		for i := range of.Lost {
			p, times := of.Lost[i].Pair, of.Lost[i].Times
			if times == 0 {
				continue
			}
			c.lost[p.Victim] += times
			if p.Victim != p.Aggressor && p.Aggressor != 0 {
				c.taken[p] += times
			}
		}
	}
	return nil
}

// InProgress calls charge with who has run on the CPU of a waiting thread, as of
// the last Read. by is 0 for the idle task. A process may come more than once.
func (c *Contention) InProgress(t *Waiting, charge func(by uint32, ns uint64)) {
	if int(t.CPU) < len(c.cpus) {
		c.cpus[t.CPU].lookBack(t, charge)
	}
}

// lookBack does what look_back of contention.bpf.c does, for a wait that goes
// on: the last part of it is behind the process that runs now, and nobody had
// waited between the last slice and its coming. The kernel goes on writing while
// it is read, so a slice need not make sense.
func (c *contentionCpu) lookBack(t *Waiting, charge func(by uint32, ns uint64)) {
	queued, now := t.Since, t.Now
	if last := max(c.Open.End, queued); now > last {
		came := min(max(t.RunningSince, last), now)
		if now > came {
			charge(t.Running, now-came)
		}
		if came > last {
			charge(0, came-last)
		}
	}
	for s, begin := range c.slices {
		if begin == 0 || s.End <= queued || s.End < begin {
			return
		}
		if from, to := max(begin, queued), min(s.End, now); to > from {
			s.share(to-from, s.End-begin, charge)
		}
		if begin <= queued {
			return
		}
		// A slice that moves on while it is read is there twice.
		now = min(now, begin)
	}
}

// slices yields all slices, the newest first, and when each began; 0 if that is
// not known.
func (c *contentionCpu) slices(yield func(s *contentionSlice, begin uint64) bool) {
	if !yield(&c.Open, c.Opened) {
		return
	}
	for n := range c.Levels {
		l := &c.Levels[n]
		for i := range l.Slices {
			begin := uint64(0)
			if i+1 < len(l.Slices) {
				begin = l.back(i + 1).End
			} else if n+1 < len(c.Levels) {
				begin = c.Levels[n+1].back(0).End
			}
			if !yield(l.back(i), begin) {
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
func (s *contentionSlice) share(part, span uint64, charge func(by uint32, ns uint64)) {
	if s.Used <= 1 {
		charge(s.Pid[0], part)
		return
	}
	for i := range min(int(s.Used), len(s.Pid)) {
		charge(s.Pid[i], uint64(s.Ns[i])*part/span)
	}
}

// Forget removes a pair and returns what had been charged to it since it was
// last read, too; false if there was none.
func (c *Contention) Forget(p Pair) (Charge, bool) {
	var last Charge
	err := c.objects.Pairs.LookupAndDelete(p, &last)
	if errors.Is(err, ebpf.ErrNotSupported) { // before 5.14
		err = errors.Join(c.objects.Pairs.Lookup(p, &last), c.objects.Pairs.Delete(p))
	}
	return last, err == nil
}

// ForgetVictim removes what is kept of a process that is gone.
func (c *Contention) ForgetVictim(pid uint32) {
	// Not there is as good as removed.
	_ = c.objects.Victims.Delete(pid)
}

// Lost returns what found no room so far.
func (c *Contention) Lost() (ContentionLoss, error) {
	var l ContentionLoss
	if err := c.objects.Losses.Get(&l); err != nil {
		return l, fmt.Errorf("read the losses: %w", err)
	}
	return l, nil
}

// Stats returns how often the program of context switches ran and for how long,
// as far as the kernel was told to measure it (ebpf.EnableStats).
func (c *Contention) Stats() (*ebpf.ProgramStats, error) { return c.objects.Contention.Stats() }

// Close detaches and unloads the programs.
func (c *Contention) Close() error {
	var errs []error
	for _, l := range c.links {
		errs = append(errs, l.Close())
	}
	return errors.Join(append(errs,
		c.objects.Contention.Close(),
		c.objects.Migration.Close(),
		c.objects.CPUs.Close(),
		c.objects.Pairs.Close(),
		c.objects.Victims.Close(),
	)...)
}

// batch reads a whole map in few system calls, into memory it keeps.
type batch[K, V any] struct {
	keys   []K
	values []V
}

// read returns all entries, until it is called again. One that is added meanwhile
// may be left out; one that is there all along comes once.
func (b *batch[K, V]) read(m *ebpf.Map) ([]K, []V, error) {
	room := min(int(m.MaxEntries()), 4096) // the kernel fills it with whole buckets
	var cursor ebpf.MapBatchCursor
	for read := 0; ; {
		if missing := read + room - len(b.keys); missing > 0 {
			b.keys = append(b.keys, make([]K, missing)...)
			b.values = append(b.values, make([]V, missing)...)
		}
		n, err := m.BatchLookup(&cursor, b.keys[read:], b.values[read:], nil)
		read += n
		if errors.Is(err, ebpf.ErrKeyNotExist) {
			return b.keys[:read], b.values[:read], nil
		}
		if err != nil {
			return nil, nil, err
		}
	}
}
