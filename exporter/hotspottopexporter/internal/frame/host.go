package frame

import (
	"math"
	"time"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// host is one machine over its windows.
type host struct {
	name   string
	at     pcommon.Timestamp // end of the newest window
	opened pcommon.Timestamp // its begin, which is the end of the one before; 0 is not known
	window float64           // its length, where only log records tell
	seen   time.Time

	processes map[id]*process
	diagnoses map[subject]*diagnosis
	// CPU time of what has no resource of its own.
	other      counter
	shortLived counter
	metrics    bool // there are metrics of it, and not log records only
}

func newHost(name string) *host {
	return &host{name: Printable(name), processes: make(map[id]*process), diagnoses: make(map[subject]*diagnosis)}
}

// advance begins a new window if at is the end of one.
func (h *host) advance(at pcommon.Timestamp) {
	if at > h.at {
		h.at, h.opened = at, h.at
	}
}

// observe takes a metric that is of no process.
func (h *host) observe(m pmetric.Metric) {
	points, ok := pointsOf(m)
	if !ok || points.Len() == 0 {
		return
	}
	switch m.Name() {
	case "hotspot.host.other.cpu.time":
		h.advance(points.At(0).Timestamp())
		h.other.take(points, h.opened)
	case "hotspot.host.short_lived.cpu.time":
		h.advance(points.At(0).Timestamp())
		h.shortLived.take(points, h.opened)
	}
}

// length returns that of the newest window in seconds, NaN if it is not known.
func (h *host) length() float64 {
	switch {
	case h.opened != 0:
		return seconds(h.opened, h.at)
	case h.window > 0:
		return h.window
	}
	return math.NaN()
}

// cpus returns how many the host has, 0 if that cannot be told: a process's
// share of all of them, against the time it ran.
func (h *host) cpus() int {
	ran, share := 0.0, 0.0
	for _, p := range h.processes {
		if p.at == h.at && p.cpu.since == h.opened && p.share > 0 {
			if c := p.cpu.rate(p.at); c > 0 {
				ran, share = ran+c, share+p.share
			}
		}
	}
	// Of less, rounding would make too much.
	if h.opened == 0 || share < 0.001 {
		return 0
	}
	return int(math.Round(ran / share))
}

// see returns the host as it is shown, with its processes and waits.
func (h *host) see(f *Frame) {
	cpus := h.cpus()
	shown := Host{Name: h.name, End: h.at.AsTime(), Seen: h.seen, Window: h.length(), CPUs: cpus, Cores: math.NaN()}
	if h.opened != 0 {
		shown.Cores = known0(h.other.rate(h.at)) + known0(h.shortLived.rate(h.at))
	}
	for _, p := range h.processes {
		if p.at != h.at {
			continue
		}
		shown.Processes++
		severity := None
		if p.label != "" {
			severity, _ = known(p.label)
		}
		cores, waited := p.cores(h.opened, cpus), p.runQueue.rate(p.at)
		shown.Cores += known0(cores)
		f.Processes = append(f.Processes, Process{
			Host: h.name, Name: p.name, Pid: p.pid, Cgroup: p.cgroup, Diagnosis: p.label, Severity: severity,
			Cores: cores, Thread: p.thread, Wait: waited,
			RSS: p.rss, Growth: p.growth, Limit: p.limit, TimeToLimit: p.left,
			Minor: p.minor.rate(p.at), Major: p.major.rate(p.at),
		})
		for _, w := range p.waits {
			if rate := w.time.rate(h.at); rate > 0 {
				f.Waits = append(f.Waits, Wait{
					Host: h.name, Victim: Party{p.pid, p.name}, Aggressor: w.aggressor,
					Seconds: rate * shown.Window, Window: shown.Window, Share: rate / waited,
				})
			}
		}
	}
	if !h.metrics {
		h.seeRecords(f, &shown)
	}
	f.Hosts = append(f.Hosts, shown)
}

func known0(v float64) float64 {
	if math.IsNaN(v) {
		return 0
	}
	return v
}
