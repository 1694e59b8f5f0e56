package sampler

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf"
)

// Two samplers see the same host, one of them with the records that bring nothing
// new left out, as the kernel does; some passes fail for both.
func TestWhatIsLeftOutOfAPassChangesNoWindow(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		all, some := newRig(t), newRig(t)
		var host []record
		told, leftOut := map[uint32]bpf.Activity{}, 0
		at := 100 * second
		for tid := uint32(1); tid < 40; tid++ {
			if pid := tid - tid%3 + 1; pid == tid {
				host = append(host, leader(pid, time.Duration(pid)*second))
			} else {
				host = append(host, follower(pid, tid, time.Duration(pid)*second, time.Duration(tid)*second))
			}
		}
		for range 20 {
			at += second
			host = slices.DeleteFunc(host, func(record) bool { return random.IntN(100) == 0 })
			for i := range host {
				r := &host[i]
				if random.IntN(3) == 0 {
					r.Cpu += random.Uint64N(1e9)
					r.User, r.RunDelay = r.Cpu/2, r.RunDelay+random.Uint64N(1e8)
					r.Voluntary, r.MinorFaults = r.Voluntary+1, r.MinorFaults+random.Uint64N(9)
				}
				if r.process != nil && random.IntN(3) == 0 {
					r.process.AnonPages, r.process.DeadCpu = random.Uint64N(1000), r.process.DeadCpu+1e6
				}
			}
			known := slices.Clone(host)
			for i := range known {
				r := &known[i]
				last, ok := told[r.Tid]
				r.asleep = ok && last == r.Activity
				if r.asleep {
					leftOut++
					r.Activity = bpf.Activity{} // not to be looked at
				}
				told[r.Tid] = host[i].Activity
			}
			if random.IntN(8) == 0 {
				all.failPass(at, host...)
				some.failPass(at, known...)
				continue
			}
			require.Equal(t, all.pass(at, host...), some.pass(at, known...), "seed %d, %v", seed, at)
		}
		require.Positive(t, leftOut)
		require.False(t, some.kernel.whole)
	}
}

func TestOfAThreadNeverHeardOfAllIsAsked(t *testing.T) {
	r := newRig(t)
	r.pass(100*second, leader(7, 0, ran(second)))
	require.True(t, r.kernel.whole, "the first")
	slipped := leader(9, 0, ran(60*second))
	slipped.asleep = true
	s := r.pass(105*second, leader(7, 0, ran(second)), slipped)
	require.True(t, r.kernel.whole)
	require.Len(t, s.Windows, 1)
	require.Equal(t, 1, s.Threads)

	slipped.asleep = false
	s = r.pass(110*second, leader(7, 0, ran(second)), slipped)
	require.False(t, r.kernel.whole)
	require.Len(t, s.Windows, 2)
	require.Zero(t, s.Windows[1].Used, "its past is not of this window")
	require.Equal(t, 60*second, s.Windows[1].Total.CPU())
}

// A thread id may be used again by a thread that has not run yet.
func TestASleepingThreadOfAnotherStartIsNotTheOneBefore(t *testing.T) {
	r := newRig(t)
	r.pass(100*second, leader(7, 0, ran(second)))
	another := leader(7, 90*second)
	another.asleep = true
	require.Empty(t, r.pass(105*second, another).Windows)
	require.True(t, r.kernel.whole)
}
