package diagnosis

import (
	"cmp"
	"slices"
	"time"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// scene is a snapshot with what concerns more than one process. Rules only read
// it.
type scene struct {
	*sampler.Snapshot
	starved map[sampler.ID]*victim
	blamed  map[sampler.ID][]*victim // by who is most to blame, the longest wait first
}

// victim is a process that is starved.
type victim struct {
	window *sampler.Window
	held   time.Duration   // behind other processes, throttling left out
	share  float64         // of the time its threads wanted to run
	each   time.Duration   // wait of its most delayed thread for each time it ran
	pairs  []*sampler.Pair // behind whom, the longest wait first
}

func newScene() *scene {
	return &scene{starved: make(map[sampler.ID]*victim), blamed: make(map[sampler.ID][]*victim)}
}

// set looks at a snapshot as a whole.
func (c *scene) set(s *sampler.Snapshot, starved *StarvedConfig, noisy *NoisyNeighborConfig) {
	c.Snapshot = s
	clear(c.starved)
	clear(c.blamed)
	for i := range s.Windows {
		if v, ok := starved.holds(&s.Windows[i], s); ok {
			c.starved[v.window.ID] = v
		}
	}
	if len(c.starved) == 0 {
		return
	}
	for _, p := range s.Pairs {
		if p.Wait <= 0 {
			break // they come sorted
		}
		v := c.starved[p.Victim.ID]
		if v == nil {
			continue
		}
		v.pairs = append(v.pairs, p)
		// The kernel's own threads are nobody's neighbours.
		if len(v.pairs) == 1 && !v.window.Kernel && p.Wait.Seconds() >= noisy.MinVictimShare*v.held.Seconds() {
			c.blamed[p.Aggressor.ID] = append(c.blamed[p.Aggressor.ID], v)
		}
	}
	for _, victims := range c.blamed {
		slices.SortFunc(victims, func(a, b *victim) int {
			return cmp.Or(
				cmp.Compare(b.pairs[0].Wait, a.pairs[0].Wait),
				cmp.Compare(a.window.Pid, b.window.Pid),
			)
		})
	}
}

// heldBack returns how long other processes kept one from the CPU, and which
// share that is of the time it wanted to run: of that wait, of the wait of its
// threads for each other, and of its CPU time. Sixteen threads on one CPU wait
// sixteen times for each moment that another process runs there, and all the
// more for each other: as a share of their CPU time alone they would look
// starved by a neighbour that has a seventeenth of the CPU. While its quota throttles
// a process it waits for nobody: that is not behind others, whoever runs.
func heldBack(w *sampler.Window) (time.Duration, float64) {
	held := max(w.Waited.Others, 0)
	wanted := held + max(w.Waited.Self, 0) + w.Used.CPU()
	if wanted <= 0 {
		return 0, 0
	}
	return held, float64(held) / float64(wanted)
}

// How many of the other side a finding names.
const maxParties = 3
