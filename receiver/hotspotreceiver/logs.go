package hotspotreceiver

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

// logsWriter turns diagnosis events into log records.
type logsWriter struct {
	builder    *metadata.LogsBuilder
	attributes metadata.ResourceAttributesConfig
	enabled    map[diagnosis.Label]bool
}

func newLogsWriter(config *Config, set receiver.Settings) *logsWriter {
	return &logsWriter{
		builder:    metadata.NewLogsBuilder(config.LogsBuilderConfig, set),
		attributes: config.LogsBuilderConfig.ResourceAttributes,
		enabled: map[diagnosis.Label]bool{
			diagnosis.CPUBound: config.Events.HotspotDiagnosisCPUBound.Enabled,
			diagnosis.OOMRisk:  config.Events.HotspotDiagnosisOomRisk.Enabled,
		},
	}
}

// write returns a log record for each event, in their order.
func (l *logsWriter) write(whose identifier, s *sampler.Snapshot, events []diagnosis.Event) plog.Logs {
	resource := metadata.NewResourceBuilder(l.attributes)
	for i := range events {
		e := &events[i]
		if !l.enabled[e.Label] {
			continue
		}
		// mdatagen's own records have no severity, body or observed time.
		l.builder.AppendLogRecord(record(e, s.End))
		l.builder.EmitForResource(metadata.WithLogsResource(processResource(resource, e.Process, whose.Of(e.Process))))
	}
	return l.builder.Emit()
}

var severities = map[diagnosis.Severity]plog.SeverityNumber{
	diagnosis.Info:  plog.SeverityNumberInfo,
	diagnosis.Warn:  plog.SeverityNumberWarn,
	diagnosis.Error: plog.SeverityNumberError,
}

func record(e *diagnosis.Event, at time.Time) plog.LogRecord {
	r := plog.NewLogRecord()
	r.SetEventName("hotspot.diagnosis." + e.Label.String())
	r.SetTimestamp(pcommon.NewTimestampFromTime(at))
	r.SetObservedTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	severity := severities[e.Label.Severity()]
	r.SetSeverityNumber(severity)
	r.SetSeverityText(severity.String())
	r.Body().SetStr(e.Sentence)
	a := r.Attributes()
	a.EnsureCapacity(4 + 2*len(e.Evidence))
	a.PutStr("hotspot.diagnosis", e.Label.String())
	a.PutStr("hotspot.diagnosis.state", e.State.String())
	a.PutDouble("hotspot.diagnosis.duration", e.Duration.Seconds())
	a.PutDouble("hotspot.window", e.Window.Seconds())
	for _, ev := range e.Evidence {
		a.PutDouble("hotspot.evidence."+ev.Name, ev.Value)
		a.PutDouble("hotspot.evidence."+ev.Name+".threshold", ev.Threshold)
	}
	return r
}
