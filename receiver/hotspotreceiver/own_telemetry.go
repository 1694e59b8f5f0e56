package hotspotreceiver

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.uber.org/zap"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

// ownTelemetry tells what the receiver could not see, for whoever watches the
// collector.
type ownTelemetry struct {
	to   *metadata.TelemetryBuilder
	log  *zap.Logger
	lost map[metadata.AttributeHotspotLoss]loss // as counted so far
	said map[identity.Failure]time.Time         // when it was last logged
}

func newOwnTelemetry(to *metadata.TelemetryBuilder, log *zap.Logger) *ownTelemetry {
	return &ownTelemetry{
		to:   to,
		log:  log,
		lost: make(map[metadata.AttributeHotspotLoss]loss),
		said: make(map[identity.Failure]time.Time),
	}
}

func (o *ownTelemetry) record(ctx context.Context, see *eyes, s *sampler.Snapshot) {
	o.losses(ctx, s.Lost)
	o.programs(ctx, see.programs)
	if see.from.Contention == nil {
		return
	}
	var waited, unattributed, various time.Duration
	for i := range s.Windows {
		waited += s.Windows[i].Used.RunQueue
		unattributed += s.Windows[i].Waited.Unattributed
		various += s.Windows[i].Waited.Various
	}
	if waited > 0 {
		o.to.HotspotUnattributedRatio.Record(ctx, float64(unattributed)/float64(waited))
		o.to.HotspotVariousRatio.Record(ctx, float64(various)/float64(waited))
	}
}

// loss is what was lost for one reason since the watch began.
type loss struct{ records, ns uint64 }

// losses adds what has been lost since the last window. A number that goes back
// could not be read.
func (o *ownTelemetry) losses(ctx context.Context, now sampler.Lost) {
	exits, waits := now.Exits, now.Contention
	for reason, l := range map[metadata.AttributeHotspotLoss]loss{
		metadata.AttributeHotspotLossExitRingFull:      {exits.Processes, exits.Cpu},
		metadata.AttributeHotspotLossThreadExitMapFull: {exits.Threads, 0},
		metadata.AttributeHotspotLossOomRingFull:       {now.Kills, 0},
		metadata.AttributeHotspotLossPairMapFull:       {waits.Pairs, waits.PairsNs},
		metadata.AttributeHotspotLossVictimMapFull:     {waits.Victims, waits.VictimsNs},
		metadata.AttributeHotspotLossHistoryTooShort:   {waits.Cut, 0},
	} {
		last := o.lost[reason]
		attributes := metric.WithAttributes(attribute.String("hotspot.loss", reason.String()))
		if l.records > last.records {
			o.to.HotspotLost.Add(ctx, int64(l.records-last.records), attributes)
		}
		if l.ns > last.ns {
			o.to.HotspotLostTime.Add(ctx, time.Duration(l.ns-last.ns).Seconds(), attributes)
		}
		o.lost[reason] = loss{max(l.records, last.records), max(l.ns, last.ns)}
	}
}

func (o *ownTelemetry) programs(ctx context.Context, programs map[bpf.Program]error) {
	for program, err := range programs {
		n := int64(1)
		if err != nil {
			n = 0
		}
		o.to.HotspotProgramsAttached.Record(ctx, n, metric.WithAttributes(attribute.String("hotspot.program", string(program))))
	}
}

// How often a kind of failure is logged at most: they come by the hundred.
const failureInterval = time.Minute

var failureNames = map[identity.Failure]metadata.AttributeHotspotIdentityError{
	identity.Denied:     metadata.AttributeHotspotIdentityErrorDenied,
	identity.Hidden:     metadata.AttributeHotspotIdentityErrorHidden,
	identity.Unreadable: metadata.AttributeHotspotIdentityErrorUnreadable,
}

// identityFailures counts what could not be read of processes, all of which are
// exported with the rest.
func (o *ownTelemetry) identityFailures(ctx context.Context, whose identifier, now time.Time) {
	whose.Failures(func(kind identity.Failure, n int, last error) {
		name := failureNames[kind].String()
		o.to.HotspotIdentityErrors.Add(ctx, int64(n), metric.WithAttributes(attribute.String("hotspot.identity.error", name)))
		if said, ever := o.said[kind]; ever && now.Sub(said) < failureInterval {
			return
		}
		o.said[kind] = now
		o.log.Warn("Some processes have attributes missing: /proc could not be read",
			zap.String("kind", name), zap.Int("count", n), zap.Error(last))
	})
}
