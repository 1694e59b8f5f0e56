package diagnosis

import (
	"fmt"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// match finds a process that makes one short-lived process after the other: none
// of them is seen in a list of processes, all of them together use much CPU.
func (c *ForkStormConfig) match(w *sampler.Window, s *scene) (Finding, bool) {
	length := s.Length.Seconds()
	if w.Children.Exits == 0 || length <= 0 {
		return Finding{}, false
	}
	rate, cores := float64(w.Children.Exits)/length, s.Share(w.Children.CPU)
	if !(rate >= c.MinChildrenPerSecond) || !(cores >= c.MinCores) {
		return Finding{}, false
	}
	return Finding{
		Label: ForkStorm,
		Sentence: fmt.Sprintf("%s made %.0f short-lived processes a second over the last %.1f s, %s among them, which used %.1f CPUs",
			named(w.Process), rate, length, w.Children.Name, cores),
		Evidence: []Evidence{
			held("children_per_second", rate, c.MinChildrenPerSecond),
			held("children_cores", cores, c.MinCores),
		},
	}, true
}
