package groups

import (
	"slices"
	"strings"
	"time"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// Group is what the processes of a control group have done. What is a time or a
// number of faults counts since the watch first saw it.
type Group struct {
	Path        string // or Other
	ContainerID string
	PodUID      string
	Since       time.Time // when the window began in which it was first seen

	User, System, RunQueue   time.Duration
	MinorFaults, MajorFaults uint64
	// Throttled is how long its quota and those above held it back; it has one, or
	// had, if Quota is set.
	Throttled time.Duration
	Quota     bool
	// Waits are those behind processes of other groups, in order of their paths.
	Waits []Wait

	RSS   uint64 // of its processes that are alive at the end of the window, bytes
	Limit uint64 // the smallest memory limit of theirs, bytes; 0: none

	seen      uint64 // the last window with a process of it
	cpuCgroup uint64 // what throttled is of,
	throttled time.Duration
}

// Wait is what the processes of a group waited while those of another one ran.
type Wait struct {
	Aggressor string    // path, or Other
	Since     time.Time // when the window began in which there was the first
	Total     time.Duration
}

// maxAggressors is how many other groups a group's waits are told apart by; one
// that has a series keeps it.
const maxAggressors = 20

// begin opens the next window.
func (g *Group) begin() { g.RSS, g.Limit = 0, 0 }

func (g *Group) add(w *sampler.Window) {
	g.User += w.Used.User
	g.System += w.Used.System
	g.RunQueue += w.Used.RunQueue
	g.MinorFaults += w.Used.MinorFaults
	g.MajorFaults += w.Used.MajorFaults
	if w.Exited {
		return
	}
	g.RSS += w.RSS
	if w.GroupLimit > 0 && (g.Limit == 0 || w.GroupLimit < g.Limit) {
		g.Limit = w.GroupLimit
	}
	g.Quota = g.Quota || w.Quota > 0
	g.throttle(w)
}

// throttle takes in the kernel's account of the control group, which is the same
// for all its processes. It is that of another one if the path is used again.
func (g *Group) throttle(w *sampler.Window) {
	if w.CPUCgroup != g.cpuCgroup {
		g.cpuCgroup, g.throttled = w.CPUCgroup, w.TotalThrottled
		return
	}
	g.Throttled += max(w.TotalThrottled-g.throttled, 0)
	g.throttled = max(g.throttled, w.TotalThrottled)
}

// wait counts a wait behind another group, from this window on if it is the
// first.
func (g *Group) wait(aggressor string, d time.Duration, began time.Time) {
	i, found := g.find(aggressor)
	if !found && aggressor != Other && len(g.Waits) >= maxAggressors {
		aggressor = Other
		i, found = g.find(aggressor)
	}
	if !found {
		g.Waits = slices.Insert(g.Waits, i, Wait{Aggressor: aggressor, Since: began})
	}
	g.Waits[i].Total += d
}

func (g *Group) find(aggressor string) (int, bool) {
	return slices.BinarySearchFunc(g.Waits, aggressor, func(w Wait, path string) int {
		return strings.Compare(w.Aggressor, path)
	})
}
