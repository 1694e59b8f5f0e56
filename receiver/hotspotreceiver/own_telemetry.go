package hotspotreceiver

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

// ownTelemetry tells what the receiver could not see, for whoever watches the
// collector.
type ownTelemetry struct {
	to   *metadata.TelemetryBuilder
	last sampler.Lost // as counted so far
}

func (o *ownTelemetry) record(ctx context.Context, see *eyes, s *sampler.Snapshot) {
	o.losses(ctx, s.Lost)
	o.programs(ctx, see.from)
	var waited, unattributed time.Duration
	for i := range s.Windows {
		waited += s.Windows[i].Used.RunQueue
		unattributed += s.Windows[i].Waited.Unattributed
	}
	if waited > 0 {
		o.to.HotspotUnattributedRatio.Record(ctx, float64(unattributed)/float64(waited))
	}
}

// losses adds what has been lost since the last window.
func (o *ownTelemetry) losses(ctx context.Context, now sampler.Lost) {
	exits, lastExits := now.Exits, o.last.Exits
	waits, lastWaits := now.Contention, o.last.Contention
	for _, l := range []struct {
		reason  metadata.AttributeHotspotLoss
		records uint64
		ns      uint64
	}{
		{metadata.AttributeHotspotLossExitRingFull, exits.Processes - lastExits.Processes, exits.Cpu - lastExits.Cpu},
		{metadata.AttributeHotspotLossThreadExitRingFull, exits.Threads - lastExits.Threads, 0},
		{metadata.AttributeHotspotLossOomRingFull, now.Kills - o.last.Kills, 0},
		{metadata.AttributeHotspotLossPairMapFull, waits.Pairs - lastWaits.Pairs, waits.PairsNs - lastWaits.PairsNs},
		{metadata.AttributeHotspotLossVictimMapFull, waits.Victims - lastWaits.Victims, waits.VictimsNs - lastWaits.VictimsNs},
		{metadata.AttributeHotspotLossHistoryTooShort, waits.Cut - lastWaits.Cut, 0},
	} {
		reason := metric.WithAttributes(attribute.String("hotspot.loss", l.reason.String()))
		if l.records > 0 {
			o.to.HotspotLost.Add(ctx, int64(l.records), reason)
		}
		if l.ns > 0 {
			o.to.HotspotLostTime.Add(ctx, time.Duration(l.ns).Seconds(), reason)
		}
	}
	o.last = now
}

func (o *ownTelemetry) programs(ctx context.Context, from sampler.Sources) {
	for program, attached := range map[metadata.AttributeHotspotProgram]bool{
		metadata.AttributeHotspotProgramCensus:     from.Census != nil,
		metadata.AttributeHotspotProgramContention: from.Contention != nil,
		metadata.AttributeHotspotProgramExits:      from.Exits != nil,
		metadata.AttributeHotspotProgramOom:        from.OOM != nil,
	} {
		n := int64(0)
		if attached {
			n = 1
		}
		o.to.HotspotProgramsAttached.Record(ctx, n, metric.WithAttributes(attribute.String("hotspot.program", program.String())))
	}
}
