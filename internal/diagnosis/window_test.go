package diagnosis

import (
	"time"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// length of the windows the tests look at.
const length = 5 * time.Second

// first is when the first window of a test begins.
var first = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// snapshot returns the nth window, from 1, of a host with four CPUs.
func snapshot(n int, windows ...sampler.Window) *sampler.Snapshot {
	return &sampler.Snapshot{
		End:     first.Add(time.Duration(n) * length),
		Length:  length,
		CPUs:    4,
		Windows: windows,
	}
}

// sceneOf returns the scene rules look at, with the default thresholds.
func sceneOf(s *sampler.Snapshot) *scene {
	config, c := DefaultConfig(), newScene()
	c.set(s, &config.Starved, &config.NoisyNeighbor)
	return c
}

// idle returns the window of a process that does nothing.
func idle(pid uint32, name string) sampler.Window {
	return sampler.Window{
		Process: sampler.Process{ID: sampler.ID{Pid: pid, Start: time.Duration(pid) * time.Second}, Name: name},
		Length:  length,
		Threads: 1,
		Busiest: sampler.Thread{TID: pid, Span: length},
		RSS:     100 << 20,
	}
}

// busy returns the window of a process one thread of which runs all the time.
func busy(pid uint32, name string) sampler.Window {
	w := idle(pid, name)
	w.Used.User = length
	w.Busiest.CPU = length
	w.MaxThreadCPU = length
	return w
}

// leaking returns the window of a large process that is at its limit in 80 s.
func leaking(pid uint32, name string) sampler.Window {
	w := idle(pid, name)
	w.RSS = 1 << 30
	w.Growth = 10 << 20
	w.GrowthSpan, w.GrowthReadings, w.GrowthSteps = 3*length, 4, 3
	w.Grew = 50 << 20
	w.Headroom = 800 << 20
	w.Limit = w.RSS + w.Headroom
	return w
}

// both returns the window of a process that leaks as fast as it can run.
func both(pid uint32, name string) sampler.Window {
	w := leaking(pid, name)
	b := busy(pid, name)
	w.Used, w.Busiest, w.MaxThreadCPU = b.Used, b.Busiest, b.MaxThreadCPU
	return w
}

// pair returns a wait of one process behind another in this window.
func pair(victim, aggressor sampler.Window, wait time.Duration) *sampler.Pair {
	return &sampler.Pair{Victim: victim.Process, Aggressor: aggressor.Process, Wait: wait}
}

// kept returns the window of a process that wants to run all the time and is
// given a CPU for a tenth of it, ten times.
func kept(pid uint32, name string) sampler.Window {
	w := idle(pid, name)
	w.Used.User, w.Used.RunQueue = length/10, length-length/10
	w.Waited.Others = w.Used.RunQueue
	w.Busiest = sampler.Thread{TID: pid, CPU: w.Used.User, RunQueue: w.Used.RunQueue, Runs: 10, Span: length}
	w.Delayed = w.Busiest
	return w
}

// thrashing returns the window of a process that does little but fault.
func thrashing(pid uint32, name string) sampler.Window {
	w := idle(pid, name)
	w.Used.System = length / 2
	w.Used.MinorFaults, w.Refaults = 100_000, 100_000
	return w
}

// throttled returns the window of a process that a quota of a quarter of a CPU
// holds back.
func throttled(pid uint32, name string) sampler.Window {
	w := idle(pid, name)
	w.Quota, w.Used.User, w.Used.RunQueue = 0.25, length/4, length-length/4
	w.Throttled = w.Used.RunQueue
	return w
}

// forking returns the window of a process that makes short-lived ones.
func forking(pid uint32, name string) sampler.Window {
	w := idle(pid, name)
	w.Children = sampler.Children{Exits: 1500, CPU: 3 * time.Second, Name: "cc1"}
	return w
}
