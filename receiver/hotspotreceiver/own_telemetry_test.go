package hotspotreceiver

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadatatest"
)

func newTelemetry(t *testing.T) (*ownTelemetry, *componenttest.Telemetry) {
	t.Helper()
	c := newCollector(t)
	builder, err := metadata.NewTelemetryBuilder(c.settings.TelemetrySettings)
	require.NoError(t, err)
	return newOwnTelemetry(builder, c.settings.Logger), c.telemetry
}

func TestLossesAreCountedByReason(t *testing.T) {
	own, telemetry := newTelemetry(t)
	record := func(l sampler.Lost) {
		own.record(t.Context(), &eyes{}, &sampler.Snapshot{Lost: l})
	}
	first := sampler.Lost{
		Exits:      bpf.ExitLoss{Processes: 1, Cpu: 1_500_000_000, Threads: 2},
		Contention: bpf.ContentionLoss{Pairs: 3, PairsNs: 250_000_000, Victims: 4, VictimsNs: 5_000_000_000, Cut: 5},
		Kills:      6,
	}
	second := first
	second.Exits.Processes += 10
	second.Exits.Cpu += 2_000_000_000
	second.Contention.Cut += 20

	record(sampler.Lost{})
	record(first)
	record(sampler.Lost{}) // could not be read
	record(second)
	record(second)
	metadatatest.AssertEqualHotspotLost(t, telemetry, []metricdata.DataPoint[int64]{
		{Attributes: lossOf("exit_ring_full"), Value: 11},
		{Attributes: lossOf("thread_exit_map_full"), Value: 2},
		{Attributes: lossOf("oom_ring_full"), Value: 6},
		{Attributes: lossOf("pair_map_full"), Value: 3},
		{Attributes: lossOf("victim_map_full"), Value: 4},
		{Attributes: lossOf("history_too_short"), Value: 25},
	}, metricdatatest.IgnoreTimestamp())
	metadatatest.AssertEqualHotspotLostTime(t, telemetry, []metricdata.DataPoint[float64]{
		{Attributes: lossOf("exit_ring_full"), Value: 3.5},
		{Attributes: lossOf("pair_map_full"), Value: 0.25},
		{Attributes: lossOf("victim_map_full"), Value: 5},
	}, metricdatatest.IgnoreTimestamp())
}

func TestNothingLostIsNoSeries(t *testing.T) {
	own, telemetry := newTelemetry(t)
	own.record(t.Context(), &eyes{}, &sampler.Snapshot{})
	for _, name := range []string{"otelcol_hotspot_lost", "otelcol_hotspot_lost_time"} {
		_, err := telemetry.GetMetric(name)
		require.Error(t, err, name)
	}
}

func TestTheUnattributedRatioIsOfAllProcesses(t *testing.T) {
	own, telemetry := newTelemetry(t)
	window := func(runQueue, unattributed time.Duration) sampler.Window {
		return sampler.Window{
			Used:   sampler.Usage{RunQueue: runQueue},
			Waited: sampler.Wait{Others: runQueue - unattributed, Various: (runQueue - unattributed) / 2, Unattributed: unattributed},
		}
	}
	see := &eyes{from: sampler.Sources{Contention: &fakeContention{}}}
	own.record(t.Context(), see, fixedSnapshot(1, window(3*time.Second, 0), window(time.Second, time.Second)))
	quarter := []metricdata.DataPoint[float64]{{Value: 0.25}}
	metadatatest.AssertEqualHotspotUnattributedRatio(t, telemetry, quarter, metricdatatest.IgnoreTimestamp())
	half := []metricdata.DataPoint[float64]{{Value: 0.375}}
	metadatatest.AssertEqualHotspotVariousRatio(t, telemetry, half, metricdatatest.IgnoreTimestamp())
	own.record(t.Context(), see, fixedSnapshot(2, window(0, 0)))
	metadatatest.AssertEqualHotspotUnattributedRatio(t, telemetry, quarter, metricdatatest.IgnoreTimestamp())
	own.record(t.Context(), see, fixedSnapshot(3, window(time.Second, 0)))
	metadatatest.AssertEqualHotspotUnattributedRatio(t, telemetry, []metricdata.DataPoint[float64]{{Value: 0}},
		metricdatatest.IgnoreTimestamp())
}

// A world with all programs: what exits, waits and kills come to the pipelines,
// and what was lost to the receiver's own telemetry.
func TestAllProgramsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), newCollector(t)
		w.exits, w.contention, w.oom = &fakeExits{}, &fakeContention{}, &fakeOOM{}
		w.programs = map[bpf.Program]error{
			bpf.CensusProgram: nil, bpf.ContentionProgram: nil, bpf.MigrationProgram: nil, bpf.ExitsProgram: nil, bpf.OOMProgram: nil,
		}
		f, config := newFactory(w.open), everySecond()
		var metricsTo consumertest.MetricsSink
		var logsTo consumertest.LogsSink
		metrics, logs := c.metrics(t, f, config, &metricsTo), c.logs(t, f, config, &logsTo)
		start(t, metrics, componenttest.NewNopHost())
		start(t, logs, componenttest.NewNopHost())
		pass(3)
		require.Empty(t, c.warnings())
		batches := metricsTo.AllMetrics()
		require.Len(t, batches, 3)

		// By the end of the nth window the kernel has charged n+1 s.
		waits := number(t, batches[2], idlePid, "hotspot.process.wait.time")
		require.Equal(t, map[string]any{"hotspot.aggressor.pid": int64(busyPid), "hotspot.aggressor.name": "postgres"},
			waits.Attributes().AsRaw())
		require.InDelta(t, 4, waits.DoubleValue(), 1e-9)
		require.InDelta(t, 4, number(t, batches[2], busyPid, "hotspot.process.wait.caused").DoubleValue(), 1e-9)
		gone, ok := ofProcess(batches[0], 5001)
		require.True(t, ok, "with so few processes, it is among the first")
		require.InDelta(t, 0.25, sumOf(gone, "process.cpu.time"), 1e-9)
		require.Equal(t, []string{"hotspot.oom_kill"}, eventNames(logsTo.AllLogs()[0]), "of before the first window")
		require.Equal(t, 4+2, logsTo.LogRecordCount(), "a kill a reading, and two diagnoses: who waits and who runs")

		metadatatest.AssertEqualHotspotProgramsAttached(t, c.telemetry, []metricdata.DataPoint[int64]{
			{Attributes: programAttribute(bpf.CensusProgram), Value: 1},
			{Attributes: programAttribute(bpf.ContentionProgram), Value: 1},
			{Attributes: programAttribute(bpf.MigrationProgram), Value: 1},
			{Attributes: programAttribute(bpf.ExitsProgram), Value: 1},
			{Attributes: programAttribute(bpf.OOMProgram), Value: 1},
		}, metricdatatest.IgnoreTimestamp())
		metadatatest.AssertEqualHotspotLost(t, c.telemetry, []metricdata.DataPoint[int64]{
			{Attributes: lossOf("exit_ring_full"), Value: 4},
			{Attributes: lossOf("oom_ring_full"), Value: 4},
			{Attributes: lossOf("history_too_short"), Value: 4},
		}, metricdatatest.IgnoreTimestamp())
		require.NoError(t, metrics.Shutdown(t.Context()))
		require.NoError(t, logs.Shutdown(t.Context()))
	})
}

func lossOf(reason string) attribute.Set {
	return attribute.NewSet(attribute.String("hotspot.loss", reason))
}

func programAttribute(p bpf.Program) attribute.Set {
	return attribute.NewSet(attribute.String("hotspot.program", string(p)))
}

// The fakes give one more with each reading, the first included.

// fakeExits is a process that came and went, a new one each time.
type fakeExits struct{ n uint64 }

func (f *fakeExits) Read(visit func(*bpf.Exit)) error {
	f.n++
	start := uint64(100*time.Second) + f.n*uint64(time.Second) - uint64(time.Second/2)
	pid := uint32(5000 + f.n - 1)
	e := &bpf.Exit{Pid: pid, ProcessStart: start, Cpu: uint64(250 * time.Millisecond)}
	copy(e.Comm[:], "brief")
	visit(e)
	return nil
}

func (f *fakeExits) Dead(func(bpf.Group, bpf.Dead)) error { return nil }
func (f *fakeExits) Forget(bpf.Group)                     {}
func (f *fakeExits) Lost() (bpf.ExitLoss, error)          { return bpf.ExitLoss{Processes: f.n}, nil }

// fakeContention charges the idle process a second behind the busy one.
type fakeContention struct{ n uint64 }

func (f *fakeContention) Read(pair func(bpf.Pair, uint64), victim func(uint32, bpf.Victim)) error {
	f.n++
	ns := f.n * uint64(time.Second)
	pair(bpf.Pair{Victim: idlePid, Aggressor: busyPid}, ns)
	victim(idlePid, bpf.Victim{Total: ns, Others: ns})
	return nil
}

func (f *fakeContention) InProgress(*bpf.Waiting, func(uint32, uint64)) error { return nil }
func (f *fakeContention) MinWait() time.Duration                              { return time.Millisecond }
func (f *fakeContention) Forget(bpf.Pair) (uint64, bool)                      { return 0, false }
func (f *fakeContention) ForgetVictim(uint32)                                 {}
func (f *fakeContention) Lost() (bpf.ContentionLoss, error) {
	return bpf.ContentionLoss{Cut: f.n}, nil
}

// fakeOOM kills the idle process.
type fakeOOM struct{ n uint64 }

func (f *fakeOOM) Read(visit func(*bpf.OOMKill)) error {
	f.n++
	visit(&bpf.OOMKill{Pid: idlePid, AnonPages: 100})
	return nil
}

func (f *fakeOOM) Lost() (uint64, error) { return f.n, nil }

// unreadable is an identifier with failures to tell of.
type unreadable struct {
	fakeIdentifier
	failures map[identity.Failure]int
}

func (u unreadable) Failures(visit func(identity.Failure, int, error)) {
	for kind, n := range u.failures {
		visit(kind, n, errors.New("no"))
	}
}

func TestFailuresOfIdentityAreCountedAndSaidOnceAMinute(t *testing.T) {
	own, telemetry := newTelemetry(t)
	core, log := observer.New(zapcore.InfoLevel)
	own.log = zap.New(core)
	pass := func(after time.Duration, failures map[identity.Failure]int) {
		at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(after)
		own.identityFailures(t.Context(), unreadable{failures: failures}, at)
	}
	pass(0, nil)
	require.Zero(t, log.Len())
	pass(0, map[identity.Failure]int{identity.Hidden: 500})
	pass(time.Second, map[identity.Failure]int{identity.Hidden: 2, identity.Denied: 3})
	pass(59*time.Second, map[identity.Failure]int{identity.Hidden: 1, identity.Unreadable: 1})
	kinds := []any{}
	for _, line := range log.All() {
		kinds = append(kinds, line.ContextMap()["kind"])
	}
	require.Equal(t, []any{"hidden", "denied", "unreadable"}, kinds)
	pass(time.Minute, map[identity.Failure]int{identity.Hidden: 1})
	require.Equal(t, 4, log.Len())
	of := func(kind string) attribute.Set {
		return attribute.NewSet(attribute.String("hotspot.identity.error", kind))
	}
	metadatatest.AssertEqualHotspotIdentityErrors(t, telemetry, []metricdata.DataPoint[int64]{
		{Attributes: of("hidden"), Value: 504},
		{Attributes: of("denied"), Value: 3},
		{Attributes: of("unreadable"), Value: 1},
	}, metricdatatest.IgnoreTimestamp())
}
