package diagnosis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// recording is a day on a host with something of everything: processes that start,
// change, and are gone all at once; victims with several aggressors, and the other
// way round.
func recording() []*sampler.Snapshot {
	var all, later []sampler.Window
	for pid := uint32(100); pid < 110; pid++ {
		all = append(all, busy(pid, "busy"), leaking(pid+100, "leak"), thrashing(pid+200, "thrash"),
			throttled(pid+300, "hog"), forking(pid+400, "make"), kept(pid+500, "victim"), busy(pid+600, "noisy"), idle(pid+700, "idle"))
		later = append(later, idle(pid, "busy"), both(pid+100, "leak"), busy(pid+200, "thrash"), exit(throttled(pid+300, "hog")),
			forking(pid+400, "make"), idle(pid+500, "victim"), idle(pid+600, "noisy"), idle(pid+700, "idle"))
	}
	// Each noisy one starves two, and each of these waits behind two.
	var pairs []*sampler.Pair
	for i := range uint32(10) {
		pairs = append(pairs, pair(kept(600+i, "victim"), busy(700+i/2, "noisy"), 4*time.Second))
	}
	for i := range uint32(10) {
		pairs = append(pairs, pair(kept(600+i, "victim"), busy(705+i/2, "noisy"), time.Second/2))
	}
	recorded := []*sampler.Snapshot{
		snapshot(1, all...), snapshot(2, all...), snapshot(3, later...), snapshot(4, later...), snapshot(5), snapshot(6),
	}
	recorded[0].Pairs, recorded[1].Pairs = pairs, pairs
	return recorded
}

func TestTheSameWindowsGiveTheSameEventsInTheSameOrder(t *testing.T) {
	observe := func() [][]Event {
		e := New(DefaultConfig())
		var all [][]Event
		for _, s := range recording() {
			all = append(all, e.Observe(s))
		}
		return all
	}
	want := observe()
	said := map[Label]bool{}
	for _, events := range want {
		for _, ev := range events {
			said[ev.Label] = true
		}
	}
	require.Len(t, said, len(Labels()), "something of everything")
	require.Greater(t, len(want[5]), 10, "many are gone at once")
	for range 20 {
		require.Equal(t, want, observe())
	}
}
