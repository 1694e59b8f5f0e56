package diagnosis

import (
	"fmt"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// match finds a process that keeps others from the CPU: it is most to blame for
// one that is starved, uses much CPU itself, and is not held back as they are.
// Among equals that crowd a CPU nobody is the noisy one.
func (c *NoisyNeighborConfig) match(w *sampler.Window, s *scene) (Finding, bool) {
	victims := s.blamed[w.ID]
	cores := w.Share(w.Used.CPU())
	if len(victims) == 0 || !(cores >= c.MinCores) {
		return Finding{}, false
	}
	_, own := heldBack(w)
	first := victims[0]
	if own > c.MaxOwnWaitShare || own >= first.share {
		return Finding{}, false
	}
	f := Finding{
		Label: NoisyNeighbor,
		Sentence: fmt.Sprintf("%s takes the CPU from %s, which waited %.1f s of the last %.1f s behind it",
			named(w.Process), named(first.window.Process), min(first.pairs[0].Wait, first.held).Seconds(), first.window.Length.Seconds()),
		Evidence: []Evidence{
			held("cpu_cores", cores, c.MinCores),
			held("victim_share", percent(first.pairs[0].Wait, first.held)/100, c.MinVictimShare),
			held("own_wait_share", own, c.MaxOwnWaitShare),
			fact("victim_wait_share", first.share),
			fact("victims", float64(len(victims))),
			fact("caused_wait_seconds", w.Caused.Seconds()),
		},
	}
	if n := len(victims) - 1; n > 0 {
		f.Sentence += fmt.Sprintf("; it starves %d more", n)
	}
	for _, v := range victims[:min(len(victims), maxParties)] {
		f.Victims = append(f.Victims, Party{v.window.Process, v.pairs[0].Wait})
	}
	return f, true
}
