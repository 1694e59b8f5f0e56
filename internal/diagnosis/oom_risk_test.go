package diagnosis

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

func TestOOMRisk(t *testing.T) {
	const mib = 1 << 20
	for name, tt := range map[string]struct {
		change  func(*sampler.Window)
		matches bool
	}{
		"a leak matches": {
			change:  func(*sampler.Window) {},
			matches: true,
		},
		"growth over a window less than windows is not known yet": {
			change: func(w *sampler.Window) { w.GrowthReadings = 3 },
		},
		"growth over windows, which is a reading more, is known": {
			change:  func(w *sampler.Window) { w.GrowthReadings = 4 },
			matches: true,
		},
		"growth over a window more than windows is known": {
			change:  func(w *sampler.Window) { w.GrowthReadings = 5 },
			matches: true,
		},
		"growth in windows less two is a step, not a leak": {
			change: func(w *sampler.Window) { w.GrowthSteps = 1 },
		},
		"growth in windows less one bears one dip": {
			change:  func(w *sampler.Window) { w.GrowthSteps = 2 },
			matches: true,
		},
		"growth in every window matches": {
			change:  func(w *sampler.Window) { w.GrowthSteps = 3 },
			matches: true,
		},
		"growth that has stopped does not match": {
			change: func(w *sampler.Window) { w.Grew = 0 },
		},
		"growth just under half the rate in the last window has as good as stopped": {
			change: func(w *sampler.Window) { w.Grew = 25*mib - 1 },
		},
		"growth at half the rate in the last window goes on": {
			change:  func(w *sampler.Window) { w.Grew = 25 * mib },
			matches: true,
		},
		"growth just over half the rate in the last window goes on": {
			change:  func(w *sampler.Window) { w.Grew = 25*mib + 1 },
			matches: true,
		},
		"growth just under min_growth does not match": {
			change: func(w *sampler.Window) { w.Growth, w.GrowthSpan = 1*mib-1, 2*length },
		},
		"growth at min_growth matches": {
			change:  func(w *sampler.Window) { w.Growth, w.GrowthSpan, w.Headroom = 1*mib, 2*length, 100*mib },
			matches: true,
		},
		"growth just over min_growth matches": {
			change:  func(w *sampler.Window) { w.Growth, w.GrowthSpan, w.Headroom = 1*mib+1, 2*length, 100*mib },
			matches: true,
		},
		"a process that shrinks does not match": {
			change: func(w *sampler.Window) { w.Growth = -w.Growth },
		},
		"growth that is not a number does not match": {
			change: func(w *sampler.Window) { w.Growth, w.Used.MinorFaults = math.NaN(), 5000 },
		},
		"a process just under min_rss and min_limit_ratio is small": {
			change: func(w *sampler.Window) { w.RSS, w.Limit = 500*mib-1, 5000*mib },
		},
		"a process at min_rss is large": {
			change:  func(w *sampler.Window) { w.RSS, w.Limit = 500*mib, 50000*mib },
			matches: true,
		},
		"a process just over min_rss is large": {
			change:  func(w *sampler.Window) { w.RSS, w.Limit = 500*mib+1, 50000*mib },
			matches: true,
		},
		"a process just under min_limit_ratio is small": {
			change: func(w *sampler.Window) { w.RSS, w.Limit = 100*mib-1, 1000*mib },
		},
		"a process at min_limit_ratio is large": {
			change:  func(w *sampler.Window) { w.RSS, w.Limit = 100*mib, 1000*mib },
			matches: true,
		},
		"a process just over min_limit_ratio is large": {
			change:  func(w *sampler.Window) { w.RSS, w.Limit = 100*mib+1, 1000*mib },
			matches: true,
		},
		"a limit just farther than max_time_to_limit is no danger": {
			change: func(w *sampler.Window) { w.Headroom = 6000*mib + 1 },
		},
		"a limit at max_time_to_limit is a danger": {
			change:  func(w *sampler.Window) { w.Headroom = 6000 * mib },
			matches: true,
		},
		"a limit just nearer than max_time_to_limit is a danger": {
			change:  func(w *sampler.Window) { w.Headroom = 6000*mib - 1 },
			matches: true,
		},
		"no headroom at all is a danger": {
			change:  func(w *sampler.Window) { w.Headroom = 0 },
			matches: true,
		},
		"faults just under min_faults_per_second are no danger without a limit": {
			change: func(w *sampler.Window) { w.Limit, w.Used.MinorFaults = 0, 999 },
		},
		"faults at min_faults_per_second are a danger without a limit": {
			change:  func(w *sampler.Window) { w.Limit, w.Used.MinorFaults, w.Used.MajorFaults = 0, 999, 1 },
			matches: true,
		},
		"faults just over min_faults_per_second are a danger however far the limit": {
			change:  func(w *sampler.Window) { w.Headroom, w.Used.MinorFaults = 1<<50, 1001 },
			matches: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig().OOMRisk
			w := leaking(900, "java")
			tt.change(&w)
			finding, matches := config.match(&w, sceneOf(snapshot(1)))
			require.Equal(t, tt.matches, matches)
			if matches {
				require.Equal(t, OOMRisk, finding.Label)
			}
		})
	}
}

func TestOOMRiskSaysWhenNothingIsLeft(t *testing.T) {
	config := DefaultConfig().OOMRisk
	w := leaking(900, "java")
	w.Used.MinorFaults = 5000
	finding, matches := config.match(&w, sceneOf(snapshot(1)))
	require.True(t, matches)
	require.Equal(t, "java (900) is on its way out of memory: it holds 1.0 GiB and grew by 10 MiB/s over the last 15 s;"+
		" at that rate nothing is left in 1m20s", finding.Sentence)
	require.Equal(t, []Evidence{
		held("memory_growth_bytes", 150<<20, 10<<20),
		held("memory_rss_bytes", 1<<30, 500<<20),
		held("memory_limit_ratio", float64(w.RSS)/float64(w.Limit), 0.1),
		held("faults_per_second", 1000, 200),
		fact("memory_limit_bytes", float64(w.Limit)),
		held("time_to_limit_seconds", 80, 600),
	}, finding.Evidence)
}

func TestOOMRiskWithoutLimitSaysNoTime(t *testing.T) {
	config := DefaultConfig().OOMRisk
	w := leaking(900, "java")
	w.Limit, w.Headroom, w.Used.MinorFaults = 0, 0, 5000
	finding, matches := config.match(&w, sceneOf(snapshot(1)))
	require.True(t, matches)
	require.NotContains(t, finding.Sentence, "nothing is left")
	for _, signal := range finding.Evidence {
		require.NotEqual(t, "time_to_limit_seconds", signal.Name)
	}
}

func TestTimeToLimitThatNoDurationHoldsIsUnknown(t *testing.T) {
	w := leaking(900, "java")
	w.Growth = math.SmallestNonzeroFloat64
	left, known := w.TimeToLimit()
	require.False(t, known)
	require.Equal(t, time.Duration(0), left)
}
