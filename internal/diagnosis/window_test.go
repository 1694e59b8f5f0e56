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

// idle returns the window of a process that does nothing.
func idle(pid uint32, name string) sampler.Window {
	return sampler.Window{
		Process: sampler.Process{ID: sampler.ID{Pid: pid, Start: time.Duration(pid) * time.Second}, Name: name},
		Threads: 1,
		Busiest: sampler.Thread{TID: pid},
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
	w.GrowthSpan, w.GrowthReadings = 2*length, 3
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
