package agents

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// pairedRuns is how many intervals are measured, each with one collection of each
// agent.
const pairedRuns = 5

// warmUp is for how many collections after its first ours gets to know the
// processes it has not seen before: it reads whose they are, and once more.
const warmUp = 2

// cost is what the agents need on one host.
type cost struct {
	Host      string           `json:"host"`
	Processes int              `json:"processes"`
	Threads   int              `json:"threads_each"`
	Active    bool             `json:"active"`
	Interval  float64          `json:"interval_seconds"`
	Agents    map[string]needs `json:"agents"`
}

// needs is what one agent needs, a value for each run.
type needs struct {
	CPU    []float64 `json:"cpu_seconds"` // of one collection
	Memory []memory  `json:"memory"`
}

func (n needs) cpu() []float64 { return n.CPU }

func (n needs) peak() []float64 {
	return each(n.Memory, func(m memory) float64 { return float64(m.Peak) })
}

func (n needs) anonymous() []float64 {
	return each(n.Memory, func(m memory) float64 { return float64(m.Anon) })
}

// intervalFor returns the interval that leaves a collector that is busy for so
// long in each at rest for four ninths of it: the others take their turns in the
// first three.
func intervalFor(busy time.Duration) time.Duration {
	return max(1500*time.Millisecond, busy*9/5).Round(100 * time.Millisecond)
}

// measureCosts tries longer intervals if the machine has got slower since that
// was chosen. points is how many a collection of theirs has.
func measureCosts(t testing.TB, binary string, host population, interval time.Duration, points int) cost {
	t.Helper()
	for range 3 {
		s := startShift(t, binary, interval)
		agents, ok := s.measure(points)
		s.stop()
		if ok {
			return cost{host.String(), host.processes, host.threads, host.active, interval.Seconds(), agents}
		}
		t.Logf("%s: not one collection in each interval of %s; once more with a longer interval", host, interval)
		interval = interval * 3 / 2
	}
	require.Fail(t, "this machine is too busy to measure "+host.String())
	return cost{}
}

// shift is the agents that take turns: theirs, and when that has done its work
// ours, with the defaults and with equal content.
type shift struct {
	t        testing.TB
	interval time.Duration
	agents   []*running
	rests    time.Time // all do, then and every interval later
}

// startShift returns when each has begun in its turn.
func startShift(t testing.TB, binary string, interval time.Duration) *shift {
	t.Helper()
	s := &shift{t: t, interval: interval}
	begin := func(a agent) time.Time {
		r := a.start(t, binary, interval, "")
		s.agents = append(s.agents, r)
		r.awaitCount(0)
		return time.Now()
	}
	done := begin(theirs)
	// From when theirs is done until it begins again is for the others. How long
	// one takes to start is known when it has.
	takes := 700 * time.Millisecond
	for i, a := range []agent{ours, oursEqual} {
		for attempt := 0; ; attempt++ {
			turn := interval * time.Duration(1+i) / 10
			launch := done.Add(turn - takes)
			for time.Until(launch) < 0 {
				launch = launch.Add(interval)
			}
			time.Sleep(time.Until(launch))
			began := begin(a)
			takes = began.Sub(launch)
			off := began.Sub(done.Add(turn)) % interval
			if off < 0 {
				off += interval
			}
			if min(off, interval-off) < interval/20 || attempt == 5 {
				break
			}
			s.agents[len(s.agents)-1].stop()
			s.agents = s.agents[:len(s.agents)-1]
		}
	}
	s.rests = done.Add(interval * 35 / 100)
	return s
}

// wait returns when all rest the next time.
func (s *shift) wait() {
	for time.Until(s.rests) < 0 {
		s.rests = s.rests.Add(s.interval)
	}
	time.Sleep(time.Until(s.rests))
}

// measure returns what each agent needs, and whether each made one collection in
// every run.
func (s *shift) measure(points int) (map[string]needs, bool) {
	for range warmUp {
		s.wait()
	}
	const runs = pairedRuns
	// Telemetry is not asked for while it is measured: that costs as much as a
	// collection of ours.
	counts := each(s.agents, (*running).count)
	all, before := make([]needs, len(s.agents)), make([]time.Duration, len(s.agents))
	for run := range runs + 1 {
		for i, r := range s.agents {
			now, m := r.cpu(), r.memory()
			if run > 0 {
				all[i].CPU = append(all[i].CPU, (now - before[i]).Seconds())
				all[i].Memory = append(all[i].Memory, m)
			}
			before[i] = r.cpu()
		}
		if run < runs {
			s.wait()
		}
	}
	named := make(map[string]needs, len(s.agents))
	for i, r := range s.agents {
		made := r.count() - counts[i]
		if r.agent.counter == theirCounter {
			made /= float64(points)
		}
		if math.Round(made) != float64(runs) {
			return nil, false
		}
		named[r.agent.name] = all[i]
	}
	return named, true
}

func (s *shift) stop() {
	for _, r := range s.agents {
		r.stop()
	}
}
