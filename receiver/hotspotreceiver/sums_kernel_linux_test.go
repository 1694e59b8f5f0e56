package hotspotreceiver

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/testdata/hostcpu"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// TestMain is mdatagen's; init functions run before it.
func init() { workload.Main() }

func TestTheSumsAreWhatTheHostHasUsed(t *testing.T) {
	needsKernel(t)
	t.Run("with few places", func(t *testing.T) {
		config := createDefaultConfig().(*Config)
		config.Selection.TopK, config.Selection.Hold, config.Selection.Max = 2, 1, 6
		exported := sumsAreWhatTheHostHasUsed(t, config, 24, 500*time.Millisecond)
		require.Greater(t, exported, 2*config.Selection.Max, "else this has shown nothing")
	})
	t.Run("of 10 000 processes", func(t *testing.T) {
		config := createDefaultConfig().(*Config)
		config.Selection.TopK = 10
		workload.Start(t, "sleepers", "10000")
		sumsAreWhatTheHostHasUsed(t, config, 10, 2*time.Second)
	})
}

// Processes come, work and go. Only what has left is looked at: the utilization of
// who is exported, and the sums of the host. Returns how many were exported.
func sumsAreWhatTheHostHasUsed(t *testing.T, config *Config, windows int, length time.Duration) int {
	const workers = 6
	see, err := openHost(config)
	require.NoError(t, err)
	defer func() { require.NoError(t, see.close()) }()
	samples := sampler.New(see.from, 2)
	engine, writer := diagnosis.New(config.Diagnosis), newMetricsWriter(config, newCollector(t).settings)

	for cpu := range runtime.NumCPU() {
		// So that no CPU is idle: the tick, which /proc/stat goes by, would sample
		// what is woken by it too often.
		workload.Start(t, "busy", fmt.Sprintf("-cpu=%d", cpu), "-nice=10")
	}
	workload.Start(t, "spawn", "100", "3ms")
	come := func(n int) *workload.Process {
		return workload.Start(t, "busy", fmt.Sprintf("-nice=%d", n%5*3))
	}
	var alive []*workload.Process
	for n := range workers {
		alive = append(alive, come(n))
	}

	hidden := hostcpu.Hidden(t, see.from.Census)
	_, err = samples.Sample()
	require.NoError(t, err)
	before, began := hostcpu.Busy(t, hidden), time.Now()
	var exported, used time.Duration
	var last pmetric.Metrics
	var shortLived, other time.Duration
	seen, returned := map[int64]int{}, 0
	ticker := time.NewTicker(length)
	defer ticker.Stop()
	for n := range windows {
		alive[0].Stop()
		alive = append(alive[1:], come(n))
		<-ticker.C
		s, err := samples.Sample()
		require.NoError(t, err)
		engine.Observe(s)
		batch, processes := writer.write(see.whose, s, engine)
		require.LessOrEqual(t, processes, config.Selection.Max)
		see.whose.EndPass()

		var inWindow, grew time.Duration
		lengths := map[int64]time.Duration{}
		for i := range s.Windows {
			w := &s.Windows[i]
			inWindow += w.Used.CPU()
			lengths[int64(w.Pid)] = w.Length
		}
		for _, rm := range batch.ResourceMetrics().All() {
			pid, ok := rm.Resource().Attributes().Get("process.pid")
			if !ok {
				continue
			}
			if at, known := seen[pid.Int()]; known && at < n-1 {
				returned++
			}
			seen[pid.Int()] = n
			grew += time.Duration(utilization(rm) * float64(s.CPUs) * float64(lengths[pid.Int()]))
		}
		exported += grew
		nowOther, nowShortLived := hostSums(t, batch)
		grew += nowOther - other + nowShortLived - shortLived
		require.InDelta(t, inWindow, grew, float64(time.Microsecond), "window %d", n)
		used += inWindow
		other, shortLived, last = nowOther, nowShortLived, batch
	}
	busy, took := hostcpu.Busy(t, hidden)-before, time.Since(began)
	sum := exported + other + shortLived
	t.Logf("the host was busy for %v of %v; exported %v + other %v + short-lived %v = %v (%.4f); %d processes exported, %d of them again",
		busy, took, exported, other, shortLived, sum, sum.Seconds()/busy.Seconds(), len(seen), returned)
	require.InDelta(t, used, sum, float64(time.Microsecond))
	require.InEpsilon(t, busy.Seconds(), sum.Seconds(), 0.02)
	require.Positive(t, hostSum(t, last, "hotspot.host.other.memory.usage"))
	// Else this has shown nothing.
	for _, part := range []time.Duration{exported, other, shortLived} {
		require.Greater(t, part, sum/200)
	}
	return len(seen)
}

// hostSums returns what has been used by the processes that are not exported.
func hostSums(t *testing.T, batch pmetric.Metrics) (other, shortLived time.Duration) {
	t.Helper()
	for _, cpu := range shortLivedSeries(batch) {
		shortLived += seconds(cpu)
	}
	return seconds(hostSum(t, batch, "hotspot.host.other.cpu.time")), shortLived
}

// utilization returns the share of the host's CPUs a process has used.
func utilization(rm pmetric.ResourceMetrics) (share float64) {
	for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
		if m.Name() == "process.cpu.utilization" {
			for _, p := range m.Gauge().DataPoints().All() {
				share += p.DoubleValue()
			}
		}
	}
	return share
}
