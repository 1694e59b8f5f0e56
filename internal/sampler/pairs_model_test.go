package sampler

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf"
)

// modelPair is what the model knows of a pair.
type modelPair struct {
	key         bpf.Pair
	wait, total time.Duration
	at          time.Duration // when it was last charged, since boot
	active      bool          // charged in this window
}

// pairModel says what the pairs of a window are by looking at each of them in
// each pass, and sorting all.
type pairModel struct {
	expiry time.Duration
	pairs  map[bpf.Pair]*modelPair
	last   time.Duration // when the last pass began
	alive  map[uint32]bool
	open   bool // the last pass failed: its window goes on
}

// begin makes the pairs ready for a pass before which the kernel has charged these.
// The dead are not looked for each time.
func (m *pairModel) begin(charged map[bpf.Pair]time.Duration, look bool) {
	if m.open {
		return
	}
	for key, p := range m.pairs {
		rested := p.active
		p.active, p.wait = false, 0
		alive := !look || m.alive[key.Victim] && m.alive[key.Aggressor]
		if rested || alive && m.last-p.at < m.expiry {
			continue
		}
		if more := charged[key]; more > 0 { // at the last moment
			p.charge(more, m.last)
			delete(charged, key)
			continue
		}
		delete(m.pairs, key)
	}
}

func (m *pairModel) charge(charged map[bpf.Pair]time.Duration, now time.Duration) {
	for key, more := range charged {
		if m.pairs[key] == nil {
			m.pairs[key] = &modelPair{key: key}
		}
		m.pairs[key].charge(more, now)
	}
}

func (p *modelPair) charge(wait, at time.Duration) {
	p.wait += wait
	p.total += wait
	p.active, p.at = true, at
}

// sorted is the order in which they are told: first who has waited in this window.
func (m *pairModel) sorted() (all []modelPair) {
	for _, p := range m.pairs {
		all = append(all, *p)
	}
	slices.SortFunc(all, func(a, b modelPair) int {
		return cmp.Or(cmp.Compare(b.wait, a.wait), cmp.Compare(b.total, a.total),
			cmp.Compare(a.key.Victim, b.key.Victim), cmp.Compare(a.key.Aggressor, b.key.Aggressor))
	})
	return all
}

func TestThePairsOfAWindowAreThoseOfASimpleModel(t *testing.T) {
	const processes, passes = 8, 300
	told, expired, late, died, failed := 0, 0, 0, 0, 0
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		r, c := newContendedRig(t, WithPairExpiry(20*second))
		c.pairs = map[bpf.Pair]uint64{}
		m := pairModel{expiry: 20 * second, pairs: map[bpf.Pair]*modelPair{}, alive: map[uint32]bool{}}
		next := uint32(0)
		var pids []uint32
		now, pending := 100*second, map[bpf.Pair]time.Duration{}
		for pass := range passes {
			now += time.Duration(1+random.IntN(5)) * second
			alive := map[uint32]bool{}
			for len(pids) < processes || random.IntN(20) == 0 { // one ends, another begins
				if len(pids) >= processes {
					i := random.IntN(len(pids))
					pids = slices.Delete(pids, i, i+1)
					died++
				}
				next++
				pids = append(pids, next)
			}
			records := make([]record, len(pids))
			for i, pid := range pids {
				records[i], alive[pid] = leader(pid, 0), true
			}
			for range random.IntN(4) {
				victim, aggressor := pids[random.IntN(len(pids))], pids[random.IntN(len(pids))]
				if victim == aggressor {
					continue
				}
				// Few different ones, so that some are equal.
				key, more := bpf.Pair{Victim: victim, Aggressor: aggressor}, time.Duration(1+random.IntN(3))*second
				c.pairs[key] = c.pairs[key] + uint64(more)
				pending[key] += more
			}
			before, waiting := len(m.pairs), len(pending)
			m.begin(pending, pass%lookEvery == 0)
			expired += before - len(m.pairs)
			late += waiting - len(pending)
			if pass > 0 && random.IntN(8) == 0 {
				r.failPass(now, records...)
				m.open = true
				failed++
				continue
			}
			m.charge(pending, now)
			clear(pending)
			if pass > 0 && random.IntN(8) == 0 {
				c.err = errors.New("torn")
				r.host.sinceBoot, r.kernel = now, fakeKernel{records: records}
				_, err := r.Sample()
				require.ErrorIs(t, err, c.err)
				c.err, m.open = nil, true
				failed++
				continue
			}
			m.open = false
			m.last, m.alive = now, alive

			got := []modelPair{}
			for _, p := range r.pass(now, records...).Pairs {
				got = append(got, modelPair{key: bpf.Pair{Victim: p.Victim.Pid, Aggressor: p.Aggressor.Pid}, wait: p.Wait, total: p.Total})
			}
			want := []modelPair{}
			for _, p := range m.sorted() {
				want = append(want, modelPair{key: p.key, wait: p.wait, total: p.total})
			}
			require.Equal(t, want, got, "seed %d, pass %d", seed, pass)
			for key := range c.pairs {
				require.Contains(t, m.pairs, key, "what is forgotten gives its place in the kernel to another")
			}
			told += len(got)
		}
	}
	t.Logf("%d pairs told, %d given up, %d of them charged at the last moment, %d processes died, %d passes failed", told, expired, late, died, failed)
	for _, n := range []int{told, expired, late, died, failed} {
		require.Positive(t, n, "this test has shown nothing of that")
	}
}
