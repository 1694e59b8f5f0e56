package frame

import (
	"fmt"
	"math"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
)

// How long a diagnosis that is over is shown, and an OOM kill.
const (
	overFor = 15 * time.Second
	killFor = time.Minute
)

// oomKill is the label of an OOM kill, which is no diagnosis.
const oomKill = "oom_kill"

// subject tells a diagnosis from another of the same host.
type subject struct {
	id
	label string
}

// diagnosis is one over its life.
type diagnosis struct {
	of       Party
	severity Severity
	sentence string
	lasted   float64   // seconds, when it was told
	told     time.Time // when something was last said of it
	over     bool
	keep     time.Duration // for how long it is shown if it is over

	byRecord  bool
	confirmed pcommon.Timestamp // the last window whose metrics say so; 0 is none
	row       Process           // what the evidence tells
	waits     []Wait            // whom the record names
}

func (d *diagnosis) shown(host, label string, now time.Time) Diagnosis {
	lasted := d.lasted
	if !d.over {
		lasted += now.Sub(d.told).Seconds()
	}
	return Diagnosis{Host: host, Of: d.of, Label: label, Severity: d.severity, Sentence: d.sentence, Lasted: lasted, Over: d.over}
}

// confirm notes that the metrics of a process carry a diagnosis.
func (h *host) confirm(of id, p *process, now time.Time) {
	key := subject{of, p.label}
	d := h.diagnoses[key]
	if d == nil || d.over {
		severity, sentence := known(p.label)
		d = &diagnosis{
			of: Party{p.pid, p.name}, severity: severity, told: now,
			sentence: fmt.Sprintf("%s (%d) %s", p.name, p.pid, sentence),
		}
		h.diagnoses[key] = d
	}
	d.lasted += now.Sub(d.told).Seconds()
	d.confirmed, d.told = p.at, now
}

// denies tells whether later metrics do not carry a diagnosis any more.
func (h *host) denies(of subject, d *diagnosis) bool {
	if d.over || d.confirmed == 0 {
		return false
	}
	p := h.processes[of.id]
	if p == nil || p.at <= d.confirmed {
		// The process is not exported. If there is a record, one will say when it ends.
		return !d.byRecord && d.confirmed != h.at
	}
	return p.label != of.label
}

// labelOf returns the label of a record, empty if it is none of ours.
func labelOf(record plog.LogRecord) string {
	if label, ok := record.Attributes().Get("hotspot.diagnosis"); ok {
		return Printable(label.AsString())
	}
	if record.EventName() == "hotspot.oom_kill" {
		return oomKill
	}
	return ""
}

// hear takes a record of a process.
func (h *host) hear(r *resource, label string, record plog.LogRecord, now time.Time) {
	if !h.metrics {
		h.at = max(h.at, record.Timestamp())
		h.window = attribute(record, "hotspot.window")
	}
	key := subject{r.id, label}
	name := Printable(r.name)
	d := &diagnosis{
		of: Party{r.id.pid, name}, severity: severityOf(record.SeverityNumber()), sentence: Printable(record.Body().AsString()),
		told: now, byRecord: true, lasted: known0(attribute(record, "hotspot.diagnosis.duration")),
	}
	state, _ := record.Attributes().Get("hotspot.diagnosis.state")
	d.keep = overFor
	if label == oomKill {
		d.keep = killFor
	}
	d.over = label == oomKill || state.Type() == pcommon.ValueTypeStr && state.Str() == "ended"
	if before := h.diagnoses[key]; before != nil && !d.over {
		d.confirmed = before.confirmed
	}
	if !d.over {
		// A process has one diagnosis at a time.
		for other, before := range h.diagnoses {
			if other.id == r.id && other.label != label && !before.over {
				delete(h.diagnoses, other)
			}
		}
		if !h.metrics {
			d.read(h, r, label, record)
		}
	}
	h.diagnoses[key] = d
}

// read takes the numbers of a record, for where there are no metrics.
func (d *diagnosis) read(h *host, r *resource, label string, record plog.LogRecord) {
	evidence := func(name string) float64 { return attribute(record, "hotspot.evidence."+name) }
	waited := evidence("wait_seconds")
	d.row = Process{
		Host: h.name, Name: d.of.Name, Pid: d.of.Pid, Cgroup: Printable(r.cgroup), Diagnosis: label, Severity: d.severity,
		Cores: evidence("cpu_cores"), Thread: evidence("thread_utilization"), Wait: evidence("wait_ratio"),
		RSS: evidence("memory_rss_bytes"), Growth: math.NaN(), Limit: evidence("memory_limit_bytes"),
		TimeToLimit: evidence("time_to_limit_seconds"), Minor: math.NaN(), Major: evidence("major_faults_per_second"),
	}
	for _, party := range parties(record, "hotspot.aggressors") {
		d.waits = append(d.waits, Wait{
			Host: h.name, Victim: d.of, Aggressor: party.Party,
			Seconds: party.wait, Window: h.window, Share: party.wait / waited,
		})
	}
	for _, party := range parties(record, "hotspot.victims") {
		d.waits = append(d.waits, Wait{
			Host: h.name, Victim: party.Party, Aggressor: d.of,
			Seconds: party.wait, Window: h.window, Share: math.NaN(),
		})
	}
}

// seeRecords adds what records alone tell.
func (h *host) seeRecords(f *Frame, shown *Host) {
	type pair struct{ victim, aggressor int64 }
	waits := make(map[pair]Wait)
	for _, d := range h.diagnoses {
		if d.over {
			continue
		}
		f.Processes = append(f.Processes, d.row)
		shown.Processes++
		for _, w := range d.waits {
			// Both sides may tell of it; the victim knows its share.
			key := pair{w.Victim.Pid, w.Aggressor.Pid}
			if before, ok := waits[key]; !ok || math.IsNaN(before.Share) {
				waits[key] = w
			}
		}
	}
	for _, w := range waits {
		f.Waits = append(f.Waits, w)
	}
}

type party struct {
	Party
	wait float64 // seconds
}

func parties(record plog.LogRecord, list string) []party {
	value, ok := record.Attributes().Get(list)
	if !ok || value.Type() != pcommon.ValueTypeSlice {
		return nil
	}
	var all []party
	for _, one := range value.Slice().All() {
		if one.Type() != pcommon.ValueTypeMap {
			continue
		}
		var p party
		for name, v := range one.Map().All() {
			switch name {
			case "pid":
				p.Pid = v.Int()
			case "name":
				p.Name = Printable(v.Str())
			case "wait":
				p.wait = v.Double()
			}
		}
		all = append(all, p)
	}
	return all
}

// attribute returns a number of a record, NaN without it.
func attribute(record plog.LogRecord, name string) float64 {
	if v, ok := record.Attributes().Get(name); ok {
		switch v.Type() {
		case pcommon.ValueTypeDouble:
			return v.Double()
		case pcommon.ValueTypeInt:
			return float64(v.Int())
		}
	}
	return math.NaN()
}
