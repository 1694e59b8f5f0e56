package hotspotreceiver

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
)

// FuzzConfig: whatever stands in the block of the receiver, it is refused or it
// works, and is the same when it is written and read again.
func FuzzConfig(f *testing.F) {
	for _, seed := range []string{
		"", "{}", "[]", "collection_interval: 2s", "collection_interval: -9223372036854775808ns", "top_k: 1e300",
		"error_mode: ignore\nroot_path: /\x00", "include: {match_type: regexp, executable_names: ['(a|b)*$', '\\xff']}",
		"exclude: {pids: [1, -1, 99999999999999999999]}", "diagnosis: {oom_risk: {min_growth: 18446744073709551615 KiB}}",
		"diagnosis: {starved: {min_wait_ratio: .nan}, for: null}", "contention: {min_wait: 1ms, max_pairs: 0x4000}",
		"cgroups: &a {enabled: true, max: 1}\ncontention: *a", "metrics: {hotspot.process.wait.time: {enabled_attributes: [x]}}",
		"resource_attributes: {process.pid: {enabled: false}}", "? {a: b}\n: c", "a: !!binary \"/w==\"", "top_k: !!float 3",
	} {
		f.Add(seed)
	}
	files, err := filepath.Glob(filepath.Join("testdata", "*.yaml"))
	require.NoError(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(f, err)
		f.Add(string(text))
	}
	s := eventful()
	f.Fuzz(func(t *testing.T, text string) {
		retrieved, err := confmap.NewRetrievedFromYAML([]byte(text))
		if err != nil {
			return
		}
		block, err := retrieved.AsConf()
		if err != nil {
			return
		}
		config := createDefaultConfig().(*Config)
		if block.Unmarshal(config) != nil || confmap.Validate(config) != nil {
			return
		}
		r, err := newFactory(newWorld().open).CreateMetrics(t.Context(), newCollector(t).settings, config, consumertest.NewNop())
		require.NoError(t, err)
		require.NoError(t, r.Shutdown(t.Context()))
		engine := diagnosis.New(config.Diagnosis)
		events := engine.Observe(s)
		newMetricsWriter(config, newCollector(t).settings).write(fakeIdentifier{}, s, engine)
		newLogsWriter(config, newCollector(t).settings).write(fakeIdentifier{}, s, events)

		written, again := confmap.New(), createDefaultConfig().(*Config)
		require.NoError(t, written.Marshal(config))
		require.NoError(t, written.Unmarshal(again))
		rewritten := confmap.New()
		require.NoError(t, rewritten.Marshal(again))
		require.Equal(t, written.ToStringMap(), rewritten.ToStringMap())
	})
}
