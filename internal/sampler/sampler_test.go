package sampler

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf"
)

// record is one record of a census: the process is nil for a thread without.
type record struct {
	bpf.Thread
	bpf.Activity
	asleep  bool // the activity is left out
	process *bpf.Process
}

func (r *record) show(visit func(*bpf.Thread, *bpf.Activity, *bpf.Process)) {
	if r.asleep {
		visit(&r.Thread, nil, r.process)
	} else {
		visit(&r.Thread, &r.Activity, r.process)
	}
}

// fakeKernel answers a pass with its records, or fails after them.
type fakeKernel struct {
	records []record
	err     error
	whole   bool // was asked for
}

func (k *fakeKernel) Read(visit func(*bpf.Thread, *bpf.Activity, *bpf.Process)) error {
	for i := range k.records {
		k.records[i].show(visit)
	}
	return k.err
}

func (k *fakeKernel) Whole() { k.whole = true }

type fakeHost struct {
	sinceBoot time.Duration
	available uint64
	stall     time.Duration
	ioStall   time.Duration
}

var boot = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func (h *fakeHost) Now() (time.Time, time.Duration) { return boot.Add(h.sinceBoot), h.sinceBoot }
func (h *fakeHost) CPUs() int                       { return 2 }
func (h *fakeHost) AvailableMemory() uint64         { return h.available }
func (h *fakeHost) MemoryStall() time.Duration      { return h.stall }
func (h *fakeHost) IOStall() time.Duration          { return h.ioStall }

// rig is a sampler over a fake kernel and host.
type rig struct {
	t      *testing.T
	kernel fakeKernel
	host   fakeHost
	*Sampler
}

func newRig(t *testing.T, options ...Option) *rig {
	r := &rig{t: t, host: fakeHost{sinceBoot: 90 * time.Second}}
	r.Sampler = New(Sources{Census: &r.kernel, Host: &r.host}, 4, options...)
	r.pageSize = 4096
	return r
}

// pass makes a census of these records at a time since boot.
func (r *rig) pass(at time.Duration, records ...record) Snapshot {
	r.t.Helper()
	r.host.sinceBoot = at
	r.kernel = fakeKernel{records: records}
	snapshot, err := r.Sample()
	require.NoError(r.t, err)
	kept := *snapshot
	kept.Windows = slices.Clone(snapshot.Windows)
	return kept
}

// failPass makes a census that fails after these records.
func (r *rig) failPass(at time.Duration, records ...record) {
	r.t.Helper()
	r.host.sinceBoot = at
	r.kernel = fakeKernel{records: records, err: errors.New("torn")}
	_, err := r.Sample()
	require.ErrorIs(r.t, err, r.kernel.err)
}

// only returns the one window of a snapshot.
func (r *rig) only(s Snapshot) Window {
	r.t.Helper()
	require.Len(r.t, s.Windows, 1)
	return s.Windows[0]
}

type (
	threadEdit  func(*record)
	processEdit func(*bpf.Process)
)

func ran(cpu time.Duration) threadEdit {
	return func(t *record) { t.Cpu, t.User = uint64(cpu), uint64(cpu) }
}

func inQueue(delay, inProgress time.Duration) threadEdit {
	return func(t *record) { t.RunDelay, t.Waiting = uint64(delay), uint64(inProgress) }
}

func follower(pid, tid uint32, processStart, start time.Duration, edits ...threadEdit) record {
	r := record{Thread: bpf.Thread{Pid: pid, Tid: tid, ProcessStart: uint64(processStart), Start: uint64(start)}}
	for _, edit := range edits {
		edit(&r)
	}
	return r
}

func leader(pid uint32, start time.Duration, edits ...threadEdit) record {
	r := follower(pid, pid, start, start)
	for _, edit := range edits {
		edit(&r)
	}
	return r.with(func(p *bpf.Process) { copy(p.Comm[:], "leader") })
}

// with gives a record that of its process.
func (r record) with(edits ...processEdit) record {
	var p bpf.Process
	if r.process != nil {
		p = *r.process
	}
	for _, edit := range edits {
		edit(&p)
	}
	r.process = &p
	return r
}

const second = time.Second

func TestTheFirstPassHasNothingToMeasureAgainst(t *testing.T) {
	r := newRig(t)
	s := r.pass(100*second, leader(7, 50*second, ran(9*second)))
	require.Zero(t, s.Length)
	require.Empty(t, s.Windows)
	require.Equal(t, 1, s.Threads)
	require.Zero(t, s.MemoryStall)
	require.Zero(t, s.IOStall)
}

func TestAWindowIsWhatHappenedBetweenTwoPasses(t *testing.T) {
	r := newRig(t)
	r.host.stall, r.host.ioStall = 3*second, 7*second
	r.pass(100*second,
		leader(7, 50*second, ran(9*second), inQueue(4*second, 0)).with(func(p *bpf.Process) { p.DeadCpu = uint64(second) }),
		follower(7, 8, 50*second, 60*second, ran(2*second)))
	r.host.stall, r.host.ioStall = 5*second, 8*second
	r.host.available = 1 << 30
	s := r.pass(104*second,
		leader(7, 50*second, ran(10*second), inQueue(4*second, 500*time.Millisecond), func(t *record) {
			t.MinorFaults, t.MajorFaults, t.Voluntary, t.Involuntary = 11, 12, 13, 14
		}).with(func(p *bpf.Process) {
			p.DeadCpu, p.Parent, p.ExecId = uint64(second), 1, 3
			p.FilePages, p.AnonPages, p.ShmemPages, p.SwapEntries = 1, 2, 4, 8
			p.Cgroup, p.CpuCgroup, p.MemoryCgroup = 21, 22, 23
		}),
		follower(7, 8, 50*second, 60*second, ran(5*second), inQueue(0, second)),
		leader(9, 70*second, func(t *record) { t.Flags = bpf.KernelThread }))

	require.Equal(t, 4*second, s.Length)
	require.Equal(t, boot.Add(104*second), s.End)
	require.Equal(t, 2, s.CPUs)
	require.Equal(t, 3, s.Threads)
	require.Equal(t, 0.5, s.MemoryStall)
	require.Equal(t, 0.25, s.IOStall)
	require.Len(t, s.Windows, 2)
	w := s.Windows[0]
	require.Equal(t, 0.5, w.MemoryStall)
	require.Equal(t, 0.25, w.IOStall)
	require.Equal(t, Process{
		ID: ID{Pid: 7, Start: 50 * second}, Name: "leader", Created: boot.Add(50 * second), Parent: 1,
		Cgroup: 21, CPUCgroup: 22, MemoryCgroup: 23, ExecID: 3,
	}, w.Process)
	require.Equal(t, 4*second, w.Used.CPU())
	require.Equal(t, 16*second, w.Total.CPU())
	require.Equal(t, Usage{
		User: 4 * second, RunQueue: 1500 * time.Millisecond,
		MinorFaults: 11, MajorFaults: 12, Voluntary: 13, Involuntary: 14,
	}, w.Used)
	require.Equal(t, 5500*time.Millisecond, w.Total.RunQueue)
	require.Equal(t, 2, w.Threads)
	require.Equal(t, Thread{TID: 8, CPU: 3 * second, RunQueue: second, Span: 4 * second}, w.Busiest)
	require.Equal(t, 3*second, w.MaxThreadCPU)
	require.Equal(t, uint64(7*4096), w.RSS)
	require.Equal(t, uint64(8*4096), w.Swap)
	require.Equal(t, uint64(1<<30), w.Headroom)
	require.Equal(t, uint64(1<<30+7*4096), w.Limit)
	require.False(t, w.Kernel)
	require.True(t, s.Windows[1].Kernel)
}

func TestTheBusiestThreadRanOrWaitedTheLongestAndNeedNotHaveRunTheMost(t *testing.T) {
	r := newRig(t)
	r.pass(100*second, leader(7, 0), follower(7, 8, 0, 0))
	w := r.only(r.pass(105*second,
		leader(7, 0, ran(3*second)), follower(7, 8, 0, 0, ran(second), inQueue(0, 4*second))))
	require.Equal(t, Thread{TID: 8, CPU: second, RunQueue: 4 * second, Span: 5 * second}, w.Busiest)
	require.Equal(t, 3*second, w.MaxThreadCPU)
}

func TestWhenAProcessIsFirstSeen(t *testing.T) {
	used := []threadEdit{ran(2 * second), inQueue(3*second, 0), func(t *record) { t.MinorFaults = 5 }}
	for _, test := range []struct {
		name  string
		start time.Duration
		want  Usage
		span  time.Duration
	}{
		{
			name:  "one that began in the window counts from its start",
			start: 101 * second,
			want:  Usage{User: 2 * second, RunQueue: 3 * second, MinorFaults: 5},
			span:  4 * second,
		},
		{
			name:  "so does one that began with the pass before, too late to be seen",
			start: 100 * second,
			want:  Usage{User: 2 * second, RunQueue: 3 * second, MinorFaults: 5},
			span:  5 * second,
		},
		{
			name:  "one that the pass before should have seen counts nothing yet",
			start: 99 * second,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.pass(100 * second)
			w := r.only(r.pass(105*second, leader(7, test.start, used...)))
			require.Equal(t, test.want, w.Used)
			require.Equal(t, 2*second, w.Total.CPU(), "the total is since the start anyway")
			require.Equal(t, 3*second, w.Total.RunQueue)
			require.Equal(t, test.want.User, w.MaxThreadCPU)
			require.Equal(t, Thread{TID: 7, CPU: test.want.User, RunQueue: test.want.RunQueue, Span: test.span}, w.Busiest)
			require.Equal(t, 5*second, w.Length, "it did nothing in the rest of the host's window")

			w = r.only(r.pass(110*second, leader(7, test.start, ran(3*second), inQueue(3*second, 0))))
			require.Equal(t, second, w.Used.CPU())
			require.Zero(t, w.Used.RunQueue)
		})
	}
}

func TestAPidWithAnotherStartIsAnotherProcess(t *testing.T) {
	r := newRig(t)
	r.pass(100*second, leader(7, 50*second, ran(9*second), inQueue(9*second, 0)))
	w := r.only(r.pass(105*second, leader(7, 102*second, ran(second), inQueue(second, 0))))
	require.Equal(t, ID{Pid: 7, Start: 102 * second}, w.ID)
	require.Equal(t, second, w.Used.CPU())
	require.Equal(t, second, w.Total.CPU())
	require.Equal(t, second, w.Total.RunQueue)
	require.Equal(t, second, w.MaxThreadCPU)
	require.Equal(t, 1, w.GrowthReadings, "its memory is not the other's either")
}

func TestAThreadIDWithAnotherStartIsAnotherThread(t *testing.T) {
	r := newRig(t)
	r.pass(100*second, leader(7, 0), follower(7, 8, 0, 0, ran(9*second), inQueue(9*second, 0)))
	w := r.only(r.pass(105*second,
		leader(7, 0).with(func(p *bpf.Process) { p.DeadCpu = uint64(9 * second) }),
		follower(7, 8, 0, 103*second, ran(second), inQueue(second, 0))))
	require.Equal(t, second, w.Used.CPU())
	require.Equal(t, second, w.Used.RunQueue)
	require.Equal(t, Thread{TID: 8, CPU: second, RunQueue: second, Span: 2 * second}, w.Busiest, "its span is its age")
}

func TestAFailedPassLosesNothing(t *testing.T) {
	at := func(cpu, runQueue time.Duration) record { return leader(7, 0, ran(cpu), inQueue(runQueue, 0)) }
	late := leader(8, 60*second, ran(9*second), inQueue(9*second, 0))
	for _, test := range []struct {
		name string
		torn []record
	}{
		{name: "that saw nobody"},
		{name: "that saw some", torn: []record{at(12*second, second), late}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.pass(95*second, at(9*second, 0))
			r.pass(100*second, at(10*second, 0))
			r.failPass(105*second, test.torn...)
			s := r.pass(110*second, at(13*second, 2*second), late)
			require.Equal(t, 10*second, s.Length)
			w := s.Windows[0]
			require.Equal(t, 3*second, w.Used.CPU())
			require.Equal(t, 2*second, w.Used.RunQueue)
			require.Equal(t, Thread{TID: 7, CPU: 3 * second, RunQueue: 2 * second, Span: 10 * second}, w.Busiest)
			require.Equal(t, 10*second, w.Length)
			require.Equal(t, 3*second, w.MaxThreadCPU)
			require.Equal(t, 3, w.GrowthReadings, "a reading less is no gap")
			require.Equal(t, 15*second, w.GrowthSpan)
			require.Zero(t, s.Windows[1].Used, "existed before, so its past is not of this window")

			s = r.pass(115*second, at(14*second, 2*second), late)
			require.Equal(t, second, s.Windows[0].Used.CPU())
		})
	}
}

func TestAPassThatComesLateLosesNothing(t *testing.T) {
	r := newRig(t)
	r.pass(100*second, leader(7, 0, ran(10*second)))
	s := r.pass(130*second, leader(7, 0, ran(35*second)))
	require.Equal(t, 30*second, s.Length)
	require.Equal(t, 25*second, r.only(s).Used.CPU())
}

func TestNoSumEverGoesBack(t *testing.T) {
	full := func(t *record) {
		t.Cpu, t.User, t.System = uint64(8*second), uint64(6*second), uint64(2*second)
		t.RunDelay, t.MinorFaults, t.MajorFaults, t.Voluntary, t.Involuntary = uint64(5*second), 10, 11, 12, 13
	}
	less := func(t *record) {
		t.Cpu, t.User, t.System = uint64(3*second), uint64(second), uint64(2*second)
		t.RunDelay, t.MinorFaults, t.MajorFaults, t.Voluntary, t.Involuntary = uint64(second), 1, 2, 3, 4
	}
	r := newRig(t)
	r.pass(100*second, leader(7, 0, full))
	before := r.only(r.pass(105*second, leader(7, 0, full)))
	w := r.only(r.pass(110*second, leader(7, 0, less)))
	require.Zero(t, w.Used)
	require.Equal(t, before.Total, w.Total)
	require.Zero(t, w.MaxThreadCPU)
	require.Equal(t, Thread{TID: 7, Span: 5 * second}, w.Busiest)
	w = r.only(r.pass(115*second, leader(7, 0, full)))
	require.Zero(t, w.Used, "back where it was")
}

func TestThreadsThatExit(t *testing.T) {
	worker := follower(7, 8, 0, 0, ran(4*second), inQueue(3*second, 0), func(t *record) {
		t.MinorFaults, t.Voluntary = 40, 50
	})
	dead := func(p *bpf.Process) {
		p.DeadCpu, p.DeadUser, p.DeadMinorFaults, p.DeadVoluntary = uint64(5*second), uint64(5*second), 41, 51
	}
	moved := Usage{User: second, MinorFaults: 1, Voluntary: 1}

	t.Run("move from their own record to the sums of the process", func(t *testing.T) {
		r := newRig(t)
		r.pass(100*second, leader(7, 0), worker)
		w := r.only(r.pass(105*second, leader(7, 0).with(dead)))
		require.Equal(t, moved, w.Used)
		require.Equal(t, 3*second, w.Total.RunQueue, "which the kernel forgets")
		require.Equal(t, 1, w.Threads)
	})
	t.Run("during a pass may be in neither, which is made up for by the next", func(t *testing.T) {
		r := newRig(t)
		r.pass(100*second, leader(7, 0), worker)
		w := r.only(r.pass(105*second, leader(7, 0)))
		require.Zero(t, w.Used)
		require.Equal(t, 4*second, w.Total.CPU())
		w = r.only(r.pass(110*second, leader(7, 0).with(dead)))
		require.Equal(t, moved, w.Used)
	})
}

func TestAProcessWhoseLeaderIsDeadBringsItsRecordMoreThanOnce(t *testing.T) {
	shared := func(pages uint64) processEdit {
		return func(p *bpf.Process) { p.DeadCpu, p.DeadUser, p.AnonPages = uint64(second), uint64(second), pages }
	}
	r := newRig(t)
	pass := func(at, cpu time.Duration) Snapshot {
		return r.pass(at,
			follower(7, 5, 0, 0, ran(cpu)).with(shared(10)), // ids begin anew at the top
			follower(7, 6, 0, 0, ran(cpu)).with(shared(10)),
			leader(7, 0, ran(second)).with(shared(0)))
	}
	pass(100*second, second)
	w := r.only(pass(105*second, 3*second))
	require.Equal(t, 8*second, w.Total.CPU(), "exited threads are counted once")
	require.Equal(t, 4*second, w.Used.CPU())
	require.Equal(t, uint64(10*4096), w.RSS, "the memory is the living threads'")
	require.Equal(t, "leader", w.Name, "not that of the thread which came first")
}

// The records of a process's threads come without its own if that changes hands
// while the census passes.
func TestAPassWithoutTheRecordOfTheProcessHoldsItsSums(t *testing.T) {
	whole := func(cpu time.Duration, throttled time.Duration) record {
		return leader(7, 0, ran(cpu)).with(func(p *bpf.Process) {
			p.DeadCpu, p.DeadUser, p.AnonPages, p.SwapEntries = uint64(second), uint64(second), 10, 5
			p.CpuCgroup, p.Throttled = 22, uint64(throttled)
		})
	}
	worker := follower(7, 8, 0, 0)
	r := newRig(t)
	r.pass(100*second, whole(2*second, 60*second), worker)
	w := r.only(r.pass(105*second, worker))
	require.Zero(t, w.Used)
	require.Equal(t, 3*second, w.Total.CPU())
	require.Equal(t, uint64(10*4096), w.RSS)
	require.Equal(t, uint64(5*4096), w.Swap)
	require.Zero(t, w.Throttled)
	require.Equal(t, "leader", w.Name)

	w = r.only(r.pass(110*second, whole(4*second, 61*second), worker))
	require.Equal(t, 2*second, w.Used.CPU())
	require.Equal(t, second, w.Throttled)
	require.Zero(t, w.Growth)

	t.Run("and brings no window while nothing is known of the process", func(t *testing.T) {
		r := newRig(t)
		r.pass(100*second, worker)
		require.Empty(t, r.pass(105*second, worker).Windows)
		w := r.only(r.pass(110*second, whole(4*second, 61*second), worker))
		require.Zero(t, w.Used, "existed before, so its past is not of this window")
		require.Zero(t, w.Throttled)
	})
}

func TestExec(t *testing.T) {
	program := func(id uint64, dead time.Duration) processEdit {
		return func(p *bpf.Process) { p.ExecId, p.DeadCpu, p.DeadUser = id, uint64(dead), uint64(dead) }
	}
	for _, test := range []struct {
		name           string
		before, worker []threadEdit // of the leader and the other thread
		after          []threadEdit // of the one that is left
		dead           time.Duration
		want           Thread        // but for its span, which is the window if it goes on
		waited         time.Duration // by the process, beside that thread
	}{
		{
			name:   "by the leader goes on counting",
			before: []threadEdit{ran(2 * second), inQueue(3*second, 0)},
			worker: []threadEdit{ran(second)},
			after:  []threadEdit{ran(4 * second), inQueue(5*second, second)},
			dead:   second,
			want:   Thread{TID: 7, CPU: 2 * second, RunQueue: 3 * second},
		},
		{
			name:   "by a thread that had waited long does not count its waits again",
			before: []threadEdit{ran(second)},
			worker: []threadEdit{ran(2 * second), inQueue(60*second, 0)},
			after:  []threadEdit{ran(2 * second), inQueue(61*second, 0)},
			dead:   second,
			want:   Thread{TID: 7},
			waited: second,
		},
		{
			name:   "by a thread that had run long does not count that again",
			before: []threadEdit{ran(second), inQueue(second, 0)},
			worker: []threadEdit{ran(60 * second), inQueue(2*second, 0)},
			after:  []threadEdit{ran(60 * second), inQueue(2*second, 0)},
			dead:   second,
			want:   Thread{TID: 7},
		},
		{
			name:   "by a thread younger than the leader takes nothing back",
			before: []threadEdit{ran(60 * second), inQueue(60*second, 0)},
			worker: []threadEdit{ran(second), inQueue(second, 0)},
			after:  []threadEdit{ran(second), inQueue(second, 0)},
			dead:   60 * second,
			want:   Thread{TID: 7},
		},
		{
			name:   "by a thread that had run less and waited more gains nothing by the difference",
			before: []threadEdit{ran(3 * second), inQueue(second, 0)},
			worker: []threadEdit{ran(second), inQueue(4*second, 0)},
			after:  []threadEdit{ran(second), inQueue(4*second, 0)},
			dead:   3 * second,
			want:   Thread{TID: 7},
		},
		{
			name:   "nor does one that had waited less and run more",
			before: []threadEdit{ran(second), inQueue(3*second, 0)},
			worker: []threadEdit{ran(4 * second), inQueue(second, 0)},
			after:  []threadEdit{ran(4 * second), inQueue(second, 0)},
			dead:   second,
			want:   Thread{TID: 7},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.pass(100*second,
				leader(7, 50*second, test.before...).with(program(1, 0)),
				follower(7, 8, 50*second, 51*second, test.worker...))
			before := r.total()
			// The thread that is left has the leader's id and start.
			last := leader(7, 50*second, test.after...).with(program(2, test.dead))
			w := r.only(r.pass(105*second, last))
			require.Equal(t, test.want.RunQueue+test.waited, w.Used.RunQueue)
			require.Equal(t, test.want.CPU, w.Used.CPU(), "in the sums no CPU time is lost or found")
			if test.want.CPU > 0 {
				test.want.Span = 5 * second
			}
			require.Equal(t, test.want, w.Busiest)
			require.Equal(t, test.want.CPU, w.MaxThreadCPU)
			require.Equal(t, uint64(2), w.ExecID)
			require.Equal(t, ID{Pid: 7, Start: 50 * second}, w.ID)

			w = r.only(r.pass(110*second, last))
			require.Zero(t, w.Used)
			require.GreaterOrEqual(t, w.Total.RunQueue, before.RunQueue)
		})
	}
}

// total returns what the one process has used so far.
func (r *rig) total() Usage {
	r.t.Helper()
	require.Len(r.t, r.processes, 1)
	for _, p := range r.processes {
		return p.total
	}
	return Usage{}
}

func TestUserAndSystemTimeAddUpAndNeverGoBack(t *testing.T) {
	r := newRig(t)
	var last Usage
	for i, step := range []struct{ cpu, user, system uint64 }{
		{cpu: 1_000_000_001, user: 4, system: 0},
		{cpu: 2_000_000_003, user: 4, system: 4},
		{cpu: 2_000_000_003, user: 4, system: 400}, // the tick found more than there was
		{cpu: 2_000_000_010, user: 40_000, system: 1},
		{cpu: 3_000_000_001, user: 0, system: 8},
		{cpu: 9_000_000_007, user: 8_000_000_000, system: 8_000_000_000},
	} {
		s := r.pass(time.Duration(100+5*i)*second, leader(7, 0, func(t *record) {
			t.Cpu, t.User, t.System = step.cpu, step.user, step.system
		}))
		if i == 0 {
			last = r.total()
			continue
		}
		w := r.only(s)
		require.Equal(t, time.Duration(step.cpu), w.Total.CPU())
		require.GreaterOrEqual(t, w.Total.User, last.User)
		require.GreaterOrEqual(t, w.Total.System, last.System)
		require.Equal(t, w.Total.User-last.User, w.Used.User)
		require.Equal(t, w.Total.System-last.System, w.Used.System)
		last = w.Total
	}
	require.InDelta(t, 0.5, float64(last.System)/float64(last.CPU()), 1e-9, "in the end the ratio is the tick's")
}

func TestGrowth(t *testing.T) {
	const mib = 1 << 20
	for _, test := range []struct {
		name    string
		mib     []uint64 // a reading each second; 0 is a pass that does not see the process
		want    float64  // MiB/s
		span    time.Duration
		reading int
	}{
		{name: "steady", mib: []uint64{100, 110, 120, 130}, want: 10, span: 3 * second, reading: 4},
		{name: "none", mib: []uint64{100, 100, 100}, want: 0, span: 2 * second, reading: 3},
		{name: "shrinking", mib: []uint64{100, 90}, want: -10, span: second, reading: 2},
		{name: "two readings", mib: []uint64{100, 107}, want: 7, span: second, reading: 2},
		{name: "of an even number of slopes the middle", mib: []uint64{100, 110, 120, 150}, want: (10 + 50.0/3) / 2, span: 3 * second, reading: 4},
		{name: "a dip does not break it", mib: []uint64{100, 110, 20, 130}, want: 10, span: 3 * second, reading: 4},
		{name: "a peak does not make it", mib: []uint64{100, 100, 900, 100}, want: 0, span: 3 * second, reading: 4},
		{name: "goes by the last four readings", mib: []uint64{500, 400, 100, 110, 120, 130}, want: 10, span: 3 * second, reading: 4},
		{name: "begins anew after a gap", mib: []uint64{500, 500, 0, 100, 110}, want: 10, span: second, reading: 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			r.pass(99 * second)
			var s Snapshot
			for i, mebibytes := range test.mib {
				var records []record
				if mebibytes > 0 {
					records = append(records, leader(7, 0).with(func(p *bpf.Process) { p.AnonPages = mebibytes * mib / 4096 }))
				}
				s = r.pass(time.Duration(100+i)*second, records...)
			}
			w := r.only(s)
			require.InDelta(t, test.want*mib, w.Growth, 1)
			require.Equal(t, test.span, w.GrowthSpan)
			require.Equal(t, test.reading, w.GrowthReadings)
			require.InDelta(t, test.want*mib*test.span.Seconds(), w.Grown(), 10)
		})
	}
}

func TestRefaultsAreWhatGrowthDoesNotExplain(t *testing.T) {
	at := func(faults, pages uint64, start time.Duration) record {
		return leader(7, start, func(t *record) { t.MinorFaults = faults }).with(func(p *bpf.Process) { p.AnonPages = pages })
	}
	r := newRig(t)
	r.pass(100 * second)
	w := r.only(r.pass(105*second, at(1000, 900, 101*second)))
	require.Equal(t, uint64(900*4096), w.Grew, "a new process had no memory when the window began")
	require.Equal(t, uint64(100), w.Refaults)
	require.Equal(t, 1, w.GrowthReadings, "but birth is no growth to go by")
	require.Zero(t, w.GrowthSteps)

	w = r.only(r.pass(110*second, at(2000, 1200, 101*second)))
	require.Equal(t, uint64(300*4096), w.Grew)
	require.Equal(t, uint64(700), w.Refaults)
	require.Equal(t, 1, w.GrowthSteps)

	w = r.only(r.pass(115*second, at(2500, 600, 101*second)))
	require.Zero(t, w.Grew, "it shrank")
	require.Equal(t, uint64(500), w.Refaults)

	w = r.only(r.pass(120*second, at(2510, 5000, 101*second)))
	require.Zero(t, w.Refaults, "huge pages: one fault brings many")
	require.Equal(t, 2, w.GrowthSteps)

	t.Run("of a process found late nothing is known of what it had", func(t *testing.T) {
		r := newRig(t)
		r.pass(100 * second)
		w := r.only(r.pass(105*second, at(1000, 900, 50*second)))
		require.Zero(t, w.Grew)
		require.Zero(t, w.Refaults, "nor were its faults in this window")
	})
}

func TestThrottledTimeIsTheCgroupsInThisWindow(t *testing.T) {
	in := func(cgroup uint64, throttled time.Duration) record {
		return leader(7, 0).with(func(p *bpf.Process) { p.CpuCgroup, p.Throttled = cgroup, uint64(throttled) })
	}
	r := newRig(t)
	r.pass(95 * second)
	require.Zero(t, r.only(r.pass(100*second, in(1, 60*second))).Throttled, "the past of a process found late")
	require.Equal(t, 2*second, r.only(r.pass(105*second, in(1, 62*second))).Throttled)
	require.Zero(t, r.only(r.pass(110*second, in(2, 90*second))).Throttled, "the other cgroup's past")
	require.Equal(t, second, r.only(r.pass(115*second, in(2, 91*second))).Throttled)
	require.Zero(t, r.only(r.pass(120*second, in(2, 3*second))).Throttled, "never negative")
}

func TestNamesCanNotForgeALine(t *testing.T) {
	for _, test := range []struct{ comm, want string }{
		{"postgres", "postgres"},
		{"tmux: server", "tmux: server"},
		{"größe", "größe"},
		{"", ""},
		{"a\nb", "a\uFFFDb"},
		{"a\x1b[2Jb", "a\uFFFD[2Jb"},
		{"a\tb\r\x7f", "a\uFFFDb\uFFFD\uFFFD"},
		{"a\xffb", "a\uFFFDb"},
		{"aaaaaaaaaaaaaa\xc3", "aaaaaaaaaaaaaa\uFFFD"}, // cut inside a letter
		{"a\u202eb", "a\uFFFDb"},                       // turns the direction of writing
		{"a\x00rest", "a"},
	} {
		r := newRig(t)
		named := leader(7, 0).with(func(p *bpf.Process) {
			p.Comm = [16]byte{}
			copy(p.Comm[:], test.comm)
		})
		r.pass(100*second, named)
		require.Equal(t, test.want, r.only(r.pass(105*second, named)).Name, "%q", test.comm)
	}
}

func TestANewNameIsTakenOver(t *testing.T) {
	r := newRig(t)
	r.pass(100*second, leader(7, 0))
	renamed := leader(7, 0).with(func(p *bpf.Process) { p.Comm = [16]byte{'n', 'e', 'w'} })
	require.Equal(t, "new", r.only(r.pass(105*second, renamed)).Name)
}

func TestAWindowWithoutLengthHasNoShares(t *testing.T) {
	r := newRig(t)
	r.pass(100*second, leader(7, 0, ran(second)))
	r.host.stall = second
	s := r.pass(100*second, leader(7, 0, ran(2*second), inQueue(second, 0)))
	require.Zero(t, s.Length)
	require.Zero(t, s.MemoryStall)
	require.Zero(t, s.Share(second))
	w := r.only(s)
	require.Zero(t, w.Growth)
	require.Zero(t, w.GrowthSpan)
	require.Equal(t, second, w.Used.CPU())
	require.Equal(t, second, w.Used.RunQueue)
}

func TestWhatIsGoneIsForgottenOnlyAfterTwoPasses(t *testing.T) {
	r := newRig(t)
	there := []record{leader(7, 0, ran(second)), follower(7, 8, 0, 0, inQueue(9*second, 0))}
	r.pass(100*second, there...)
	r.failPass(102 * second)
	r.pass(105 * second)
	r.failPass(106 * second)
	w := r.only(r.pass(110*second, leader(7, 0, ran(2*second)), follower(7, 8, 0, 0, inQueue(10*second, 0))))
	require.Equal(t, second, w.Used.CPU(), "a task can slip past a pass")
	require.Equal(t, second, w.Used.RunQueue)

	r.pass(115 * second)
	r.pass(120 * second)
	require.Empty(t, r.processes)
	require.Empty(t, r.threads)
}
