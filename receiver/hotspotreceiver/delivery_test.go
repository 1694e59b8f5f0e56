package hotspotreceiver

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// counted adds up the points of a counter of the receiver; 0 if there is none.
func (c *collector) counted(name string) (sum int64) {
	if m, err := c.telemetry.GetMetric(name); err == nil {
		for _, p := range m.Data.(metricdata.Sum[int64]).DataPoints {
			sum += p.Value
		}
	}
	return sum
}

func pointsOf(batches []pmetric.Metrics) (n int) {
	for _, batch := range batches {
		n += batch.DataPointCount()
	}
	return n
}

func TestAMetricsPipelineThatBlocksHoldsUpNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, config := newWorld(), newCollector(t), everySecond()
		config.Diagnosis.RepeatInterval = time.Minute
		release := make(chan struct{})
		var metricsTo consumertest.MetricsSink
		var logsTo consumertest.LogsSink
		calls := 0
		blocked, err := consumer.NewMetrics(func(ctx context.Context, batch pmetric.Metrics) error {
			if calls++; calls == 2 {
				<-release
			}
			return metricsTo.ConsumeMetrics(ctx, batch)
		})
		require.NoError(t, err)
		f := newFactory(w.open)
		metrics, logs := c.metrics(t, f, config, blocked), c.logs(t, f, config, &logsTo)
		start(t, metrics, componenttest.NewNopHost())
		start(t, logs, componenttest.NewNopHost())
		const windows = 1000
		pass(windows)
		require.Equal(t, windows+1, w.taken(), "windows go on")
		require.Len(t, metricsTo.AllMetrics(), 1)
		require.Greater(t, logsTo.LogRecordCount(), 10, "and so do the diagnoses: started, and repeated")
		warnings := c.log.FilterLevelExact(zapcore.WarnLevel).All()
		require.LessOrEqual(t, len(warnings), 1+windows/60, "said once a minute")
		require.NotEmpty(t, warnings)
		require.Equal(t, "metrics", warnings[0].ContextMap()["signal"])

		close(release)
		pass(1)
		batches := metricsTo.AllMetrics()
		require.Len(t, batches, 1+1+metricsWaiting+1, "the first, the one that blocked, those that waited, and the next")
		require.EqualValues(t, pointsOf(batches), c.counted("otelcol_receiver_accepted_metric_points"))
		// All batches but the first windows' have as many points.
		dropped := windows + 1 - len(batches)
		require.EqualValues(t, dropped*batches[len(batches)-1].DataPointCount(),
			c.counted("otelcol_receiver_refused_metric_points"), "each that was dropped is counted")
		first, _ := ofProcess(batches[0], busyPid)
		last, _ := ofProcess(batches[len(batches)-1], busyPid)
		require.InDelta(t, windows, sumOf(last, "process.cpu.time")-sumOf(first, "process.cpu.time"), 1e-6,
			"the windows that were dropped are in the sum")
		require.InDelta(t, 0.25, number(t, batches[len(batches)-1], busyPid, "process.cpu.utilization").DoubleValue(), 1e-9,
			"a gauge is of its own window, and no other")
		require.NoError(t, metrics.Shutdown(t.Context()))
		require.NoError(t, logs.Shutdown(t.Context()))
	})
}

func TestADeliveryKeepsTheOrderAndNoMoreThanItHasRoomFor(t *testing.T) {
	d := newDelivery(2, zap.NewNop())
	var sent []int
	for n := range 4 {
		require.Equal(t, n < 2, d.offer(0, func(context.Context) { sent = append(sent, n) }))
	}
	close(d.waiting)
	d.run(t.Context())
	require.Equal(t, []int{0, 1}, sent)
}

func TestALogsPipelineThatBlocksLosesNothingBeforeItsRoomIsFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, config := newWorld(), newCollector(t), everySecond()
		config.Diagnosis.RepeatInterval = time.Second // a record in each window
		release := make(chan struct{})
		var metricsTo consumertest.MetricsSink
		var logsTo consumertest.LogsSink
		blocked, err := consumer.NewLogs(func(ctx context.Context, batch plog.Logs) error {
			<-release
			return logsTo.ConsumeLogs(ctx, batch)
		})
		require.NoError(t, err)
		f := newFactory(w.open)
		metrics, logs := c.metrics(t, f, config, &metricsTo), c.logs(t, f, config, blocked)
		start(t, metrics, componenttest.NewNopHost())
		start(t, logs, componenttest.NewNopHost())
		const more = 10
		pass(1 + logsWaiting + more)
		require.Len(t, metricsTo.AllMetrics(), 1+logsWaiting+more, "metrics go on")
		require.EqualValues(t, more, c.counted("otelcol_receiver_refused_log_records"))

		close(release)
		synctest.Wait()
		all := logsTo.AllLogs()
		require.Len(t, all, 1+logsWaiting)
		for n, batch := range all {
			r := batch.ResourceLogs().At(0).ScopeLogs().At(0).LogRecords().At(0)
			require.Equal(t, w.born.Add(time.Duration(n+1)*time.Second).UTC(), r.Timestamp().AsTime(), "in their order, from the first on")
		}
		require.NoError(t, metrics.Shutdown(t.Context()))
		require.NoError(t, logs.Shutdown(t.Context()))
	})
}

func TestADeliveryHoldsOneBatchOfAnySizeAndElseSoManyRecords(t *testing.T) {
	d := newDelivery(logsWaiting, zap.NewNop())
	offer := func(records int) bool { return d.offer(records, func(context.Context) {}) }
	require.True(t, offer(3*recordsHeld), "with nothing before it")
	require.False(t, offer(1))
	close(d.waiting)
	d.run(t.Context())
	require.Zero(t, d.held.Load())

	d = newDelivery(logsWaiting, zap.NewNop())
	require.True(t, offer(recordsHeld-1))
	require.False(t, offer(2))
	require.True(t, offer(1))
}
