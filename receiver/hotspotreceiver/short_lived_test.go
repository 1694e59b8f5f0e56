package hotspotreceiver

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/pmetrictest"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// Windows of a few long-lived processes and up to 60 short-lived ones with 50
// names, drawn at random: whatever comes, all of their CPU time is in the sums.
func TestNoCPUTimeOfShortLivedProcessesIsLostOrGoesBack(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		config := createDefaultConfig().(*Config)
		engine, writer := diagnosis.New(config.Diagnosis), newMetricsWriter(config, newCollector(t).settings)
		var used, own float64
		last, pid := map[string]float64{}, uint32(1000)
		for n := range 30 {
			windows := []sampler.Window{fixedBusy(), fixedIdle()}
			for range random.IntN(61) {
				pid++
				w := fixedGone(pid, fmt.Sprint("job", random.IntN(50)), time.Duration(random.ExpFloat64()*float64(time.Second)))
				if random.IntN(10) == 0 {
					w.Name = "other"
				}
				w.Kernel = random.IntN(10) == 0
				used += w.Used.CPU().Seconds()
				windows = append(windows, w)
			}
			batch, _ := writer.write(fakeIdentifier{}, fixedSnapshot(n+1, windows...), engine)
			require.NoError(t, pmetrictest.ValidateMetrics(batch))

			for _, rm := range batch.ResourceMetrics().All() {
				if of, ok := rm.Resource().Attributes().Get("process.pid"); ok && of.Int() > 1000 {
					own += sumOf(rm, "process.cpu.time")
				}
			}
			series := shortLivedSeries(batch)
			require.Contains(t, series, otherNames)
			require.LessOrEqual(t, len(series), 20+1)
			sum := own
			for name, cpu := range series {
				require.GreaterOrEqual(t, cpu, last[name], name)
				sum += cpu
			}
			for name := range last {
				require.Contains(t, series, name, "a name keeps its series")
			}
			require.InEpsilon(t, used, sum, 1e-9, "seed %d, window %d", seed, n)
			last = series
		}
		require.Len(t, last, 20+1)
		require.Positive(t, last[otherNames])
		require.Positive(t, own)
	}
}

func TestNamesOfShortLivedProcessesAreTakenInByTheirCPUTime(t *testing.T) {
	var s shortLived
	add := func(name string, cpu time.Duration) {
		w := fixedGone(1, name, cpu)
		s.add(&w)
	}
	series := func() map[string]time.Duration {
		all := map[string]time.Duration{}
		s.each(func(name string, cpu time.Duration) { all[name] = cpu })
		return all
	}
	require.Equal(t, map[string]time.Duration{"other": 0}, series(), "before any has come")

	for i := range 20 + 2 {
		add(fmt.Sprintf("job%02d", i), time.Duration(10+i)*time.Second)
	}
	add("job00", 100*time.Second)
	want := map[string]time.Duration{"other": (11 + 12) * time.Second, "job00": 110 * time.Second}
	for i := 3; i < 20+2; i++ {
		want[fmt.Sprintf("job%02d", i)] = time.Duration(10+i) * time.Second
	}
	require.Equal(t, want, series(), "the two that ran least find no room")

	add("job01", 1000*time.Second)
	add("job03", time.Second)
	want["other"] += 1000 * time.Second
	want["job03"] += time.Second
	require.Equal(t, want, series(), "a name that came late finds none either")
	require.Equal(t, want, series(), "nothing is added twice")
}

// sumOf returns the sum of a metric's data points, 0 if there is none.
func sumOf(rm pmetric.ResourceMetrics, name string) (total float64) {
	for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
		if m.Name() == name {
			for _, p := range m.Sum().DataPoints().All() {
				total += p.DoubleValue()
			}
		}
	}
	return total
}

// shortLivedSeries returns hotspot.host.short_lived.cpu.time by name.
func shortLivedSeries(batch pmetric.Metrics) map[string]float64 {
	series := map[string]float64{}
	for _, rm := range batch.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() != "hotspot.host.short_lived.cpu.time" {
				continue
			}
			for _, p := range m.Sum().DataPoints().All() {
				name, _ := p.Attributes().Get("process.executable.name")
				series[name.Str()] = p.DoubleValue()
			}
		}
	}
	return series
}
