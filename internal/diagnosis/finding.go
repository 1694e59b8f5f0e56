package diagnosis

import (
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
	words    string // completes "postgres (812) is no longer ..."
}{
	OK:       {name: "ok"},
	CPUBound: {"cpu_bound", Info, "limited by the CPU"},
	OOMRisk:  {"oom_risk", Error, "on its way out of memory"},
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
}

// Finding is what a rule says of a window it matches.
type Finding struct {
	Label    Label
	Sentence string // for a person, complete with the process's name
	Evidence []Evidence
}

// Event is a diagnosis beginning, lasting or ending.
type Event struct {
	Process  sampler.Process
	Label    Label
	State    State
	Sentence string
	Duration time.Duration // since the first window that matched began
	Window   time.Duration // length of the window the evidence is of
	// Evidence of every rule that matched; of the last window that matched when
	// the diagnosis has ended.
	Evidence []Evidence
}
