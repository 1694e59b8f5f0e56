package diagnosis

import (
	"fmt"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// match finds a process that the quota of its control group held back. The time
// is the group's: a process of it that did not want to run was not held back.
func (c *CPUThrottledConfig) match(w *sampler.Window, s *scene) (Finding, bool) {
	throttled := min(w.Throttled, w.Used.RunQueue)
	ratio := w.Share(throttled)
	if throttled <= 0 || !(ratio >= c.MinThrottledRatio) {
		return Finding{}, false
	}
	sentence := fmt.Sprintf("%s was throttled for %.1f s of the last %.1f s by the CPU quota of its control group",
		named(w.Process), throttled.Seconds(), w.Length.Seconds())
	if throttled > w.Length {
		sentence = fmt.Sprintf("the %d threads of %s were throttled for %.1f s in the last %.1f s by the CPU quota of its control group",
			w.Threads, named(w.Process), throttled.Seconds(), w.Length.Seconds())
	}
	if w.Quota > 0 {
		sentence += fmt.Sprintf(" (%.2g CPUs)", w.Quota)
	}
	return Finding{
		Label:    CPUThrottled,
		Sentence: sentence,
		Evidence: []Evidence{
			held("throttled_ratio", ratio, c.MinThrottledRatio),
			fact("throttled_seconds", throttled.Seconds()),
			fact("cpu_quota_cores", w.Quota),
			fact("cpu_cores", w.Share(w.Used.CPU())),
		},
	}, true
}
