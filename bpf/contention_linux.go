package bpf

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// ContentionOptions sizes the contention program.
type ContentionOptions struct {
	// MinWait is the shortest wait of which every one is looked into. A shorter one
	// is looked into with a chance of its length over MinWait, and counts as MinWait
	// then: what is charged does not depend on how a wait is cut into pieces.
	MinWait time.Duration
	// MaxPairs is how many pairs the kernel keeps, and MaxVictims how many processes
	// that wait. Half of each is for processes older than a second.
	MaxPairs, MaxVictims uint32
}

// markWait is the shortest wait in progress that is charged before it is over.
func (o *ContentionOptions) markWait() time.Duration { return max(o.MinWait, time.Millisecond) }

// Contention tells who ran while a process waited for its CPU. It is not safe
// for concurrent use.
type Contention struct {
	objects struct {
		Contention, Migration *ebpf.Program
		CPUs, Pairs, Victims  *ebpf.Map
	}
	variables map[string]*ebpf.Variable
	links     []link.Link
	unmoved   error // why waits that end with a move to another CPU are not attributed

	pairs   batch[Pair, uint64]
	victims batch[uint32, Victim]
	room    contentionRoom // of the empty maps

	// What ran on one CPU; which one, or noCPU.
	history   contentionCpu
	historyOf uint32
	tally     tally
}

const noCPU = math.MaxUint32

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
	return attachContention(spec, census, o)
}

func attachContention(spec *ebpf.CollectionSpec, census *Census, o ContentionOptions) (*Contention, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count the CPUs: %w", err)
	}
	spec.Maps["cpus"].MaxEntries = uint32(cpus)
	spec.Maps["pairs"].MaxEntries = o.MaxPairs
	spec.Maps["victims"].MaxEntries = o.MaxVictims
	c := &Contention{
		room:      contentionRoom{Pairs: int64(o.MaxPairs), Victims: int64(o.MaxVictims)},
		historyOf: noCPU,
	}
	if err := errors.Join(
		spec.Variables["min_wait"].Set(uint64(o.MinWait)),
		spec.Variables["mark_wait"].Set(uint64(o.markWait())),
		spec.Variables["reserve"].Set(contentionRoom{Pairs: c.room.Pairs / 2, Victims: c.room.Victims / 2}),
		spec.Variables["rooms"].Set(c.room),
	); err != nil {
		return nil, fmt.Errorf("set up the contention program: %w", err)
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
	if err := census.mark(o.markWait()); err != nil {
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
	c.variables = loaded.Variables
	return nil
}

func (c *Contention) attach(p *ebpf.Program) error {
	l, err := link.AttachTracing(link.TracingOptions{Program: p, AttachType: ebpf.AttachTraceRawTp})
	if err == nil {
		c.links = append(c.links, l)
	}
	return err
}

// Read calls pair with every pair, and for how many ns its victim has waited, and
// victim with every victim the kernel keeps. All counts go on: nothing is cleared by
// reading it.
func (c *Contention) Read(pair func(Pair, uint64), victim func(pid uint32, v Victim)) error {
	c.historyOf = noCPU
	pairs, waits, err := c.pairs.read(c.objects.Pairs)
	if err != nil {
		return fmt.Errorf("read the pairs: %w", err)
	}
	pids, victims, err := c.victims.read(c.objects.Victims)
	if err != nil {
		return fmt.Errorf("read the victims: %w", err)
	}
	for i, p := range pairs {
		pair(p, waits[i])
	}
	for i, pid := range pids {
		victim(pid, victims[i])
	}
	rooms := contentionRoom{Pairs: c.room.Pairs - int64(len(pairs)), Victims: c.room.Victims - int64(len(pids))}
	if err := c.variables["rooms"].Set(rooms); err != nil {
		return fmt.Errorf("tell how much room there is for pairs: %w", err)
	}
	return nil
}

// InProgress calls charge with who has run on the CPU of a waiting thread. by is 0
// for the idle task, and Various for all but those who ran longest. Waits on one
// CPU should come one after the other: what ran there is read once for them.
func (c *Contention) InProgress(t *Waiting, charge func(by uint32, ns uint64)) error {
	if t.CPU >= c.objects.CPUs.MaxEntries() {
		return nil
	}
	if c.historyOf != t.CPU {
		c.historyOf = noCPU
		if err := c.objects.CPUs.Lookup(t.CPU, &c.history); err != nil {
			return fmt.Errorf("read what ran on CPU %d: %w", t.CPU, err)
		}
		c.historyOf = t.CPU
	}
	c.tally = tally{}
	c.history.lookBack(t, c.tally.add)
	c.tally.settle(charge)
	return nil
}

// Forget removes a pair and returns for how many ns its victim had waited; false if
// there was none.
func (c *Contention) Forget(p Pair) (uint64, bool) {
	var last uint64
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
	if err := c.variables["losses"].Get(&l); err != nil {
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
