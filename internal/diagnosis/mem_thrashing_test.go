package diagnosis

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

func TestMemThrashing(t *testing.T) {
	// swaps sets the major faults and the stall, of a process without others.
	swaps := func(faults uint64, stall float64) func(*sampler.Window) {
		return func(w *sampler.Window) { w.Refaults, w.Used.MajorFaults, w.MemoryStall = 0, faults, stall }
	}
	// returns sets the major faults, the pages that came back to its control group,
	// and the wait for a disk, of a process without others.
	returns := func(faults, pages uint64, stall float64) func(*sampler.Window) {
		return func(w *sampler.Window) {
			w.Refaults, w.Used.MajorFaults, w.Returned, w.IOStall = 0, faults, pages, stall
		}
	}
	for name, tt := range map[string]struct {
		change  func(*sampler.Window)
		matches bool
	}{
		"a process that takes memory again and again matches": {
			change:  func(*sampler.Window) {},
			matches: true,
		},
		"just under min_refaults_per_second does not match": {
			change: func(w *sampler.Window) { w.Refaults = 49_999 },
		},
		"min_refaults_per_second matches": {
			change:  func(w *sampler.Window) { w.Refaults = 50_000 },
			matches: true,
		},
		"just over min_refaults_per_second matches": {
			change:  func(w *sampler.Window) { w.Refaults = 50_001 },
			matches: true,
		},
		"just under min_system_share faults are the price of other work": {
			change: func(w *sampler.Window) { w.Used.User, w.Used.System = 3*time.Second+1, 2*time.Second },
		},
		"min_system_share matches": {
			change:  func(w *sampler.Window) { w.Used.User, w.Used.System = 3*time.Second, 2*time.Second },
			matches: true,
		},
		"just over min_system_share matches": {
			change:  func(w *sampler.Window) { w.Used.User, w.Used.System = 3*time.Second, 2*time.Second+1 },
			matches: true,
		},
		"a process without CPU time has no system share": {
			change: func(w *sampler.Window) { w.Used.System = 0 },
		},
		"faults that growth explains are no refaults": {
			change: func(w *sampler.Window) { w.Used.MinorFaults, w.Refaults = 1_000_000, 0 },
		},
		"faults just under what its forks explain do not match": {
			change: func(w *sampler.Window) { w.Refaults, w.Children.Exits = 1_549_999, 1500 },
		},
		"faults over what its forks explain match": {
			change:  func(w *sampler.Window) { w.Refaults, w.Children.Exits = 1_550_000, 1500 },
			matches: true,
		},
		"just under min_major_faults_per_second does not match": {
			change: swaps(499, 0.5),
		},
		"min_major_faults_per_second matches": {
			change:  swaps(500, 0.5),
			matches: true,
		},
		"just over min_major_faults_per_second matches": {
			change:  swaps(501, 0.5),
			matches: true,
		},
		"major faults just under min_memory_stall hold nobody up": {
			change: swaps(1000, 0.0999),
		},
		"major faults at min_memory_stall match": {
			change:  swaps(1000, 0.1),
			matches: true,
		},
		"major faults just over min_memory_stall match": {
			change:  swaps(1000, 0.1001),
			matches: true,
		},
		"pages that come back just under min_major_faults_per_second make no wait for a disk one for memory": {
			change: returns(1000, 499, 0.5),
		},
		"pages that come back at min_major_faults_per_second make a wait for a disk one for memory": {
			change:  returns(1000, 500, 0.5),
			matches: true,
		},
		"pages that come back just over min_major_faults_per_second make a wait for a disk one for memory": {
			change:  returns(1000, 501, 0.5),
			matches: true,
		},
		"pages that come back to others of its group are not its own": {
			change: returns(499, 100_000, 0.5),
		},
		"waiting for a disk just under min_memory_stall holds nobody up": {
			change: returns(1000, 1000, 0.0999),
		},
		"waiting for a disk at min_memory_stall matches": {
			change:  returns(1000, 1000, 0.1),
			matches: true,
		},
		"waiting for a disk just over min_memory_stall matches": {
			change:  returns(1000, 1000, 0.1001),
			matches: true,
		},
		"a wait for a disk that is not a number does not match": {
			change: returns(1000, 1000, math.NaN()),
		},
		"a stall that is not a number does not match": {
			change: swaps(1000, math.NaN()),
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig().MemThrashing
			w := thrashing(812, "postgres")
			tt.change(&w)
			finding, matches := config.match(&w, sceneOf(snapshot(1, w)))
			require.Equal(t, tt.matches, matches)
			if matches {
				require.Equal(t, MemThrashing, finding.Label)
			}
		})
	}
}

func TestMemThrashingSaysHow(t *testing.T) {
	config := DefaultConfig().MemThrashing
	w := thrashing(812, "postgres")
	finding, matches := config.match(&w, sceneOf(snapshot(1, w)))
	require.True(t, matches)
	require.Equal(t, "postgres (812) is thrashing: 20000 minor faults a second over the last 5.0 s,"+
		" for memory it gives back and takes again, and 100 % of its CPU time goes into them", finding.Sentence)

	w.Used.MajorFaults, w.MemoryStall, w.IOStall = 1500, 0.4, 0.7
	finding, matches = config.match(&w, sceneOf(snapshot(1, w)))
	require.True(t, matches)
	require.Equal(t, "postgres (812) is thrashing: 300 major faults a second bring back what it had in memory,"+
		" and tasks stood still for want of memory for 40 % of the last 5.0 s", finding.Sentence)
	require.Equal(t, []Evidence{
		held("major_faults_per_second", 300, 100),
		held("memory_stall", 0.4, 0.1),
		fact("returned_pages_per_second", 0),
		held("refaults_per_second", 20000, 10000),
		held("system_share", 1, 0.4),
	}, finding.Evidence)
}

func TestWhereForksAreUnseenMinorFaultsAreHeldAgainstNobody(t *testing.T) {
	config := DefaultConfig().WithoutExits()
	require.False(t, config.ForkStorm.Enabled)
	w := thrashing(812, "postgres")
	_, matches := config.MemThrashing.match(&w, sceneOf(snapshot(1, w)))
	require.False(t, matches)
	w.Used.MajorFaults, w.MemoryStall = 1500, 0.4
	_, matches = config.MemThrashing.match(&w, sceneOf(snapshot(1, w)))
	require.True(t, matches, "major faults are nobody's forks")
}
