package hotspotreceiver

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/receiver"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

// logsWriter turns diagnosis events into log records.
type logsWriter struct {
	builder    *metadata.LogsBuilder
	attributes metadata.ResourceAttributesConfig
	enabled    map[diagnosis.Label]bool
	kills      bool
	chosen     selector
}

func newLogsWriter(config *Config, set receiver.Settings) *logsWriter {
	return &logsWriter{
		builder:    metadata.NewLogsBuilder(config.LogsBuilderConfig, set),
		attributes: config.LogsBuilderConfig.ResourceAttributes,
		enabled: map[diagnosis.Label]bool{
			diagnosis.OOMRisk:       config.Events.HotspotDiagnosisOomRisk.Enabled,
			diagnosis.MemThrashing:  config.Events.HotspotDiagnosisMemThrashing.Enabled,
			diagnosis.Starved:       config.Events.HotspotDiagnosisStarved.Enabled,
			diagnosis.NoisyNeighbor: config.Events.HotspotDiagnosisNoisyNeighbor.Enabled,
			diagnosis.CPUThrottled:  config.Events.HotspotDiagnosisCPUThrottled.Enabled,
			diagnosis.ForkStorm:     config.Events.HotspotDiagnosisForkStorm.Enabled,
			diagnosis.CPUBound:      config.Events.HotspotDiagnosisCPUBound.Enabled,
		},
		kills:  config.Events.HotspotOomKill.Enabled,
		chosen: everyProcess{},
	}
}

// write returns a log record for each OOM kill and each event, in their order.
func (l *logsWriter) write(whose identifier, s *sampler.Snapshot, events []diagnosis.Event) plog.Logs {
	resource := metadata.NewResourceBuilder(l.attributes)
	for i := range s.Kills {
		k := &s.Kills[i]
		if !l.kills || !l.chosen.Exported(k.Process) {
			continue
		}
		l.builder.AppendLogRecord(killRecord(k, s))
		l.builder.EmitForResource(metadata.WithLogsResource(processResource(resource, k.Process, whose.Describe(k.Process))))
	}
	for i := range events {
		e := &events[i]
		if !l.enabled[e.Label] || !l.chosen.Exported(e.Process) {
			continue
		}
		// mdatagen's own records have no severity, body or observed time.
		own := whose.Describe(e.Process)
		l.builder.AppendLogRecord(record(e, whose, own, s.End))
		l.builder.EmitForResource(metadata.WithLogsResource(processResource(resource, e.Process, own)))
	}
	return l.builder.Emit()
}

var severities = map[diagnosis.Severity]plog.SeverityNumber{
	diagnosis.Info:  plog.SeverityNumberInfo,
	diagnosis.Warn:  plog.SeverityNumberWarn,
	diagnosis.Error: plog.SeverityNumberError,
}

func newRecord(name string, severity plog.SeverityNumber, sentence string, at time.Time) plog.LogRecord {
	r := plog.NewLogRecord()
	r.SetEventName(name)
	r.SetTimestamp(pcommon.NewTimestampFromTime(at))
	r.SetObservedTimestamp(pcommon.NewTimestampFromTime(time.Now()))
	r.SetSeverityNumber(severity)
	r.SetSeverityText(severity.String())
	r.Body().SetStr(sentence)
	return r
}

func record(e *diagnosis.Event, whose identifier, own identity.Identity, at time.Time) plog.LogRecord {
	sentence := e.Sentence
	if own.ContainerID != "" {
		sentence += " (container " + shortID(own.ContainerID) + ")"
	}
	r := newRecord("hotspot.diagnosis."+e.Label.String(), severities[e.Label.Severity()], sentence, at)
	a := r.Attributes()
	a.EnsureCapacity(9 + 2*len(e.Evidence))
	a.PutStr("hotspot.diagnosis", e.Label.String())
	a.PutStr("hotspot.diagnosis.state", e.State.String())
	a.PutDouble("hotspot.diagnosis.duration", e.Duration.Seconds())
	a.PutDouble("hotspot.window", e.Window.Seconds())
	for _, ev := range e.Evidence {
		a.PutDouble("hotspot.evidence."+ev.Name, ev.Value)
		if !ev.IsFact {
			a.PutDouble("hotspot.evidence."+ev.Name+".threshold", ev.Threshold)
		}
	}
	putParties(a, "hotspot.aggressor", e.Aggressors, whose)
	putParties(a, "hotspot.victim", e.Victims, whose)
	return r
}

// putParties writes the first of the other side flat, to be searched for, and
// all of them as a list.
func putParties(a pcommon.Map, side string, parties []diagnosis.Party, whose identifier) {
	if len(parties) == 0 {
		return
	}
	put := func(m pcommon.Map, prefix string, p diagnosis.Party) {
		m.PutInt(prefix+"pid", int64(p.Pid))
		m.PutStr(prefix+"name", p.Name)
		if cgroup := whose.Of(p.Process).Cgroup; cgroup != "" {
			m.PutStr(prefix+"cgroup", cgroup)
		}
		m.PutDouble(prefix+"wait", p.Wait.Seconds())
	}
	put(a, side+".", parties[0])
	list := a.PutEmptySlice(side + "s")
	for _, p := range parties {
		put(list.AppendEmpty().SetEmptyMap(), "", p)
	}
}

// shortID returns a container's id as people write it.
func shortID(id string) string { return id[:min(len(id), 12)] }

// killRecord tells of an OOM kill, with the last the census saw of the victim.
func killRecord(k *sampler.Kill, s *sampler.Snapshot) plog.LogRecord {
	name := k.Process.Name
	if name == "" {
		name = "a process"
	}
	rss := k.RSS
	if rss == 0 {
		rss = k.Last.RSS
	}
	sentence := fmt.Sprintf("%s (%d) was killed by the kernel for want of memory", name, k.Process.Pid)
	if rss > 0 { // or it is not known
		sentence += fmt.Sprintf(": it held %s", humanize.IBytes(rss))
	}
	if k.Known && k.Last.Growth > 0 {
		sentence += fmt.Sprintf(" and had grown by %s/s", humanize.IBytes(uint64(k.Last.Growth)))
	}
	r := newRecord("hotspot.oom_kill", plog.SeverityNumberError, sentence, s.End)
	a := r.Attributes()
	length := s.Length
	if k.Known {
		length = k.Last.Length // which the evidence is of
	}
	a.PutDouble("hotspot.window", length.Seconds())
	if rss > 0 {
		a.PutDouble("hotspot.evidence.memory_rss_bytes", float64(rss))
	}
	if k.Known {
		a.PutDouble("hotspot.evidence.memory_growth_bytes_per_second", k.Last.Growth)
		a.PutDouble("hotspot.evidence.memory_swap_bytes", float64(k.Last.Swap))
		a.PutInt("hotspot.evidence.minor_faults", int64(k.Last.Used.MinorFaults))
		a.PutInt("hotspot.evidence.major_faults", int64(k.Last.Used.MajorFaults))
		a.PutDouble("hotspot.evidence.cpu_seconds", k.Last.Used.CPU().Seconds())
	}
	return r
}
