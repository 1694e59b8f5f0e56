package e2e

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// Two processes that always want the same CPU. Whoever else runs there, one of
// the two waits for as long as the other runs; and all of the victim's wait is
// in the kernel's own account of it.
func TestWaitIsChargedToWhoRan(t *testing.T) {
	needsRoot(t)
	// All pairs, whoever they are of. On a busy host the victim waits often, and
	// not always for long.
	c, metricsFile, _ := watch(t, time.Second, allProcesses, "contention: {max_pairs: 16384, min_wait: 100us}", "kernel_threads: true")
	aggressor := workload.Start(t, "busy", "-cpu=0", "-comm=aggressor")
	victim := workload.Start(t, "busy", "-cpu=0", "-nice=19", "-comm=victim")
	by, of := int64(aggressor.Pid()), int64(victim.Pid())

	var ran, delayed account
	const windows = 20 // a wait lasts up to a third of one
	var first, last pmetric.Metrics
	c.await(t, "20 windows with both", func() bool {
		ran.read(t, func() float64 { return schedstat(t, by, 0) })
		delayed.read(t, func() float64 { return schedstat(t, of, 1) })
		var both []pmetric.Metrics
		for _, b := range readMetrics(t, metricsFile) {
			if waitsIn(b)[pair{of, by}] > 0 {
				both = append(both, b)
			}
		}
		if len(both) <= windows {
			return false
		}
		first, last = both[0], both[windows]
		return delayed.covers(last)
	})

	var behind, behindAll, imposed float64
	for p, waited := range waits(t, metricsFile, first, last) {
		if p.victim == of {
			behindAll += waited
		}
		if p.aggressor == by {
			imposed += waited
		}
		if p.victim == of && p.aggressor == by {
			behind = waited
		}
	}
	caused := value(t, last, by, "hotspot.process.wait.caused") - value(t, first, by, "hotspot.process.wait.caused")
	length := endOf(last).AsTime().Sub(endOf(first).AsTime()).Seconds()
	t.Logf("in %.1f s the victim waited %.3f s (schedstat), %.3f s behind all, %.3f s behind the aggressor; "+
		"the aggressor ran %.3f s (schedstat) and caused %.3f s", length,
		delayed.growth(first, last), behindAll, behind, ran.growth(first, last), caused)
	require.Greater(t, behind, length/4, "they did share a CPU")
	require.InEpsilon(t, ran.growth(first, last), behind, 0.05)
	require.InEpsilon(t, delayed.growth(first, last), behindAll, 0.05)

	// Others may wait behind the aggressor as well. They say so, but for those that
	// come and go within a window: on a quiet host there are hardly any.
	require.GreaterOrEqual(t, caused, 0.95*imposed)
	require.LessOrEqual(t, caused, 1.2*imposed)
	require.GreaterOrEqual(t, caused, behind-1e-6)
	c.stop(t)
}

// pair is two pids.
type pair struct{ victim, aggressor int64 }

// waits returns by how much hotspot.process.wait.time grew, pair by pair, from
// the end of one window to that of another. A pair need not be in every window.
func waits(t *testing.T, file string, first, last pmetric.Metrics) map[pair]float64 {
	t.Helper()
	before, grown := map[pair]float64{}, map[pair]float64{}
	for _, b := range readMetrics(t, file) {
		for p, waited := range waitsIn(b) {
			if endOf(b) <= endOf(first) {
				before[p] = waited
			} else if endOf(b) <= endOf(last) {
				grown[p] = waited - before[p]
			}
		}
	}
	return grown
}

func waitsIn(b pmetric.Metrics) map[pair]float64 {
	all := map[pair]float64{}
	for _, rm := range b.ResourceMetrics().All() {
		victim, _ := rm.Resource().Attributes().Get("process.pid")
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() != "hotspot.process.wait.time" {
				continue
			}
			for _, p := range m.Sum().DataPoints().All() {
				aggressor, _ := p.Attributes().Get("hotspot.aggressor.pid")
				all[pair{victim.Int(), aggressor.Int()}] += p.DoubleValue()
			}
		}
	}
	return all
}

func value(t *testing.T, b pmetric.Metrics, pid int64, name string) float64 {
	t.Helper()
	return sum(t, ofProcess(t, b, pid), name)
}
