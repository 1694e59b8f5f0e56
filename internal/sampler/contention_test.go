package sampler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf"
)

// fakeContention answers with its pairs and victims, and charges waits in
// progress to who it is told runs.
type fakeContention struct {
	pairs   map[bpf.Pair]uint64
	victims map[uint32]bpf.Victim
	running []uint32      // they share each wait in progress; 0 is the idle task
	asked   []bpf.Waiting // since the last reading
	err     error         // of reading, after all has been said
}

func (c *fakeContention) Read(pair func(bpf.Pair, uint64), victim func(uint32, bpf.Victim)) error {
	c.asked = nil
	for key, charge := range c.pairs {
		pair(key, charge)
	}
	for pid, v := range c.victims {
		victim(pid, v)
	}
	return c.err
}

func (c *fakeContention) InProgress(w *bpf.Waiting, charge func(by uint32, ns uint64)) error {
	c.asked = append(c.asked, *w)
	for _, by := range c.running {
		charge(by, (w.Now-w.Since)/uint64(len(c.running)))
	}
	return nil
}

func (c *fakeContention) Forget(key bpf.Pair) (uint64, bool) {
	charge, ok := c.pairs[key]
	delete(c.pairs, key)
	return charge, ok
}

func (c *fakeContention) ForgetVictim(pid uint32)           { delete(c.victims, pid) }
func (c *fakeContention) Lost() (bpf.ContentionLoss, error) { return bpf.ContentionLoss{}, nil }

// newContendedRig returns a rig with a fake contention program.
func newContendedRig(t *testing.T, options ...Option) (*rig, *fakeContention) {
	r, c := newRig(t, options...), &fakeContention{}
	r.from.Contention = c
	return r, c
}

// markedWait is a wait in progress that the census has marked.
func markedWait(queued, waiting time.Duration) threadEdit {
	return func(t *record) {
		t.Queued, t.Waiting, t.CpuId, t.Marked = uint64(queued), uint64(waiting), 1, 1
	}
}

// pairOfWindow returns the wait of one process behind another in a snapshot, 0 if
// there was none.
func pairOfWindow(s Snapshot, victim, aggressor uint32) time.Duration {
	for _, p := range s.Pairs {
		if p.Victim.Pid == victim && p.Aggressor.Pid == aggressor {
			return p.Wait
		}
	}
	return 0
}

func TestAWaitInProgressIsChargedToWhoRuns(t *testing.T) {
	r, c := newContendedRig(t)
	hog := leader(9, 0)
	r.pass(100*second, leader(7, 0), hog)
	c.running = []uint32{9}

	s := r.pass(105*second, leader(7, 0, markedWait(11*second, 3*second)), hog)
	require.Equal(t, []bpf.Waiting{{CPU: 1, Since: uint64(11 * second), Now: uint64(14 * second)}}, c.asked)
	require.Equal(t, Wait{Others: 3 * second}, s.Windows[0].Waited)
	require.Equal(t, 3*second, s.Windows[0].Used.RunQueue)
	require.Equal(t, 3*second, s.Windows[1].Caused)
	require.Equal(t, 3*second, pairOfWindow(s, 7, 9))

	s = r.pass(110*second, leader(7, 0, markedWait(11*second, 8*second)), hog)
	require.Equal(t, []bpf.Waiting{{CPU: 1, Since: uint64(14 * second), Now: uint64(19 * second)}}, c.asked,
		"of the same wait only what is new")
	require.Equal(t, Wait{Others: 5 * second}, s.Windows[0].Waited)
	require.Equal(t, 8*second, s.Windows[1].TotalCaused)

	s = r.pass(115*second, leader(7, 0, inQueue(8*second, 0), markedWait(22*second, 2*second)), hog)
	require.Equal(t, uint64(22*second), c.asked[0].Since, "another wait begins anew")
	require.Equal(t, 2*second, s.Windows[0].Waited.Others)
}

func TestAWaitInProgressThatIsNotMarkedIsTheKernelsToCharge(t *testing.T) {
	r, c := newContendedRig(t)
	r.pass(100*second, leader(7, 0))
	w := r.only(r.pass(105*second, leader(7, 0, markedWait(11*second, 3*second), func(t *record) { t.Marked = 0 })))
	require.Empty(t, c.asked)
	require.Equal(t, Wait{Unattributed: 3 * second}, w.Waited)
}

func TestAWaitIsSplitIntoOthersSelfAndIdle(t *testing.T) {
	r, c := newContendedRig(t)
	c.victims = map[uint32]bpf.Victim{7: {Others: uint64(second)}}
	c.pairs = map[bpf.Pair]uint64{{Victim: 7, Aggressor: 9}: uint64(second)}
	r.pass(100*second, leader(7, 0, inQueue(second, 0)), leader(9, 0))
	c.running = []uint32{9, 7, 0}
	c.victims[7] = bpf.Victim{Total: uint64(4 * second), Others: uint64(2 * second), Self: uint64(second), Idle: uint64(second)}
	c.pairs[bpf.Pair{Victim: 7, Aggressor: 9}] = uint64(2 * second)
	s := r.pass(105*second, leader(7, 0, inQueue(4*second, 0), markedWait(20*second, 3*second)), leader(9, 0))
	w := s.Windows[0]
	require.Equal(t, Wait{Others: 2 * second, Self: 2 * second, Idle: 2 * second}, w.Waited)
	require.Equal(t, w.Used.RunQueue, w.Waited.Others+w.Waited.Self+w.Waited.Idle+w.Waited.Unattributed)
	require.Equal(t, w.Waited.Others, pairOfWindow(s, 7, 9), "the pairs have what others took")
}

func TestAPairIsForgottenWhenItIsIdleForLong(t *testing.T) {
	key := bpf.Pair{Victim: 7, Aggressor: 9}
	for name, tt := range map[string]struct {
		options []Option
		expiry  time.Duration
	}{
		"by default":    {nil, 5 * time.Minute},
		"as configured": {[]Option{WithPairExpiry(40 * second)}, 40 * second},
	} {
		t.Run(name, func(t *testing.T) {
			r, c := newContendedRig(t, tt.options...)
			c.pairs = map[bpf.Pair]uint64{key: uint64(second)}
			// Windows of all lengths: it is time that counts.
			at := 100 * second
			pass := func(by time.Duration) []*Pair {
				at += by
				return r.pass(at, leader(7, 0), leader(9, 0)).Pairs
			}
			require.Len(t, pass(0), 1)
			require.Len(t, pass(tt.expiry/2), 1)
			c.pairs[key] = uint64(3 * second)
			require.Equal(t, 3*second, pass(second)[0].Total)
			require.Len(t, pass(tt.expiry-second), 1, "idle since the last")
			require.Contains(t, c.pairs, key)
			last := pass(second)
			require.Len(t, last, 1, "said once more")
			require.Equal(t, 3*second, last[0].Total)
			require.Empty(t, pass(second))
			require.NotContains(t, c.pairs, key, "its place in the kernel is free")
		})
	}
}

// A sum that begins anew begins later than the one before ended.
func TestAPairCountsSinceTheWindowItWasFirstSeenIn(t *testing.T) {
	key := bpf.Pair{Victim: 7, Aggressor: 9}
	r, c := newContendedRig(t, WithPairExpiry(20*second))
	both := []record{leader(7, second), leader(9, second)}
	since := func(s Snapshot) time.Duration {
		require.Len(t, s.Pairs, 1)
		return s.Pairs[0].Since.Sub(boot)
	}
	require.Empty(t, r.pass(100*second, both...).Pairs)
	c.pairs = map[bpf.Pair]uint64{key: uint64(2 * second)}
	for at := 105 * second; at <= 125*second; at += 5 * second {
		require.Equal(t, 100*second, since(r.pass(at, both...)))
	}
	require.Empty(t, r.pass(130*second, both...).Pairs)
	// The failed pass belongs to the window in which it comes again.
	r.failPass(135*second, both...)
	c.pairs[key] = uint64(second)
	s := r.pass(140*second, both...)
	require.Equal(t, 130*second, since(s))
	require.Equal(t, second, s.Pairs[0].Total)

	t.Run("it is another when the pid is another process's", func(t *testing.T) {
		c.pairs[key] = uint64(4 * second)
		s := r.pass(145*second, leader(7, second), leader(9, 142*second))
		require.Equal(t, 140*second, since(s))
		require.Equal(t, 3*second, s.Pairs[0].Total)
	})
	t.Run("one that was there before the watch counts since that began", func(t *testing.T) {
		r, c := newContendedRig(t)
		c.pairs = map[bpf.Pair]uint64{key: uint64(second)}
		require.Equal(t, 90*second, since(r.pass(100*second, both...)))
	})
}

func TestTheDelayedThreadIsTheOneThatWaitedTheLongest(t *testing.T) {
	switched := func(voluntary, involuntary uint64) threadEdit {
		return func(t *record) { t.Voluntary, t.Involuntary = voluntary, involuntary }
	}
	r := newRig(t)
	r.pass(100*second, leader(7, 0, switched(10, 1)), follower(7, 8, 0, 0, switched(100, 20)))
	w := r.only(r.pass(105*second,
		leader(7, 0, ran(5*second), inQueue(second, 0), switched(12, 2)),
		follower(7, 8, 0, 0, inQueue(2*second, second), switched(130, 25))))
	require.Equal(t, Thread{TID: 7, CPU: 5 * second, RunQueue: second, Runs: 3, Span: 5 * second}, w.Busiest)
	require.Equal(t, Thread{TID: 8, RunQueue: 3 * second, Runs: 35, Span: 5 * second}, w.Delayed)
}

func TestAnIdlePairEndsWithItsProcess(t *testing.T) {
	key := bpf.Pair{Victim: 7, Aggressor: 9}
	victim, aggressor := leader(7, second), leader(9, second)
	for name, after := range map[string][]record{
		"the victim is gone":                         {aggressor},
		"the victim's pid is another process's":      {leader(7, 107*second), aggressor},
		"the aggressor is gone":                      {victim},
		"the aggressor's pid is another process's":   {victim, leader(9, 107*second)},
		"both are gone":                              {},
		"both pids are those of two other processes": {leader(7, 107*second), leader(9, 107*second)},
	} {
		t.Run(name, func(t *testing.T) {
			r, c := newContendedRig(t)
			c.pairs = map[bpf.Pair]uint64{key: uint64(second)}
			at := 100 * second
			require.Len(t, r.pass(at, victim, aggressor).Pairs, 1)
			for range 2 * lookEvery {
				at += 5 * second
				for _, p := range r.pass(at, after...).Pairs {
					require.Equal(t, second, p.Victim.Start, "its series is not another's")
					require.Equal(t, second, p.Aggressor.Start)
				}
			}
			require.Empty(t, r.pass(at+5*second, after...).Pairs)
			require.NotContains(t, c.pairs, key, "its place in the kernel is free")
		})
	}
}

func TestAnIdlePairFindsAProcessThatIsToldOfLate(t *testing.T) {
	r, c := newContendedRig(t)
	x := &fakeExits{}
	r.from.Exits = x
	c.pairs = map[bpf.Pair]uint64{{Victim: 7, Aggressor: 9}: uint64(second)}
	aggressor := func(after int) string {
		pairs := r.pass(time.Duration(100+5*after)*second, leader(7, second)).Pairs
		require.Len(t, pairs, 1)
		return pairs[0].Aggressor.Name
	}
	require.Empty(t, aggressor(0))
	require.Empty(t, aggressor(1))
	require.Empty(t, aggressor(2))
	x.exits = []bpf.Exit{exited(9, 7, 99*second, second, "cc1")}
	require.Equal(t, "cc1", aggressor(3))
}

func TestAPairThatNeverFindsItsProcessIsLookedForOnce(t *testing.T) {
	r, c := newContendedRig(t)
	key := bpf.Pair{Victim: 7, Aggressor: 9}
	for i := range time.Duration(20) {
		c.pairs = map[bpf.Pair]uint64{key: uint64((i/2 + 1) * second)}
		r.pass((100+i)*second, leader(7, second))
	}
	require.Len(t, r.unfound, 1)
}

func TestAWaitInProgressThatIsHeldBackIsBehindNobody(t *testing.T) {
	r, c := newContendedRig(t)
	r.pass(100*second, leader(7, 0), leader(9, 0))
	c.running = []uint32{9}
	s := r.pass(105*second, leader(7, 0, markedWait(11*second, 3*second), func(t *record) { t.Held = 1 }), leader(9, 0))
	require.Empty(t, c.asked)
	require.Equal(t, Wait{Throttled: 3 * second}, s.Windows[0].Waited)
	require.Empty(t, s.Pairs)
}

// Of short waits the kernel counts a sample, which may come to more than all there was.
func TestPairs_WaitIsNeverMoreThanTheRunQueueTime(t *testing.T) {
	r, c := newContendedRig(t)
	key := bpf.Pair{Victim: 7, Aggressor: 9}
	c.victims = map[uint32]bpf.Victim{7: {}}
	r.pass(100*second, leader(7, 0), leader(9, 0))
	c.victims[7] = bpf.Victim{
		Total: uint64(5 * second), Others: uint64(4 * second), Various: uint64(second), Self: uint64(second),
	}
	c.pairs = map[bpf.Pair]uint64{key: uint64(3 * second)}
	s := r.pass(105*second, leader(7, 0, inQueue(4*second, 0)), leader(9, 0))
	w := s.Windows[0].Waited
	require.InDelta(t, 3.2, w.Others.Seconds(), 1e-6)
	require.InDelta(t, 0.8, w.Various.Seconds(), 1e-6)
	require.InDelta(t, 0.8, w.Self.Seconds(), 1e-6)
	require.InDelta(t, 0, w.Unattributed.Seconds(), 1e-6)
	require.InDelta(t, 2.4, pairOfWindow(s, 7, 9).Seconds(), 1e-6)
	require.InDelta(t, 2.4, s.Windows[1].Caused.Seconds(), 1e-6)
	require.InDelta(t, 2.4, s.Pairs[0].Total.Seconds(), 1e-6)

	c.pairs[key], c.victims[7] = uint64(4*second), bpf.Victim{
		Total: uint64(6 * second), Others: uint64(5 * second), Various: uint64(second), Self: uint64(second),
	}
	s = r.pass(110*second, leader(7, 0, inQueue(6*second, 0)), leader(9, 0))
	require.Equal(t, Wait{Others: second, Unattributed: second}, s.Windows[0].Waited)
	require.InDelta(t, 3.4, s.Pairs[0].Total.Seconds(), 1e-6)
}

func TestPairs_WhoIsNotNamedIsVarious(t *testing.T) {
	r, c := newContendedRig(t)
	r.pass(100*second, leader(7, 0), leader(9, 0))
	c.running = []uint32{9, bpf.Various}
	s := r.pass(105*second, leader(7, 0, markedWait(11*second, 4*second)), leader(9, 0))
	require.Equal(t, Wait{Others: 4 * second, Various: 2 * second}, s.Windows[0].Waited)
	require.Len(t, s.Pairs, 1)
	require.Equal(t, 2*second, s.Windows[1].Caused)
}

func TestVictims_OfNoProcessGiveUpTheirPlace(t *testing.T) {
	r, c := newContendedRig(t, WithPairExpiry(20*second))
	c.victims = map[uint32]bpf.Victim{7: {Total: uint64(second), Others: uint64(second)}, 99: {Total: uint64(second)}}
	pass := func(at time.Duration) { r.pass(at, leader(7, 0)) }
	pass(100 * second)
	require.Contains(t, c.victims, uint32(99), "it may be told of yet")
	pass(105 * second)
	require.NotContains(t, c.victims, uint32(99))

	for at := 110 * second; at <= 120*second; at += 5 * second {
		pass(at)
		require.Contains(t, c.victims, uint32(7))
	}
	pass(125 * second)
	require.NotContains(t, c.victims, uint32(7), "it has not waited for longer than a pair is kept")

	c.victims[7] = bpf.Victim{Total: uint64(2 * second), Others: uint64(2 * second)}
	w := r.only(r.pass(130*second, leader(7, 0, inQueue(2*second, 0))))
	require.Equal(t, 2*second, w.Waited.Others, "it begins anew")
}
