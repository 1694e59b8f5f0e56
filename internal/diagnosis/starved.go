package diagnosis

import (
	"fmt"
	"time"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// usedUp is the share of its quota from which on a process would not run more
// without others: it has had what it may have.
const usedUp = 0.9

// holds finds out whether other processes keep this one from the CPU: for much
// of the window, and for most of the time it wanted to run. One that has not
// lived for the whole window is left alone: its start is no rule.
func (c *StarvedConfig) holds(w *sampler.Window, s *sampler.Snapshot) (*victim, bool) {
	if w.Exited || w.Created.After(s.End.Add(-s.Length)) {
		return nil, false
	}
	held, share := heldBack(w)
	held = min(held, w.Used.RunQueue) // for whom it waited is read later than how long
	if !(w.Share(held) >= c.MinWaitRatio) || !(share >= c.MinWaitShare) {
		return nil, false
	}
	each := w.Delayed.RunQueue / time.Duration(max(w.Delayed.Runs, 1))
	if each < c.MinWaitPerRun || w.Quota > 0 && w.Share(w.Used.CPU()) >= usedUp*w.Quota {
		return nil, false
	}
	return &victim{window: w, held: held, share: share, each: each}, true
}

func (c *StarvedConfig) match(w *sampler.Window, s *scene) (Finding, bool) {
	v := s.starved[w.ID]
	if v == nil {
		return Finding{}, false
	}
	length := w.Length.Seconds()
	sentence := fmt.Sprintf("%s waited %.1f s of the last %.1f s for a CPU", named(w.Process), v.held.Seconds(), length)
	if w.Threads > 1 && v.held > w.Length {
		sentence = fmt.Sprintf("the %d threads of %s waited %.1f s for a CPU in the last %.1f s",
			w.Threads, named(w.Process), v.held.Seconds(), length)
	}
	f := Finding{
		Label: Starved,
		Evidence: []Evidence{
			held("wait_ratio", w.Share(v.held), c.MinWaitRatio),
			held("wait_share", v.share, c.MinWaitShare),
			held("wait_per_run_seconds", v.each.Seconds(), c.MinWaitPerRun.Seconds()),
			fact("wait_seconds", v.held.Seconds()),
			fact("self_wait_seconds", w.Waited.Self.Seconds()),
			fact("cpu_seconds", w.Used.CPU().Seconds()),
			fact("throttled_seconds", w.Throttled.Seconds()),
		},
	}
	for _, p := range v.pairs[:min(len(v.pairs), maxParties)] {
		f.Aggressors = append(f.Aggressors, Party{p.Aggressor, p.Wait})
	}
	if len(f.Aggressors) > 0 {
		top := f.Aggressors[0]
		sentence += fmt.Sprintf(", %.0f %% of it behind %s", percent(top.Wait, v.held), named(top.Process))
		if len(f.Aggressors) > 1 && percent(f.Aggressors[1].Wait, v.held) >= 20 {
			next := f.Aggressors[1]
			sentence += fmt.Sprintf(" and %.0f %% behind %s", percent(next.Wait, v.held), named(next.Process))
		}
	}
	f.Sentence = sentence
	return f, true
}

// percent returns part as a percentage of whole, at most 100: the two are taken
// a moment apart.
func percent(part, whole time.Duration) float64 {
	if whole <= 0 {
		return 0
	}
	return min(100*float64(part)/float64(whole), 100)
}
