// Package frame makes of OTLP metrics and logs what there is to see at one
// moment: hosts, diagnoses, processes, and who waits behind whom.
//
// All text in a frame is printable, whatever processes call themselves.
package frame

import "time"

// Frame is what there is to see at one moment. Numbers that the data do not tell
// are NaN.
type Frame struct {
	At        time.Time   // when it was made
	Hosts     []Host      // in order of names
	Diagnoses []Diagnosis // the most severe first, those that are over last
	Processes []Process   // those of the newest window of each host
	Waits     []Wait
}

// Host is one machine.
type Host struct {
	Name      string    // host.name; empty if the data do not tell
	End       time.Time // of the newest window, by the clock of the host
	Seen      time.Time // when that came
	Window    float64   // its length in seconds
	Processes int       // how many of it were exported
	Cores     float64   // CPUs in use in the window
	CPUs      int       // how many there are; 0 if that is not known
}

// Process is a process in the newest window.
type Process struct {
	Host, Name  string
	Pid         int64
	Cgroup      string
	Diagnosis   string // label, empty without one
	Severity    Severity
	Cores       float64 // CPUs in use
	Thread      float64 // CPUs its busiest thread uses, 0 to 1
	Wait        float64 // threads waiting for a CPU, on average
	RSS         float64 // bytes
	Growth      float64 // bytes a second
	Limit       float64 // bytes
	TimeToLimit float64 // seconds
	Minor       float64 // page faults a second
	Major       float64
}

// Party is one side of a wait.
type Party struct {
	Pid  int64
	Name string
}

// Wait is how long one process waited for a CPU while another ran.
type Wait struct {
	Host              string
	Victim, Aggressor Party
	Seconds           float64 // in the window
	Window            float64 // length of that in seconds
	Share             float64 // of all that the victim waited, 0 to 1
}

// Diagnosis is what is said of a process.
type Diagnosis struct {
	Host     string
	Of       Party
	Label    string
	Severity Severity
	Sentence string
	Lasted   float64 // seconds
	Over     bool    // it has ended, or was a moment, such as an OOM kill
}
