package diagnosis

import (
	"fmt"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// A fork leaves the parent's memory write-protected: each page it writes to
// faults once. The faults of a process that forks are laid to that, up to as
// many for each child.
const faultsPerFork = 1000

// match finds a process that is busy getting back memory it had before: from
// the disk, while tasks stand still for want of memory; or from the kernel, one
// minor fault after the other without growing, and with little else to do. Many
// faults beside much work in user mode are the price of that work.
//
// The kernel counts a wait as one for want of memory only for pages that were in
// use shortly before they were taken away, not where far more is wanted than there
// is room for. So where as many pages come back as there are major faults at
// least, waiting for a disk is waiting for memory.
func (c *MemThrashingConfig) match(w *sampler.Window, s *scene) (Finding, bool) {
	length := w.Length.Seconds()
	if length <= 0 {
		return Finding{}, false
	}
	major := float64(w.Used.MajorFaults) / length
	refaults := max(float64(w.Refaults)-faultsPerFork*float64(w.Children.Exits), 0) / length
	systemShare := 0.0
	if cpu := w.Used.CPU(); cpu > 0 {
		systemShare = float64(w.Used.System) / float64(cpu)
	}
	returned := float64(w.Returned) / s.Length.Seconds() // read apart from the census
	stall := w.MemoryStall
	if min(returned, major) >= c.MinMajorFaultsPerSecond {
		stall = max(stall, w.IOStall)
	}
	stall = min(stall, 1)
	byMajor := major >= c.MinMajorFaultsPerSecond && stall >= c.MinMemoryStall
	byMinor := !c.forksUnseen && refaults >= c.MinRefaultsPerSecond && systemShare >= c.MinSystemShare
	if !byMajor && !byMinor {
		return Finding{}, false
	}
	sentence := fmt.Sprintf("%s is thrashing: %.0f major faults a second bring back what it had in memory, and tasks stood still for want of memory for %.0f %% of the last %.1f s",
		named(w.Process), major, 100*stall, length)
	if !byMajor {
		sentence = fmt.Sprintf("%s is thrashing: %.0f minor faults a second over the last %.1f s, for memory it gives back and takes again, and %.0f %% of its CPU time goes into them",
			named(w.Process), refaults, length, 100*systemShare)
	}
	return Finding{
		Label:    MemThrashing,
		Sentence: sentence,
		Evidence: []Evidence{
			held("major_faults_per_second", major, c.MinMajorFaultsPerSecond),
			held("memory_stall", stall, c.MinMemoryStall),
			fact("returned_pages_per_second", returned),
			held("refaults_per_second", refaults, c.MinRefaultsPerSecond),
			held("system_share", systemShare, c.MinSystemShare),
		},
	}, true
}
