package sampler

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A thread costs a look-up by its id only where the census has changed.
func TestAThreadIsFoundWhereTheLastCensusHadIt(t *testing.T) {
	r := newRig(t)
	census := func(cpu time.Duration, tids ...uint32) (records []record) {
		for _, tid := range tids {
			records = append(records, leader(tid, 0, ran(time.Duration(tid)*cpu)))
		}
		return records
	}
	used := func(s Snapshot) map[uint32]time.Duration {
		cpu := map[uint32]time.Duration{}
		for _, w := range s.Windows {
			cpu[w.Pid] = w.Busiest.CPU
		}
		return cpu
	}
	r.pass(100*second, census(1, 2, 4, 6, 8)...)
	for pass := range 3 {
		clear(r.threads) // what is found now is not found by its id
		s := r.pass(time.Duration(105+5*pass)*second, census(time.Duration(2+pass), 2, 4, 6, 8)...)
		require.Equal(t, map[uint32]time.Duration{2: 2, 4: 4, 6: 6, 8: 8}, used(s))
	}
	// Neighbours that come and go do not hide the others.
	clear(r.threads)
	s := r.pass(120*second, census(5, 1, 2, 5, 8, 9)...)
	require.Equal(t, map[uint32]time.Duration{1: 0, 2: 2, 5: 0, 8: 8, 9: 0}, used(s))
	clear(r.threads)
	s = r.pass(125*second, census(6, 1, 5, 8, 9)...)
	require.Equal(t, map[uint32]time.Duration{1: 1, 5: 5, 8: 8, 9: 9}, used(s))
}

// One that is not where it was is found all the same, and another one with its id
// is another.
func TestAThreadHasUsedWhatASimpleModelSays(t *testing.T) {
	type life struct{ start, cpu, last time.Duration }
	reused := 0
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		r, now := newRig(t), 100*second
		lives := map[uint32]*life{}
		for pass := range 200 {
			born := now + second // after the last pass
			now += 5 * second
			for range random.IntN(6) {
				tid := 1 + random.Uint32N(40)
				if lives[tid] != nil && random.IntN(2) == 0 {
					delete(lives, tid)
					continue
				}
				if lives[tid] != nil {
					reused++
				}
				lives[tid] = &life{start: born}
			}
			tids := slices.Sorted(maps.Keys(lives))
			if random.IntN(4) == 0 {
				random.Shuffle(len(tids), func(i, j int) { tids[i], tids[j] = tids[j], tids[i] })
			}
			var records []record
			want := map[uint32]time.Duration{}
			for _, tid := range tids {
				l := lives[tid]
				l.last, l.cpu = l.cpu, l.cpu+time.Duration(random.IntN(1000))
				want[tid] = l.cpu - l.last
				records = append(records, leader(tid, l.start, ran(l.cpu)))
			}
			got := map[uint32]time.Duration{}
			for _, w := range r.pass(now, records...).Windows {
				if !w.Exited {
					got[w.Pid] = w.Busiest.CPU
				}
			}
			if pass > 0 {
				require.Equal(t, want, got, "seed %d, pass %d", seed, pass)
			}
		}
	}
	require.Positive(t, reused)
}
