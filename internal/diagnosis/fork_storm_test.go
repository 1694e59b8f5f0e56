package diagnosis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

func TestForkStorm(t *testing.T) {
	for name, tt := range map[string]struct {
		children sampler.Children
		matches  bool
	}{
		"no children do not match":                          {},
		"just under min_children_per_second does not match": {children: sampler.Children{Exits: 499, CPU: length}},
		"min_children_per_second matches":                   {children: sampler.Children{Exits: 500, CPU: length}, matches: true},
		"just over min_children_per_second matches":         {children: sampler.Children{Exits: 501, CPU: length}, matches: true},
		"children that use just under min_cores do no harm": {children: sampler.Children{Exits: 5000, CPU: 1500*time.Millisecond - 1}},
		"children that use min_cores match":                 {children: sampler.Children{Exits: 5000, CPU: 1500 * time.Millisecond}, matches: true},
		"children that use just over min_cores match":       {children: sampler.Children{Exits: 5000, CPU: 1500*time.Millisecond + 1}, matches: true},
		"a few children that use much are no storm of them": {children: sampler.Children{Exits: 4, CPU: 4 * length}},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig().ForkStorm
			w := idle(900, "make")
			w.Children = tt.children
			finding, matches := config.match(&w, sceneOf(snapshot(1, w)))
			require.Equal(t, tt.matches, matches)
			if matches {
				require.Equal(t, ForkStorm, finding.Label)
			}
		})
	}
}

func TestForkStormSaysWhat(t *testing.T) {
	config, w := DefaultConfig().ForkStorm, forking(900, "make")
	finding, matches := config.match(&w, sceneOf(snapshot(1, w)))
	require.True(t, matches)
	require.Equal(t, "make (900) made 300 short-lived processes a second over the last 5.0 s, cc1 among them,"+
		" which used 0.6 CPUs", finding.Sentence)
	require.Equal(t, []Evidence{
		held("children_per_second", 300, 100),
		held("children_cores", 0.6, 0.3),
	}, finding.Evidence)
}

// A fork makes the parent fault for each page it then writes to.
func TestAForkStormIsNotCalledThrashing(t *testing.T) {
	w := forking(900, "make")
	w.Used.System = length / 2
	w.Used.MinorFaults, w.Refaults = 100_000, 100_000
	events := New(DefaultConfig()).Observe(snapshot(1, w))
	require.Len(t, events, 1)
	require.Equal(t, ForkStorm, events[0].Label)

	w.Children = sampler.Children{}
	events = New(DefaultConfig()).Observe(snapshot(1, w))
	require.Len(t, events, 1)
	require.Equal(t, MemThrashing, events[0].Label, "without the forks it is")
}
