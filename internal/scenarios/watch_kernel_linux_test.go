package scenarios

import (
	"context"
	"os"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver"
)

// watch is a receiver that watches this host through many scenarios, as it does
// in production, and what it has sent.
type watch struct {
	interval time.Duration
	// quiet says that there is no other load on this host: whatever is said of any
	// process but the workload's is wrong, from the first window to the last.
	quiet bool

	mu      sync.Mutex
	windows []window
	records []record
	parents map[int]parent // by pid, of all it has ever seen
}

// parent is that of a process as it was first seen: whose parent is gone is its
// child all the same. A pid that is used again has another.
type parent struct {
	pid int
	of  string // when the child was created
}

// window is when one has ended, and how many CPUs were used in it by processes
// that are neither this test nor descend from it.
type window struct {
	end       time.Time
	otherLoad float64
}

// watchHost starts a receiver, which is stopped at the end of the test.
func watchHost(t *testing.T, interval time.Duration, quiet bool) *watch {
	t.Helper()
	w := &watch{interval: interval, quiet: quiet, parents: make(map[int]parent)}
	toMetrics, err := consumer.NewMetrics(w.takeMetrics)
	require.NoError(t, err)
	toLogs, err := consumer.NewLogs(w.takeLogs)
	require.NoError(t, err)
	f := hotspotreceiver.NewFactory()
	config := f.CreateDefaultConfig().(*hotspotreceiver.Config)
	config.CollectionInterval, config.InitialDelay = interval, 0
	config.Selection.TopK, config.Selection.Max = 1<<22, 1<<22 // otherLoad is of all processes
	settings := receivertest.NewNopSettings(f.Type())
	metrics, err := f.CreateMetrics(t.Context(), settings, config, toMetrics)
	require.NoError(t, err)
	logs, err := f.CreateLogs(t.Context(), settings, config, toLogs)
	require.NoError(t, err)
	require.NoError(t, metrics.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
	t.Cleanup(func() {
		require.NoError(t, metrics.Shutdown(context.Background()))
		require.NoError(t, logs.Shutdown(context.Background()))
	})
	return w
}

// takeMetrics keeps of a batch what is asked for later: there are thousands.
func (w *watch) takeMetrics(_ context.Context, batch pmetric.Metrics) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, rm := range batch.ResourceMetrics().All() {
		w.learn(rm.Resource())
	}
	w.windows = append(w.windows, window{endOf(batch), w.otherLoad(batch)})
	return nil
}

func (w *watch) takeLogs(_ context.Context, batch plog.Logs) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, rl := range batch.ResourceLogs().All() {
		w.learn(rl.Resource())
		for _, r := range rl.ScopeLogs().At(0).LogRecords().All() {
			kept := record{plog.NewLogRecord(), number(rl.Resource().Attributes(), "process.pid")}
			r.CopyTo(kept.LogRecord)
			w.records = append(w.records, kept)
		}
	}
	return nil
}

func (w *watch) learn(r pcommon.Resource) {
	pid := number(r.Attributes(), "process.pid")
	created, ok := r.Attributes().Get("process.creation.time")
	if ok && w.parents[pid].of != created.Str() {
		w.parents[pid] = parent{number(r.Attributes(), "process.parent_pid"), created.Str()}
	}
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

func (w *watch) otherLoad(batch pmetric.Metrics) float64 {
	used := 0.0
	for _, rm := range batch.ResourceMetrics().All() {
		if _, own := w.ancestor(number(rm.Resource().Attributes(), "process.pid"), []int{os.Getpid()}); own {
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

// descends returns which of these processes a process is or descends from.
func (w *watch) descends(pid int, from ...int) (int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ancestor(pid, from)
}

func (w *watch) ancestor(pid int, among []int) (int, bool) {
	for range 16 { // deep enough; pids used again could make a circle
		if slices.Contains(among, pid) {
			return pid, true
		}
		pid = w.parents[pid].pid
	}
	return 0, false
}

// fullWindows returns those that began after one moment and ended by another. The
// window in which something begins is not among them.
func (w *watch) fullWindows(after, by time.Time) []window {
	w.mu.Lock()
	defer w.mu.Unlock()
	var full []window
	for i := 1; i < len(w.windows); i++ {
		if !w.windows[i-1].end.Before(after) && !w.windows[i].end.After(by) {
			full = append(full, w.windows[i])
		}
	}
	return full
}

// ended returns all windows so far.
func (w *watch) ended() []window {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.windows)
}

// said returns all records from the nth on.
func (w *watch) said(from int) []record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.records[from:])
}

// record is one log record, with whose it is.
type record struct {
	plog.LogRecord
	pid int
}

// label returns what it says: a diagnosis, or oom_kill.
func (r record) label() string { return labelOf(r.EventName()) }

func (r record) state() string {
	v, _ := r.Attributes().Get("hotspot.diagnosis.state")
	return v.Str()
}

func (r record) number(name string) int { return number(r.Attributes(), name) }

func (r record) String() string {
	return r.Timestamp().AsTime().Format("15:04:05.0 ") + r.label() + " " + r.state() + ": " + r.Body().Str()
}

// number returns an attribute that is an integer, 0 if there is none.
func number(of pcommon.Map, name string) int {
	if v, ok := of.Get(name); ok {
		return int(v.Int())
	}
	return 0
}
