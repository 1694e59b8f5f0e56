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
	pairs   map[bpf.Pair]bpf.Charge
	victims map[uint32]bpf.Victim
	running []uint32      // they share each wait in progress; 0 is the idle task
	asked   []bpf.Waiting // since the last reading
}

func (c *fakeContention) Read(pair func(bpf.Pair, bpf.Charge), victim func(uint32, bpf.Victim)) error {
	c.asked = nil
	for key, charge := range c.pairs {
		pair(key, charge)
	}
	for pid, v := range c.victims {
		victim(pid, v)
	}
	return nil
}

func (c *fakeContention) InProgress(w *bpf.Waiting, charge func(by uint32, ns uint64)) {
	c.asked = append(c.asked, *w)
	for _, by := range c.running {
		charge(by, (w.Now-w.Since)/uint64(len(c.running)))
	}
}

func (c *fakeContention) Forget(bpf.Pair) (bpf.Charge, bool) { return bpf.Charge{}, false }
func (c *fakeContention) ForgetVictim(uint32)                {}
func (c *fakeContention) Lost() (bpf.ContentionLoss, error)  { return bpf.ContentionLoss{}, nil }

// newContendedRig returns a rig with a fake contention program.
func newContendedRig(t *testing.T) (*rig, *fakeContention) {
	r, c := newRig(t), &fakeContention{}
	r.from.Contention = c
	return r, c
}

// markedWait is a wait in progress that the census has marked.
func markedWait(queued, waiting time.Duration) threadEdit {
	return func(t *bpf.Thread) {
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
	w := r.only(r.pass(105*second, leader(7, 0, markedWait(11*second, 3*second), func(t *bpf.Thread) { t.Marked = 0 })))
	require.Empty(t, c.asked)
	require.Equal(t, Wait{Unattributed: 3 * second}, w.Waited)
}

func TestAWaitIsSplitIntoOthersSelfAndIdle(t *testing.T) {
	r, c := newContendedRig(t)
	c.victims = map[uint32]bpf.Victim{7: {Others: uint64(second)}}
	c.pairs = map[bpf.Pair]bpf.Charge{{Victim: 7, Aggressor: 9}: {Wait: uint64(second)}}
	r.pass(100*second, leader(7, 0, inQueue(second, 0)), leader(9, 0))
	c.running = []uint32{9, 7, 0}
	c.victims[7] = bpf.Victim{Total: uint64(4 * second), Others: uint64(2 * second), Self: uint64(second), Idle: uint64(second)}
	c.pairs[bpf.Pair{Victim: 7, Aggressor: 9}] = bpf.Charge{Wait: uint64(2 * second)}
	s := r.pass(105*second, leader(7, 0, inQueue(4*second, 0), markedWait(20*second, 3*second)), leader(9, 0))
	w := s.Windows[0]
	require.Equal(t, Wait{Others: 2 * second, Self: 2 * second, Idle: 2 * second}, w.Waited)
	require.Equal(t, w.Used.RunQueue, w.Waited.Others+w.Waited.Self+w.Waited.Idle+w.Waited.Unattributed)
	require.Equal(t, w.Waited.Others, pairOfWindow(s, 7, 9), "the pairs have what others took")
}

func TestTheDelayedThreadIsTheOneThatWaitedTheLongest(t *testing.T) {
	switched := func(voluntary, involuntary uint64) threadEdit {
		return func(t *bpf.Thread) { t.Voluntary, t.Involuntary = voluntary, involuntary }
	}
	r := newRig(t)
	r.pass(100*second, leader(7, 0, switched(10, 1)), follower(7, 8, 0, 0, switched(100, 20)))
	w := r.only(r.pass(105*second,
		leader(7, 0, ran(5*second), inQueue(second, 0), switched(12, 2)),
		follower(7, 8, 0, 0, inQueue(2*second, second), switched(130, 25))))
	require.Equal(t, Thread{TID: 7, CPU: 5 * second, RunQueue: second, Runs: 3}, w.Busiest)
	require.Equal(t, Thread{TID: 8, RunQueue: 3 * second, Runs: 35}, w.Delayed)
}
