package diagnosis

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// match finds a large process whose resident set keeps growing, and that either
// faults for more all the time or will be at its limit soon. Of the last windows
// all but one must have grown, a dip after a garbage collection does not end it,
// and the last at no less than half the rate: a process that fills its memory
// while it starts is done by then.
func (c *OOMRiskConfig) match(w *sampler.Window, s *scene) (Finding, bool) {
	grown := w.Grown()
	if w.GrowthReadings <= c.Windows || w.GrowthSteps < c.Windows-1 || !(grown >= float64(c.MinGrowth)) {
		return Finding{}, false
	}
	if !(w.Growth > 0) || float64(w.Grew) < w.Growth/2*w.Length.Seconds() {
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
	if length := w.Length.Seconds(); length > 0 {
		faults = float64(w.Used.MinorFaults+w.Used.MajorFaults) / length
	}
	left, known := w.TimeToLimit()
	if !(faults >= c.MinFaultsPerSecond) && (!known || left > c.MaxTimeToLimit) {
		return Finding{}, false
	}

	f := Finding{
		Label: OOMRisk,
		Sentence: fmt.Sprintf("%s is on its way out of memory: it holds %s and grew by %s/s over the last %.0f s",
			named(w.Process), humanize.IBytes(w.RSS), humanize.IBytes(uint64(w.Growth)), w.GrowthSpan.Seconds()),
		Evidence: []Evidence{
			held("memory_growth_bytes", grown, float64(c.MinGrowth)),
			held("memory_rss_bytes", float64(w.RSS), float64(c.MinRSS)),
			held("memory_limit_ratio", limitRatio, c.MinLimitRatio),
			held("faults_per_second", faults, c.MinFaultsPerSecond),
			fact("memory_limit_bytes", float64(w.Limit)),
		},
	}
	if known {
		f.Sentence += fmt.Sprintf("; at that rate nothing is left in %s", left.Round(time.Second))
		f.Evidence = append(f.Evidence, held("time_to_limit_seconds", left.Seconds(), c.MaxTimeToLimit.Seconds()))
	}
	return f, true
}
