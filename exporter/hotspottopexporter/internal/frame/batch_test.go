package frame

import (
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// after returns a moment this many seconds after the start.
func after(seconds float64) time.Time {
	return start.Add(time.Duration(seconds * float64(time.Second)))
}

func stamp(t time.Time) pcommon.Timestamp { return pcommon.NewTimestampFromTime(t) }

// batch is one window of a host, as the receiver sends it.
type batch struct {
	pmetric.Metrics
	host string
	at   time.Time
}

func window(host string, at time.Time) batch { return batch{pmetric.NewMetrics(), host, at} }

// of adds the resource of a process.
func (b batch) of(pid int64, name string) series {
	rm := b.ResourceMetrics().AppendEmpty()
	describe(rm.Resource(), b.host, pid, name)
	return series{rm.ScopeMetrics().AppendEmpty(), b.at}
}

// ofHost adds the resource of the host.
func (b batch) ofHost() series {
	rm := b.ResourceMetrics().AppendEmpty()
	if b.host != "" {
		rm.Resource().Attributes().PutStr("host.name", b.host)
	}
	return series{rm.ScopeMetrics().AppendEmpty(), b.at}
}

func describe(r pcommon.Resource, host string, pid int64, name string) {
	a := r.Attributes()
	a.PutInt("process.pid", pid)
	a.PutStr("process.executable.name", name)
	a.PutStr("process.creation.time", "2026-03-04T05:00:00.00Z")
	if host != "" {
		a.PutStr("host.name", host)
	}
}

type series struct {
	pmetric.ScopeMetrics
	at time.Time
}

// sum adds a cumulative sum that counts since a moment, with a point for each
// value of the attribute.
func (s series) sum(name string, since time.Time, attribute string, points map[string]float64) series {
	m := s.Metrics().AppendEmpty()
	m.SetName(name)
	m.SetEmptySum().SetIsMonotonic(true)
	m.Sum().SetAggregationTemporality(pmetric.AggregationTemporalityCumulative)
	for value, v := range points {
		p := m.Sum().DataPoints().AppendEmpty()
		p.SetStartTimestamp(stamp(since))
		p.SetTimestamp(stamp(s.at))
		p.SetDoubleValue(v)
		if attribute != "" {
			p.Attributes().PutStr(attribute, value)
		}
	}
	return s
}

func (s series) cpu(since time.Time, seconds float64) series {
	return s.sum("process.cpu.time", since, "cpu.mode", map[string]float64{"user": seconds / 2, "system": seconds / 2})
}

func (s series) waited(since time.Time, pid int64, name string, seconds float64) series {
	s.sum("hotspot.process.wait.time", since, "hotspot.aggressor.name", map[string]float64{name: seconds})
	m := s.Metrics().At(s.Metrics().Len() - 1)
	m.Sum().DataPoints().At(0).Attributes().PutInt("hotspot.aggressor.pid", pid)
	return s
}

func (s series) gauge(name string, value float64) series {
	m := s.Metrics().AppendEmpty()
	m.SetName(name)
	p := m.SetEmptyGauge().DataPoints().AppendEmpty()
	p.SetTimestamp(stamp(s.at))
	p.SetDoubleValue(value)
	return s
}

func (s series) diagnosed(label string) series {
	s.gauge("hotspot.process.diagnosis", 1)
	m := s.Metrics().At(s.Metrics().Len() - 1)
	m.Gauge().DataPoints().At(0).Attributes().PutStr("hotspot.diagnosis", label)
	return s
}

// record returns one record of a process.
func record(host string, pid int64, name, label, state, sentence string, severity plog.SeverityNumber, at time.Time) (plog.Logs, plog.LogRecord) {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	describe(rl.Resource(), host, pid, name)
	r := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	r.SetTimestamp(stamp(at))
	r.SetSeverityNumber(severity)
	r.Body().SetStr(sentence)
	r.SetEventName("hotspot." + label)
	if state != "" {
		r.SetEventName("hotspot.diagnosis." + label)
		r.Attributes().PutStr("hotspot.diagnosis", label)
		r.Attributes().PutStr("hotspot.diagnosis.state", state)
		r.Attributes().PutDouble("hotspot.diagnosis.duration", 2)
	}
	r.Attributes().PutDouble("hotspot.window", 2)
	return logs, r
}
