// Package agents measures what the receiver costs a host beside what a user would
// run instead: the host_metrics receiver with its process scraper, in the same
// binary, with the same metrics, interval and exporter.
//
// For each host, processes that sleep or of which some wake now and then, the
// collectors are started together and stay. In every interval each of them makes
// one collection, at a time of its own, when the others rest; CPU clocks and the
// peak of the resident set are read once an interval, when all do. So an interval
// is a paired run, and what else the machine does is the same for all of them.
// Figures are medians over the intervals. The first collection, which opens what
// the later ones use again, is not among them.
//
// The interval is as long as it takes for the slowest to leave the others their
// turns.
package agents

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

func TestMain(m *testing.M) {
	workload.Main()
	os.Exit(m.Run())
}

// The hosts that are measured.
var hosts = []population{
	{processes: 200, threads: 1},
	{processes: 200, threads: 1, active: true},
	{processes: 2_000, threads: 1},
	{processes: 2_000, threads: 1, active: true},
	{processes: 2_000, threads: 20},
	{processes: 2_000, threads: 20, active: true},
	{processes: 10_000, threads: 1},
	{processes: 10_000, threads: 1, active: true},
}

// BenchmarkAgents measures all there is and writes the report. HOTSPOT_BINARY is
// the distribution, HOTSPOT_BENCH where the report goes: a path without ending.
// HOTSPOT_HOOKS may name what the benchmark of the hooks has printed, which goes
// into the report.
func BenchmarkAgents(b *testing.B) {
	binary, target := os.Getenv("HOTSPOT_BINARY"), os.Getenv("HOTSPOT_BENCH")
	if binary == "" || target == "" {
		b.Skip("HOTSPOT_BINARY and HOTSPOT_BENCH are not set: run make bench")
	}
	require.Zero(b, os.Geteuid(), "needs root, to load BPF programs")
	for b.Loop() {
		r := report{Machine: machineOf(b), Hooks: hooksFrom(b, os.Getenv("HOTSPOT_HOOKS"))}
		began := time.Now()
		workload.AllowManyTasks(b)
		r.ShortLived = measureShortLived(b, binary)
		r.Growth = measureGrowth(b, binary)
		var busy time.Duration
		var points int
		for _, host := range hosts {
			host.run(b, func() {
				if !host.active { // activity changes nothing of it
					var content []content
					content, busy = measureContent(b, binary, host)
					points = content[len(content)-1].Points
					r.Content = append(r.Content, content...)
				}
				r.Costs = append(r.Costs, measureCosts(b, binary, host, intervalFor(busy), points))
			})
			r.Seconds = time.Since(began).Seconds()
			r.write(b, target) // should the next not come about
		}
		fmt.Print("\n", r.markdown())
		if !r.Growth.linear() {
			b.Error(r.Growth.verdict())
		}
	}
}
