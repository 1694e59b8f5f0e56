package hotspotreceiver

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// A group with a quota, whose processes also wait behind each other and make
// short-lived ones, and one process beside it.
func TestAControlGroupIsTheSumOfItsProcesses(t *testing.T) {
	needsKernel(t)
	const windows, length = 12, 500 * time.Millisecond
	config := createDefaultConfig().(*Config)
	config.Cgroups.Enabled, config.Selection.TopK = true, 0
	see, err := openHost(config)
	require.NoError(t, err)
	defer func() { require.NoError(t, see.close()) }()
	samples := sampler.New(see.from, 2)
	engine, writer := diagnosis.New(config.Diagnosis), newMetricsWriter(config, newCollector(t).settings)

	group := workload.NewCgroup(t, "cpu")
	group.SetQuota(20*time.Millisecond, 100*time.Millisecond)
	inside := []*workload.Process{workload.Start(t, "busy", "-cpu=0"), workload.Start(t, "busy", "-cpu=0"),
		workload.Start(t, "spawn", "-cpu=0", "100", "1ms")}
	for _, p := range inside {
		group.Add(p.Pid())
	}
	workload.Start(t, "busy", "-cpu=0")

	// From the first window on it is seen; what it used is taken from the second.
	var began, last pmetric.ResourceMetrics
	var ranBefore, throttledBefore, ran, throttled time.Duration
	var behindOthers, behindEachOther time.Duration // by the ids of the pairs
	ticker := time.NewTicker(length)
	defer ticker.Stop()
	for n := range windows + 1 {
		s, err := samples.Sample()
		require.NoError(t, err)
		ran, throttled = cpuOf(t, inside), group.Throttled()
		if n > 0 {
			see.memory.Fill(s, see.whose)
			engine.Observe(s)
			batch, _ := writer.write(see.whose, s, engine)
			for _, p := range s.Pairs {
				switch {
				case p.Victim.CPUCgroup != group.ID():
				case p.Aggressor.CPUCgroup == group.ID():
					behindEachOther += p.Wait
				default:
					behindOthers += p.Wait
				}
			}
			last = ofGroup(t, batch, fmt.Sprint("/hotspot-test-", os.Getpid()))
		}
		if n == 1 {
			began, ranBefore, throttledBefore = last, ran, throttled
		}
		see.whose.EndPass()
		<-ticker.C
	}
	grew := func(name string) float64 { return sumOf(last, name) - sumOf(began, name) }
	waits := map[string]float64{}
	for _, m := range last.ScopeMetrics().At(0).Metrics().All() {
		if m.Name() == "hotspot.cgroup.wait.time" {
			for _, p := range m.Sum().DataPoints().All() {
				path, _ := p.Attributes().Get("hotspot.aggressor.cgroup")
				waits[path.Str()] = p.DoubleValue()
			}
		}
	}
	own, _ := last.Resource().Attributes().Get("hotspot.cgroup.path")
	t.Logf("%s: ran %.3f s, its processes %v; throttled %.3f s, the kernel says %v; waited %.3f s, behind other groups %v",
		own.Str(), grew("hotspot.cgroup.cpu.time"), ran-ranBefore,
		grew("hotspot.cgroup.cpu.throttled.time"), throttled-throttledBefore, grew("hotspot.cgroup.run_queue.time"), waits)
	require.InEpsilon(t, (ran - ranBefore).Seconds(), grew("hotspot.cgroup.cpu.time"), 0.05)
	require.InEpsilon(t, (throttled - throttledBefore).Seconds(), grew("hotspot.cgroup.cpu.throttled.time"), 0.05)
	require.NotContains(t, waits, own.Str(), "behind each other")
	behind := 0.0
	for _, wait := range waits {
		behind += wait
	}
	require.InDelta(t, behindOthers.Seconds(), behind, 1e-6)
	require.Greater(t, behind, 0.1)
	require.Greater(t, behindEachOther, 100*time.Millisecond, "else this has shown nothing")
	require.Equal(t, startOf(began, "hotspot.cgroup.cpu.time"), startOf(last, "hotspot.cgroup.cpu.time"))
}

// cpuOf returns what processes and the children they have reaped have used.
func cpuOf(t *testing.T, processes []*workload.Process) (used time.Duration) {
	t.Helper()
	for _, p := range processes {
		proc, err := procfs.NewProc(p.Pid())
		require.NoError(t, err)
		stat, err := proc.Stat()
		require.NoError(t, err)
		used += time.Duration(int(stat.UTime+stat.STime)+stat.CUTime+stat.CSTime) * time.Second / 100 // USER_HZ
	}
	return used
}

// ofGroup returns the metrics of a control group by the end of its path.
func ofGroup(t *testing.T, batch pmetric.Metrics, path string) pmetric.ResourceMetrics {
	t.Helper()
	for _, rm := range batch.ResourceMetrics().All() {
		if of, ok := rm.Resource().Attributes().Get("hotspot.cgroup.path"); ok && strings.HasSuffix(of.Str(), path) {
			return rm
		}
	}
	require.Fail(t, "no metrics", "of %s", path)
	return pmetric.ResourceMetrics{}
}
