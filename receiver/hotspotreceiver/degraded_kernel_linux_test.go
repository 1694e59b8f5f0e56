package hotspotreceiver

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadatatest"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// watcher is a receiver that watches this host, with all that comes of it.
type watcher struct {
	*collector
	host      statusHost
	metricsTo consumertest.MetricsSink
	logsTo    consumertest.LogsSink
}

// newWatcher starts one, of which only these programs are exported.
func newWatcher(t *testing.T, names []string) *watcher {
	t.Helper()
	w, f, config := &watcher{collector: newCollector(t)}, NewFactory(), everySecond()
	config.Include.ExecutableNames = names
	// So that it is one on a busy host as well.
	config.Diagnosis.ForkStorm.MinChildrenPerSecond, config.Diagnosis.ForkStorm.MinCores = 5, 0.005
	start(t, w.collector.metrics(t, f, config, &w.metricsTo), &w.host)
	start(t, w.collector.logs(t, f, config, &w.logsTo), componenttest.NewNopHost())
	return w
}

// events returns the names of those said so far, each once.
func (w *watcher) events() (names []string) {
	for _, batch := range w.logsTo.AllLogs() {
		names = append(names, eventNames(batch)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// names returns those of the metrics sent so far, each once.
func (w *watcher) names() (names []string) {
	for _, batch := range w.metricsTo.AllMetrics() {
		names = append(names, metricNames(batch)...)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// counted returns the diagnoses of which the first window has a count.
func (w *watcher) counted() (labels []string) {
	for _, rm := range w.metricsTo.AllMetrics()[0].ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() != "hotspot.host.diagnosed" {
				continue
			}
			for _, p := range m.Gauge().DataPoints().All() {
				label, _ := p.Attributes().Get("hotspot.diagnosis")
				labels = append(labels, label.Str())
			}
		}
	}
	return labels
}

// rate returns how much a sum of a process grew in a second, over all windows it
// was exported in.
func (w *watcher) rate(t *testing.T, pid int64, name string) float64 {
	t.Helper()
	var of []pmetric.Metrics
	for _, batch := range w.metricsTo.AllMetrics() {
		if rm, ok := ofProcess(batch, pid); ok && sumOf(rm, name) > 0 {
			of = append(of, batch)
		}
	}
	require.Greater(t, len(of), 2, "windows with %s", name)
	total := func(batch pmetric.Metrics) float64 {
		rm, _ := ofProcess(batch, pid)
		return sumOf(rm, name)
	}
	first, last := of[0], of[len(of)-1]
	return (total(last) - total(first)) / endOf(last).AsTime().Sub(endOf(first).AsTime()).Seconds()
}

// A receiver with all programs and, for each that may be missing, one for which
// the kernel does not load it and one for which it does not attach it, all of
// which watch the same: two loops on one CPU, a storm of processes, an OOM kill.
func TestWithoutAProgramTheRestGoesOn(t *testing.T) {
	needsKernel(t)
	group := workload.NewCgroup(t, "memory")
	group.SetMemory(64 << 20)
	cpu, ok := workload.LeaveCPU(t)
	if !ok {
		skip(t, "needs two CPUs")
	}
	programs := []string{"lacks-noisy", "lacks-nice", "lacks-storm", "lacks-leak"}
	whole := newWatcher(t, programs)

	type lack struct {
		program bpf.Program
		refusal refusal
		off     []string // metrics and events
		labels  []string
		waits   bool // it is known behind whom
		watcher *watcher
	}
	var lacks []lack
	for _, l := range []lack{
		{
			program: bpf.ContentionProgram, refusal: refusal{program: "contention"},
			off: []string{
				"hotspot.process.wait.time", "hotspot.process.wait.caused",
				"hotspot.diagnosis.starved", "hotspot.diagnosis.noisy_neighbor",
			},
			labels: []string{"starved", "noisy_neighbor"},
		},
		{program: bpf.MigrationProgram, refusal: refusal{program: "migration"}, waits: true},
		{
			program: bpf.ExitsProgram, refusal: refusal{program: "exited"}, waits: true,
			off:    []string{"hotspot.host.short_lived.cpu.time", "hotspot.diagnosis.fork_storm"},
			labels: []string{"fork_storm"},
		},
		{program: bpf.OOMProgram, refusal: refusal{program: "oom"}, off: []string{"hotspot.oom_kill"}, waits: true},
	} {
		for _, command := range []uint32{unix.BPF_PROG_LOAD, unix.BPF_LINK_CREATE} {
			l.refusal.command = command
			l.refusal.during(t, func() { l.watcher = newWatcher(t, programs) })
			lacks = append(lacks, l)
		}
	}

	nice := int64(workload.Start(t, "busy", cpu, "-comm=lacks-nice").Pid())
	// In real time, so that whatever else the host does is not to blame.
	noisy := int64(workload.Start(t, "ticker", cpu, "-comm=lacks-noisy", "-fifo=1", "80ms", "100ms").Pid())
	group.Add(workload.Start(t, "leak", "-comm=lacks-leak", strconv.Itoa(16<<20)).Pid())
	workload.Start(t, "spawn", "-comm=lacks-storm", "-fifo=1", "100", "2ms") // or it would be starved first

	events := []string{"hotspot.diagnosis.starved", "hotspot.diagnosis.noisy_neighbor", "hotspot.diagnosis.fork_storm", "hotspot.oom_kill"}
	metrics := []string{
		"process.cpu.time", "process.memory.usage", "process.paging.faults", "hotspot.process.run_queue.time",
		"hotspot.process.wait.time", "hotspot.process.wait.caused", "hotspot.process.memory.growth", "hotspot.process.diagnosis",
		"hotspot.host.diagnosed", "hotspot.host.other.cpu.time", "hotspot.host.short_lived.cpu.time",
	}
	everywhere := func(c *assert.CollectT) {
		require.Subset(c, whole.events(), events)
		require.Subset(c, whole.names(), metrics)
		for _, l := range lacks {
			require.Subset(c, l.watcher.events(), less(events, l.off), "%v", l.refusal)
			require.Subset(c, l.watcher.names(), less(metrics, l.off), "%v", l.refusal)
		}
	}
	require.EventuallyWithT(t, everywhere, patience, minInterval)
	before := len(whole.metricsTo.AllMetrics())
	require.Eventually(t, func() bool { return len(whole.metricsTo.AllMetrics()) >= before+3 }, patience, minInterval)

	require.Empty(t, whole.warnings())
	require.Empty(t, whole.host.statuses())
	for _, l := range lacks {
		w := l.watcher
		for _, name := range l.off {
			require.NotContains(t, w.events(), name)
			require.NotContains(t, w.names(), name)
		}
		require.ElementsMatch(t, less(whole.counted(), l.labels), w.counted(), "%v", l.refusal)

		said := w.warnings()
		require.Len(t, said, 1, "%v", l.refusal)
		require.Contains(t, strings.ToLower(said[0].ContextMap()["error"].(string)), string(l.program))
		for _, name := range l.off {
			require.Contains(t, said[0].ContextMap()["off"], strings.TrimPrefix(name, "hotspot.diagnosis."))
		}
		require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError}, w.host.statuses())
		require.ErrorContains(t, w.host.events[0].Err(), said[0].ContextMap()["error"].(string))

		attached := []metricdata.DataPoint[int64]{}
		for _, program := range []bpf.Program{
			bpf.CensusProgram, bpf.ContentionProgram, bpf.MigrationProgram, bpf.ExitsProgram, bpf.OOMProgram,
		} {
			n := int64(1)
			if program == l.program || program == bpf.MigrationProgram && !l.waits {
				n = 0
			}
			attached = append(attached, metricdata.DataPoint[int64]{Attributes: programAttribute(program), Value: n})
		}
		metadatatest.AssertEqualHotspotProgramsAttached(t, w.telemetry, attached, metricdatatest.IgnoreTimestamp())
		_, err := w.telemetry.GetMetric("otelcol_hotspot_unattributed_ratio")
		require.Equal(t, l.waits, err == nil, "%v: what is charged to nobody is told only where others are charged", l.refusal)

		of := func(pid int64, name string) {
			require.InEpsilon(t, whole.rate(t, pid, name), w.rate(t, pid, name), 0.1, "%v: %s", l.refusal, name)
		}
		of(noisy, "process.cpu.time")
		of(nice, "hotspot.process.run_queue.time")
		if l.waits {
			of(nice, "hotspot.process.wait.time")
		}
	}
}

// less returns what is not in others.
func less(all, others []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(one string) bool { return slices.Contains(others, one) })
}

func TestWithoutTheCensusItDoesNotStart(t *testing.T) {
	needsKernel(t)
	for command, says := range map[uint32]string{
		unix.BPF_PROG_LOAD:   "load the census program",
		unix.BPF_LINK_CREATE: "attach the census program",
	} {
		open := openBPF(t)
		refusal{"census", command}.during(t, func() {
			r := newCollector(t).metrics(t, NewFactory(), everySecond(), consumertest.NewNop())
			assert.ErrorContains(t, r.Start(t.Context(), componenttest.NewNopHost()), says)
			assert.NoError(t, r.Shutdown(t.Context()))
		})
		require.Equal(t, open, openBPF(t), "nothing is left")
	}
}
