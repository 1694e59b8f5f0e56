package frame

import "go.opentelemetry.io/collector/pdata/plog"

// Severity is how bad a diagnosis is.
type Severity uint8

// The severities. The zero value is of a process without a diagnosis.
const (
	None Severity = iota
	Info
	Warn
	Error
)

// severityOf returns that of a log record.
func severityOf(n plog.SeverityNumber) Severity {
	switch {
	case n >= plog.SeverityNumberError:
		return Error
	case n >= plog.SeverityNumberWarn:
		return Warn
	default:
		return Info
	}
}

// labels is what is said of a process where there are metrics only.
var labels = map[string]struct {
	severity Severity
	sentence string // completes "postgres (812) ..."
}{
	"cpu_bound":      {Info, "is limited by the CPU"},
	"fork_storm":     {Warn, "makes one short-lived process after the other"},
	"cpu_throttled":  {Warn, "is held back by the CPU quota of its control group"},
	"noisy_neighbor": {Warn, "keeps others from the CPU"},
	"starved":        {Warn, "waits for a CPU behind others"},
	"mem_thrashing":  {Warn, "is busy getting back memory it had before"},
	"oom_risk":       {Error, "grows towards its memory limit"},
}

// known returns what is said with a label: of one that is not known, the label.
func known(label string) (Severity, string) {
	if l, ok := labels[label]; ok {
		return l.severity, l.sentence
	}
	return Warn, "is diagnosed: " + label
}
