package frame

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// Reader reads batches in the order they come. It is for one goroutine at a time.
type Reader struct {
	hosts  map[string]*host
	forget time.Duration
}

// New returns a reader that forgets a host, a process or a diagnosis of which
// nothing has come for this long.
func New(forget time.Duration) *Reader {
	return &Reader{hosts: make(map[string]*host), forget: forget}
}

// Metrics reads a batch that came now.
func (r *Reader) Metrics(batch pmetric.Metrics, now time.Time) {
	var of resource
	for _, rm := range batch.ResourceMetrics().All() {
		of.read(rm.Resource().Attributes())
		var h *host
		var p *process
		for _, sm := range rm.ScopeMetrics().All() {
			for _, m := range sm.Metrics().All() {
				at := timeOf(m)
				if at == 0 {
					continue
				}
				if h == nil {
					h = r.host(of.host, now)
					h.metrics = true
				}
				if !of.isProcess {
					h.observe(m)
					continue
				}
				h.advance(at)
				if p == nil {
					p = h.process(&of)
					p.open(at)
				}
				p.observe(m, h.opened)
			}
		}
		if p != nil && p.label != "" {
			h.confirm(of.id, p, now)
		}
	}
}

// timeOf returns the time of the first point, 0 without one.
func timeOf(m pmetric.Metric) pcommon.Timestamp {
	if points, ok := pointsOf(m); ok && points.Len() > 0 {
		return points.At(0).Timestamp()
	}
	return 0
}

// Logs reads a batch that came now.
func (r *Reader) Logs(batch plog.Logs, now time.Time) {
	var of resource
	for _, rl := range batch.ResourceLogs().All() {
		of.read(rl.Resource().Attributes())
		if !of.isProcess {
			continue
		}
		for _, sl := range rl.ScopeLogs().All() {
			for _, record := range sl.LogRecords().All() {
				if label := labelOf(record); label != "" {
					r.host(of.host, now).hear(&of, label, record, now)
				}
			}
		}
	}
}

func (r *Reader) host(name string, now time.Time) *host {
	h := r.hosts[name]
	if h == nil {
		h = newHost(name)
		r.hosts[name] = h
	}
	h.seen = now
	return h
}

func (h *host) process(r *resource) *process {
	p := h.processes[r.id]
	if p == nil {
		p = &process{pid: r.id.pid}
		h.processes[r.id] = p
	}
	p.describe(r)
	return p
}

// Frame returns what there is to see now.
func (r *Reader) Frame(now time.Time) *Frame {
	f := &Frame{At: now}
	for _, name := range slices.Sorted(maps.Keys(r.hosts)) {
		h := r.hosts[name]
		if now.Sub(h.seen) > r.forget {
			delete(r.hosts, name)
			continue
		}
		h.tidy(now, r.forget)
		h.see(f)
		for of, d := range h.diagnoses {
			f.Diagnoses = append(f.Diagnoses, d.shown(h.name, of.label, now))
		}
	}
	slices.SortFunc(f.Diagnoses, func(a, b Diagnosis) int {
		return cmp.Or(
			cmp.Compare(order(a.Over), order(b.Over)),
			cmp.Compare(b.Severity, a.Severity),
			cmp.Compare(b.Label, a.Label), // starved before noisy_neighbor
			cmp.Compare(a.Host, b.Host),
			cmp.Compare(a.Of.Pid, b.Of.Pid),
		)
	})
	return f
}

func order(last bool) int {
	if last {
		return 1
	}
	return 0
}

// tidy forgets what is over or has not been told of for too long.
func (h *host) tidy(now time.Time, forget time.Duration) {
	old := pcommon.Timestamp(max(int64(h.at)-forget.Nanoseconds(), 0))
	for key, p := range h.processes {
		if p.at < old {
			delete(h.processes, key)
		}
		for aggressor, w := range p.waits {
			if w.time.at < old {
				delete(p.waits, aggressor)
			}
		}
	}
	for of, d := range h.diagnoses {
		if now.Sub(d.told) > forget || d.over && now.Sub(d.told) > d.keep || h.denies(of, d) {
			delete(h.diagnoses, of)
		}
	}
}
