package agents

import "fmt"

// goal is what must hold, and whether it did in this run.
type goal struct {
	what, wanted, is string
	holds            bool
}

// goals holds the report against what is promised. Processes that sleep are the
// host the promises are about.
func (r *report) goals() (all []goal) {
	atLeast := func(what string, is, wanted float64, format string) {
		all = append(all, goal{what, "≥ " + fmt.Sprintf(format, wanted), fmt.Sprintf(format, is), is >= wanted})
	}
	for i := range r.Costs {
		c := &r.Costs[i]
		if c.Active || c.Threads > 1 {
			continue
		}
		switch c.Processes {
		case 10_000:
			atLeast("CPU time, ratio, "+c.Host, c.ratio(ours, needs.cpu), 200, "%.0f")
			atLeast("peak memory, ratio, "+c.Host, c.ratio(ours, needs.peak), 2, "%.1f")
		case 2_000:
			atLeast("CPU time, ratio, "+c.Host, c.ratio(ours, needs.cpu), 100, "%.0f")
		}
	}
	atLeast("share of short-lived processes seen", 100*median(r.ShortLived.Shares[oursEverything.name]), 98, "%.1f %%")
	return append(all, goal{"growth, exponent", fmt.Sprintf("≤ %.2f", maxExponent), fmt.Sprintf("%.2f", r.Growth.exponent()), r.Growth.linear()})
}
