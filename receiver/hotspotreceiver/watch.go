package hotspotreceiver

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.opentelemetry.io/collector/receiver/receiverhelper"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/memory"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

// eyes is what the watch sees the host with.
type eyes struct {
	from     sampler.Sources
	programs map[bpf.Program]error // those that are to be attached: nil is
	noGroups error                 // why the control groups' files can't be read
	whose    identifier
	chosen   selector
	memory   limiter
	close    func() error
}

// opener loads the BPF programs and opens /proc.
type opener func(*Config) (*eyes, error)

// identifier tells whose a process is; package identity has it.
type identifier interface {
	// Of tells what of it costs little.
	Of(sampler.Process) identity.Identity
	// Describe tells all that leaves with it.
	Describe(sampler.Process) identity.Identity
	// Failures calls visit with what could not be read since the last call.
	Failures(visit func(kind identity.Failure, n int, last error))
	EndPass()
}

// limiter sets what the control groups of processes leave them; package memory
// has it.
type limiter interface {
	Fill(*sampler.Snapshot, memory.Identifier)
}

// watch is the loop: one reading of the kernel an interval, through all stages.
type watch struct {
	config    *Config
	log       *zap.Logger
	obs       *receiverhelper.ObsReport
	telemetry *metadata.TelemetryBuilder
	report    func(*componentstatus.Event)

	metrics   *metricsWriter
	logs      *logsWriter
	metricsTo consumer.Metrics // nil without a metrics pipeline
	logsTo    consumer.Logs    // nil without a logs pipeline

	metricsWay, logsWay *delivery // of one run

	own     *ownTelemetry
	failing bool // the last pass failed
}

func newWatch(config *Config, set receiver.Settings) (*watch, error) {
	obs, err := receiverhelper.NewObsReport(receiverhelper.ObsReportSettings{
		ReceiverID:             set.ID,
		ReceiverCreateSettings: set,
	})
	if err != nil {
		return nil, err
	}
	telemetry, err := metadata.NewTelemetryBuilder(set.TelemetrySettings)
	if err != nil {
		return nil, err
	}
	return &watch{
		config:    config,
		log:       set.Logger,
		obs:       obs,
		telemetry: telemetry,
		own:       newOwnTelemetry(telemetry, set.Logger),
		metrics:   newMetricsWriter(config, set),
		logs:      newLogsWriter(config, set),
	}, nil
}

// run takes windows until ctx ends, and returns when all that waits is sent; send
// is the context it is sent in.
func (w *watch) run(ctx, send context.Context, see *eyes) {
	w.metricsWay = newDelivery(metricsWaiting, w.log.With(zap.String("signal", "metrics")))
	w.logsWay = newDelivery(logsWaiting, w.log.With(zap.String("signal", "logs")))
	var sent sync.WaitGroup
	sent.Go(func() { w.metricsWay.run(send) })
	sent.Go(func() { w.logsWay.run(send) })
	defer sent.Wait()
	defer close(w.metricsWay.waiting)
	defer close(w.logsWay.waiting)
	w.loop(ctx, see)
}

func (w *watch) loop(ctx context.Context, see *eyes) {
	w.metrics.chosen, w.logs.chosen = see.chosen, see.chosen
	w.metrics.exitsUnseen, w.metrics.waitsUnseen = see.from.Exits == nil, see.from.Contention == nil
	samples := sampler.New(see.from, w.config.Diagnosis.OOMRisk.Windows+1,
		sampler.WithPairExpiry(w.config.Contention.ExpireAfter))
	engine := diagnosis.New(see.able(w.config.Diagnosis))

	timer := time.NewTimer(w.config.InitialDelay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return
	case <-timer.C:
	}
	ticker := time.NewTicker(w.config.CollectionInterval)
	defer ticker.Stop()
	// A tick that came during a long pass is ready as well when ctx ends.
	for ctx.Err() == nil {
		w.collect(ctx, see, samples, engine)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// collect takes one window and leaves what there is to say of it to be sent.
func (w *watch) collect(ctx context.Context, see *eyes, samples *sampler.Sampler, engine *diagnosis.Engine) {
	began := time.Now()
	snapshot, err := samples.Sample()
	if err != nil {
		w.failed(ctx, err)
		return
	}
	w.recovered(see)
	w.telemetry.HotspotCensusDuration.Record(ctx, time.Since(began).Seconds())
	w.telemetry.HotspotCensusThreads.Record(ctx, int64(snapshot.Threads))
	w.own.record(ctx, see, snapshot)
	// The first has nothing to be compared with: there may be kills, no more.
	first := snapshot.Length <= 0
	if !first {
		see.memory.Fill(snapshot, see.whose)
	}
	events := engine.Observe(snapshot)
	if w.metricsTo != nil && !first {
		w.sendMetrics(ctx, see.whose, snapshot, engine)
	}
	if w.logsTo != nil && len(events)+len(snapshot.Kills) > 0 {
		w.sendLogs(ctx, see.whose, snapshot, events)
	}
	w.own.identityFailures(ctx, see.whose, snapshot.End)
	see.whose.EndPass()
	see.chosen.EndPass()
}

func (w *watch) sendMetrics(ctx context.Context, whose identifier, snapshot *sampler.Snapshot, engine *diagnosis.Engine) {
	batch, processes := w.metrics.write(whose, snapshot, engine)
	w.telemetry.HotspotProcessesExported.Record(ctx, int64(processes))
	w.telemetry.HotspotProcessesLeftOut.Record(ctx, int64(len(snapshot.Windows)-processes))
	points := batch.DataPointCount()
	if !w.metricsWay.offer(0, func(ctx context.Context) {
		ctx = w.obs.StartMetricsOp(ctx)
		err := w.metricsTo.ConsumeMetrics(ctx, batch)
		w.obs.EndMetricsOp(ctx, metadata.Type.String(), points, err)
	}) {
		w.obs.EndMetricsOp(w.obs.StartMetricsOp(ctx), metadata.Type.String(), points, errSlowPipeline)
	}
}

func (w *watch) sendLogs(ctx context.Context, whose identifier, snapshot *sampler.Snapshot, events []diagnosis.Event) {
	batch := w.logs.write(whose, snapshot, events)
	records := batch.LogRecordCount()
	if records == 0 {
		return
	}
	if !w.logsWay.offer(records, func(ctx context.Context) {
		ctx = w.obs.StartLogsOp(ctx)
		err := w.logsTo.ConsumeLogs(ctx, batch)
		w.obs.EndLogsOp(ctx, metadata.Type.String(), records, err)
	}) {
		w.obs.EndLogsOp(w.obs.StartLogsOp(ctx), metadata.Type.String(), records, errSlowPipeline)
	}
}

// failed counts every pass that fails and logs the first in a row.
func (w *watch) failed(ctx context.Context, err error) {
	reason := metadata.AttributeHotspotCensusErrorPassFailed
	if errors.Is(err, bpf.ErrRecord) {
		reason = metadata.AttributeHotspotCensusErrorRecordTruncated
	}
	w.telemetry.HotspotCensusErrors.Add(ctx, 1, metric.WithAttributes(attribute.String("hotspot.census.error", reason.String())))
	if w.failing {
		return
	}
	w.failing = true
	w.log.Error("No window: the kernel could not be read; will go on trying", zap.Error(err))
	w.report(componentstatus.NewRecoverableErrorEvent(err))
}

func (w *watch) recovered(see *eyes) {
	if !w.failing {
		return
	}
	w.failing = false
	w.log.Info("The kernel can be read again")
	w.report(see.status())
}
