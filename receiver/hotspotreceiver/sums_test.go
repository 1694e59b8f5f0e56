package hotspotreceiver

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/open-telemetry/opentelemetry-collector-contrib/pkg/pdatatest/pmetrictest"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// crowdedHost is a host of many processes: each window others of them work, some
// exit, and as many begin.
type crowdedHost struct {
	random *rand.Rand
	alive  []sampler.Window
	pid    uint32
}

func newCrowdedHost(processes int) *crowdedHost {
	h := &crowdedHost{random: rand.New(rand.NewPCG(uint64(processes), 0))}
	for range processes {
		w := h.begin()
		w.Total.User = h.cpu() * 1000 // from before the watch
		h.alive = append(h.alive, w)
	}
	return h
}

func (h *crowdedHost) begin() sampler.Window {
	h.pid++
	w := sampler.Window{Process: fixedProcess(h.pid, "job")}
	w.Created = w.Created.Add(time.Duration(h.pid) * 10 * time.Millisecond)
	w.Kernel = h.random.IntN(20) == 0
	return w
}

// cpu returns what one process uses in a window: mostly little.
func (h *crowdedHost) cpu() time.Duration {
	return time.Duration(h.random.ExpFloat64() * h.random.ExpFloat64() * float64(50*time.Millisecond))
}

// window returns what all have done in the next window.
func (h *crowdedHost) window() []sampler.Window {
	all := []sampler.Window{}
	alive := h.alive[:0]
	for _, w := range h.alive {
		w.Used = sampler.Usage{}
		w.Busiest, w.Growth, w.Waited, w.Caused = sampler.Thread{}, 0, sampler.Wait{}, 0
		if h.random.IntN(10) == 0 {
			h.work(&w)
		}
		if h.random.IntN(200) == 0 {
			w.Exited, w.RSS = true, 0
		}
		all = append(all, w)
		if w.Exited {
			alive = append(alive, h.begin())
		} else {
			alive = append(alive, w)
		}
	}
	h.alive = alive
	for range h.random.IntN(100) {
		w := h.begin()
		h.work(&w)
		w.Exited, w.ShortLived, w.RSS = true, true, 0
		all = append(all, w)
	}
	return all
}

func (h *crowdedHost) work(w *sampler.Window) {
	w.Used = sampler.Usage{User: h.cpu(), System: h.cpu(), MinorFaults: h.random.Uint64N(5000)}
	w.Total.User += w.Used.User
	w.Total.System += w.Used.System
	w.Waited.Others, w.Caused = h.cpu(), h.cpu()
	w.RSS, w.Growth = h.random.Uint64N(1<<30), h.random.NormFloat64()*1e6
	if h.random.IntN(200) == 0 {
		w.Busiest.CPU = 5 * time.Second // for the rule of cpu_bound
	}
}

// Of ten thousand processes the top changes with every window. What the exported
// ones used in a window, and what the host's sums grew by, is what all have used,
// to the nanosecond.
func TestWhatIsExportedAndWhatIsLeftOutIsAllThereIs(t *testing.T) {
	const windows = 15
	config := createDefaultConfig().(*Config)
	config.Selection.Max = 80 // more than enough for the top, too few for all that stay
	host := newCrowdedHost(10_000)
	engine, writer := diagnosis.New(config.Diagnosis), newMetricsWriter(config, newCollector(t).settings)
	var (
		before                 = map[int64]sampler.Usage{} // in all, by pid
		began                  = map[int64]pcommon.Timestamp{}
		lastIn                 = map[int64]int{} // the last window it was exported in
		shortLived, other      time.Duration
		full, again, diagnosed int
	)
	for _, w := range host.alive {
		before[int64(w.Pid)] = w.Total
	}
	for n := range windows {
		all := host.window()
		s := fixedSnapshot(n+1, all...)
		engine.Observe(s)
		batch, processes := writer.write(fakeIdentifier{}, s, engine)
		require.NoError(t, pmetrictest.ValidateMetrics(batch))

		var exported time.Duration
		in := map[int64]bool{}
		for _, rm := range batch.ResourceMetrics().All() {
			of, ok := rm.Resource().Attributes().Get("process.pid")
			if !ok {
				continue
			}
			pid := of.Int()
			require.False(t, in[pid], "one resource a process")
			in[pid] = true
			exported += seconds(sumOf(rm, "process.cpu.time")) - before[pid].CPU()
			start := startOf(rm, "process.cpu.time")
			if was, known := began[pid]; known {
				require.Equal(t, was, start, "a series that comes again is the same")
				if lastIn[pid] < n-1 {
					again++
				}
			}
			began[pid], lastIn[pid] = start, n
		}
		require.Len(t, in, processes)
		require.LessOrEqual(t, len(in), config.Selection.Max)
		if len(in) == config.Selection.Max {
			full++
		}

		var used time.Duration
		var memory uint64
		for _, w := range all {
			used += w.Used.CPU()
			before[int64(w.Pid)] = w.Total
			if !in[int64(w.Pid)] {
				memory += w.RSS
			}
			if engine.Label(w.ID) != diagnosis.OK {
				diagnosed++
				require.True(t, in[int64(w.Pid)])
			}
		}
		nowShortLived, nowOther := time.Duration(0), seconds(hostSum(t, batch, "hotspot.host.other.cpu.time"))
		for _, cpu := range shortLivedSeries(batch) {
			nowShortLived += seconds(cpu)
		}
		require.Equal(t, used, exported+nowShortLived-shortLived+nowOther-other, "window %d", n)
		require.GreaterOrEqual(t, nowOther, other)
		require.EqualValues(t, memory, hostSum(t, batch, "hotspot.host.other.memory.usage"))
		shortLived, other = nowShortLived, nowOther
	}
	// Else this has shown nothing.
	require.Positive(t, full)
	require.Positive(t, again)
	require.Positive(t, diagnosed)
	require.Positive(t, shortLived)
	require.Positive(t, other)
	require.Greater(t, len(began), 2*config.Selection.Max, "the top changes")
}

// seconds returns a value as it was before it left: to the nanosecond, as far
// as a float64 goes.
func seconds(v float64) time.Duration { return time.Duration(math.Round(v * 1e9)) }

// startOf returns the start time of a metric's series, which all must have.
func startOf(rm pmetric.ResourceMetrics, name string) (start pcommon.Timestamp) {
	for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
		if m.Name() == name {
			start = m.Sum().DataPoints().At(0).StartTimestamp()
		}
	}
	return start
}

// hostSum returns a sum on the host's own resource.
func hostSum(t *testing.T, batch pmetric.Metrics, name string) float64 {
	t.Helper()
	for _, rm := range batch.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() != name {
				continue
			}
			require.Zero(t, rm.Resource().Attributes().Len())
			p := m.Sum().DataPoints().At(0)
			if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
				return float64(p.IntValue())
			}
			return p.DoubleValue()
		}
	}
	require.Fail(t, "no metric "+name)
	return 0
}

// A process that is not exported again until much later has the sum and the start
// it would have had all along; what it used meanwhile is in the host's.
func TestAProcessThatComesAgainHasTheSameSeries(t *testing.T) {
	config := createDefaultConfig().(*Config)
	config.Selection.TopK, config.Selection.Hold = 1, 0
	engine, writer := diagnosis.New(config.Diagnosis), newMetricsWriter(config, newCollector(t).settings)
	total := map[int64]time.Duration{busyPid: 100 * time.Second, idlePid: 30 * time.Millisecond}
	write := func(n int, busy, idle time.Duration) pmetric.Metrics {
		one, other := fixedBusy(), fixedIdle()
		one.RSS, other.RSS = 0, 0 // neither is in the top by that
		one.Busiest, one.Used, other.Used = sampler.Thread{}, sampler.Usage{User: busy}, sampler.Usage{User: idle}
		if busy == 0 {
			other.RSS = 8 << 20
		} else {
			one.RSS = 200 << 20
		}
		total[busyPid] += busy
		total[idlePid] += idle
		one.Total, other.Total = sampler.Usage{User: total[busyPid]}, sampler.Usage{User: total[idlePid]}
		batch, processes := writer.write(fakeIdentifier{}, fixedSnapshot(n, one, other), engine)
		require.Equal(t, 1, processes)
		return batch
	}
	first := write(1, 2*time.Second, time.Second)
	second := write(2, 0, time.Second)
	_, ok := ofProcess(second, busyPid)
	require.False(t, ok)
	third := write(3, 0, 3*time.Second)
	fourth := write(4, 4*time.Second, time.Second)

	born := pcommon.NewTimestampFromTime(fixedBusy().Created)
	for batch, want := range map[pmetric.Metrics]float64{first: 102, fourth: 106} {
		p := number(t, batch, busyPid, "process.cpu.time")
		require.Equal(t, born, p.StartTimestamp())
		require.InDelta(t, want, p.DoubleValue(), 1e-9)
	}
	for i, batch := range []pmetric.Metrics{first, second, third, fourth} {
		require.InDelta(t, []float64{1, 1, 1, 2}[i], hostSum(t, batch, "hotspot.host.other.cpu.time"), 1e-9)
	}
}

// Ten processes wait more than the one that is exported. They take none of its
// pairs' room.
func TestPairsOfThoseLeftOutTakeNoRoom(t *testing.T) {
	config := createDefaultConfig().(*Config)
	config.Selection.TopK, config.Contention.MaxPairs = 0, 2
	engine, writer := diagnosis.New(config.Diagnosis), newMetricsWriter(config, newCollector(t).settings)
	victim := fixedBusy() // diagnosed
	s := fixedSnapshot(1, victim)
	for pid := range uint32(10) {
		w := fixedIdle()
		w.Process = fixedProcess(2000+pid, "waits")
		s.Windows = append(s.Windows, w)
		s.Pairs = append(s.Pairs, &sampler.Pair{Victim: w.Process, Aggressor: victim.Process, Wait: 4 * time.Second})
	}
	for pid := range uint32(3) {
		s.Pairs = append(s.Pairs, &sampler.Pair{
			Victim: victim.Process, Aggressor: fixedProcess(3000+pid, "runs"),
			Wait: time.Duration(3-pid) * time.Second, Total: time.Minute,
		})
	}
	engine.Observe(s)
	batch, processes := writer.write(fakeIdentifier{}, s, engine)
	require.Equal(t, 1, processes)
	rm, _ := ofProcess(batch, busyPid)
	require.Equal(t, []int64{3000, 3001}, aggressors(rm))
}

// aggressors returns whom a process waited behind.
func aggressors(rm pmetric.ResourceMetrics) (pids []int64) {
	for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
		if m.Name() != "hotspot.process.wait.time" {
			continue
		}
		for _, p := range m.Sum().DataPoints().All() {
			pid, _ := p.Attributes().Get("hotspot.aggressor.pid")
			pids = append(pids, pid.Int()) // 0 if the attribute is left out
		}
	}
	return pids
}
