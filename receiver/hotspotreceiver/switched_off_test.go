package hotspotreceiver

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

func TestEveryMetricCanBeSwitchedOff(t *testing.T) {
	config := createDefaultConfig().(*Config)
	config.Cgroups.Enabled = true
	all := metricNames(writeMetrics(t, config))
	require.ElementsMatch(t, keys(config.Metrics), all, "the snapshot brings out every metric there is")
	for _, name := range all {
		t.Run(name, func(t *testing.T) {
			left := metricNames(writeMetrics(t, without(t, "metrics", name)))
			require.ElementsMatch(t, others(all, name), left)
		})
	}
}

func TestEveryEventCanBeSwitchedOff(t *testing.T) {
	config := createDefaultConfig().(*Config)
	all := eventNames(writeLogs(t, config))
	require.ElementsMatch(t, keys(config.Events), all, "the snapshot brings out every event there is")
	for _, name := range all {
		t.Run(name, func(t *testing.T) {
			left := eventNames(writeLogs(t, without(t, "events", name)))
			require.ElementsMatch(t, others(all, name), left)
		})
	}
}

// without returns the default configuration, with control groups, with one metric
// or event disabled.
func without(t *testing.T, block, name string) *Config {
	t.Helper()
	config := createDefaultConfig().(*Config)
	config.Cgroups.Enabled = true
	require.NoError(t, confmap.NewFromStringMap(map[string]any{
		block: map[string]any{name: map[string]any{"enabled": false}},
	}).Unmarshal(config))
	return config
}

// eventful is a window in which all happens that there is to say.
func eventful() *sampler.Snapshot {
	as := func(pid uint32, w sampler.Window) sampler.Window {
		w.Process = fixedProcess(pid, w.Name)
		return w
	}
	starved, noisy := as(2000, fixedStarved()), as(2001, fixedNoisy())
	starved.TotalVarious = time.Second
	s := fixedSnapshot(1, fixedBusy(), fixedLeaking(), fixedGone(1000, "sh", 0), starved, noisy,
		as(2002, fixedThrashing()), as(2003, fixedThrottled()), as(2004, fixedForking()))
	grouped := fixedGroups()
	s.Windows = append(s.Windows, grouped.Windows...)
	s.Pairs = append([]*sampler.Pair{{Victim: starved.Process, Aggressor: noisy.Process, Wait: 4 * time.Second}}, grouped.Pairs...)
	s.Kills = []sampler.Kill{{Process: fixedLeaking().Process}}
	return s
}

func writeMetrics(t *testing.T, config *Config) pmetric.Metrics {
	t.Helper()
	engine, s := diagnosis.New(config.Diagnosis), eventful()
	engine.Observe(s)
	batch, _ := newMetricsWriter(config, newCollector(t).settings).write(fakeIdentifier{}, s, engine)
	return batch
}

func writeLogs(t *testing.T, config *Config) plog.Logs {
	t.Helper()
	engine, s := diagnosis.New(config.Diagnosis), eventful()
	return newLogsWriter(config, newCollector(t).settings).write(fakeIdentifier{}, s, engine.Observe(s))
}

// keys returns those of a block of the configuration.
func keys(block any) (names []string) {
	of := reflect.TypeOf(block)
	for i := range of.NumField() {
		names = append(names, of.Field(i).Tag.Get("mapstructure"))
	}
	return names
}

func others(all []string, name string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(n string) bool { return n == name })
}

// metricNames returns each name once.
func metricNames(batch pmetric.Metrics) (names []string) {
	for _, rm := range batch.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			names = append(names, m.Name())
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
