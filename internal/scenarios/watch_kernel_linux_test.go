package scenarios

import (
	"context"
	"os"
	"runtime"
	"slices"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver"
)

// patience is how long a condition is awaited. It is no measure of anything:
// tests count windows.
const patience = 2 * time.Minute

// watch is a receiver that watches this host, and what it has sent.
type watch struct {
	t       *attempt
	config  *hotspotreceiver.Config
	metrics consumertest.MetricsSink
	logs    consumertest.LogsSink
	calm    int // how many batches had come when the host was calm
}

// watchHost starts a receiver and returns when its first window has ended, and
// the host is calm. It is stopped at the end of the test.
func watchHost(t *attempt, interval time.Duration) *watch {
	t.Helper()
	f := hotspotreceiver.NewFactory()
	w := &watch{t: t, config: f.CreateDefaultConfig().(*hotspotreceiver.Config)}
	w.config.CollectionInterval, w.config.InitialDelay = interval, 0
	w.config.Selection.TopK, w.config.Selection.Max = 1<<22, 1<<22 // otherLoad is of all processes
	settings := receivertest.NewNopSettings(f.Type())
	metrics, err := f.CreateMetrics(t.Context(), settings, w.config, &w.metrics)
	require.NoError(t, err)
	logs, err := f.CreateLogs(t.Context(), settings, w.config, &w.logs)
	require.NoError(t, err)
	require.NoError(t, metrics.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() {
		require.NoError(t, metrics.Shutdown(context.Background()))
		require.NoError(t, logs.Shutdown(context.Background()))
	})
	w.awaitCalm()
	return w
}

func (w *watch) eventually(condition func() bool, why string, args ...any) {
	w.t.Helper()
	require.Eventually(w.t, condition, patience, 20*time.Millisecond, append([]any{why}, args...)...)
}

// windows returns when each window has ended.
func (w *watch) windows() []time.Time {
	var ends []time.Time
	for _, batch := range w.metrics.AllMetrics() {
		ends = append(ends, endOf(batch))
	}
	return ends
}

// endOf returns when the window of a batch ended: every batch has the host's
// gauges.
func endOf(batch pmetric.Metrics) time.Time {
	for _, rm := range batch.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() == "hotspot.host.diagnosed" {
				return m.Gauge().DataPoints().At(0).Timestamp().AsTime()
			}
		}
	}
	return time.Time{}
}

// fullWindows returns how many windows have begun after one moment and ended by
// another. The window in which something begins is not among them.
func (w *watch) fullWindows(after, by time.Time) int {
	n, ends := 0, w.windows()
	for i := 1; i < len(ends); i++ {
		if !ends[i-1].Before(after) && !ends[i].After(by) {
			n++
		}
	}
	return n
}

// awaitWindows returns when so many full windows have gone by.
func (w *watch) awaitWindows(n int, after time.Time) {
	w.t.Helper()
	w.eventually(func() bool { return w.fullWindows(after, time.Now()) >= n }, "%d windows", n)
}

// record is one log record, with what tells whose it is.
type record struct {
	plog.LogRecord
	resource pcommon.Resource
}

func (r record) event() string { return r.EventName() }

func (r record) pid() int { return number(r.resource.Attributes(), "process.pid") }

func (r record) parent() int { return number(r.resource.Attributes(), "process.parent_pid") }

func (r record) state() string {
	v, _ := r.Attributes().Get("hotspot.diagnosis.state")
	return v.Str()
}

// number returns an attribute that is an integer, 0 if there is none.
func number(of pcommon.Map, name string) int {
	if v, ok := of.Get(name); ok {
		return int(v.Int())
	}
	return 0
}

// records returns all that has been said.
func (w *watch) records() []record {
	var all []record
	for _, batch := range w.logs.AllLogs() {
		for _, rl := range batch.ResourceLogs().All() {
			for _, r := range rl.ScopeLogs().At(0).LogRecords().All() {
				all = append(all, record{r, rl.Resource()})
			}
		}
	}
	return all
}

// await returns the first record that says a diagnosis of a process has started,
// and how many full windows after a moment it came: 0 is in the very window.
func (w *watch) await(label string, pid int, after time.Time) (found record, windows int) {
	w.t.Helper()
	w.awaitEvent("hotspot.diagnosis."+label, "started", pid, &found)
	return found, w.fullWindows(after, found.Timestamp().AsTime())
}

func (w *watch) awaitEvent(name, state string, pid int, found *record) {
	w.t.Helper()
	find := func() bool {
		all := w.records()
		i := slices.IndexFunc(all, func(r record) bool {
			return r.event() == name && r.state() == state && r.pid() == pid
		})
		if i >= 0 {
			*found = all[i]
		}
		return i >= 0
	}
	began := time.Now()
	w.eventually(func() bool {
		// What has not come in ten windows does not come.
		return find() || w.fullWindows(began, time.Now()) >= 10
	}, "no windows")
	require.True(w.t, find(), "%s of process %d: not said, but %q", name, pid, w.bodies(pid))
}

// bodies returns what was said of a process.
func (w *watch) bodies(pid int) []string {
	all := []string{}
	for _, r := range w.records() {
		if r.pid() == pid {
			all = append(all, r.event()+" "+r.state()+": "+r.Body().Str())
		}
	}
	return all
}

// crowd is how many CPUs other load may use on a host that is called calm.
const crowd = 0.25

// awaitCalm returns when a window has ended in which there was little other load
// on this host, or when there was none such among the first windows.
func (w *watch) awaitCalm() {
	w.t.Helper()
	const windows = 10
	w.eventually(func() bool {
		w.calm = len(w.metrics.AllMetrics())
		return w.calm > 0 && (w.calm >= windows || otherLoad(w.metrics.AllMetrics()[w.calm-1]) < crowd)
	}, "no window")
}

// otherLoad returns how many CPUs were used at most in a window since then by
// processes that are neither this test nor descend from it.
func (w *watch) otherLoad() float64 {
	most := 0.0
	for _, batch := range w.metrics.AllMetrics()[w.calm:] {
		most = max(most, otherLoad(batch))
	}
	return most
}

func otherLoad(batch pmetric.Metrics) float64 {
	parents := map[int]int{os.Getpid(): os.Getpid()}
	for _, rm := range batch.ResourceMetrics().All() {
		of := rm.Resource().Attributes()
		parents[number(of, "process.pid")] = number(of, "process.parent_pid")
	}
	used := 0.0
	for _, rm := range batch.ResourceMetrics().All() {
		parent := number(rm.Resource().Attributes(), "process.parent_pid")
		pid := number(rm.Resource().Attributes(), "process.pid")
		if self := os.Getpid(); pid == self || parent == self || parents[parent] == self {
			continue
		}
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() != "process.cpu.utilization" {
				continue
			}
			for _, mode := range m.Gauge().DataPoints().All() {
				used += mode.DoubleValue() * float64(runtime.NumCPU())
			}
		}
	}
	return used
}

// requireOnly fails the test for every record but the events given by process:
// on a quiet host of any process, else of the workload's, its children's and
// this test's. Other processes belong to other load.
func (w *watch) requireOnly(expected map[int][]string) {
	w.t.Helper()
	for _, r := range w.records() {
		if slices.Contains(expected[r.pid()], r.event()) {
			continue
		}
		_, own := expected[r.pid()]
		_, child := expected[r.parent()]
		if own || child || quietHost || r.pid() == os.Getpid() || r.parent() == os.Getpid() {
			w.t.Errorf("said though nothing is wrong: %s %s: %s %v", r.event(), r.state(), r.Body().Str(), r.Attributes().AsRaw())
		}
	}
}
