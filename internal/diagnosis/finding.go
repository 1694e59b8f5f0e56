package diagnosis

import (
	"fmt"
	"time"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// Label says why a process is slow, or makes others slow. Of two labels the
// higher is the more severe.
type Label uint8

// The labels, from the least to the most severe.
const (
	OK Label = iota
	CPUBound
	ForkStorm
	CPUThrottled
	NoisyNeighbor
	Starved
	MemThrashing
	OOMRisk

	labels
)

// String returns the label as it leaves in attributes: cpu_bound.
func (l Label) String() string { return descriptions[l].name }

// Severity returns how bad it is.
func (l Label) Severity() Severity { return descriptions[l].severity }

// Labels returns all labels but OK, from the least to the most severe.
func Labels() []Label {
	all := make([]Label, 0, labels-1)
	for l := OK + 1; l < labels; l++ {
		all = append(all, l)
	}
	return all
}

var descriptions = [labels]struct {
	name     string
	severity Severity
	over     string // completes "postgres (812) ..." when it is over
}{
	OK:            {name: "ok"},
	CPUBound:      {"cpu_bound", Info, "is no longer limited by the CPU"},
	ForkStorm:     {"fork_storm", Warn, "has stopped storming processes"},
	CPUThrottled:  {"cpu_throttled", Warn, "is no longer throttled"},
	NoisyNeighbor: {"noisy_neighbor", Warn, "no longer takes the CPU from others"},
	Starved:       {"starved", Warn, "is no longer starved of CPU"},
	MemThrashing:  {"mem_thrashing", Warn, "has stopped thrashing"},
	OOMRisk:       {"oom_risk", Error, "is no longer on its way out of memory"},
}

// Severity is how bad a diagnosis is.
type Severity uint8

// The severities.
const (
	Info Severity = iota + 1
	Warn
	Error
)

// State tells where in its life a diagnosis is.
type State uint8

// The states.
const (
	Started State = iota + 1
	Ongoing
	Ended
)

// String returns the state as it leaves in attributes: started.
func (s State) String() string {
	return [...]string{Started: "started", Ongoing: "ongoing", Ended: "ended"}[s]
}

// Evidence is one signal a rule looked at. Units are in the name where they are
// not a ratio: seconds, bytes, bytes a second.
type Evidence struct {
	Name      string
	Value     float64
	Threshold float64 // what it was held against
	IsFact    bool    // it was held against nothing
}

// held returns a signal with its threshold.
func held(name string, value, threshold float64) Evidence {
	return Evidence{Name: name, Value: value, Threshold: threshold}
}

// fact returns a signal without one.
func fact(name string, value float64) Evidence {
	return Evidence{Name: name, Value: value, IsFact: true}
}

// Party is another process a finding is about: an aggressor or a victim.
type Party struct {
	sampler.Process
	Wait time.Duration // of the victim behind the aggressor, in the window
}

// Finding is what a rule says of a window it matches.
type Finding struct {
	Label    Label
	Sentence string // for a person, complete with the process's name
	Evidence []Evidence
	// The other side, the longest wait first: whom it waits behind, or who waits
	// behind it.
	Aggressors, Victims []Party
}

// Event is a diagnosis beginning, lasting or ending.
type Event struct {
	// Finding is that of the last window that matched. Its evidence is that of
	// every rule that did; its sentence is of this event.
	Finding
	Process  sampler.Process
	State    State
	Duration time.Duration // since the first window that matched began
	Window   time.Duration // length of the window the evidence is of
}

// named returns a process as people write it: postgres (812).
func named(p sampler.Process) string {
	if p.Name == "" {
		return fmt.Sprintf("process %d", p.Pid)
	}
	return fmt.Sprintf("%s (%d)", p.Name, p.Pid)
}
