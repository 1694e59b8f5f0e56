package diagnosis

import (
	"fmt"
	"math"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// match finds a large process whose resident set keeps growing, and that either
// faults for more all the time or will be at its limit soon.
func (c *OOMRiskConfig) match(w *sampler.Window, s *sampler.Snapshot) (Finding, bool) {
	grown := w.Grown()
	if w.GrowthReadings < c.Windows || !(grown >= float64(c.MinGrowth)) {
		return Finding{}, false
	}
	limitRatio := 0.0
	if w.Limit > 0 {
		limitRatio = float64(w.RSS) / float64(w.Limit)
	}
	if w.RSS < uint64(c.MinRSS) && !(limitRatio >= c.MinLimitRatio) {
		return Finding{}, false
	}
	faults := 0.0
	if length := s.Length.Seconds(); length > 0 {
		faults = float64(w.Used.MinorFaults+w.Used.MajorFaults) / length
	}
	left, known := timeToLimit(w)
	if !(faults >= c.MinFaultsPerSecond) && (!known || left > c.MaxTimeToLimit) {
		return Finding{}, false
	}

	f := Finding{
		Label: OOMRisk,
		Sentence: fmt.Sprintf("%s is on its way out of memory: it holds %s and grew by %s/s over the last %.0f s",
			named(w.Process), humanize.IBytes(w.RSS), humanize.IBytes(uint64(w.Growth)), w.GrowthSpan.Seconds()),
		Evidence: []Evidence{
			{"memory_growth_bytes", grown, float64(c.MinGrowth)},
			{"memory_rss_bytes", float64(w.RSS), float64(c.MinRSS)},
			{"memory_limit_ratio", limitRatio, c.MinLimitRatio},
			{"faults_per_second", faults, c.MinFaultsPerSecond},
		},
	}
	if known {
		f.Sentence += fmt.Sprintf("; at that rate nothing is left in %s", left.Round(time.Second))
		f.Evidence = append(f.Evidence, Evidence{"time_to_limit_seconds", left.Seconds(), c.MaxTimeToLimit.Seconds()})
	}
	return f, true
}

// timeToLimit returns when the process is at its limit if it goes on growing as
// it does; false if it does not grow or the limit is not known.
func timeToLimit(w *sampler.Window) (time.Duration, bool) {
	if w.Limit == 0 || !(w.Growth > 0) {
		return 0, false
	}
	left := float64(w.Headroom) / w.Growth * float64(time.Second)
	if left > math.MaxInt64/2 {
		return 0, false
	}
	return time.Duration(left), true
}
