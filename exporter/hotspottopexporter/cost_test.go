package hotspottopexporter

import (
	"fmt"
	"math"
	"runtime"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/frame"
	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/screen"
)

// A gateway draws a fleet: as many resources as 25 hosts export at most.
const (
	many   = 5000
	budget = 50 * time.Millisecond
)

func TestAFleetIsDrawnInLittleTime(t *testing.T) {
	if _, ok := cpuTime(); !ok {
		t.Skip("this platform does not tell what a process uses")
	}
	least := time.Duration(math.MaxInt64)
	next, draw := drawing()
	for range 10 {
		next()
		runtime.GC() // of what was before
		before, _ := cpuTime()
		draw()
		after, _ := cpuTime()
		least = min(least, after-before)
	}
	t.Logf("%d resources are read and drawn in %v of CPU time", many, least)
	require.Positive(t, least)
	require.Less(t, least, budget)
}

func BenchmarkDraw(b *testing.B) {
	next, draw := drawing()
	for b.Loop() {
		b.StopTimer()
		next()
		b.StartTimer()
		draw()
	}
}

// drawing returns a function that makes the next window, and one that reads and
// draws it.
func drawing() (next, draw func()) {
	batch := processes(many)
	reader := frame.New(time.Minute)
	model := screen.New(screen.Own{}, func() {})
	model.Update(tea.WindowSizeMsg{Width: 200, Height: 50})
	now := time.Now()
	next = func() {
		now = now.Add(2 * time.Second)
		advance(batch, pcommon.NewTimestampFromTime(now))
	}
	draw = func() {
		reader.Metrics(batch, now)
		model.Update(screen.Show{Frame: reader.Frame(now)})
		if len(model.View().Content) == 0 {
			panic("nothing is drawn")
		}
	}
	return next, draw
}

// advance makes a batch one of another window, with larger sums.
func advance(batch pmetric.Metrics, at pcommon.Timestamp) {
	for _, rm := range batch.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			points := m.Gauge().DataPoints
			if m.Type() == pmetric.MetricTypeSum {
				points = m.Sum().DataPoints
			}
			for _, p := range points().All() {
				p.SetTimestamp(at)
				p.SetDoubleValue(p.DoubleValue() + 0.5)
			}
		}
	}
}

// processes returns a window of so many, with all that the receiver sends.
func processes(n int) pmetric.Metrics {
	batch := pmetric.NewMetrics()
	for i := range n {
		rm := batch.ResourceMetrics().AppendEmpty()
		identify(rm.Resource(), i)
		metrics := rm.ScopeMetrics().AppendEmpty().Metrics()
		sum := func(name, attribute string, values ...string) pmetric.NumberDataPointSlice {
			m := metrics.AppendEmpty()
			m.SetName(name)
			points := m.SetEmptySum().DataPoints()
			for _, value := range values {
				p := points.AppendEmpty()
				p.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
				p.SetDoubleValue(float64(i))
				if attribute != "" {
					p.Attributes().PutStr(attribute, value)
				}
			}
			return points
		}
		gauge := func(name string) {
			m := metrics.AppendEmpty()
			m.SetName(name)
			p := m.SetEmptyGauge().DataPoints().AppendEmpty()
			p.SetTimestamp(pcommon.NewTimestampFromTime(time.Now()))
			p.SetDoubleValue(float64(i))
		}
		sum("process.cpu.time", "cpu.mode", "user", "system")
		sum("process.cpu.utilization", "cpu.mode", "user", "system")
		sum("process.paging.faults", "system.paging.fault.type", "minor", "major")
		sum("process.context_switches", "process.context_switch.type", "voluntary", "involuntary")
		sum("process.memory.usage", "", "")
		sum("process.thread.count", "", "")
		sum("hotspot.process.run_queue.time", "", "")
		sum("hotspot.process.wait.caused", "", "")
		points := sum("hotspot.process.wait.time", "hotspot.aggressor.name", "a", "b", "c")
		for j, p := range points.All() {
			p.Attributes().PutInt("hotspot.aggressor.pid", int64(j))
		}
		gauge("hotspot.process.thread.max_utilization")
		gauge("hotspot.process.memory.growth")
		gauge("hotspot.process.memory.limit")
		gauge("hotspot.process.memory.time_to_limit")
	}
	return batch
}

func identify(r pcommon.Resource, i int) {
	a := r.Attributes()
	a.PutInt("process.pid", int64(i))
	a.PutInt("process.parent_pid", 1)
	a.PutStr("process.executable.name", fmt.Sprintf("p-%d", i))
	a.PutStr("process.creation.time", "2026-03-04T05:06:07.00Z")
	a.PutStr("process.linux.cgroup", "/system.slice/a-service-of-some-kind.service")
	if i >= 200 {
		a.PutStr("host.name", fmt.Sprintf("node-%d", i/200))
	}
}
