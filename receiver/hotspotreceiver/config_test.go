package hotspotreceiver

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/confmap/confmaptest"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/filter"
	"github.com/hotspot-otel/hotspot/internal/selection"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

func TestConfig(t *testing.T) {
	defaults := func() *Config { return NewFactory().CreateDefaultConfig().(*Config) }
	all := defaults()
	all.CollectionInterval = 10 * time.Second
	all.InitialDelay = 0
	all.ErrorMode = IgnoreErrors
	all.RootPath = "/hostfs"
	all.KernelThreads = true
	all.Include = filter.Config{
		MatchType:       filter.Regexp,
		ExecutableNames: []string{"^postgres", "^nginx$"},
		Commands:        []string{"-D /data"},
		Cgroups:         []string{"^/system.slice/"},
		Owners:          []string{"^(root|postgres)$"},
	}
	all.Exclude = filter.Config{MatchType: filter.Strict, Pids: []int64{1, 812}}
	all.Selection = selection.Config{TopK: 25, Hold: 6, Max: 1000}
	all.Contention = ContentionConfig{
		Enabled: false, MinWait: 2500 * time.Microsecond, MaxPairs: 200, ExpireAfter: 30 * time.Minute,
	}
	all.Cgroups = CgroupsConfig{Enabled: true, Max: 50}
	four, five, never := 4, 5, time.Duration(0)
	all.Diagnosis = diagnosis.Config{
		For:            2,
		ClearAfter:     3,
		RepeatInterval: 5 * time.Minute,
		CPUBound: diagnosis.CPUBoundConfig{
			MinThreadUtilization: 0.8,
			MinHostShare:         0.4,
			MaxMemoryStall:       0.2,
		},
		ForkStorm:     diagnosis.ForkStormConfig{MinChildrenPerSecond: 50, MinCores: 0.7},
		CPUThrottled:  diagnosis.CPUThrottledConfig{MinThrottledRatio: 0.2},
		NoisyNeighbor: diagnosis.NoisyNeighborConfig{MinCores: 0.5, MinVictimShare: 0.4, MaxOwnWaitShare: 0.25},
		Starved:       diagnosis.StarvedConfig{MinWaitRatio: 0.3, MinWaitPerRun: 20 * time.Millisecond, MinWaitShare: 0.6},
		MemThrashing: diagnosis.MemThrashingConfig{
			RuleConfig:              diagnosis.RuleConfig{For: &four, ClearAfter: &five, RepeatInterval: &never},
			MinMajorFaultsPerSecond: 200,
			MinMemoryStall:          0.3,
			MinRefaultsPerSecond:    20000,
			MinSystemShare:          0.6,
		},
		OOMRisk: diagnosis.OOMRiskConfig{
			Windows:            5,
			MinGrowth:          20 << 20,
			MinRSS:             1e9,
			MinLimitRatio:      0.25,
			MinFaultsPerSecond: 500,
			MaxTimeToLimit:     time.Hour,
		},
	}
	all.Metrics.ProcessThreadCount.Enabled = false
	all.Events.HotspotDiagnosisOomRisk.Enabled = false
	// One key for both signals.
	all.MetricsBuilderConfig.ResourceAttributes.ProcessParentPid.Enabled = false
	all.LogsBuilderConfig.ResourceAttributes.ProcessParentPid.Enabled = false

	for name, tt := range map[string]struct {
		id   component.ID
		want *Config
	}{
		"an empty block has the defaults": {component.NewID(metadata.Type), defaults()},
		"every key is taken over":         {component.NewIDWithName(metadata.Type, "all"), all},
	} {
		t.Run(name, func(t *testing.T) {
			file, err := confmaptest.LoadConf(filepath.Join("testdata", "config.yaml"))
			require.NoError(t, err)
			block, err := file.Sub(tt.id.String())
			require.NoError(t, err)
			config := defaults()
			require.NoError(t, block.Unmarshal(config))
			require.NoError(t, confmap.Validate(config))

			// What is decoded remembers which keys were written: compare the rest.
			metrics, events := config.Metrics, config.Events
			require.Equal(t, tt.want.Metrics.ProcessThreadCount.Enabled, metrics.ProcessThreadCount.Enabled)
			require.Equal(t, tt.want.Metrics.ProcessCPUTime.Enabled, metrics.ProcessCPUTime.Enabled)
			require.Equal(t, tt.want.Events.HotspotDiagnosisOomRisk.Enabled, events.HotspotDiagnosisOomRisk.Enabled)
			require.Equal(t, tt.want.Events.HotspotDiagnosisCPUBound.Enabled, events.HotspotDiagnosisCPUBound.Enabled)
			require.Equal(t, tt.want.MetricsBuilderConfig.ResourceAttributes.ProcessParentPid.Enabled,
				config.MetricsBuilderConfig.ResourceAttributes.ProcessParentPid.Enabled)
			require.Equal(t, tt.want.LogsBuilderConfig.ResourceAttributes.ProcessParentPid.Enabled,
				config.LogsBuilderConfig.ResourceAttributes.ProcessParentPid.Enabled)
			config.MetricsBuilderConfig, config.LogsBuilderConfig = tt.want.MetricsBuilderConfig, tt.want.LogsBuilderConfig
			require.Equal(t, tt.want, config)
		})
	}
}

func TestDefaultsAreThoseOfTheDocumentation(t *testing.T) {
	config := NewFactory().CreateDefaultConfig().(*Config)
	require.Equal(t, 5*time.Second, config.CollectionInterval)
	require.Equal(t, time.Second, config.InitialDelay)
	require.Equal(t, PropagateErrors, config.ErrorMode)
	require.Empty(t, config.RootPath)
	require.False(t, config.KernelThreads)
	require.Equal(t, filter.Config{MatchType: filter.Strict}, config.Include)
	require.Equal(t, filter.Config{MatchType: filter.Strict}, config.Exclude)
	require.Equal(t, selection.Config{TopK: 10, Hold: 3, Max: 200}, config.Selection)
	require.Equal(t, ContentionConfig{
		Enabled: true, MinWait: 100 * time.Microsecond, MaxPairs: 50, ExpireAfter: 5 * time.Minute,
	}, config.Contention)
	require.Equal(t, CgroupsConfig{Enabled: false, Max: 500}, config.Cgroups)
	require.Equal(t, diagnosis.DefaultConfig(), config.Diagnosis)
	require.Equal(t, 1, config.Diagnosis.For)
	require.Equal(t, 2, config.Diagnosis.ClearAfter)
	require.Equal(t, time.Minute, config.Diagnosis.RepeatInterval)
}

// An error names the key and what it may be.
func TestBadConfig(t *testing.T) {
	const (
		interval = "collection_interval: must be between 100ms and 1h0m0s, is "
		expiry   = "contention::expire_after: must be between 10s and 24h0m0s, is "
		minWait  = "contention::min_wait: must be between 10µs and 1s, is "
	)
	for yaml, want := range map[string]string{
		"interval: 5s":                           "has invalid keys: interval",
		"diagnosis: {starving: {}}":              "'diagnosis' has invalid keys: starving",
		"diagnosis: {cpu_bound: {min_cores: 1}}": "'diagnosis.cpu_bound' has invalid keys: min_cores",
		"diagnosis: {oom_risk: {window: 3}}":     "'diagnosis.oom_risk' has invalid keys: window",
		"metrics: {process.cpu: {}}":             "'metrics' has invalid keys: process.cpu",
		"events: {hotspot.diagnosis.slow: {}}":   "'events' has invalid keys: hotspot.diagnosis.slow",
		"resource_attributes: {process.name: {}}": "'resource_attributes' has invalid keys:" +
			" process.name",

		"collection_interval: -5s":     interval + "-5s",
		"collection_interval: 0s":      interval + "0s",
		"collection_interval: 99ms":    interval + "99ms",
		"collection_interval: 3600.1s": interval + "1h0m0.1s",
		"collection_interval: 5":       interval + "5ns",
		"collection_interval: soon":    "'collection_interval' time: invalid duration",
		"initial_delay: -1s":           "initial_delay: must be between 0s and 1h0m0s, is -1s",
		"initial_delay: 2h":            "initial_delay: must be between 0s and 1h0m0s, is 2h0m0s",
		"error_mode: silent":           `error_mode: must be propagate or ignore, is "silent"`,
		`error_mode: ""`:               `error_mode: must be propagate or ignore, is ""`,
		"kernel_threads: perhaps":      "'kernel_threads' expected type 'bool'",

		"root_path: hostfs":    `root_path: must be an absolute path, is "hostfs"`,
		"root_path: [/hostfs]": "'root_path' expected type 'string'",

		"include: {names: [sh]}":            "'include' has invalid keys: names",
		"include: [sh]":                     "'include' expected a map",
		"exclude: {pids: [one]}":            "'exclude.pids[0]' expected type 'int64'",
		"exclude: {pids: [1, 0]}":           "exclude::pids::1: must be between 1 and 2147483647, is 0",
		"exclude: {pids: [4294967296]}":     "exclude::pids::0: must be between 1 and 2147483647, is 4294967296",
		"include: {match_type: glob}":       `include::match_type: must be strict or regexp, is "glob"`,
		`exclude: {match_type: ""}`:         `exclude::match_type: must be strict or regexp, is ""`,
		"exclude: {match_type: Strict}":     `exclude::match_type: must be strict or regexp, is "Strict"`,
		`include: {commands: ["", x]}`:      "include::commands::0: must not be empty",
		`include: {executable_names: [""]}`: "include::executable_names::0: must not be empty",
		"include: {owners: {a: b}}":         "'include.owners",
		"exclude: {match_type: regexp, cgroups: [a, '(']}": "exclude::cgroups::1: must be a regular expression of" +
			" Go's: error parsing regexp: missing closing ): `(`",
		"include: {match_type: regexp, owners: ['(?!x)']}": "include::owners::0: must be a regular expression of Go's",

		"top_k: -1":              "top_k: must be between 0 and 4194304, is -1",
		"top_k: 4194305":         "top_k: must be between 0 and 4194304, is 4194305",
		"top_k: all":             "'top_k' expected type 'int'",
		"top_k_hold: -1":         "top_k_hold: must be between 0 and 1000, is -1",
		"top_k_hold: 1001":       "top_k_hold: must be between 0 and 1000, is 1001",
		"max_processes: 0":       "max_processes: must be between 1 and 4194304, is 0",
		"max_processes: 4194305": "max_processes: must be between 1 and 4194304, is 4194305",

		"contention: {min_waits: 1ms}":        "'contention' has invalid keys: min_waits",
		"contention: {enabled: sometimes}":    "'contention.enabled' expected type 'bool'",
		"contention: {min_wait: 9us}":         minWait + "9µs",
		"contention: {min_wait: 0s}":          minWait + "0s",
		"contention: {min_wait: -1ms}":        minWait + "-1ms",
		"contention: {min_wait: 1000.001ms}":  minWait + "1.000001s",
		"contention: {min_wait: 1}":           minWait + "1ns",
		"contention: {max_pairs: -1}":         "contention::max_pairs: must be between 0 and 16384, is -1",
		"contention: {max_pairs: 16385}":      "contention::max_pairs: must be between 0 and 16384, is 16385",
		"contention: {max_pairs: many}":       "'contention.max_pairs' expected type 'int'",
		"contention: {expire_after: 9.999s}":  expiry + "9.999s",
		"contention: {expire_after: 0s}":      expiry + "0s",
		"contention: {expire_after: -5m}":     expiry + "-5m0s",
		"contention: {expire_after: 24.001h}": expiry + "24h0m3.6s",
		"contention: {expire_after: never}":   "'contention.expire_after' time: invalid duration",
		// Switched off is no excuse.
		"contention: {enabled: false, min_wait: 2s}": minWait + "2s",

		"cgroups: {max: 0}":          "cgroups::max: must be between 1 and 10000, is 0",
		"cgroups: {max: 10001}":      "cgroups::max: must be between 1 and 10000, is 10001",
		"cgroups: {enable: true}":    "'cgroups' has invalid keys: enable",
		"cgroups: {enabled: please}": "'cgroups.enabled' expected type 'bool'",

		"diagnosis: {for: 0}":               "diagnosis::for: must be between 1 and 1000, is 0",
		"diagnosis: {for: -1}":              "diagnosis::for: must be between 1 and 1000, is -1",
		"diagnosis: {for: 1001}":            "diagnosis::for: must be between 1 and 1000, is 1001",
		"diagnosis: {for: two}":             "'diagnosis.for' expected type 'int'",
		"diagnosis: {clear_after: 0}":       "diagnosis::clear_after: must be between 1 and 1000, is 0",
		"diagnosis: {repeat_interval: -1m}": "diagnosis::repeat_interval: must be between 0s and 24h0m0s, is -1m0s",
		"diagnosis: {repeat_interval: 25h}": "diagnosis::repeat_interval: must be between 0s and 24h0m0s, is 25h0m0s",

		"diagnosis: {cpu_bound: {min_thread_utilization: 3}}": "diagnosis::cpu_bound::min_thread_utilization:" +
			" must be between 0 and 1, is 3",
		"diagnosis: {cpu_bound: {min_thread_utilization: .nan}}": "diagnosis::cpu_bound::min_thread_utilization:" +
			" must be between 0 and 1, is NaN",
		"diagnosis: {cpu_bound: {min_host_share: .inf}}": "diagnosis::cpu_bound::min_host_share:" +
			" must be between 0 and 1, is +Inf",
		"diagnosis: {cpu_bound: {max_memory_stall: -0.1}}": "diagnosis::cpu_bound::max_memory_stall:" +
			" must be between 0 and 1, is -0.1",

		"diagnosis: {starved: {for: 0}}":       "diagnosis::starved::for: must be between 1 and 1000, is 0",
		"diagnosis: {fork_storm: {for: 1001}}": "diagnosis::fork_storm::for: must be between 1 and 1000, is 1001",
		"diagnosis: {cpu_throttled: {clear_after: 0}}": "diagnosis::cpu_throttled::clear_after:" +
			" must be between 1 and 1000, is 0",
		"diagnosis: {noisy_neighbor: {repeat_interval: -1s}}": "diagnosis::noisy_neighbor::repeat_interval:" +
			" must be between 0s and 24h0m0s, is -1s",
		"diagnosis: {mem_thrashing: {for: always}}": "'diagnosis.mem_thrashing.for' expected type 'int'",

		"diagnosis: {mem_thrashing: {min_major_faults_per_second: -1}}": "diagnosis::mem_thrashing::" +
			"min_major_faults_per_second: must be between 0 and 1e+09, is -1",
		"diagnosis: {mem_thrashing: {min_memory_stall: 1.1}}": "diagnosis::mem_thrashing::min_memory_stall:" +
			" must be between 0 and 1, is 1.1",
		"diagnosis: {mem_thrashing: {min_refaults_per_second: .nan}}": "diagnosis::mem_thrashing::" +
			"min_refaults_per_second: must be between 0 and 1e+09, is NaN",
		"diagnosis: {mem_thrashing: {min_system_share: 50}}": "diagnosis::mem_thrashing::min_system_share:" +
			" must be between 0 and 1, is 50",
		"diagnosis: {starved: {min_wait_ratio: 1001}}": "diagnosis::starved::min_wait_ratio:" +
			" must be between 0 and 1000, is 1001",
		"diagnosis: {starved: {min_wait_per_run: -1ms}}": "diagnosis::starved::min_wait_per_run:" +
			" must be between 0s and 1h0m0s, is -1ms",
		"diagnosis: {starved: {min_wait_share: -0.1}}": "diagnosis::starved::min_wait_share:" +
			" must be between 0 and 1, is -0.1",
		"diagnosis: {noisy_neighbor: {min_cores: -1}}": "diagnosis::noisy_neighbor::min_cores:" +
			" must be between 0 and 10000, is -1",
		"diagnosis: {noisy_neighbor: {min_victim_share: 2}}": "diagnosis::noisy_neighbor::min_victim_share:" +
			" must be between 0 and 1, is 2",
		"diagnosis: {noisy_neighbor: {max_own_wait_share: 1.5}}": "diagnosis::noisy_neighbor::max_own_wait_share:" +
			" must be between 0 and 1, is 1.5",
		"diagnosis: {cpu_throttled: {min_throttled_ratio: -1}}": "diagnosis::cpu_throttled::min_throttled_ratio:" +
			" must be between 0 and 1000, is -1",
		"diagnosis: {fork_storm: {min_children_per_second: 1e7}}": "diagnosis::fork_storm::min_children_per_second:" +
			" must be between 0 and 1e+06, is 1e+07",
		"diagnosis: {fork_storm: {min_cores: -.inf}}": "diagnosis::fork_storm::min_cores:" +
			" must be between 0 and 10000, is -Inf",

		"diagnosis: {oom_risk: {windows: 1}}":  "diagnosis::oom_risk::windows: must be between 2 and 60, is 1",
		"diagnosis: {oom_risk: {windows: 61}}": "diagnosis::oom_risk::windows: must be between 2 and 60, is 61",
		"diagnosis: {oom_risk: {min_growth: 0}}": "diagnosis::oom_risk::min_growth:" +
			" must be between 1 B and 1.0 PiB, is 0 B",
		"diagnosis: {oom_risk: {min_growth: banana}}": `'diagnosis.oom_risk.min_growth' "banana" is not a size such` +
			" as 500 MiB",
		"diagnosis: {oom_risk: {min_growth: -5 MiB}}": `'diagnosis.oom_risk.min_growth' "-5 MiB" is not a size`,
		"diagnosis: {oom_risk: {min_growth: -5}}":     "'diagnosis.oom_risk.min_growth' cannot parse value",
		"diagnosis: {oom_risk: {min_rss: 2 PiB}}": "diagnosis::oom_risk::min_rss:" +
			" must be between 0 B and 1.0 PiB, is 2.0 PiB",
		"diagnosis: {oom_risk: {min_limit_ratio: 1.1}}": "diagnosis::oom_risk::min_limit_ratio:" +
			" must be between 0 and 1, is 1.1",
		"diagnosis: {oom_risk: {min_faults_per_second: -1}}": "diagnosis::oom_risk::min_faults_per_second:" +
			" must be between 0 and 1e+09, is -1",
		"diagnosis: {oom_risk: {max_time_to_limit: -1s}}": "diagnosis::oom_risk::max_time_to_limit:" +
			" must be between 0s and 24h0m0s, is -1s",
	} {
		t.Run(yaml, func(t *testing.T) {
			require.ErrorContains(t, load(t, yaml), want)
		})
	}
}

func TestEveryBadKeyIsNamedInFull(t *testing.T) {
	require.EqualError(t, load(t, `
collection_interval: -1s
diagnosis:
  for: 0
  cpu_bound: {min_thread_utilization: 3}
  oom_risk: {windows: 1}
  starved: {clear_after: 0, min_wait_share: 2}
`), "collection_interval: must be between 100ms and 1h0m0s, is -1s\n"+
		"diagnosis::for: must be between 1 and 1000, is 0\n"+
		"diagnosis::oom_risk::windows: must be between 2 and 60, is 1\n"+
		"diagnosis::starved::clear_after: must be between 1 and 1000, is 0\n"+
		"diagnosis::starved::min_wait_share: must be between 0 and 1, is 2\n"+
		"diagnosis::cpu_bound::min_thread_utilization: must be between 0 and 1, is 3")
}

func TestTheEndsOfARangeAreInIt(t *testing.T) {
	for _, yaml := range []string{
		"collection_interval: 100ms", "collection_interval: 1h", "initial_delay: 0s", "initial_delay: 1h",
		"root_path: /", "exclude: {pids: [1, 2147483647]}", "exclude: {executable_names: ['(']}",
		"{top_k: 0, top_k_hold: 0, max_processes: 1}", "{top_k: 4194304, top_k_hold: 1000, max_processes: 4194304}",
		"contention: {min_wait: 10us, max_pairs: 0}", "contention: {min_wait: 1s, max_pairs: 16384}",
		"contention: {expire_after: 10s}", "contention: {expire_after: 24h}",
		"cgroups: {max: 1}", "cgroups: {max: 10000}",
	} {
		require.NoError(t, load(t, yaml), yaml)
	}
}

// The example in the documentation has every key of the receiver's own, with its
// default.
func TestTheExampleInTheDocumentationIsTheDefault(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	require.NoError(t, err)
	_, example, found := strings.Cut(string(text), "```yaml\n")
	require.True(t, found)
	example, _, found = strings.Cut(example, "```\n")
	require.True(t, found)
	retrieved, err := confmap.NewRetrievedFromYAML([]byte(example))
	require.NoError(t, err)
	file, err := retrieved.AsConf()
	require.NoError(t, err)
	block, err := file.Sub("receivers::hotspot")
	require.NoError(t, err)

	defaults := createDefaultConfig().(*Config)
	// Of metrics, events and resource attributes it has an example of each.
	documented := &Config{MetricsBuilderConfig: defaults.MetricsBuilderConfig, LogsBuilderConfig: defaults.LogsBuilderConfig}
	require.NoError(t, block.Unmarshal(documented))
	want, got := confmap.New(), confmap.New()
	require.NoError(t, want.Marshal(defaults))
	require.NoError(t, got.Marshal(documented))
	values := func(c *confmap.Conf) map[string]any {
		all := map[string]any{}
		for _, key := range c.AllKeys() {
			if list := reflect.ValueOf(c.Get(key)); list.Kind() == reflect.Slice && list.Len() == 0 {
				continue // nil or not
			}
			all[key] = c.Get(key)
		}
		return all
	}
	require.Equal(t, values(want), values(got))
	require.ElementsMatch(t, ownKeys(want), ownKeys(block), "a key whose default is 0 or false is documented as well")
}

// ownKeys returns the keys of a configuration that mdatagen has not made.
func ownKeys(c *confmap.Conf) []string {
	return slices.DeleteFunc(c.AllKeys(), func(key string) bool {
		block, _, _ := strings.Cut(key, "::")
		// What is nil is as for all labels, and documented once.
		return c.Get(key) == nil || slices.Contains([]string{"metrics", "events", "resource_attributes"}, block)
	})
}

// The table of the README has every key as well, with its default, but sums up
// the rules.
func TestTheTableOfTheREADMEHasEveryKeyWithItsDefault(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	require.NoError(t, err)
	defaults := confmap.New()
	require.NoError(t, defaults.Marshal(createDefaultConfig()))
	rows := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_:]+)` \\| (.*?) ?\\|").FindAllStringSubmatch(string(text), -1) {
		rows[row[1]] = strings.Trim(row[2], "`")
	}
	for _, key := range ownKeys(defaults) {
		if parts := strings.Split(key, "::"); parts[0] == "diagnosis" && len(parts) > 2 {
			continue
		}
		said, found := rows[key]
		require.True(t, found, "%s is missing", key)
		block := confmap.NewFromStringMap(map[string]any{})
		if said != "" {
			retrieved, err := confmap.NewRetrievedFromYAML([]byte(strings.ReplaceAll(key, "::", ": {") + ": " + said +
				strings.Repeat("}", strings.Count(key, "::"))))
			require.NoError(t, err)
			block, err = retrieved.AsConf()
			require.NoError(t, err)
		}
		config, got := createDefaultConfig().(*Config), confmap.New()
		zero := reflect.ValueOf(config).Elem()
		for i := range zero.NumField() {
			if tag := zero.Type().Field(i).Tag.Get("mapstructure"); tag != "" && tag != ",squash" {
				zero.Field(i).SetZero() // so that the default comes from the table
			}
		}
		require.NoError(t, block.Unmarshal(config), key)
		require.NoError(t, got.Marshal(config))
		require.Equal(t, fmt.Sprint(defaults.Get(key)), fmt.Sprint(got.Get(key)), key)
		delete(rows, key)
	}
	for key := range rows {
		require.NotContains(t, []string{"include", "exclude", "contention"}, strings.Split(key, "::")[0], "%s is no key", key)
	}
}

// load reads and validates a configuration the way the collector does.
func load(t *testing.T, yaml string) error {
	t.Helper()
	retrieved, err := confmap.NewRetrievedFromYAML([]byte(yaml))
	require.NoError(t, err)
	block, err := retrieved.AsConf()
	require.NoError(t, err)
	config := NewFactory().CreateDefaultConfig()
	if err := block.Unmarshal(config); err != nil {
		return err
	}
	return confmap.Validate(config)
}
