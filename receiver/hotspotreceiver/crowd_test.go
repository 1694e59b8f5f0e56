package hotspotreceiver

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// crowd is a kernel of many processes of one thread. A few run between two passes,
// always the same, so that always the same are exported.
type crowd struct {
	threads  []*bpf.Thread
	activity [active]*bpf.Activity
	process  *bpf.Process
	passes   int
}

const active = 20

func newCrowd(processes int) *crowd {
	c := &crowd{process: process("crowd", 0)}
	for pid := range uint32(processes) {
		c.threads = append(c.threads, thread(pid+1))
	}
	for i := range c.activity {
		c.activity[i] = ran(1e6)
	}
	return c
}

func (c *crowd) Read(visit func(*bpf.Thread, *bpf.Activity, *bpf.Process)) error {
	c.passes++
	for i, t := range c.threads {
		c.process.AnonPages = 1000
		switch {
		case i < active:
			a := c.activity[i]
			a.Cpu, a.User = a.Cpu+uint64(1+i)*1e6, a.User+uint64(1+i)*1e6
			c.process.AnonPages += uint64(i)
			visit(t, a, c.process)
		case c.passes == 1:
			visit(t, ran(1e6), c.process)
		default:
			visit(t, nil, c.process)
		}
	}
	return nil
}

func (c *crowd) Whole() {}

// steadyClock goes on by a window each time it is looked at.
type steadyClock struct {
	*world
	now time.Duration
}

func (c *steadyClock) Now() (time.Time, time.Duration) {
	c.now += 5 * time.Second
	return c.born.Add(c.now), 100*time.Second + c.now
}

func newCrowdedWatch(t testing.TB, processes int, edit func(*Config)) (collect func(), exported func() int) {
	t.Helper()
	config := createDefaultConfig().(*Config)
	edit(config)
	c := newCollector(t)
	w, err := newWatch(config, c.settings)
	require.NoError(t, err)
	sink := &points{Consumer: consumertest.NewNop()}
	w.metricsTo, w.logsTo = sink, consumertest.NewNop()
	world := newWorld()
	see, err := world.open(config)
	require.NoError(t, err)
	see.from.Census, see.from.Host = newCrowd(processes), &steadyClock{world: world}
	w.metrics.chosen, w.logs.chosen = see.chosen, see.chosen
	samples := sampler.New(see.from, w.config.Diagnosis.OOMRisk.Windows+1)
	engine := diagnosis.New(w.config.Diagnosis)
	w.metricsWay, w.logsWay = newDelivery(metricsWaiting, w.log), newDelivery(logsWaiting, w.log)
	collect = func() {
		w.collect(context.Background(), see, samples, engine)
		for _, way := range []*delivery{w.metricsWay, w.logsWay} {
			for len(way.waiting) > 0 {
				(<-way.waiting).send(context.Background())
			}
		}
	}
	for range 10 {
		collect()
	}
	return collect, func() int { return sink.resources }
}

// points keeps how many resources the last batch had.
type points struct {
	consumertest.Consumer
	resources int
}

func (p *points) ConsumeMetrics(_ context.Context, m pmetric.Metrics) error {
	p.resources = m.ResourceMetrics().Len()
	return nil
}

func defaults(*Config) {}

func everything(c *Config) { c.Selection.TopK, c.Selection.Max = 1<<22, 1<<22 }

// All stages together: the exported processes and nothing else is what is
// allocated for.
func TestACollectionAllocatesNothingForProcessesThatAreNotExported(t *testing.T) {
	allocations := func(processes int) (float64, int) {
		collect, exported := newCrowdedWatch(t, processes, defaults)
		return testing.AllocsPerRun(20, collect), exported()
	}
	few, exported := allocations(1000)
	many, exportedOfMany := allocations(2000)
	t.Logf("%v allocations for %d resources, with twice the processes %v for %d", few, exported, many, exportedOfMany)
	require.Equal(t, exported, exportedOfMany)
	require.GreaterOrEqual(t, exported, 10)
	require.InDelta(t, few, many, 1) // maps of Go grow by chance
}

func BenchmarkCollect(b *testing.B) {
	for name, edit := range selections {
		b.Run("threads=10000/"+name, func(b *testing.B) {
			collect, _ := newCrowdedWatch(b, 10_000, edit)
			b.ReportAllocs()
			for b.Loop() {
				collect()
			}
		})
	}
}

var selections = map[string]func(*Config){"defaults": defaults, "everything": everything}

// BenchmarkBuild is the way from a window to pdata.
func BenchmarkBuild(b *testing.B) {
	for name, edit := range selections {
		b.Run("threads=10000/"+name, func(b *testing.B) {
			build := newCrowdedWriter(b, edit)
			b.ReportAllocs()
			for b.Loop() {
				build()
			}
		})
	}
}

// BenchmarkMarshal is the way from pdata to OTLP, as an exporter goes it.
func BenchmarkMarshal(b *testing.B) {
	for name, edit := range selections {
		b.Run("threads=10000/"+name, func(b *testing.B) {
			metrics := newCrowdedWriter(b, edit)()
			marshaler := &pmetric.ProtoMarshaler{}
			b.ReportMetric(float64(marshaler.MetricsSize(metrics)), "bytes")
			b.ReportAllocs()
			for b.Loop() {
				_, err := marshaler.MarshalMetrics(metrics)
				require.NoError(b, err)
			}
		})
	}
}

// newCrowdedWriter returns what builds the metrics of a window of 10 000
// processes.
func newCrowdedWriter(t testing.TB, edit func(*Config)) (build func() pmetric.Metrics) {
	t.Helper()
	config := createDefaultConfig().(*Config)
	edit(config)
	writer := newMetricsWriter(config, newCollector(t).settings)
	engine := diagnosis.New(config.Diagnosis)
	s := fixedSnapshot(1)
	for pid := range uint32(10_000) {
		w := fixedIdle()
		w.Process = fixedProcess(pid+1, fmt.Sprint("crowd", pid))
		w.RSS += uint64(pid)
		s.Windows = append(s.Windows, w)
	}
	engine.Observe(s)
	return func() pmetric.Metrics {
		m, _ := writer.write(fakeIdentifier{}, s, engine)
		return m
	}
}
