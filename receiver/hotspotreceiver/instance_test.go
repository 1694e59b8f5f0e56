package hotspotreceiver

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/metric/metricdata/metricdatatest"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadatatest"
)

// Time in these tests is that of the bubble, which begins at a whole second.
// pass lets windows end and returns in the middle of the next, when the receiver
// has done with them. A goroutine that is left when a test ends fails it.
func pass(windows int) {
	time.Sleep(time.Duration(windows)*time.Second + time.Second/2 - time.Duration(time.Now().Nanosecond()))
	synctest.Wait()
}

// start starts a receiver, and stops it at the latest when the test ends.
func start(t *testing.T, r component.Component, host component.Host) {
	t.Helper()
	require.NoError(t, r.Start(t.Context(), host))
	t.Cleanup(func() { _ = r.Shutdown(context.Background()) })
}

func TestBothPipelinesShareOneInstance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, config := newWorld(), newCollector(t), everySecond()
		f := newFactory(w.open)
		var metricsTo consumertest.MetricsSink
		var logsTo consumertest.LogsSink
		metrics, logs := c.metrics(t, f, config, &metricsTo), c.logs(t, f, config, &logsTo)
		require.Same(t, metrics, logs)

		start(t, metrics, componenttest.NewNopHost())
		start(t, logs, componenttest.NewNopHost())
		pass(3)
		require.Equal(t, 4, w.taken(), "one at once, and one at the end of each window")
		require.Len(t, metricsTo.AllMetrics(), 3)
		require.Len(t, logsTo.AllLogs(), 1, "started, and nothing new since")
		require.Equal(t, "hotspot.diagnosis.cpu_bound",
			logsTo.AllLogs()[0].ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0).EventName())

		require.NoError(t, logs.Shutdown(t.Context()))
		require.NoError(t, metrics.Shutdown(t.Context()))
		require.Equal(t, 1, w.opened)
		require.Equal(t, 1, w.closed)
		pass(3)
		require.Equal(t, 4, w.taken())
		require.Empty(t, c.errors())
	})
}

func TestTwoConfigurationsAreTwoInstances(t *testing.T) {
	w, c := newWorld(), newCollector(t)
	f := newFactory(w.open)
	require.NotSame(t, c.metrics(t, f, everySecond(), consumertest.NewNop()),
		c.metrics(t, f, everySecond(), consumertest.NewNop()))
}

func TestAMetricsPipelineAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), newCollector(t)
		var to consumertest.MetricsSink
		r := c.metrics(t, newFactory(w.open), everySecond(), &to)
		start(t, r, componenttest.NewNopHost())
		pass(2)
		require.Len(t, to.AllMetrics(), 2)
		require.NoError(t, r.Shutdown(t.Context()))
		require.Equal(t, 1, w.closed)
	})
}

func TestALogsPipelineAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), newCollector(t)
		var to consumertest.LogsSink
		r := c.logs(t, newFactory(w.open), everySecond(), &to)
		start(t, r, componenttest.NewNopHost())
		pass(2)
		require.Equal(t, 1, to.LogRecordCount())
		require.NoError(t, r.Shutdown(t.Context()))
		require.Equal(t, 1, w.closed)
	})
}

func TestInitialDelayPutsOffTheFirstReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, config := newWorld(), newCollector(t), everySecond()
		config.InitialDelay = 3 * time.Second
		r := c.metrics(t, newFactory(w.open), config, consumertest.NewNop())
		start(t, r, componenttest.NewNopHost())
		pass(2)
		require.Zero(t, w.taken())
		pass(1)
		require.Equal(t, 1, w.taken())
		require.NoError(t, r.Shutdown(t.Context()))
	})
}

func TestShutdownDuringTheInitialDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, config := newWorld(), newCollector(t), everySecond()
		config.InitialDelay = time.Hour
		r := c.metrics(t, newFactory(w.open), config, consumertest.NewNop())
		start(t, r, componenttest.NewNopHost())
		began := time.Now()
		require.NoError(t, r.Shutdown(t.Context()))
		require.Zero(t, time.Since(began))
		require.Equal(t, 1, w.closed)
		require.Zero(t, w.taken())
	})
}

func TestPropagateFailsTheStartOfBoth(t *testing.T) {
	w, c, config := newWorld(), newCollector(t), everySecond()
	w.openErr = errors.New("missing CAP_BPF")
	f := newFactory(w.open)
	metrics, logs := c.metrics(t, f, config, consumertest.NewNop()), c.logs(t, f, config, consumertest.NewNop())
	require.ErrorIs(t, metrics.Start(t.Context(), &statusHost{}), w.openErr)
	require.ErrorIs(t, logs.Start(t.Context(), &statusHost{}), w.openErr)
	require.Empty(t, c.errors(), "the collector logs what Start returns")
	require.NoError(t, metrics.Shutdown(t.Context()))
	require.NoError(t, logs.Shutdown(t.Context()))
}

func TestIgnoreLogsOnceAndReportsToBoth(t *testing.T) {
	w, c, config := newWorld(), newCollector(t), everySecond()
	config.ErrorMode = IgnoreErrors
	w.openErr = errors.New("missing CAP_BPF")
	f := newFactory(w.open)
	metrics, logs := c.metrics(t, f, config, consumertest.NewNop()), c.logs(t, f, config, consumertest.NewNop())
	first, second := &statusHost{}, &statusHost{}
	start(t, metrics, first)
	start(t, logs, second)
	require.Equal(t, []string{"The hotspot receiver does nothing: the host cannot be watched: missing CAP_BPF"}, c.errors())
	for _, host := range []*statusHost{first, second} {
		require.Equal(t, []componentstatus.Status{componentstatus.StatusPermanentError}, host.statuses())
		require.ErrorIs(t, host.events[0].Err(), w.openErr)
	}
	require.NoError(t, metrics.Shutdown(t.Context()))
	require.NoError(t, logs.Shutdown(t.Context()))
}

func TestACensusThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, config := newWorld(), newCollector(t), everySecond()
		f := newFactory(w.open)
		var to consumertest.MetricsSink
		metrics, logs := c.metrics(t, f, config, &to), c.logs(t, f, config, consumertest.NewNop())
		first, second := &statusHost{}, &statusHost{}
		start(t, metrics, first)
		pass(1)
		require.Len(t, to.AllMetrics(), 1)

		broken := errors.New("no such device")
		w.failReads(broken)
		pass(2)
		require.Len(t, to.AllMetrics(), 1, "no metrics without a window")
		require.Len(t, c.errors(), 1, "logged once an episode")
		require.Contains(t, c.errors()[0], "no such device")
		require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError}, first.statuses())
		start(t, logs, second)
		require.Equal(t, first.statuses(), second.statuses(), "a later pipeline hears how things are")

		w.failReads(nil)
		pass(1)
		require.Len(t, c.errors(), 1)
		require.Greater(t, len(to.AllMetrics()), 1)
		for _, host := range []*statusHost{first, second} {
			require.Equal(t, []componentstatus.Status{componentstatus.StatusRecoverableError, componentstatus.StatusOK},
				host.statuses())
		}

		failed := w.taken()
		w.failReads(fmt.Errorf("%w: 8 bytes left over", bpf.ErrRecord))
		pass(3)
		require.Len(t, c.errors(), 2, "another episode")
		require.Len(t, first.statuses(), 3)
		failed = w.taken() - failed

		metadatatest.AssertEqualHotspotCensusErrors(t, c.telemetry, []metricdata.DataPoint[int64]{
			{Attributes: reason("pass_failed"), Value: 2},
			{Attributes: reason("record_truncated"), Value: int64(failed)},
		}, metricdatatest.IgnoreTimestamp())
		require.NoError(t, metrics.Shutdown(t.Context()))
		require.NoError(t, logs.Shutdown(t.Context()))
	})
}

func reason(name string) attribute.Set {
	return attribute.NewSet(attribute.String("hotspot.census.error", name))
}

func TestAWindowIsAsLongAsThePassesThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), newCollector(t)
		var to consumertest.MetricsSink
		r := c.metrics(t, newFactory(w.open), everySecond(), &to)
		start(t, r, componenttest.NewNopHost())
		pass(0)
		w.failReads(errors.New("no such device"))
		pass(2)
		w.failReads(nil)
		pass(1)
		require.Len(t, to.AllMetrics(), 1)
		require.InDelta(t, 1.0/4, number(t, to.AllMetrics()[0], busyPid, "process.cpu.utilization").DoubleValue(), 1e-9,
			"of four CPUs, over all three seconds")
		require.NoError(t, r.Shutdown(t.Context()))
	})
}

func TestOwnTelemetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), newCollector(t)
		config := everySecond()
		config.Selection.TopK = 0 // only the one that is diagnosed
		r := c.metrics(t, newFactory(w.open), config, consumertest.NewNop())
		start(t, r, componenttest.NewNopHost())
		pass(2)
		one, both := []metricdata.DataPoint[int64]{{Value: 1}}, []metricdata.DataPoint[int64]{{Value: 2}}
		metadatatest.AssertEqualHotspotCensusThreads(t, c.telemetry, both, metricdatatest.IgnoreTimestamp())
		metadatatest.AssertEqualHotspotProcessesExported(t, c.telemetry, one, metricdatatest.IgnoreTimestamp())
		metadatatest.AssertEqualHotspotProcessesLeftOut(t, c.telemetry, one, metricdatatest.IgnoreTimestamp())
		duration, err := c.telemetry.GetMetric("otelcol_hotspot_census_duration")
		require.NoError(t, err)
		require.Equal(t, uint64(3), duration.Data.(metricdata.Histogram[float64]).DataPoints[0].Count)
		require.NoError(t, r.Shutdown(t.Context()))
	})
}

func TestShutdownBeforeStart(t *testing.T) {
	w, c := newWorld(), newCollector(t)
	f := newFactory(w.open)
	require.NoError(t, c.metrics(t, f, everySecond(), consumertest.NewNop()).Shutdown(t.Context()))
	require.Zero(t, w.opened)
	require.Zero(t, w.closed)
}

func TestShutdownTwiceClosesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), newCollector(t)
		r := c.metrics(t, newFactory(w.open), everySecond(), consumertest.NewNop())
		start(t, r, componenttest.NewNopHost())
		require.NoError(t, r.Shutdown(t.Context()))
		require.NoError(t, r.Shutdown(t.Context()))
		require.Equal(t, 1, w.closed)
	})
}

func TestShutdownWaitsForABatchOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), newCollector(t)
		arrived := false
		slow, err := consumer.NewMetrics(func(context.Context, pmetric.Metrics) error {
			time.Sleep(10 * time.Second)
			arrived = true
			return nil
		})
		require.NoError(t, err)
		r := c.metrics(t, newFactory(w.open), everySecond(), slow)
		start(t, r, componenttest.NewNopHost())
		pass(1)
		require.NoError(t, r.Shutdown(t.Context()))
		require.True(t, arrived)
		require.Equal(t, 1, w.closed)
	})
}

// Often, because what happens after the release was a matter of chance.
func TestAConsumerThatBlocksDoesNotHangShutdown(t *testing.T) {
	for range 20 {
		synctest.Test(t, func(t *testing.T) {
			w, c := newWorld(), newCollector(t)
			release := make(chan struct{})
			blocked, err := consumer.NewMetrics(func(context.Context, pmetric.Metrics) error {
				<-release
				return nil
			})
			require.NoError(t, err)
			r := c.metrics(t, newFactory(w.open), everySecond(), blocked)
			start(t, r, componenttest.NewNopHost())
			pass(2)

			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
			defer cancel()
			began := time.Now()
			require.ErrorIs(t, r.Shutdown(ctx), context.DeadlineExceeded)
			require.Equal(t, 5*time.Second, time.Since(began))
			require.Equal(t, 1, w.closed)

			close(release)
			pass(2)
			require.False(t, w.readWhenClosed(), "nothing is read that is closed")
			require.Empty(t, c.errors())
		})
	}
}

func TestAfterShutdownTheHostIsOpenedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), newCollector(t)
		f := newFactory(w.open)
		again := everySecond()
		for n, config := range []*Config{everySecond(), everySecond(), again, again} {
			var to consumertest.MetricsSink
			metrics, logs := c.metrics(t, f, config, &to), c.logs(t, f, config, consumertest.NewNop())
			start(t, metrics, componenttest.NewNopHost())
			start(t, logs, componenttest.NewNopHost())
			pass(2)
			require.NotEmpty(t, to.AllMetrics())
			require.NoError(t, metrics.Shutdown(t.Context()))
			require.NoError(t, logs.Shutdown(t.Context()))
			require.Equal(t, n+1, w.opened)
			require.Equal(t, n+1, w.closed)
		}
	})
}

func TestAnErrorOfAConsumerStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c := newWorld(), newCollector(t)
		r := c.metrics(t, newFactory(w.open), everySecond(), consumertest.NewErr(errors.New("full")))
		start(t, r, componenttest.NewNopHost())
		pass(3)
		require.Equal(t, 4, w.taken())
		require.NoError(t, r.Shutdown(t.Context()))
		lost := int64(0)
		for _, name := range []string{"otelcol_receiver_failed_metric_points", "otelcol_receiver_refused_metric_points"} {
			m, err := c.telemetry.GetMetric(name)
			require.NoError(t, err)
			lost += m.Data.(metricdata.Sum[int64]).DataPoints[0].Value
		}
		require.Positive(t, lost)
	})
}
