package hotspotreceiver

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// pausingContention charges the idle process a second behind the busy one with
// each reading, but for those of a pause.
type pausingContention struct {
	fakeContention
	pause   func(reading int) bool
	reading int
	charged uint64 // ns
}

func (f *pausingContention) Read(pair func(bpf.Pair, uint64), _ func(uint32, bpf.Victim)) error {
	f.reading++
	if !f.pause(f.reading) {
		f.charged += uint64(time.Second)
	}
	if f.charged > 0 {
		pair(bpf.Pair{Victim: idlePid, Aggressor: busyPid}, f.charged)
	}
	return nil
}

func (f *pausingContention) Forget(bpf.Pair) (uint64, bool) {
	charge := f.charged
	f.charged = 0
	return charge, true
}

// A sum that begins at 0 with the start time of one that was higher would be
// taken for the same that went back.
func TestTheSeriesOfAPairEndsAndBeginsAnew(t *testing.T) {
	const first, last, again, windows = 3, 5, 20, 25 // readings, one a second
	synctest.Test(t, func(t *testing.T) {
		w, c, config := newWorld(), newCollector(t), everySecond()
		config.Contention.ExpireAfter = 10 * time.Second
		w.contention = &pausingContention{pause: func(n int) bool { return n < first || n > last && n < again }}
		var to consumertest.MetricsSink
		r := c.metrics(t, newFactory(w.open), config, &to)
		start(t, r, componenttest.NewNopHost())
		pass(windows)
		require.NoError(t, r.Shutdown(t.Context()))

		// The nth batch is of the window that ends with reading n+1.
		end := map[int]pcommon.Timestamp{}
		points := map[int]pmetric.NumberDataPoint{}
		for n, batch := range to.AllMetrics() {
			end[n+2] = number(t, batch, busyPid, "process.thread.count").Timestamp()
			rm, _ := ofProcess(batch, idlePid)
			if len(aggressors(rm)) > 0 {
				points[n+2] = number(t, batch, idlePid, "hotspot.process.wait.time")
			}
		}
		for n := 2; n <= windows+1; n++ {
			p, ok := points[n]
			switch {
			case n < first, n > last+10 && n < again:
				require.False(t, ok, n)
				continue
			case n < again:
				require.True(t, ok, n)
				require.Equal(t, end[first-1], p.StartTimestamp())
				require.InDelta(t, min(n, last)-first+1, p.DoubleValue(), 1e-9)
			default:
				require.True(t, ok, n)
				require.Equal(t, end[again-1], p.StartTimestamp())
				require.InDelta(t, n-again+1, p.DoubleValue(), 1e-9)
			}
			require.Equal(t, end[n], p.Timestamp())
		}
		require.Greater(t, points[again].StartTimestamp(), points[last+10].Timestamp())
	})
}

// Without the aggressor's pid those of the same name are one series.
func TestPairsThatShareASeriesAddUp(t *testing.T) {
	config := createDefaultConfig().(*Config)
	require.NoError(t, confmap.NewFromStringMap(map[string]any{"metrics": map[string]any{
		"hotspot.process.wait.time": map[string]any{"attributes": []any{"hotspot.aggressor.name"}},
	}}).Unmarshal(config))
	s := fixedSnapshot(1, fixedIdle())
	for pid := range uint32(2) {
		s.Pairs = append(s.Pairs, &sampler.Pair{
			Victim: fixedIdle().Process, Aggressor: fixedProcess(3000+pid, "runs"),
			Wait: time.Second, Since: s.End.Add(-time.Duration(pid) * time.Minute), Total: time.Minute,
		})
	}
	batch, _ := newMetricsWriter(config, newCollector(t).settings).write(fakeIdentifier{}, s, diagnosis.New(config.Diagnosis))
	rm, _ := ofProcess(batch, idlePid)
	require.Len(t, aggressors(rm), 1)
	require.InDelta(t, 120, sumOf(rm, "hotspot.process.wait.time"), 1e-9)
}
