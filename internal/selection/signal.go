package selection

import "github.com/hotspot-otel/hotspot/internal/sampler"

// The signals there is a top of. Of two processes with the same place in their
// tops, that with the earlier signal is exported first.
const (
	cpu = iota
	wait
	caused
	faults
	resident
	growth
	signals
)

// majorWeight is how many minor faults a major one counts for: a read from an
// SSD takes some 100 us, a minor fault about one.
const majorWeight = 100

// signalsOf returns what a process is ranked by; what is not positive is in no
// top.
func signalsOf(w *sampler.Window) (v [signals]float64) {
	v[cpu] = float64(w.Used.CPU())
	if w.ShortLived {
		return v // a series of one point is worth it for CPU time only
	}
	// Where waits are not attributed to anybody, or are too short to be, it is
	// others that ran more often than not.
	v[wait] = float64(w.Waited.Others + w.Waited.Unattributed)
	v[caused] = float64(w.Caused)
	v[faults] = float64(w.Used.MinorFaults) + majorWeight*float64(w.Used.MajorFaults)
	if w.Exited {
		return v
	}
	// Whatever lives takes part, kernel threads without memory as the last: a top
	// as large as the host is all of it.
	v[resident] = float64(w.RSS) + 1
	v[growth] = w.Growth
	return v
}
