package scenarios

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/stretchr/testify/require"
)

// table is what came of all scenarios.
type table struct {
	Quiet bool   `json:"quiet_host"`
	CPUs  int    `json:"cpus"`
	Rows  []*row `json:"scenarios"`
}

// row is what came of one scenario at one interval.
type row struct {
	Scenario string  `json:"scenario"`
	Interval float64 `json:"interval_seconds"`
	Expected string  `json:"expected"`
	// Got is what was said by role, in any run.
	Got map[string][]string `json:"got"`
	// FirstWindows is in how many full windows each line of what was expected was
	// said, by run: 0 is the very one in which it began.
	FirstWindows [][]int  `json:"first_correct_full_windows"`
	FalseAlarms  []string `json:"false_alarms"`
	Runs         int      `json:"runs"`
	Passed       int      `json:"passed"`
	Disturbed    int      `json:"disturbed"` // by other load, at each attempt
	Skipped      int      `json:"skipped"`   // for want of something
}

// outcome is what came of one performance.
type outcome struct {
	windows     []int               // by line, as far as they were said
	got         map[string][]string // labels by role
	falseAlarms []string
}

func (t *table) row(scenario string, interval time.Duration, expected string) *row {
	r := &row{
		Scenario: scenario, Interval: interval.Seconds(), Expected: expected,
		Got: map[string][]string{}, FirstWindows: [][]int{}, FalseAlarms: []string{},
	}
	t.Rows = append(t.Rows, r)
	return r
}

// played leaves out what was not asked for, as with go test -run.
func (t *table) played() *table {
	t.Rows = slices.DeleteFunc(t.Rows, func(r *row) bool { return r.Runs == 0 })
	return t
}

func (r *row) add(o *outcome) {
	if len(o.windows) > 0 {
		r.FirstWindows = append(r.FirstWindows, o.windows)
	}
	r.FalseAlarms = append(r.FalseAlarms, o.falseAlarms...)
	for role, labels := range o.got {
		for _, l := range labels {
			if !slices.Contains(r.Got[role], l) {
				r.Got[role] = append(r.Got[role], l)
			}
		}
	}
}

// got says in words what was said by role.
func (r *row) got() string {
	var parts []string
	for _, role := range slices.Sorted(maps.Keys(r.Got)) {
		parts = append(parts, role+" "+strings.Join(r.Got[role], ", "))
	}
	return cmp.Or(strings.Join(parts, "; "), "nothing")
}

// first says the most full windows that any line took in any run.
func (r *row) first() string {
	most := -1
	for _, run := range r.FirstWindows {
		most = max(most, slices.Max(run))
	}
	if most < 0 {
		return "-"
	}
	return fmt.Sprint(most)
}

// String writes the table as text. The long column is the last.
func (t *table) String() string {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "interval\tpassed\tdisturbed\tskipped\tfalse alarms\tfirst window\tscenario: expected -> got")
	for _, r := range t.Rows {
		fmt.Fprintf(w, "%gs\t%d/%d\t%d\t%d\t%d\t%s\t%s: %s -> %s\n", r.Interval, r.Passed, r.Runs, r.Disturbed, r.Skipped,
			len(r.FalseAlarms), r.first(), r.Scenario, r.Expected, r.got())
	}
	_ = w.Flush() // to memory
	return text.String()
}

// write writes the table as JSON.
func (t *table) write(file string) error {
	text, err := json.MarshalIndent(t, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}

func TestTable(t *testing.T) {
	results := &table{Quiet: true, CPUs: 2}
	pair := results.row("a pair", time.Second, "nice starved within 1")
	pair.Runs, pair.Passed = 2, 1
	pair.add(&outcome{windows: []int{0, 1}, got: map[string][]string{"nice": {"cpu_bound", "starved"}}})
	pair.add(&outcome{windows: []int{2}, got: map[string][]string{"nice": {"starved"}, "by": {"oom_risk"}}, falseAlarms: []string{"by: no"}})
	silent := results.row("silence", 500*time.Millisecond, "nothing")
	silent.Runs, silent.Disturbed, silent.Skipped = 3, 2, 1
	silent.add(&outcome{})
	results.row("not played", time.Second, "all")
	results = results.played()

	require.Equal(t, ""+
		"interval  passed  disturbed  skipped  false alarms  first window  scenario: expected -> got\n"+
		"1s        1/2     0          0        1             2             a pair: nice starved within 1 -> by oom_risk; nice cpu_bound, starved\n"+
		"0.5s      0/3     2          1        0             -             silence: nothing -> nothing\n", results.String())

	file := t.TempDir() + "/table.json"
	require.NoError(t, results.write(file))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.JSONEq(t, `{"quiet_host": true, "cpus": 2, "scenarios": [
		{"scenario": "a pair", "interval_seconds": 1, "expected": "nice starved within 1",
		 "got": {"nice": ["cpu_bound", "starved"], "by": ["oom_risk"]}, "first_correct_full_windows": [[0, 1], [2]],
		 "false_alarms": ["by: no"], "runs": 2, "passed": 1, "disturbed": 0, "skipped": 0},
		{"scenario": "silence", "interval_seconds": 0.5, "expected": "nothing",
		 "got": {}, "first_correct_full_windows": [], "false_alarms": [], "runs": 3, "passed": 0, "disturbed": 2, "skipped": 1}
	]}`, string(text))
}
