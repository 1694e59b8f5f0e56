package hotspotreceiver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/filter"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// export returns what leaves of a window with a starved process, a noisy
// neighbour, an OOM kill of the first and a short-lived one.
func export(t *testing.T, config *Config) (pmetric.Metrics, plog.Logs) {
	t.Helper()
	chosen, err := filter.New(config.Include, config.Exclude, fakeIdentifier{})
	require.NoError(t, err)
	engine, s := diagnosis.New(config.Diagnosis), fixedSnapshot(1, fixedStarved(), fixedNoisy(), fixedGone(1000, "sh", time.Second))
	s.Pairs = fixedPairsOfTheStarved()
	s.Kills = []sampler.Kill{{Process: fixedStarved().Process}}
	events := engine.Observe(s)
	require.Len(t, events, 2)
	settings := newCollector(t).settings
	metrics, logs := newMetricsWriter(config, settings), newLogsWriter(config, settings)
	metrics.chosen, logs.chosen = chosen, chosen
	batch, _ := metrics.write(fakeIdentifier{}, s, engine)
	return batch, logs.write(fakeIdentifier{}, s, events)
}

func logsOf(batch plog.Logs, pid int64) (names []string) {
	for _, rl := range batch.ResourceLogs().All() {
		if of, _ := rl.Resource().Attributes().Get("process.pid"); of.Int() == pid {
			for _, r := range rl.ScopeLogs().At(0).LogRecords().All() {
				names = append(names, r.EventName())
			}
		}
	}
	return names
}

func TestAnExcludedProcessIsNotExportedButIsInTheEvidenceOfOthers(t *testing.T) {
	starved, noisy := int64(fixedStarved().Pid), int64(fixedNoisy().Pid)
	t.Run("by default both are exported", func(t *testing.T) {
		metrics, logs := export(t, createDefaultConfig().(*Config))
		_, has := ofProcess(metrics, starved)
		require.True(t, has)
		_, has = ofProcess(metrics, noisy)
		require.True(t, has)
		require.Equal(t, []string{"hotspot.oom_kill", "hotspot.diagnosis.starved"}, logsOf(logs, starved))
		require.Equal(t, []string{"hotspot.diagnosis.noisy_neighbor"}, logsOf(logs, noisy))
	})
	t.Run("the aggressor", func(t *testing.T) {
		config := createDefaultConfig().(*Config)
		config.Exclude.Pids = []int64{noisy}
		metrics, logs := export(t, config)
		_, has := ofProcess(metrics, noisy)
		require.False(t, has)
		require.Empty(t, logsOf(logs, noisy))
		wait := number(t, metrics, starved, "hotspot.process.wait.time")
		aggressor, _ := wait.Attributes().Get("hotspot.aggressor.pid")
		require.Equal(t, noisy, aggressor.Int())
		require.Equal(t, int64(1), hostNumber(t, metrics, "hotspot.host.diagnosed", "hotspot.diagnosis", "noisy_neighbor").IntValue())
		require.Len(t, records(logs), 2)
		aggressor, _ = records(logs)[1].Attributes().Get("hotspot.aggressor.pid")
		require.Equal(t, noisy, aggressor.Int())
	})
	t.Run("the victim", func(t *testing.T) {
		config := createDefaultConfig().(*Config)
		config.Include = filter.Config{MatchType: filter.Strict, ExecutableNames: []string{fixedNoisy().Name}}
		metrics, logs := export(t, config)
		_, has := ofProcess(metrics, starved)
		require.False(t, has)
		require.Empty(t, logsOf(logs, starved), "nor is its kill")
		require.Len(t, records(logs), 1)
		victim, _ := records(logs)[0].Attributes().Get("hotspot.victim.pid")
		require.Equal(t, starved, victim.Int())
	})
	t.Run("one that came and went is in the sum of the host", func(t *testing.T) {
		config := createDefaultConfig().(*Config)
		metrics, _ := export(t, config)
		_, has := ofProcess(metrics, 1000)
		require.True(t, has)
		config.Exclude.ExecutableNames = []string{"sh"}
		metrics, _ = export(t, config)
		_, has = ofProcess(metrics, 1000)
		require.False(t, has)
		sum := hostNumber(t, metrics, "hotspot.host.short_lived.cpu.time", "process.executable.name", "sh")
		require.InDelta(t, 1, sum.DoubleValue(), 1e-9)
	})
}

// hostNumber returns the data point of a metric of the host with this attribute.
func hostNumber(t *testing.T, batch pmetric.Metrics, name, attribute, value string) pmetric.NumberDataPoint {
	t.Helper()
	for _, rm := range batch.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() != name {
				continue
			}
			var points pmetric.NumberDataPointSlice
			if m.Type() == pmetric.MetricTypeSum {
				points = m.Sum().DataPoints()
			} else {
				points = m.Gauge().DataPoints()
			}
			for _, p := range points.All() {
				if v, _ := p.Attributes().Get(attribute); v.AsString() == value {
					return p
				}
			}
		}
	}
	require.Fail(t, "no "+name+" of "+value)
	return pmetric.NumberDataPoint{}
}

// mdatagen's own filters of resources go on working beside these.
func TestResourcesCanBeLeftOutByAttribute(t *testing.T) {
	starved, noisy := int64(fixedStarved().Pid), int64(fixedNoisy().Pid)
	for key, want := range map[string][]int64{
		"metrics_exclude": {noisy},
		"metrics_include": {starved},
	} {
		t.Run(key, func(t *testing.T) {
			config := createDefaultConfig().(*Config)
			require.NoError(t, confmap.NewFromStringMap(map[string]any{"resource_attributes": map[string]any{
				"process.executable.name": map[string]any{key: []any{map[string]any{"strict": fixedStarved().Name}}},
			}}).Unmarshal(config))
			require.NoError(t, confmap.Validate(config))
			metrics, _ := export(t, config)
			got := []int64{}
			for _, pid := range []int64{starved, noisy} {
				if _, has := ofProcess(metrics, pid); has {
					got = append(got, pid)
				}
			}
			require.Equal(t, want, got)
		})
	}
}
