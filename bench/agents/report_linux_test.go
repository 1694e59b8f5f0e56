package agents

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/dustin/go-humanize"
	"github.com/stretchr/testify/require"
)

// report is all that is measured, as it is written to results.json.
type report struct {
	Machine    string     `json:"machine"`
	Seconds    float64    `json:"took_seconds"`
	Costs      []cost     `json:"costs"`
	Content    []content  `json:"content"`
	ShortLived shortLived `json:"short_lived"`
	Growth     growth     `json:"growth"`
	Hooks      []string   `json:"hooks,omitempty"`
}

// write writes the report as JSON and Markdown.
func (r *report) write(t testing.TB, target string) {
	t.Helper()
	data, err := json.MarshalIndent(r, "", "  ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(target+".json", append(data, '\n'), 0o644))
	require.NoError(t, os.WriteFile(target+".md", []byte(r.markdown()), 0o644))
}

// markdown returns the report as tables.
func (r *report) markdown() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# What it costs, measured\n")
	line("By `make bench` in %.0f s on one machine: %s.", r.Seconds, r.Machine)
	line("Medians of at least %d paired runs; both receivers in the same binary, with the same interval and exporter. A", pairedRuns)
	line("ratio above 1 is in favour of hotspot.\n")

	line("## A collection\n")
	line("CPU time, user and system, of the collector's process. Everything is classified; exported are the top by each")
	line("signal, or with equal content all processes with the same metrics and attributes.\n")
	line("| host | hotspot, ms | equal content, ms | host_metrics, ms | ratio | ratio, equal content |")
	line("|---|--:|--:|--:|--:|--:|")
	for _, c := range r.Costs {
		us, equal, them := c.Agents[ours.name].cpu(), c.Agents[oursEqual.name].cpu(), c.Agents[theirs.name].cpu()
		line("| %s | %s | %s | %s | %.0f | %.0f |", c.Host, ms(median(us)), ms(median(equal)), ms(median(them)),
			c.ratio(ours, needs.cpu), c.ratio(oursEqual, needs.cpu))
	}

	line("\n## Memory\n")
	line("The peak of the resident set in an interval, MiB; in brackets what of it at its end is not of files, such as the")
	line("program.\n")
	line("| host | hotspot | equal content | host_metrics | ratio | ratio, equal content |")
	line("|---|--:|--:|--:|--:|--:|")
	for _, c := range r.Costs {
		line("| %s | %s | %s | %s | %.1f | %.1f |", c.Host, mib(c.Agents[ours.name]), mib(c.Agents[oursEqual.name]), mib(c.Agents[theirs.name]),
			c.ratio(ours, needs.peak), c.ratio(oursEqual, needs.peak))
	}

	line("\n## What a collection sends\n")
	line("| host | receiver | processes | data points | OTLP bytes |")
	line("|---|---|--:|--:|--:|")
	for _, c := range r.Content {
		line("| %s | %s | %s | %s | %s |", c.Host, c.Agent, comma(c.Processes), comma(c.Points), comma(c.Bytes))
	}

	s := r.ShortLived
	line("\n## Short-lived processes\n")
	line("The share of the CPU time of %d processes of %.0f ms each that shows up under their name, at an interval of %.0f s.\n",
		s.Processes, s.CPUEach*1e3, s.Interval)
	line("| receiver | share | lowest run |")
	line("|---|--:|--:|")
	for _, a := range shortLivedAgents {
		line("| %s | %.1f %% | %.1f %% |", a.name, 100*median(s.Shares[a.name]), 100*slices.Min(s.Shares[a.name]))
	}

	line("\n## Growth\n")
	line("A collection of hotspot by the number of threads of the host, %d in a process.\n", threadsEach)
	line("| threads | ms | ns a thread |")
	line("|--:|--:|--:|")
	for _, size := range r.Growth {
		line("| %s | %s | %.0f |", comma(size.Threads), ms(size.cpu()), size.cpu()/float64(size.Threads)*1e9)
	}
	line("\n%s.", upperFirst(r.Growth.verdict()))

	if len(r.Hooks) > 0 {
		line("\n## The hook in every context switch\n\n```\n%s\n```", strings.Join(r.Hooks, "\n"))
	}
	line("\n## What must hold\n")
	line("| | wanted | is | |")
	line("|---|--:|--:|---|")
	for _, g := range r.goals() {
		line("| %s | %s | %s | %s |", g.what, g.wanted, g.is, map[bool]string{true: "holds", false: "**does not hold**"}[g.holds])
	}
	return b.String()
}

// ratio returns by how much more theirs needs than one of ours: the median of the
// paired runs.
func (c *cost) ratio(of agent, what func(needs) []float64) float64 {
	us, them := what(c.Agents[of.name]), what(c.Agents[theirs.name])
	ratios := make([]float64, len(us))
	for run := range us {
		ratios[run] = them[run] / us[run]
	}
	return median(ratios)
}

func ms(seconds float64) string {
	if seconds >= 0.1 {
		return comma(int(math.Round(seconds * 1e3)))
	}
	return fmt.Sprintf("%.1f", seconds*1e3)
}

func mib(n needs) string {
	return fmt.Sprintf("%.0f (%.0f)", median(n.peak())/(1<<20), median(n.anonymous())/(1<<20))
}

func comma(n int) string { return humanize.Comma(int64(n)) }

func upperFirst(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// hooksFrom returns what the benchmark of the hooks has printed, without what Go
// adds; nothing if there is no such file.
func hooksFrom(t testing.TB, file string) (lines []string) {
	t.Helper()
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, " \n")
		if goesOn := slices.ContainsFunc([]string{"goos:", "goarch:", "pkg:", "cpu:", "Benchmark", "PASS"}, func(prefix string) bool {
			return strings.HasPrefix(line, prefix)
		}); !goesOn && (line != "" || len(lines) > 0) {
			lines = append(lines, line)
		}
	}
	return lines
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

func each[A, B any](all []A, f func(A) B) []B {
	out := make([]B, len(all))
	for i := range all {
		out[i] = f(all[i])
	}
	return out
}
