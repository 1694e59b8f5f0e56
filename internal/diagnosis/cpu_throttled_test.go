package diagnosis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

func TestCPUThrottled(t *testing.T) {
	for name, tt := range map[string]struct {
		throttled, waited time.Duration
		matches           bool
	}{
		"not at all does not match": {waited: length},
		"just under min_throttled_ratio does not match": {
			throttled: 500*time.Millisecond - 1, waited: length,
		},
		"min_throttled_ratio matches": {
			throttled: 500 * time.Millisecond, waited: length, matches: true,
		},
		"just over min_throttled_ratio matches": {
			throttled: 500*time.Millisecond + 1, waited: length, matches: true,
		},
		"a process that did not want to run is not held back by its group's quota": {
			throttled: length,
		},
		"a process that wanted to run just under min_throttled_ratio does not match": {
			throttled: length, waited: 500*time.Millisecond - 1,
		},
		"a process that wanted to run for min_throttled_ratio matches": {
			throttled: length, waited: 500 * time.Millisecond, matches: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig().CPUThrottled
			w := idle(812, "postgres")
			w.Throttled, w.Used.RunQueue = tt.throttled, tt.waited
			finding, matches := config.match(&w, sceneOf(snapshot(1, w)))
			require.Equal(t, tt.matches, matches)
			if matches {
				require.Equal(t, CPUThrottled, finding.Label)
			}
		})
	}
}

func TestCPUThrottledSaysTheQuota(t *testing.T) {
	config, w := DefaultConfig().CPUThrottled, throttled(812, "postgres")
	finding, matches := config.match(&w, sceneOf(snapshot(1, w)))
	require.True(t, matches)
	require.Equal(t, "postgres (812) was throttled for 3.8 s of the last 5.0 s by the CPU quota of its control group"+
		" (0.25 CPUs)", finding.Sentence)
	require.Equal(t, []Evidence{
		held("throttled_ratio", 0.75, 0.1),
		fact("throttled_seconds", 3.75),
		fact("cpu_quota_cores", 0.25),
		fact("cpu_cores", 0.25),
	}, finding.Evidence)

	w.Quota = 0
	finding, _ = config.match(&w, sceneOf(snapshot(1, w)))
	require.NotContains(t, finding.Sentence, "CPUs")
}

// What runs while a quota holds a process back is not to blame.
func TestAThrottledProcessIsNotStarved(t *testing.T) {
	victim, other := throttled(812, "postgres"), busy(900, "stress-ng")
	victim.Waited.Throttled = victim.Used.RunQueue
	victim.Delayed = sampler.Thread{TID: 812, RunQueue: victim.Used.RunQueue, Runs: 50}
	s := snapshot(1, victim, other)
	events := New(DefaultConfig()).Observe(s)
	require.Len(t, events, 2)
	require.Equal(t, CPUThrottled, events[0].Label)
	require.Equal(t, CPUBound, events[1].Label)
}
