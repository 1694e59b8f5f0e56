package frame

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// id tells a process from another of the same host.
type id struct {
	pid     int64
	created string // process.creation.time
}

// process is one over its windows.
type process struct {
	pid               int64
	rawName, name     string
	rawCgroup, cgroup string

	at       pcommon.Timestamp // end of the last window it was exported in
	label    string            // of that window, and so are these; NaN if not told
	share    float64           // of all CPUs of the host
	thread   float64
	rss      float64
	growth   float64
	limit    float64
	left     float64 // seconds to the limit
	cpu      counter
	runQueue counter
	minor    counter
	major    counter
	waits    map[rawParty]*wait
}

type rawParty struct {
	pid  int64
	name string
}

type wait struct {
	aggressor Party
	time      counter
}

// describe takes what the resource tells.
func (p *process) describe(r *resource) {
	if p.rawName != r.name || p.name == "" {
		p.rawName, p.name = r.name, Printable(r.name)
	}
	if p.rawCgroup != r.cgroup {
		p.rawCgroup, p.cgroup = r.cgroup, Printable(r.cgroup)
	}
}

// open forgets what is told anew in each window.
func (p *process) open(at pcommon.Timestamp) {
	if p.at == at {
		return
	}
	unknown := math.NaN()
	p.at, p.label = at, ""
	p.share, p.thread, p.rss, p.growth, p.limit, p.left = unknown, unknown, unknown, unknown, unknown, unknown
}

// observe takes one metric of the window that began at opened.
func (p *process) observe(m pmetric.Metric, opened pcommon.Timestamp) {
	points, ok := pointsOf(m)
	if !ok {
		return
	}
	switch m.Name() {
	case "process.cpu.time":
		p.cpu.take(points, opened)
	case "process.cpu.utilization":
		p.share = total(points)
	case "process.memory.usage":
		p.rss = total(points)
	case "process.paging.faults":
		for _, point := range points.All() {
			kind, _ := point.Attributes().Get("system.paging.fault.type")
			switch kind.Str() {
			case "minor":
				p.minor.observe(point.StartTimestamp(), point.Timestamp(), number(point), opened)
			case "major":
				p.major.observe(point.StartTimestamp(), point.Timestamp(), number(point), opened)
			}
		}
	case "hotspot.process.run_queue.time":
		p.runQueue.take(points, opened)
	case "hotspot.process.thread.max_utilization":
		p.thread = total(points)
	case "hotspot.process.memory.growth":
		p.growth = total(points)
	case "hotspot.process.memory.limit":
		p.limit = total(points)
	case "hotspot.process.memory.time_to_limit":
		p.left = total(points)
	case "hotspot.process.wait.time":
		for _, point := range points.All() {
			p.waited(point, opened)
		}
	case "hotspot.process.diagnosis":
		for _, point := range points.All() {
			if label, ok := point.Attributes().Get("hotspot.diagnosis"); ok && number(point) > 0 {
				p.label = Printable(label.AsString())
			}
		}
	}
}

func (p *process) waited(point pmetric.NumberDataPoint, opened pcommon.Timestamp) {
	var key rawParty
	for name, value := range point.Attributes().All() {
		switch name {
		case "hotspot.aggressor.pid":
			key.pid = value.Int()
		case "hotspot.aggressor.name":
			key.name = value.Str()
		}
	}
	w := p.waits[key]
	if w == nil {
		if p.waits == nil {
			p.waits = make(map[rawParty]*wait)
		}
		w = &wait{aggressor: Party{key.pid, Printable(key.name)}}
		p.waits[key] = w
	}
	w.time.observe(point.StartTimestamp(), point.Timestamp(), number(point), opened)
}

// cores returns how many CPUs it used, on a host with as many as cpus, which is
// 0 if that is not known.
func (p *process) cores(opened pcommon.Timestamp, cpus int) float64 {
	// A sum that was away for a while tells of all that time.
	if c := p.cpu.rate(p.at); p.cpu.since >= opened || cpus == 0 {
		return c
	}
	return p.share * float64(cpus)
}

// take observes the sum of all points.
func (c *counter) take(points pmetric.NumberDataPointSlice, opened pcommon.Timestamp) {
	if points.Len() > 0 {
		first := points.At(0)
		c.observe(first.StartTimestamp(), first.Timestamp(), total(points), opened)
	}
}

func pointsOf(m pmetric.Metric) (pmetric.NumberDataPointSlice, bool) {
	switch m.Type() {
	case pmetric.MetricTypeSum:
		return m.Sum().DataPoints(), true
	case pmetric.MetricTypeGauge:
		return m.Gauge().DataPoints(), true
	}
	return pmetric.NumberDataPointSlice{}, false
}

func total(points pmetric.NumberDataPointSlice) float64 {
	sum := 0.0
	for _, p := range points.All() {
		sum += number(p)
	}
	return sum
}

func number(p pmetric.NumberDataPoint) float64 {
	if p.ValueType() == pmetric.NumberDataPointValueTypeInt {
		return float64(p.IntValue())
	}
	return p.DoubleValue()
}
