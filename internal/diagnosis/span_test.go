package diagnosis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// A pass that lost its CPU for three seconds looked at these processes late: they
// did in eight seconds what the host's window of five has no room for.
func TestRulesGoByTheWindowOfTheProcess(t *testing.T) {
	const own = 8 * time.Second
	stretch := func(w sampler.Window) sampler.Window {
		w.Length, w.Busiest.Span = own, own
		return w
	}
	bound := stretch(busy(7, "postgres"))
	bound.Used.User, bound.Busiest.CPU = own, own

	starved := stretch(kept(8, "postgres"))
	starved.Used.RunQueue, starved.Waited.Others = 7*time.Second, 7500*time.Millisecond
	starved.Delayed.RunQueue = 7 * time.Second

	held := stretch(throttled(9, "postgres"))
	held.Used.RunQueue, held.Throttled = 6*time.Second, 6*time.Second

	both := held
	both.Pid, both.Threads, both.Used.RunQueue, both.Throttled = 10, 2, 12*time.Second, 12*time.Second

	hog := stretch(busy(11, "stress-ng"))
	hog.Used.User = own

	for _, tt := range []struct {
		w        sampler.Window
		pairs    []*sampler.Pair
		sentence string
		evidence Evidence
	}{
		{
			w:        bound,
			sentence: "postgres (7) is limited by the CPU: it ran for 8.0 s of the last 8.0 s",
			evidence: Evidence{Name: "thread_utilization", Value: 1, Threshold: 0.9},
		},
		{
			w:        starved,
			sentence: "postgres (8) waited 7.0 s of the last 8.0 s for a CPU",
			evidence: Evidence{Name: "wait_ratio", Value: 0.875, Threshold: 0.2},
		},
		{
			w:        held,
			sentence: "postgres (9) was throttled for 6.0 s of the last 8.0 s by the CPU quota of its control group (0.25 CPUs)",
			evidence: Evidence{Name: "throttled_ratio", Value: 0.75, Threshold: 0.1},
		},
		{
			w:        both,
			sentence: "the 2 threads of postgres (10) were throttled for 12.0 s in the last 8.0 s by the CPU quota of its control group (0.25 CPUs)",
			evidence: Evidence{Name: "throttled_ratio", Value: 1.5, Threshold: 0.1},
		},
		{
			w:        hog,
			pairs:    []*sampler.Pair{pair(starved, hog, 9*time.Second)},
			sentence: "stress-ng (11) takes the CPU from postgres (8), which waited 7.0 s of the last 8.0 s behind it",
			evidence: Evidence{Name: "cpu_cores", Value: 1, Threshold: 0.3},
		},
	} {
		t.Run(tt.sentence, func(t *testing.T) {
			s := snapshot(1, tt.w)
			if tt.pairs != nil {
				s.Windows, s.Pairs = append(s.Windows, starved), tt.pairs
			}
			e := New(DefaultConfig())
			for _, event := range e.Observe(s) {
				if event.Process.ID != tt.w.ID {
					continue
				}
				require.Equal(t, tt.sentence, event.Sentence)
				require.Contains(t, event.Evidence, tt.evidence)
				require.Equal(t, own, event.Window)
				return
			}
			t.Fatal("no event")
		})
	}

	t.Run("which without length has none", func(t *testing.T) {
		w := bound
		w.Length = 0
		require.Empty(t, New(DefaultConfig()).Observe(snapshot(1, w)))
	})
}
