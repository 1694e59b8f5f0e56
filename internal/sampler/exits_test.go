package sampler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf"
)

// fakeExits says each exit once, and what threads have used until it is to forget
// that.
type fakeExits struct {
	exits []bpf.Exit
	sums  map[bpf.Group]bpf.Dead
}

func (x *fakeExits) Dead(visit func(bpf.Group, bpf.Dead)) error {
	for g, d := range x.sums {
		visit(g, d)
	}
	return nil
}

func (x *fakeExits) Forget(g bpf.Group) { delete(x.sums, g) }

func (x *fakeExits) Read(visit func(*bpf.Exit)) error {
	for i := range x.exits {
		visit(&x.exits[i])
	}
	x.exits = nil
	return nil
}

func (x *fakeExits) Lost() (bpf.ExitLoss, error) { return bpf.ExitLoss{}, nil }

func TestAProcessThatNoCensusHasSeen(t *testing.T) {
	for _, test := range []struct {
		name       string
		start      time.Duration
		shortLived bool
		used       time.Duration
	}{
		{name: "came and went in this window", start: 101 * second, shortLived: true, used: second},
		{name: "was reaped before the watch began, and its past is not of this window", start: 50 * second},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			exits := &fakeExits{}
			r.from.Exits = exits
			r.pass(100 * second)
			exits.exits = []bpf.Exit{{
				Pid: 7, ProcessStart: uint64(test.start), Cpu: uint64(second), User: uint64(second),
			}}
			w := r.only(r.pass(105 * second))
			require.True(t, w.Exited)
			require.Equal(t, test.shortLived, w.ShortLived)
			require.Equal(t, test.used, w.Used.CPU())
			require.Equal(t, second, w.Total.CPU())
		})
	}
}

// exited is the end of a process of one thread.
func exited(pid, parent uint32, start, cpu time.Duration, comm string) bpf.Exit {
	x := bpf.Exit{Pid: pid, Parent: parent, ProcessStart: uint64(start), Cpu: uint64(cpu), User: uint64(cpu)}
	copy(x.Comm[:], comm)
	return x
}

func TestShortLivedProcessesAreCreditedToWhoMadeThem(t *testing.T) {
	r, x := newRig(t), &fakeExits{}
	r.from.Exits = x
	make, shell := leader(7, 0), leader(9, 0)
	old := leader(20, 95*second)
	r.pass(100*second, make, shell, old)

	x.exits = []bpf.Exit{
		exited(30, 7, 101*second, second, "cc1"),
		exited(31, 7, 102*second, 2*second, "ld"),
		exited(32, 7, 103*second, second, "as"),
		exited(33, 9, 103*second, second, "ls"),
		exited(34, 99, 103*second, second, "orphan"),
		exited(20, 7, 95*second, 3*second, "daemon"), // a census has seen it
	}
	s := r.pass(105*second, make, shell)
	require.Equal(t, Children{Exits: 3, CPU: 4 * second, Name: "ld"}, s.Windows[0].Children)
	require.Equal(t, Children{Exits: 1, CPU: second, Name: "ls"}, s.Windows[1].Children)
	for _, w := range s.Windows[2:] {
		require.True(t, w.Exited)
		require.Equal(t, w.Pid != 20, w.ShortLived)
	}

	s = r.pass(110*second, make, shell)
	require.Zero(t, s.Windows[0].Children, "each is counted once")
}

// withExits returns a rig that reads exits.
func withExits(t *testing.T) (*rig, *fakeExits) {
	r, x := newRig(t), &fakeExits{sums: map[bpf.Group]bpf.Dead{}}
	r.from.Exits = x
	return r, x
}

func TestAnExitThatComesLate(t *testing.T) {
	const seen, used, rest = 60 * second, 60 * second, second
	at := func(cpu time.Duration) record { return leader(7, seen, ran(cpu)) }
	for _, interval := range []time.Duration{100 * time.Millisecond, 5 * second} {
		for _, test := range []struct {
			name string
			late time.Duration
			told bool
		}{
			{name: "is told once, with what is new", late: 10 * second, told: true},
			{name: "is not waited for too long, and then is no new process", late: exitPatience + 10*second},
			{name: "nor is one that nobody would expect any more", late: rememberFor},
		} {
			t.Run(interval.String()+" "+test.name, func(t *testing.T) {
				r, x := withExits(t)
				now := 100 * second
				r.pass(now, at(used-second))
				now += interval
				require.Equal(t, second, r.only(r.pass(now, at(used))).Used.CPU())
				for end := now + test.late; now < end; {
					now += interval
					require.Empty(t, r.pass(now).Windows)
				}
				x.exits = []bpf.Exit{exited(7, 1, seen, used+rest, "leader")}
				now += interval
				s := r.pass(now)
				if !test.told {
					require.Empty(t, s.Windows)
					require.Empty(t, r.processes)
					require.Empty(t, r.missing)
					return
				}
				w := r.only(s)
				require.True(t, w.Exited)
				require.False(t, w.ShortLived)
				require.Equal(t, rest, w.Used.CPU())
				require.Equal(t, used+rest, w.Total.CPU())
				for range 3 {
					now += interval
					require.Empty(t, r.pass(now).Windows)
				}
				require.Empty(t, r.processes)
				require.Empty(t, r.missing)
			})
		}
	}
}

func TestALateExitIsNotTakenForThatOfTheNextProcessWithThePid(t *testing.T) {
	r, x := withExits(t)
	old, next := leader(7, 60*second, ran(9*second)), leader(7, 101*second, ran(second))
	r.pass(100*second, old)
	require.Equal(t, second, r.only(r.pass(105*second, next)).Used.CPU())
	x.exits = []bpf.Exit{exited(7, 1, 60*second, 10*second, "leader")}
	s := r.pass(110*second, next)
	require.Len(t, s.Windows, 2)
	require.False(t, s.Windows[0].Exited)
	require.Zero(t, s.Windows[0].Used.CPU())
	require.True(t, s.Windows[1].Exited)
	require.Equal(t, 60*second, s.Windows[1].Start)
	require.Equal(t, second, s.Windows[1].Used.CPU())
	require.Equal(t, r.only(r.pass(115*second, next)).ID, ID{Pid: 7, Start: 101 * second})
}

// Ids begin anew at the top, so a thread can come before its leader in the census. If
// it exits in between, the leader's record has it among the dead as well: what counts
// of these is what the first record of the process says.
func TestAThreadThatExitsBetweenItsRecordAndItsLeadersIsCountedOnce(t *testing.T) {
	dead := func(cpu time.Duration) processEdit {
		return func(p *bpf.Process) { p.DeadCpu, p.DeadUser = uint64(cpu), uint64(cpu) }
	}
	r := newRig(t)
	r.pass(100*second, follower(9000, 7, 0, 0, ran(60*second)).with(dead(0)), leader(9000, 0))
	w := r.only(r.pass(105*second, follower(9000, 7, 0, 0, ran(61*second)).with(dead(0)), leader(9000, 0).with(dead(61*second))))
	require.Equal(t, second, w.Used.CPU())
	w = r.only(r.pass(110*second, leader(9000, 0).with(dead(61*second))))
	require.Equal(t, 61*second, w.Total.CPU())
}

// A pass that fails has read the exits, and they are not read again.
func TestAnExitIsToldOnceWhateverPassesFail(t *testing.T) {
	r, x := withExits(t)
	old := leader(7, 60*second, ran(second))
	r.pass(100*second, old)
	r.failPass(105*second, leader(7, 60*second, ran(2*second)), leader(8, 101*second, ran(second)))
	x.exits = []bpf.Exit{exited(7, 1, 60*second, 3*second, "leader"), exited(8, 1, 101*second, 4*second, "young")}
	r.failPass(110 * second)
	s := r.pass(115 * second)
	require.Len(t, s.Windows, 2)
	require.False(t, s.Windows[0].ShortLived)
	require.Equal(t, 2*second, s.Windows[0].Used.CPU())
	require.True(t, s.Windows[1].ShortLived, "no window told of it")
	require.Equal(t, 4*second, s.Windows[1].Used.CPU())
	require.Empty(t, r.pass(120*second).Windows)
}

// The kernel frees the threads of a process in any order.
func TestThreadsThatAreFreedBeforeAndAfterTheirLeader(t *testing.T) {
	const start, total, wait = 101 * second, 7 * second, 4 * second
	group := bpf.Group{Signal: 0xffff, Pid: 7}
	sums := func(threads uint64) bpf.Dead { // of one second each
		return bpf.Dead{ProcessStart: uint64(start), Ran: threads * uint64(second), RunDelay: threads * uint64(second), Threads: threads}
	}
	// Each thread ran for half a second more than was charged when it was reaped.
	end := func(due uint32) bpf.Exit {
		e := exited(7, 1, start, 5*second, "many")
		e.Ran, e.RunDelay, e.ThreadsDue = uint64(4*second), uint64(second), due
		if due == 0 {
			e.Ran, e.RunDelay = uint64(total), uint64(wait)
		}
		return e
	}
	for _, test := range []struct {
		name string
		told int      // the pass after the exit that tells of it
		dead []uint64 // how many are freed then
		due  uint32
	}{
		{name: "before: the exit has all"},
		{name: "after, but before the exit is read", due: 3, dead: []uint64{3}},
		{name: "one of them after the exit is read", due: 3, dead: []uint64{2, 3}, told: 1},
		{name: "all of them after the exit is read", due: 3, dead: []uint64{0, 3}, told: 1},
	} {
		for _, seen := range []bool{false, true} {
			t.Run(test.name, func(t *testing.T) {
				r, x := withExits(t)
				now := 100 * second
				r.pass(now)
				if seen {
					x.sums[group] = sums(1)
					now += 5 * second
					r.pass(now, leader(7, start, ran(second)))
					delete(x.sums, group) // as the kernel does once all are freed
				}
				x.exits = []bpf.Exit{end(test.due)}
				var s Snapshot
				for pass := range test.told + 1 {
					if test.due > 0 {
						x.sums[group] = sums(test.dead[pass])
					}
					require.Empty(t, s.Windows)
					now += 5 * second
					s = r.pass(now)
				}
				w := r.only(s)
				require.True(t, w.Exited)
				require.Equal(t, !seen, w.ShortLived)
				require.Equal(t, total, w.Total.CPU())
				require.Equal(t, wait, w.Total.RunQueue)
				require.Empty(t, x.sums, "the kernel need not keep them")
				require.Empty(t, r.pass(now+5*second).Windows)
			})
		}
	}

	t.Run("are not waited for for ever", func(t *testing.T) {
		r, x := withExits(t)
		r.pass(100 * second)
		x.exits = []bpf.Exit{end(3)}
		x.sums[group] = sums(2)
		require.Empty(t, r.pass(105*second).Windows)
		require.Empty(t, r.pass(105*second+threadPatience-1).Windows)
		require.Equal(t, 6*second, r.only(r.pass(105*second+threadPatience)).Total.CPU())
	})
}

// The threads of a process that lives ran after they were reaped, too.
func TestWhatThreadsRanAfterTheyWereReapedIsTheirProcesss(t *testing.T) {
	const charged, ran1 = 10 * time.Millisecond, 16 * time.Millisecond // by thread
	r, x := withExits(t)
	group := bpf.Group{Signal: 0xffff, Pid: 7}
	pass := func(at time.Duration, reaped, freed uint64) Snapshot {
		x.sums[group] = bpf.Dead{ProcessStart: uint64(95 * second), Ran: freed * uint64(ran1), RunDelay: freed, Threads: freed}
		return r.pass(at, leader(7, 95*second, ran(second)).with(func(p *bpf.Process) {
			p.DeadCpu, p.DeadUser = reaped*uint64(charged), reaped*uint64(charged)
		}))
	}
	pass(100*second, 100, 100)
	w := r.only(pass(105*second, 200, 200))
	require.Equal(t, 100*ran1, w.Used.CPU())
	require.EqualValues(t, 200, w.Total.RunQueue)

	w = r.only(pass(110*second, 300, 290))
	require.Equal(t, second+290*ran1+10*charged, max(w.Total.CPU(), second+290*ran1+10*charged), "never too much")
	require.GreaterOrEqual(t, w.Total.CPU(), second+290*ran1, "what is freed is all there")
	w = r.only(pass(115*second, 300, 300))
	require.Equal(t, second+300*ran1, w.Total.CPU(), "and the rest once it is freed")

	// A thread that ran for long hides no tail that was known before.
	x.sums[group] = bpf.Dead{ProcessStart: uint64(95 * second), Ran: 300 * uint64(ran1), Threads: 300}
	w = r.only(r.pass(120*second, leader(7, 95*second, ran(second)).with(func(p *bpf.Process) {
		p.DeadCpu, p.DeadUser = 300*uint64(charged)+uint64(60*second), 300*uint64(charged)+uint64(60*second)
	})))
	require.Equal(t, 60*second, w.Used.CPU())
}

// Of a process that is older than the watch the kernel's sum has threads that were
// not seen to be freed.
func TestTheTailOfThreadsIsNeverMoreThanTheyHad(t *testing.T) {
	r, x := withExits(t)
	group := bpf.Group{Signal: 0xffff, Pid: 7}
	old := leader(7, 5*second).with(func(p *bpf.Process) { p.DeadCpu, p.DeadUser = uint64(30*second), uint64(30*second) })
	x.sums[group] = bpf.Dead{ProcessStart: uint64(5 * second), Ran: uint64(20 * second), Threads: 9}
	r.pass(100*second, old)
	w := r.only(r.pass(105*second, old))
	require.Equal(t, 30*second, w.Total.CPU())
	require.Zero(t, w.Used)
}

func TestSumsOfThreadsThatNobodyClaimsAreForgotten(t *testing.T) {
	r, x := withExits(t)
	lost, young := bpf.Group{Signal: 1, Pid: 7}, bpf.Group{Signal: 2, Pid: 8}
	x.sums[lost] = bpf.Dead{ProcessStart: uint64(80 * second), Threads: 1} // its exit found no room
	r.pass(100 * second)
	x.sums[young] = bpf.Dead{ProcessStart: uint64(101 * second), RunDelay: 5, Threads: 1} // no census has seen it yet
	r.pass(105 * second)
	at := 105 * second
	for ; at < 100*second+exitPatience; at += 5 * second {
		require.Contains(t, x.sums, lost)
		r.pass(at, leader(8, 101*second))
	}
	w := r.only(r.pass(at, leader(8, 101*second)))
	require.NotContains(t, x.sums, lost)
	require.Contains(t, x.sums, young)
	require.EqualValues(t, 5, w.Total.RunQueue)
	require.Empty(t, r.unclaimed)
}

func TestWhoIsRememberedForHowLong(t *testing.T) {
	var r remembered
	name := func(n int) ID { return ID{Pid: uint32(n), Start: second} }
	r.add(name(1), 100*second)
	r.add(name(2), 100*second+rememberFor)
	require.True(t, r.has(name(1)))
	require.True(t, r.has(name(2)))
	require.False(t, r.has(ID{Pid: 1}), "another start is another process")
	r.add(name(3), 100*second+2*rememberFor)
	require.False(t, r.has(name(1)), "for ever would be a leak")
	require.True(t, r.has(name(2)))
	for n := range 3 * rememberMost {
		r.add(name(10+n), 101*second+2*rememberFor)
		require.LessOrEqual(t, len(r.now)+len(r.before), 2*rememberMost)
	}
	require.True(t, r.has(name(9+3*rememberMost)))
}
