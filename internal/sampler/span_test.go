package sampler

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf"
)

func lookedAt(at time.Duration) threadEdit {
	return func(r *record) { r.At = uint64(at) }
}

func sleeping() threadEdit { return func(r *record) { r.asleep = true } }

// The second pass loses its CPU for 3 seconds after it has looked at the first
// process.
func TestAThreadIsMeasuredAgainstItsOwnSpan(t *testing.T) {
	r := newRig(t)
	busy := func(pid uint32, at time.Duration) record { return leader(pid, 0, ran(at), lookedAt(at)) }
	r.pass(100*second, busy(7, 100*second), busy(9, 100*second))
	for _, test := range []struct{ pass, first, second, firstSpan, secondSpan time.Duration }{
		{pass: 105 * second, first: 105 * second, second: 108 * second, firstSpan: 5 * second, secondSpan: 8 * second},
		{pass: 110 * second, first: 110 * second, second: 110 * second, firstSpan: 5 * second, secondSpan: 2 * second},
	} {
		s := r.pass(test.pass, busy(7, test.first), busy(9, test.second))
		require.Equal(t, 5*second, s.Length, "the host's window is from pass to pass")
		for i, span := range []time.Duration{test.firstSpan, test.secondSpan} {
			w := s.Windows[i]
			require.Equal(t, span, w.Busiest.Span)
			require.Equal(t, span, w.Busiest.CPU)
			require.Equal(t, span, w.Length)
			require.Equal(t, 1.0, w.Share(w.Used.CPU()))
		}
	}
}

// Between two threads of one process the CPU may be lost as well.
func TestTheWindowOfAProcessHoldsTheSpansOfItsThreads(t *testing.T) {
	r := newRig(t)
	pass := func(at, first, second time.Duration) Window {
		return r.only(r.pass(at, leader(7, 0, ran(first), lookedAt(first)), follower(7, 8, 0, 0, ran(second), lookedAt(second))))
	}
	r.pass(100*second, leader(7, 0, ran(100*second), lookedAt(100*second)), follower(7, 8, 0, 0, ran(102*second), lookedAt(102*second)))
	w := pass(105*second, 105*second, 108*second)
	require.Equal(t, 8*second, w.Length)
	require.Equal(t, 11*second, w.Used.CPU())
	require.Equal(t, Thread{TID: 8, CPU: 6 * second, Span: 6 * second}, w.Busiest)
	w = pass(110*second, 110*second, 110*second)
	require.Equal(t, 5*second, w.Length)
	require.Equal(t, Thread{TID: 7, CPU: 5 * second, Span: 5 * second}, w.Busiest)

	t.Run("and of those that have exited", func(t *testing.T) {
		w := pass(112*second, 112*second, 114*second)
		require.Equal(t, 4*second, w.Length)
		w = r.only(r.pass(115*second, follower(7, 8, 0, 0, ran(115*second), lookedAt(115*second)).with(func(p *bpf.Process) {
			p.DeadCpu, p.DeadUser = uint64(114*second), uint64(114*second)
		})))
		require.Equal(t, 3*second, w.Used.CPU())
		require.Equal(t, 3*second, w.Length)
		require.Equal(t, second, w.Busiest.Span)
	})
}

func TestTheSpanOfAThreadThatSleptBeginsWhereThePassFoundItAsleep(t *testing.T) {
	r := newRig(t)
	other := func(at time.Duration) record { return leader(7, 0, lookedAt(at)) }
	r.pass(100*second, other(100*second), leader(9, 0, lookedAt(100*second)))
	s := r.pass(105*second, other(108*second), leader(9, 0, sleeping()))
	require.Zero(t, s.Windows[1].Used)
	s = r.pass(110*second, other(110*second), leader(9, 0, ran(2*second), lookedAt(110*second)))
	require.Equal(t, Thread{TID: 9, CPU: 2 * second, Span: 2 * second}, s.Windows[1].Busiest)

	t.Run("or where that pass began, if nothing was looked at before", func(t *testing.T) {
		r := newRig(t)
		r.pass(100*second, leader(9, 0, lookedAt(100*second)))
		r.pass(105*second, leader(9, 0, sleeping()))
		w := r.only(r.pass(110*second, leader(9, 0, ran(2*second), lookedAt(111*second))))
		require.Equal(t, 6*second, w.Busiest.Span)
	})
}

func TestTheSpanOfANewThreadIsItsAge(t *testing.T) {
	r := newRig(t)
	r.pass(100*second, leader(7, 0, lookedAt(103*second)))
	s := r.pass(105*second, leader(7, 0, lookedAt(105*second)), follower(7, 8, 0, 101*second, ran(7*second), lookedAt(108*second)),
		leader(9, 102*second, ran(6*second), lookedAt(108*second)))
	require.Equal(t, Thread{TID: 8, CPU: 7 * second, Span: 7 * second}, s.Windows[0].Busiest)
	require.Equal(t, 7*second, s.Windows[0].Length)
	require.Equal(t, 6*second, s.Windows[1].Length)
	require.Equal(t, 6*second, s.Windows[1].Busiest.Span)

	t.Run("and one that began a moment ago was not busy all the time", func(t *testing.T) {
		r := newRig(t)
		r.pass(100 * second)
		w := r.only(r.pass(105*second, leader(9, 104*second, ran(second), lookedAt(105*second))))
		require.Equal(t, second, w.Busiest.Span)
		require.Equal(t, 0.2, w.Share(w.Busiest.CPU))
	})
}

func TestTheWindowOfAProcessThatExitedIsNoShorterThanWhatItUsed(t *testing.T) {
	for _, test := range []struct {
		name        string
		start, used time.Duration
		seen        bool
		passes      int // that did not see it
		want        time.Duration
	}{
		{name: "the host's window", used: 4 * second, seen: true, want: 5 * second},
		{name: "also for one that came and went in it", start: 101 * second, used: second, want: 5 * second},
		{name: "or since it was last seen", used: 4 * second, seen: true, passes: 2, want: 15 * second},
		{name: "or since it began", start: 101 * second, used: 4 * second, passes: 2, want: 14 * second},
		{name: "or what all CPUs take", used: 30 * second, seen: true, want: 15 * second},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			exits := &fakeExits{}
			r.from.Exits = exits
			var alive []record
			if test.seen {
				alive = append(alive, leader(9, test.start, lookedAt(100*second)))
			}
			r.pass(100*second, alive...)
			at := 105 * second
			for range test.passes {
				r.pass(at)
				at += 5 * second
			}
			exits.exits = append(exits.exits, exited(9, 1, test.start, test.used, "gone"))
			w := r.only(r.pass(at))
			require.True(t, w.Exited)
			require.Equal(t, test.used, w.Used.CPU())
			require.Equal(t, test.want, w.Length)
		})
	}
}

// suspendedHost is one whose wall clock's monotonic reading stood still.
type suspendedHost struct {
	fakeHost
	suspended time.Duration
}

func (h *suspendedHost) Now() (time.Time, time.Duration) {
	return boot.Add(h.sinceBoot - h.suspended), h.sinceBoot
}

func TestTimeInWhichTheHostWasSuspendedIsInNoSpan(t *testing.T) {
	r := newRig(t)
	host := &suspendedHost{}
	host.sinceBoot = 90 * second
	r.Sampler = New(Sources{Census: &r.kernel, Host: host}, 4)
	pass := func(at time.Duration, records ...record) Snapshot {
		t.Helper()
		host.sinceBoot, r.kernel = at, fakeKernel{records: records}
		s, err := r.Sample()
		require.NoError(t, err)
		return *s
	}
	pass(100*second, leader(7, 0, ran(10*second), lookedAt(100*second)))
	host.suspended = time.Hour
	at := 105*second + time.Hour
	s := pass(at, leader(7, 0, ran(15*second), lookedAt(at)), leader(9, at-second, ran(second), lookedAt(at)))
	require.Equal(t, 5*second, s.Length)
	require.Equal(t, Thread{TID: 7, CPU: 5 * second, Span: 5 * second}, s.Windows[0].Busiest)
	require.Equal(t, Thread{TID: 9, CPU: second, Span: second}, s.Windows[1].Busiest)
	at += 5 * second
	s = pass(at, leader(7, 0, ran(20*second), lookedAt(at)))
	require.Equal(t, Thread{TID: 7, CPU: 5 * second, Span: 5 * second}, s.Windows[0].Busiest)
}

// Threads run and wait as they like, and a pass loses its CPU at any moment, or
// fails. No window says what cannot be, and all together say what was done.
func TestNoWindowSaysWhatCannotBe(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 2))
		upTo := func(d time.Duration) time.Duration { return time.Duration(random.Int64N(int64(d) + 1)) }
		r, now := newRig(t), 100*second
		var threads []record
		seen, told, done := map[uint32]time.Duration{}, map[uint32]time.Duration{}, map[uint32]time.Duration{}
		for tid := uint32(1); tid <= 12; tid++ {
			if pid := tid - (tid-1)%3; pid == tid {
				threads = append(threads, leader(pid, 0))
			} else {
				threads = append(threads, follower(pid, tid, 0, 0))
			}
			seen[tid] = now
		}
		for pass := range 40 {
			now += upTo(5 * second)
			began := now
			for i := range threads {
				l := &threads[i]
				if random.IntN(20) == 0 {
					now += upTo(3 * second)
				}
				since := now - seen[l.Tid]
				seen[l.Tid] = now
				if l.asleep = pass > 0 && random.IntN(3) == 0; l.asleep {
					continue
				}
				ran := upTo(since)
				l.Cpu, l.RunDelay, l.At = l.Cpu+uint64(ran), l.RunDelay+uint64(since-ran), uint64(now)
				l.User = l.Cpu
				if pass > 0 {
					done[l.Pid] += since
				}
			}
			if pass > 0 && random.IntN(8) == 0 {
				r.failPass(began, threads...)
				continue
			}
			for _, w := range r.pass(began, threads...).Windows {
				for _, thread := range []Thread{w.Busiest, w.Delayed} {
					require.LessOrEqual(t, thread.CPU+thread.RunQueue, thread.Span, "seed %d, pass %d", seed, pass)
					require.LessOrEqual(t, thread.Span, w.Length, "seed %d, pass %d", seed, pass)
				}
				told[w.Pid] += w.Used.CPU() + w.Used.RunQueue
				require.Equal(t, done[w.Pid], told[w.Pid], "seed %d, pass %d", seed, pass)
			}
		}
	}
}
