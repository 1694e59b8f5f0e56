package diagnosis

import (
	"fmt"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// match finds a process that would be faster with a faster CPU, or with more of
// them: a thread of it ran, or waited to run, nearly all the time, or it uses
// much of the host. Where memory holds it up, that is to blame instead.
func (c *CPUBoundConfig) match(w *sampler.Window, s *scene) (Finding, bool) {
	utilization := w.Share(w.Busiest.CPU + w.Busiest.RunQueue)
	hostShare := 0.0
	if s.CPUs > 0 {
		hostShare = w.Share(w.Used.CPU()) / float64(s.CPUs)
	}
	byThread := utilization >= c.MinThreadUtilization
	if !byThread && !(hostShare >= c.MinHostShare) {
		return Finding{}, false
	}
	if w.MemoryStall > c.MaxMemoryStall {
		return Finding{}, false
	}

	sentence := fmt.Sprintf("%s is limited by the CPU: it used %.1f of the host's %d CPUs over the last %.1f s",
		named(w.Process), w.Share(w.Used.CPU()), s.CPUs, w.Length.Seconds())
	if byThread {
		thread := "it"
		if w.Threads > 1 {
			thread = fmt.Sprintf("its busiest thread (%d)", w.Busiest.TID)
		}
		// The kernel's counters may be a tick behind at the beginning.
		ran := min(max(w.Busiest.CPU, 0), w.Length)
		sentence = fmt.Sprintf("%s is limited by the CPU: %s ran for %.1f s of the last %.1f s",
			named(w.Process), thread, ran.Seconds(), w.Length.Seconds())
		if wait := min(w.Busiest.RunQueue, w.Length-ran); wait >= w.Length/20 {
			sentence += fmt.Sprintf(" and waited %.1f s for a CPU", wait.Seconds())
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
