package agents

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// growth is what a collection of ours costs by the number of threads.
type growth []size

type size struct {
	Threads int       `json:"threads"`     // as the census counts them
	CPU     []float64 `json:"cpu_seconds"` // of one collection, one value a run
}

func (s size) cpu() float64 { return median(s.CPU) }

// The hosts of the growth table, in threads, five in a process.
var sizes = []int{1_000, 2_000, 5_000, 10_000, 20_000, 50_000}

const threadsEach = 5

// A run is several collections, so that those with a garbage collection are in it
// in proportion.
const (
	growthInterval = 300 * time.Millisecond
	runCollections = 3
)

// measureGrowth lets the host fill. Each size has a collector of its own: one that
// watched the processes come would still know who waited for whom meanwhile.
func measureGrowth(t testing.TB, binary string) (all growth) {
	t.Helper()
	have := 0
	for _, threads := range sizes {
		more := population{processes: (threads - have) / threadsEach, threads: threadsEach}
		stop := more.start(t)
		defer stop()
		have = threads
		r := ours.start(t, binary, growthInterval, "")
		r.awaitCount(1 + warmUp)
		all = append(all, size{r.threads(), r.collections(pairedRuns)})
		r.stop()
	}
	return all
}

// collections returns what a collection costs, in seconds, one value a run. On a
// busy machine there are fewer of them than there should be.
func (r *running) collections(runs int) (cpu []float64) {
	r.t.Helper()
	// The middle between two collections: half an interval after one.
	at := r.settle(1).Add(growthInterval / 2)
	time.Sleep(time.Until(at))
	counted := r.count()
	before := r.cpu()
	for range runs {
		at = at.Add(runCollections * growthInterval)
		time.Sleep(time.Until(at))
		now := r.cpu()
		cpu = append(cpu, (now - before).Seconds())
		before = now
	}
	made := r.count() - counted
	require.Positive(r.t, made)
	return each(cpu, func(seconds float64) float64 { return seconds * float64(runs) / made })
}

// settle returns after so many more collections, when the last is done.
func (r *running) settle(collections float64) time.Time {
	r.t.Helper()
	r.awaitCount(r.count() + collections - 1)
	return time.Now()
}

// threads returns how many threads the last census has seen.
func (r *running) threads() int { return int(r.value("otelcol_hotspot_census_threads")) }

// line returns the least squares line through the costs, each weighed by its own
// size: the seconds for none, and for each thread.
func (g growth) line() (fixed, slope float64) {
	var sw, sx, sy, sxx, sxy float64
	for _, s := range g {
		x, y := float64(s.Threads), s.cpu()
		w := 1 / (y * y)
		sw, sx, sy, sxx, sxy = sw+w, sx+w*x, sy+w*y, sxx+w*x*x, sxy+w*x*y
	}
	slope = (sw*sxy - sx*sy) / (sw*sxx - sx*sx)
	return (sy - slope*sx) / sw, slope
}

// exponent returns e of cost ~ threads^e by least squares, over the larger half of
// the sizes: what a collection costs without any threads flattens the smaller.
func (g growth) exponent() float64 {
	larger := g[len(g)/2:]
	var sx, sy, sxx, sxy float64
	n := float64(len(larger))
	for _, s := range larger {
		x, y := math.Log(float64(s.Threads)), math.Log(s.cpu())
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// maxExponent is 1 and what caches that no longer hold it all may add.
const maxExponent = 1.1

func (g growth) linear() bool { return g.exponent() <= maxExponent }

func (g growth) verdict() string {
	fixed, slope := g.line()
	is := "linear or better"
	if !g.linear() {
		is = "NOT LINEAR"
	}
	return fmt.Sprintf("%s: %.0f ns a thread and %.1f ms for none; the cost of the larger half grows with the threads to the power of %.2f",
		is, slope*1e9, fixed*1e3, g.exponent())
}
