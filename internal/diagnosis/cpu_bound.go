package diagnosis

import (
	"fmt"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// match finds a process that would be faster with a faster CPU, or with more of
// them: a thread of it ran, or waited to run, nearly all the time, or it uses
// much of the host. Where memory holds it up, that is to blame instead.
func (c *CPUBoundConfig) match(w *sampler.Window, s *scene) (Finding, bool) {
	utilization := s.Share(w.Busiest.CPU + w.Busiest.RunQueue)
	hostShare := 0.0
	if s.CPUs > 0 {
		hostShare = s.Share(w.Used.CPU()) / float64(s.CPUs)
	}
	byThread := utilization >= c.MinThreadUtilization
	if !byThread && !(hostShare >= c.MinHostShare) {
		return Finding{}, false
	}
	if w.MemoryStall > c.MaxMemoryStall {
		return Finding{}, false
	}

	length := s.Length.Seconds()
	sentence := fmt.Sprintf("%s is limited by the CPU: it used %.1f of the host's %d CPUs over the last %.1f s",
		named(w.Process), s.Share(w.Used.CPU()), s.CPUs, length)
	if byThread {
		thread := "it"
		if w.Threads > 1 {
			thread = fmt.Sprintf("its busiest thread (%d)", w.Busiest.TID)
		}
		sentence = fmt.Sprintf("%s is limited by the CPU: %s ran for %.1f s of the last %.1f s",
			named(w.Process), thread, max(w.Busiest.CPU, 0).Seconds(), length)
		if wait := w.Busiest.RunQueue.Seconds(); wait >= 0.05*length {
			sentence += fmt.Sprintf(" and waited %.1f s for a CPU", wait)
		}
	}
	return Finding{
		Label:    CPUBound,
		Sentence: sentence,
		Evidence: []Evidence{
			held("thread_utilization", utilization, c.MinThreadUtilization),
			held("host_share", hostShare, c.MinHostShare),
			held("memory_stall", w.MemoryStall, c.MaxMemoryStall),
		},
	}, true
}
