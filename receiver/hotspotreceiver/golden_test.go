package hotspotreceiver

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/golden"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/plogtest"
	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/pmetrictest"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// UPDATE_GOLDEN=1 go test writes the golden files anew.
func updateGolden() bool { return os.Getenv("UPDATE_GOLDEN") != "" }

func goldenFile(name string) string { return filepath.Join("testdata", "golden", name+".yaml") }

func TestGoldenMetrics(t *testing.T) {
	four := []sampler.Window{fixedBusy(), fixedIdle(), fixedKernelThread(), fixedLeaking()}
	noHost := func(c *Config) { c.Metrics.HotspotHostDiagnosed.Enabled = false }
	for name, tt := range map[string]struct {
		config  func(*Config)
		windows []sampler.Window
		pairs   []*sampler.Pair
		observe bool // let the processes be diagnosed
	}{
		"metrics":                {func(*Config) {}, four, nil, true},
		"metrics_kernel_threads": {func(c *Config) { c.KernelThreads = true }, four, nil, true},
		"metrics_some_disabled": {func(c *Config) {
			c.Metrics.ProcessCPUTime.Enabled = false
			c.Metrics.HotspotHostDiagnosed.Enabled = false
			c.MetricsBuilderConfig.ResourceAttributes.ProcessCreationTime.Enabled = false
		}, four, nil, true},
		"metrics_waits_by_aggressor": {noHost, fixedContenders(), fixedPairs(), false},
		"metrics_max_pairs_of_one": {func(c *Config) {
			noHost(c)
			c.Contention.MaxPairs = 1
		}, fixedContenders(), fixedPairs(), false},
		"metrics_exited":      {noHost, []sampler.Window{fixedExited(), fixedIdle()}, nil, false},
		"metrics_short_lived": {noHost, fixedShortLived(), nil, false},
		"metrics_cgroups": {func(c *Config) {
			noHost(c)
			c.Cgroups.Enabled = true
			c.Selection.TopK = 0 // they are of all processes
		}, fixedGroups().Windows, fixedGroups().Pairs, false},
		// The diagnosed and the first by resident set, which is one of them.
		"metrics_left_out": {func(c *Config) { c.Selection.TopK = 1 }, append(fixedLeftOut(), four...), nil, true},
		// One for each label, with the process that carries it.
		"metrics_cpu_bound":      {func(*Config) {}, []sampler.Window{fixedBusy()}, nil, true},
		"metrics_fork_storm":     {func(*Config) {}, []sampler.Window{fixedForking()}, nil, true},
		"metrics_cpu_throttled":  {func(*Config) {}, []sampler.Window{fixedThrottled()}, nil, true},
		"metrics_noisy_neighbor": {func(*Config) {}, []sampler.Window{fixedNoisy(), fixedStarved()}, fixedPairsOfTheStarved(), true},
		"metrics_starved":        {func(*Config) {}, []sampler.Window{fixedStarved(), fixedNoisy()}, fixedPairsOfTheStarved(), true},
		"metrics_mem_thrashing":  {func(*Config) {}, []sampler.Window{fixedThrashing()}, nil, true},
		"metrics_oom_risk":       {func(*Config) {}, []sampler.Window{fixedLeaking()}, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			c := createDefaultConfig().(*Config)
			tt.config(c)
			s := fixedSnapshot(1, tt.windows...)
			s.Pairs = tt.pairs
			engine := diagnosis.New(c.Diagnosis)
			if tt.observe {
				engine.Observe(s)
			}
			writer := newMetricsWriter(c, newCollector(t).settings)
			writer.started = s.End.Add(-s.Length)
			got, processes := writer.write(fakeIdentifier{}, s, engine)
			require.NoError(t, pmetrictest.ValidateMetrics(got))
			if updateGolden() {
				require.NoError(t, golden.WriteMetricsToFile(goldenFile(name), got, golden.SkipMetricTimestampNormalization()))
			}
			want, err := golden.ReadMetrics(goldenFile(name))
			require.NoError(t, err)
			require.NoError(t, pmetrictest.CompareMetrics(want, got, pmetrictest.IgnoreResourceMetricsOrder(),
				pmetrictest.IgnoreMetricsOrder(), pmetrictest.IgnoreMetricDataPointsOrder()))
			ofProcesses := 0
			for _, rm := range got.ResourceMetrics().All() {
				if _, ok := rm.Resource().Attributes().Get("process.pid"); ok {
					ofProcesses++
				}
			}
			require.Equal(t, ofProcesses, processes)
		})
	}
}

func TestGoldenLogs(t *testing.T) {
	busy, leaking := fixedBusy(), fixedLeaking()
	alone := func(w sampler.Window) []sampler.Window { return []sampler.Window{w} }
	quiet := func(w sampler.Window) []sampler.Window {
		q := fixedIdle()
		q.Process = w.Process
		return alone(q)
	}
	// Of what one rule says, each of these leaves out the other side.
	victims := func(c *Config) { c.Events.HotspotDiagnosisNoisyNeighbor.Enabled = false }
	aggressors := func(c *Config) { c.Events.HotspotDiagnosisStarved.Enabled = false }
	both := []sampler.Window{fixedStarved(), fixedNoisy()}
	neither := append(quiet(fixedStarved()), quiet(fixedNoisy())...)
	for name, tt := range map[string]struct {
		config  func(*Config)
		windows [][]sampler.Window
	}{
		"log_cpu_bound_started":      {windows: [][]sampler.Window{alone(busy)}},
		"log_cpu_bound_ongoing":      {windows: [][]sampler.Window{alone(busy), alone(busy)}},
		"log_cpu_bound_ended":        {windows: [][]sampler.Window{alone(busy), quiet(busy)}},
		"log_oom_risk_started":       {windows: [][]sampler.Window{alone(leaking)}},
		"log_oom_risk_ongoing":       {windows: [][]sampler.Window{alone(leaking), alone(leaking)}},
		"log_oom_risk_ended":         {windows: [][]sampler.Window{alone(leaking), quiet(leaking)}},
		"log_mem_thrashing_started":  {windows: [][]sampler.Window{alone(fixedThrashing())}},
		"log_mem_thrashing_ended":    {windows: [][]sampler.Window{alone(fixedThrashing()), quiet(fixedThrashing())}},
		"log_starved_started":        {victims, [][]sampler.Window{both}},
		"log_starved_ended":          {victims, [][]sampler.Window{both, neither}},
		"log_noisy_neighbor_started": {aggressors, [][]sampler.Window{both}},
		"log_noisy_neighbor_ended":   {aggressors, [][]sampler.Window{both, neither}},
		"log_cpu_throttled_started":  {windows: [][]sampler.Window{alone(fixedThrottled())}},
		"log_cpu_throttled_ended":    {windows: [][]sampler.Window{alone(fixedThrottled()), quiet(fixedThrottled())}},
		"log_fork_storm_started":     {windows: [][]sampler.Window{alone(fixedForking())}},
		"log_fork_storm_ended":       {windows: [][]sampler.Window{alone(fixedForking()), quiet(fixedForking())}},
		"log_two_records":            {windows: [][]sampler.Window{alone(busy), alone(leakingAs(busy))}},
	} {
		t.Run(name, func(t *testing.T) {
			config := createDefaultConfig().(*Config)
			config.Diagnosis.ClearAfter = 1
			config.Diagnosis.RepeatInterval = 5 * time.Second
			if tt.config != nil {
				tt.config(config)
			}
			engine, writer := diagnosis.New(config.Diagnosis), newLogsWriter(config, newCollector(t).settings)
			var got plog.Logs
			for i, windows := range tt.windows {
				s := fixedSnapshot(i+1, windows...)
				s.Pairs = fixedPairsOfTheStarved()
				got = writer.write(fakeIdentifier{}, s, engine.Observe(s))
			}
			compareLogs(t, name, got)
		})
	}
}

func TestGoldenOOMKills(t *testing.T) {
	leaking := fixedLeaking()
	leaking.Length = 5 * time.Second
	for name, kill := range map[string]sampler.Kill{
		"log_oom_kill": {Process: leaking.Process, RSS: 1<<30 + 50<<20, Last: leaking, Known: true},
		// The kernel has said the size since 6.8 only.
		"log_oom_kill_size_of_the_last_window": {Process: leaking.Process, Last: leaking, Known: true},
		"log_oom_kill_of_one_born_since":       {Process: leaking.Process, RSS: 64 << 20},
		"log_oom_kill_of_one_never_seen":       {Process: sampler.Process{ID: sampler.ID{Pid: 901}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := fixedSnapshot(1, fixedIdle())
			s.Kills = []sampler.Kill{kill}
			got := newLogsWriter(createDefaultConfig().(*Config), newCollector(t).settings).write(fakeIdentifier{}, s, nil)
			compareLogs(t, name, got)
		})
	}
}

// What the files of a label must say, whatever else they do.
func TestEveryLabelHasGoldenFiles(t *testing.T) {
	for _, label := range diagnosis.Labels() {
		t.Run(label.String(), func(t *testing.T) {
			for _, state := range []string{"started", "ended"} {
				logs, err := golden.ReadLogs(goldenFile("log_" + label.String() + "_" + state))
				require.NoError(t, err)
				require.Equal(t, []string{"hotspot.diagnosis." + label.String()}, eventNames(logs))
				said, _ := records(logs)[0].Attributes().Get("hotspot.diagnosis.state")
				require.Equal(t, state, said.Str())
			}
			metrics, err := golden.ReadMetrics(goldenFile("metrics_" + label.String()))
			require.NoError(t, err)
			require.Equal(t, 1, carriers(metrics, label))
		})
	}
}

// carriers returns how many processes hotspot.process.diagnosis is 1 of with a
// label.
func carriers(metrics pmetric.Metrics, label diagnosis.Label) int {
	n := 0
	for _, rm := range metrics.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() != "hotspot.process.diagnosis" {
				continue
			}
			for _, point := range m.Gauge().DataPoints().All() {
				if of, _ := point.Attributes().Get("hotspot.diagnosis"); of.Str() == label.String() && point.IntValue() == 1 {
					n++
				}
			}
		}
	}
	return n
}

// compareLogs compares records just made with those of a golden file.
func compareLogs(t *testing.T, name string, got plog.Logs) {
	t.Helper()
	for _, r := range records(got) {
		require.WithinDuration(t, time.Now(), r.ObservedTimestamp().AsTime(), time.Minute)
		r.SetObservedTimestamp(r.Timestamp()) // golden files know no now
	}
	if updateGolden() {
		require.NoError(t, golden.WriteLogsToFile(goldenFile(name), got))
	}
	want, err := golden.ReadLogs(goldenFile(name))
	require.NoError(t, err)
	require.NoError(t, plogtest.CompareLogs(want, got))
	// CompareLogs passes over names.
	require.Equal(t, eventNames(want), eventNames(got))
}

func TestMetricsAndLogsOfAProcessHaveTheSameResource(t *testing.T) {
	details := []string{"process.executable.path", "process.command_line", "process.owner"}
	for name, tt := range map[string]struct{ enabled bool }{
		"as by default":         {false},
		"with optional details": {true},
	} {
		t.Run(name, func(t *testing.T) {
			config := createDefaultConfig().(*Config)
			if tt.enabled {
				enable(t, config, details...)
			}
			engine, s := diagnosis.New(config.Diagnosis), fixedSnapshot(1, fixedBusy(), fixedLeaking(), fixedIdle())
			events := engine.Observe(s)
			require.Len(t, events, 2)
			s.Kills = []sampler.Kill{{Process: fixedIdle().Process}}
			c := newCollector(t)
			logs := newLogsWriter(config, c.settings).write(fakeIdentifier{}, s, events)
			metrics, _ := newMetricsWriter(config, c.settings).write(fakeIdentifier{}, s, engine)
			require.Equal(t, 3, logs.ResourceLogs().Len())
			for _, rl := range logs.ResourceLogs().All() {
				pid, _ := rl.Resource().Attributes().Get("process.pid")
				rm, ok := ofProcess(metrics, pid.Int())
				require.True(t, ok)
				require.Equal(t, rm.Resource().Attributes().AsRaw(), rl.Resource().Attributes().AsRaw())
				require.Equal(t, rm.SchemaUrl(), rl.SchemaUrl())
				for _, name := range details {
					_, has := rl.Resource().Attributes().Get(name)
					require.Equal(t, tt.enabled, has, name)
				}
			}
		})
	}
}

// enable switches resource attributes on.
func enable(t *testing.T, config *Config, attributes ...string) {
	t.Helper()
	block := map[string]any{}
	for _, name := range attributes {
		block[name] = map[string]any{"enabled": true}
	}
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"resource_attributes": block}).Unmarshal(config))
}

// fixedSnapshot is the nth window, from 1, of a host with four CPUs.
func fixedSnapshot(n int, windows ...sampler.Window) *sampler.Snapshot {
	const length = 5 * time.Second
	setLength(length, windows)
	return &sampler.Snapshot{
		End:     time.Date(2026, 3, 1, 12, 0, 5*n, 0, time.UTC),
		Length:  length,
		CPUs:    4,
		Threads: len(windows),
		Windows: windows,
	}
}

func setLength(length time.Duration, windows []sampler.Window) {
	for i := range windows {
		windows[i].Length, windows[i].Busiest.Span = length, length
	}
}

func fixedProcess(pid uint32, name string) sampler.Process {
	return sampler.Process{
		ID:   sampler.ID{Pid: pid, Start: 90 * time.Second},
		Name: name,
		// East of Greenwich, and to the millisecond: it leaves in UTC and hundredths.
		Created: time.Date(2026, 3, 1, 12, 30, 0, 129e6, time.FixedZone("CET", 3600)),
		Parent:  1,
	}
}

func fixedBusy() sampler.Window {
	return sampler.Window{
		Process: fixedProcess(busyPid, "postgres"),
		Total: sampler.Usage{
			User: 90 * time.Second, System: 10 * time.Second, RunQueue: 1500 * time.Millisecond,
			MinorFaults: 4000, MajorFaults: 12, Voluntary: 700, Involuntary: 900,
		},
		Used:           sampler.Usage{User: 4 * time.Second, System: 900 * time.Millisecond},
		Threads:        3,
		Busiest:        sampler.Thread{TID: busyPid, CPU: 4800 * time.Millisecond, RunQueue: 50 * time.Millisecond},
		MaxThreadCPU:   4800 * time.Millisecond,
		RSS:            200 << 20,
		Growth:         -4096,
		GrowthSpan:     10 * time.Second,
		GrowthReadings: 3,
		Limit:          4 << 30,
		TotalThrottled: 2500 * time.Millisecond,
		Quota:          2,
	}
}

func fixedIdle() sampler.Window {
	return sampler.Window{
		Process: fixedProcess(idlePid, "sshd"),
		Total:   sampler.Usage{User: 20 * time.Millisecond, System: 10 * time.Millisecond, MinorFaults: 300},
		Threads: 1,
		Busiest: sampler.Thread{TID: idlePid},
		RSS:     8 << 20,
	}
}

func fixedKernelThread() sampler.Window {
	w := sampler.Window{Process: fixedProcess(2, "kthreadd"), Threads: 1}
	w.Kernel = true
	return w
}

func fixedLeaking() sampler.Window {
	return leakingAs(sampler.Window{Process: fixedProcess(901, "java")})
}

// leakingAs returns the window of the same process on its way out of memory.
func leakingAs(w sampler.Window) sampler.Window {
	return sampler.Window{
		Process:        w.Process,
		Total:          sampler.Usage{User: 60 * time.Second, MinorFaults: 100_000},
		Used:           sampler.Usage{User: 500 * time.Millisecond, MinorFaults: 12_800},
		Threads:        1,
		Busiest:        sampler.Thread{TID: w.Pid, CPU: 500 * time.Millisecond},
		MaxThreadCPU:   500 * time.Millisecond,
		RSS:            1 << 30,
		Growth:         10 << 20,
		GrowthSpan:     15 * time.Second,
		GrowthReadings: 4,
		GrowthSteps:    3,
		Grew:           50 << 20,
		Limit:          1<<30 + 800<<20,
		Headroom:       800 << 20,
	}
}

// fixedContenders are two processes that wait, and two that run meanwhile: one
// of them waits as well.
func fixedContenders() []sampler.Window {
	victim, both, aggressor := fixedIdle(), fixedBusy(), fixedBusy()
	victim.Used.RunQueue, victim.Total.RunQueue = 4*time.Second, 40*time.Second
	both.TotalCaused = 21 * time.Second
	aggressor.Process = fixedProcess(902, "stress-ng")
	aggressor.TotalCaused = 17500 * time.Millisecond
	return []sampler.Window{victim, both, aggressor}
}

// fixedPairs are those of the contenders, as the sampler sorts them.
func fixedPairs() []*sampler.Pair {
	victim, both, aggressor := fixedIdle().Process, fixedBusy().Process, fixedProcess(902, "stress-ng")
	first := fixedSnapshot(0).End
	return []*sampler.Pair{
		{Victim: victim, Aggressor: both, Wait: 3 * time.Second, Since: first.Add(time.Minute), Total: 21 * time.Second},
		{Victim: victim, Aggressor: aggressor, Wait: time.Second, Since: first, Total: 15 * time.Second},
		{Victim: both, Aggressor: aggressor, Since: first, Total: 2500 * time.Millisecond},
	}
}

// fixedExited is a process of many windows that is gone. What only the living
// have is not 0 here, to see that it is not asked.
func fixedExited() sampler.Window {
	w := fixedBusy()
	w.Exited = true
	w.TotalCaused, w.TotalVarious = 3*time.Second, 500*time.Millisecond
	return w
}

// fixedShortLived is ten processes that run all the time and some that come and
// go: 903 is among the ten that ran most, and a kernel thread as well.
func fixedShortLived() []sampler.Window {
	windows := []sampler.Window{fixedKernelThread()}
	windows[0].Used.User, windows[0].Exited, windows[0].ShortLived = 2*time.Second, true, true
	for pid := range uint32(10) {
		w := fixedIdle()
		w.Process = fixedProcess(1000+pid, "worker")
		w.Used.User = time.Duration(pid+1) * time.Second
		windows = append(windows, w)
	}
	for pid, gone := range []struct {
		name string
		cpu  time.Duration
	}{
		{"cc1", 3500 * time.Millisecond}, {"sh", 20 * time.Millisecond}, {"sh", 30 * time.Millisecond},
		{"cc1", 700 * time.Millisecond}, {"true", 0}, {"other", 10 * time.Millisecond},
	} {
		windows = append(windows, fixedGone(903+uint32(pid), gone.name, gone.cpu))
	}
	return windows
}

// fixedLeftOut are processes that are in no top of one: of one that is gone there
// is CPU time only.
func fixedLeftOut() []sampler.Window {
	one, gone := fixedIdle(), fixedIdle()
	one.Process, gone.Process = fixedProcess(904, "cron"), fixedProcess(905, "sh")
	one.Used.User, gone.Used.System = 30*time.Millisecond, 5*time.Millisecond
	gone.Exited, gone.RSS = true, 0
	return []sampler.Window{one, gone}
}

// fixedGroups is a container with a quota and a limit, and the group of two other
// processes, which wait behind each other as well.
func fixedGroups() *sampler.Snapshot {
	contained, one, two := fixedBusy(), fixedIdle(), fixedIdle()
	contained.Process, contained.CPUCgroup = fixedProcess(busyPid, "postgres"), 3
	contained.Start++ // another than fixedBusy, and not diagnosed
	contained.Busiest = sampler.Thread{}
	contained.GroupLimit = 1 << 30
	one.Process, one.CPUCgroup = fixedProcess(906, "cron"), 1
	two.Process, two.CPUCgroup = fixedProcess(907, "make"), 1
	one.Used = sampler.Usage{User: time.Second, System: 2 * time.Second, RunQueue: 4 * time.Second, MinorFaults: 8, MajorFaults: 2}
	two.Used = one.Used
	gone := two
	gone.Process, gone.CPUCgroup, gone.Exited, gone.RSS = fixedProcess(908, "cc1"), 1, true, 0
	s := fixedSnapshot(1, contained, one, two, gone)
	s.Pairs = []*sampler.Pair{
		{Victim: one.Process, Aggressor: two.Process, Wait: 4 * time.Second},
		{Victim: contained.Process, Aggressor: gone.Process, Wait: 3 * time.Second},
		{Victim: two.Process, Aggressor: contained.Process, Wait: 2 * time.Second},
		{Victim: one.Process, Aggressor: contained.Process, Wait: time.Second},
		{Victim: one.Process, Aggressor: sampler.Process{ID: sampler.ID{Pid: 999}}, Wait: time.Second},
	}
	return s
}

// fixedGone is a process that came and went within the window.
func fixedGone(pid uint32, name string, cpu time.Duration) sampler.Window {
	used := sampler.Usage{User: cpu / 2, System: cpu - cpu/2, MinorFaults: 90, Voluntary: 1}
	return sampler.Window{Process: fixedProcess(pid, name), Exited: true, ShortLived: true, Used: used, Total: used}
}

// fixedStarved is held up by fixedNoisy, and a little by a third process.
func fixedStarved() sampler.Window {
	return sampler.Window{
		Process: fixedProcess(busyPid, "postgres"),
		Used:    sampler.Usage{User: 100 * time.Millisecond, RunQueue: 4900 * time.Millisecond},
		Waited:  sampler.Wait{Others: 4900 * time.Millisecond},
		Threads: 1,
		Busiest: sampler.Thread{TID: busyPid, CPU: 100 * time.Millisecond, RunQueue: 4 * time.Second},
		Delayed: sampler.Thread{TID: busyPid, CPU: 100 * time.Millisecond, RunQueue: 4 * time.Second, Runs: 40},
		RSS:     200 << 20,
	}
}

func fixedNoisy() sampler.Window {
	return sampler.Window{
		Process: fixedProcess(901, "stress-ng"),
		Used:    sampler.Usage{User: 4 * time.Second, RunQueue: 100 * time.Millisecond},
		Waited:  sampler.Wait{Others: 100 * time.Millisecond},
		Caused:  4 * time.Second,
		Threads: 1,
		Busiest: sampler.Thread{TID: 901, CPU: 4 * time.Second, RunQueue: 100 * time.Millisecond},
		RSS:     8 << 20,
	}
}

func fixedPairsOfTheStarved() []*sampler.Pair {
	victim := fixedStarved().Process
	return []*sampler.Pair{
		{Victim: victim, Aggressor: fixedNoisy().Process, Wait: 3800 * time.Millisecond},
		{Victim: victim, Aggressor: fixedProcess(902, "backup"), Wait: 1100 * time.Millisecond},
	}
}

func fixedThrashing() sampler.Window {
	return sampler.Window{
		Process:  fixedProcess(busyPid, "postgres"),
		Used:     sampler.Usage{User: time.Second, System: 3 * time.Second, MinorFaults: 100_000},
		Refaults: 100_000,
		Threads:  1,
		Busiest:  sampler.Thread{TID: busyPid, CPU: 4 * time.Second},
		RSS:      200 << 20,
	}
}

func fixedThrottled() sampler.Window {
	return sampler.Window{
		Process:   fixedProcess(busyPid, "postgres"),
		Used:      sampler.Usage{User: 1250 * time.Millisecond, RunQueue: 3 * time.Second},
		Waited:    sampler.Wait{Others: time.Second, Idle: 2 * time.Second},
		Throttled: 3500 * time.Millisecond,
		Quota:     0.25,
		Threads:   1,
		Busiest:   sampler.Thread{TID: busyPid, CPU: 1250 * time.Millisecond, RunQueue: 3 * time.Second},
		RSS:       200 << 20,
	}
}

func fixedForking() sampler.Window {
	return sampler.Window{
		Process:  fixedProcess(901, "make"),
		Used:     sampler.Usage{System: 500 * time.Millisecond, MinorFaults: 60_000},
		Refaults: 60_000,
		Threads:  1,
		Busiest:  sampler.Thread{TID: 901, CPU: 500 * time.Millisecond},
		RSS:      8 << 20,
		Children: sampler.Children{Exits: 1500, CPU: 3 * time.Second, Name: "cc1"},
	}
}

// records returns all log records in order.
func records(logs plog.Logs) []plog.LogRecord {
	var all []plog.LogRecord
	for _, rl := range logs.ResourceLogs().All() {
		for _, sl := range rl.ScopeLogs().All() {
			for _, r := range sl.LogRecords().All() {
				all = append(all, r)
			}
		}
	}
	return all
}

func eventNames(logs plog.Logs) []string {
	names := []string{}
	for _, r := range records(logs) {
		names = append(names, r.EventName())
	}
	return names
}
