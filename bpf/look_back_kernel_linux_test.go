package bpf

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf/testdata/timed"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// BenchmarkLookBack tells how long the lock of a run queue is held for a look back,
// at its worst: a hundred processes wait for one CPU, on which a ring of others takes
// turns every few microseconds, and no pair finds room any more.
func BenchmarkLookBack(b *testing.B) {
	const crowd = 100
	for _, ring := range []int{16, 64} {
		b.Run(fmt.Sprintf("ring of %d", ring), func(b *testing.B) {
			spec, err := timed.Spec()
			require.NoError(b, err)
			c, err := attachContention(spec, open(b), ContentionOptions{MinWait: 100 * time.Microsecond, MaxPairs: 256, MaxVictims: 16384})
			require.NoError(b, err)
			defer func() { require.NoError(b, c.Close()) }()
			cpu := fmt.Sprintf("-cpu=%d", anyCPU(b))
			waiters := workload.Start(b, "spawn", cpu, "-count="+strconv.Itoa(crowd), "1000", "1h")
			turns := workload.Start(b, "ring", cpu, "-nice=-5", strconv.Itoa(ring))
			defer waiters.Stop()
			defer turns.Stop()
			var before, after timed.Timing
			for b.Loop() {
				wait(3 * time.Second) // the history fills up
				require.NoError(b, c.variables["timings"].Get(&before))
				before.Worst = 0
				require.NoError(b, c.variables["timings"].Set(before))
				wait(10 * time.Second)
				require.NoError(b, c.variables["timings"].Get(&after))
			}
			books := readBooks(b, c)
			require.NotZero(b, books.loss.Pairs, "the map is full")
			looks := after.Looks - before.Looks
			require.Greater(b, looks, uint64(100))
			b.ReportMetric(float64(looks), "looks")
			b.ReportMetric(float64(after.Sum-before.Sum)/float64(looks), "ns/look")
			b.ReportMetric(float64(after.Worst), "worst-ns")
			b.ReportMetric(0, "ns/op")
		})
	}
}
