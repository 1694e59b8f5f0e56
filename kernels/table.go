package main

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// row is what came of one kernel.
type row struct {
	kernel  kernel
	version string
	results map[string]result
	took    time.Duration
	again   bool  // this is the second time: it failed before
	err     error // of whatever kind; results are there if it was booted
}

// leaveOutLong says of the parts that a short run has not that they are left out.
func (r *row) leaveOutLong() error {
	for _, p := range parts {
		if !p.long {
			continue
		}
		names, err := p.names()
		if err != nil {
			return err
		}
		for _, name := range names {
			r.results[name] = result{action: "skip", output: []string{"_test.go:0: this is a short run"}}
		}
	}
	return nil
}

// tests returns the names of what is counted in a column: tests, but of the
// scenarios each.
func (r *row) tests(column string) ([]string, error) {
	if column == scenarios {
		var names []string
		for _, name := range slices.Sorted(maps.Keys(r.results)) {
			// TestScenarios/1s/name/1
			if strings.HasPrefix(name, "TestScenarios/") && strings.Count(name, "/") == 3 {
				names = append(names, name)
			}
		}
		return names, nil
	}
	var all []string
	for _, p := range parts {
		if p.of == column {
			names, err := p.names()
			if err != nil {
				return nil, err
			}
			all = append(all, names...)
		}
	}
	return all, nil
}

const loadTest = "TestEveryProgramLoadsAndAttaches/"

// cell says what came of a column, and lists what did not come out right, or was
// left out, with the reason.
func (r *row) cell(column string) (text string, wrong, leftOut []string) {
	var said []string
	if slices.Contains(programs, column) {
		switch load := r.results[loadTest+column]; load.action {
		case "pass":
			said = append(said, "attached")
		default:
			said = append(said, "does not attach")
			wrong = append(wrong, column+" does not attach: "+load.why())
		}
	}
	names, err := r.tests(column)
	if err != nil {
		return "", []string{err.Error()}, nil
	}
	right, failed := 0, 0
	for _, name := range names {
		switch found := r.results[name]; found.action {
		case "pass":
			right++
		case "skip":
			// Whoever wraps a test that was left out says so in its own words.
			reason := found
			if below := r.results[name+"/attempt"]; below.action == "skip" {
				reason = below
			}
			leftOut = append(leftOut, fmt.Sprintf("%s: %s", name, reason.why()))
		case "fail":
			failed++
			wrong = append(wrong, name+" fails")
		default:
			failed++
			wrong = append(wrong, name+" did not end")
		}
	}
	if len(names) == 0 {
		wrong = append(wrong, "no test of "+column+" ran")
	}
	said = append(said, fmt.Sprintf("%d right", right))
	if failed > 0 {
		said = append(said, fmt.Sprintf("**%d wrong**", failed))
	}
	if len(leftOut) > 0 {
		said = append(said, fmt.Sprintf("%d left out", len(leftOut)))
	}
	return strings.Join(said, ", "), wrong, leftOut
}

// wrong tells how much did not come out right: the table says what.
func (r *row) wrong() error {
	n := 0
	for _, column := range columns {
		_, wrong, _ := r.cell(column)
		n += len(wrong)
	}
	if n > 0 {
		return fmt.Errorf("%d not right", n)
	}
	return nil
}

// table draws the rows as Markdown, with what is wrong or was left out below.
func table(rows []row) string {
	var b, notes strings.Builder
	fmt.Fprintf(&b, "| Linux | kernel | %s | took |\n|---|---|%s---|\n", strings.Join(columns, " | "), strings.Repeat("---|", len(columns)))
	for _, r := range rows {
		fmt.Fprintf(&b, "| %s | %s |", r.version, r.kernel)
		if r.results == nil {
			b.WriteString(strings.Repeat(" – |", len(columns)+1) + "\n")
			fmt.Fprintf(&notes, "* %s %s: **%s**\n", r.kernel, r.version, strings.ReplaceAll(r.err.Error(), "\n", " "))
			continue
		}
		for _, end := range []error{errSlow, errDied} {
			if errors.Is(r.err, end) {
				fmt.Fprintf(&notes, "* %s %s: **%v**\n", r.kernel, r.version, end)
			}
		}
		for _, column := range columns {
			text, wrong, leftOut := r.cell(column)
			fmt.Fprintf(&b, " %s |", text)
			for _, what := range wrong {
				fmt.Fprintf(&notes, "* %s %s: **%s**\n", r.kernel, r.version, what)
			}
			for _, what := range leftOut {
				fmt.Fprintf(&notes, "* %s %s, left out: %s\n", r.kernel, r.version, what)
			}
		}
		fmt.Fprintf(&b, " %.0f s%s |\n", r.took.Seconds(), map[bool]string{true: ", 2nd attempt"}[r.again])
	}
	if notes.Len() > 0 {
		b.WriteString("\n" + notes.String())
	}
	return b.String()
}

const begin, end = "<!-- make test-kernels -->\n", "<!-- end -->\n"

// write puts a table between the markers of a page.
func write(page, table string) error {
	text, err := os.ReadFile(page)
	if err != nil {
		return err
	}
	before, rest, found := strings.Cut(string(text), begin)
	_, after, ended := strings.Cut(rest, end)
	if !found || !ended {
		return fmt.Errorf("%s has no place for the table", page)
	}
	return os.WriteFile(page, []byte(before+begin+"\n"+table+"\n"+end+after), 0o644)
}
