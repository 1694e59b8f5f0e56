package screen

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/charmbracelet/x/ansi"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/frame"
)

// column is one of a table of rows of a kind.
type column[T any] struct {
	title string
	width int
	left  bool // text, not a number
	text  func(*T) string
	// compare orders rows, what one looks for first.
	compare func(a, b *T) int
}

// table is rows of one kind, as they are shown.
type table[T any] struct {
	name     string
	rows     func(*frame.Frame) []T
	matches  func(*T, string) bool // a lower-case filter
	severity func(*T) frame.Severity
	columns  []column[T]
	first    int // the column it is sorted by unless told otherwise
}

// query is how a table is looked at.
type query struct {
	filter  string
	sort    int // which column; -1 is the table's own
	reverse bool
	offset  int // rows that are scrolled past
}

// drawn is a table at a width, with the rows still to be written.
type drawn struct {
	name    string
	rows    int // that match
	heading string
	line    func(i int) (string, frame.Severity) // in their order
}

// sheet is a table of any kind of rows.
type sheet interface {
	draw(f *frame.Frame, q query, width int) drawn
	// after returns the column to sort by after the one of the query: of those
	// that are drawn the next.
	after(f *frame.Frame, q query, width int) int
}

func (t *table[T]) by(q query) int {
	if q.sort < 0 {
		return t.first
	}
	return q.sort
}

func (t *table[T]) after(f *frame.Frame, q query, width int) int {
	next := t.by(q)
	for {
		next = (next + 1) % len(t.columns)
		if next == t.by(q) || slices.ContainsFunc(fitting(t.columns, len(f.Hosts) > 1, width), t.columns[next].is) {
			return next
		}
	}
}

func (c *column[T]) is(other column[T]) bool { return c.title == other.title }

func (t *table[T]) draw(f *frame.Frame, q query, width int) drawn {
	columns := fitting(t.columns, len(f.Hosts) > 1, width)
	by := t.by(q)
	rows := t.rows(f)
	order := make([]int, 0, len(rows))
	for i := range rows {
		if q.filter == "" || t.matches(&rows[i], q.filter) {
			order = append(order, i)
		}
	}
	slices.SortFunc(order, func(a, b int) int {
		c := t.columns[by].compare(&rows[a], &rows[b])
		if q.reverse {
			c = -c
		}
		return cmp.Or(c, t.tie(&rows[a], &rows[b]))
	})
	var heading strings.Builder
	for _, c := range columns {
		title := c.title
		if c.title == t.columns[by].title {
			title += "↓"
			if q.reverse {
				title = c.title + "↑"
			}
		}
		heading.WriteString(c.cell(title))
	}
	return drawn{
		name: t.name, rows: len(order), heading: heading.String(),
		line: func(i int) (string, frame.Severity) {
			row := &rows[order[i]]
			var line strings.Builder
			for _, c := range columns {
				line.WriteString(c.cell(c.text(row)))
			}
			return line.String(), t.severity(row)
		},
	}
}

// tie orders rows that are the same by the column they are sorted by, so that
// they keep their places.
func (t *table[T]) tie(a, b *T) int {
	for _, c := range t.columns {
		if c.left {
			if d := c.compare(a, b); d != 0 {
				return d
			}
		}
	}
	return 0
}

// fitting returns the columns there is room for, the first before the others.
func fitting[T any](all []column[T], hosts bool, width int) []column[T] {
	var some []column[T]
	for _, c := range all {
		if c.title == hostColumn && !hosts {
			continue
		}
		if c.width+1 > width {
			break
		}
		width -= c.width + 1
		some = append(some, c)
	}
	return some
}

// cell returns text at the width of the column, and a blank.
func (c *column[T]) cell(text string) string {
	text = ansi.Truncate(text, c.width, "…")
	pad := strings.Repeat(" ", c.width-ansi.StringWidth(text))
	if c.left {
		return text + pad + " "
	}
	return pad + text + " "
}

// byNumber orders the larger first, and last what is not known.
func byNumber[T any](v func(*T) float64) func(a, b *T) int {
	return func(a, b *T) int {
		x, y := v(a), v(b)
		switch {
		case math.IsNaN(x) && math.IsNaN(y):
			return 0
		case math.IsNaN(x):
			return 1
		case math.IsNaN(y):
			return -1
		}
		return cmp.Compare(y, x)
	}
}

func byText[T any](v func(*T) string) func(a, b *T) int {
	return func(a, b *T) int { return strings.Compare(v(a), v(b)) }
}

// reading returns a column of numbers.
func reading[T any](title string, width int, show func(float64) string, v func(*T) float64) column[T] {
	return column[T]{title: title, width: width, text: func(r *T) string { return show(v(r)) }, compare: byNumber(v)}
}

// word returns a column of text.
func word[T any](title string, width int, v func(*T) string) column[T] {
	return column[T]{title: title, width: width, left: true, text: v, compare: byText(v)}
}

const hostColumn = "HOST"

type (
	process = frame.Process
	wait    = frame.Wait
)

func processes(f *frame.Frame) []process { return f.Processes }

func processMatches(p *process, filter string) bool {
	return contains(filter, p.Host, p.Name, p.Diagnosis, p.Cgroup, strconv.FormatInt(p.Pid, 10))
}

func contains(filter string, texts ...string) bool {
	return slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(strings.ToLower(t), filter) })
}

func processSeverity(p *process) frame.Severity { return p.Severity }

// whose are the columns that tell which process a row is of.
func whose() []column[process] {
	return []column[process]{
		word(hostColumn, 16, func(p *process) string { return p.Host }),
		{
			title: "PID", width: 7,
			text:    func(p *process) string { return strconv.FormatInt(p.Pid, 10) },
			compare: func(a, b *process) int { return cmp.Compare(a.Pid, b.Pid) },
		},
		word("NAME", 15, func(p *process) string { return p.Name }),
	}
}

func cgroup() column[process] {
	return word("CONTROL GROUP", 72, func(p *process) string { return p.Cgroup })
}

func cpuTable() sheet {
	columns := append(whose(),
		reading("CPU %", 8, percent, func(p *process) float64 { return p.Cores }),
		reading("THREAD %", 9, percent, func(p *process) float64 { return p.Thread }),
		reading("WAIT %", 8, percent, func(p *process) float64 { return p.Wait }),
		word("DIAGNOSIS", 14, func(p *process) string { return p.Diagnosis }),
		cgroup(),
	)
	return &table[process]{
		name: "CPU", rows: processes, matches: processMatches, severity: processSeverity, columns: columns, first: 3,
	}
}

func memoryTable() sheet {
	columns := append(whose(),
		reading("RSS", 8, size, func(p *process) float64 { return p.RSS }),
		reading("GROWTH/s", 9, size, func(p *process) float64 { return p.Growth }),
		reading("LIMIT", 8, size, func(p *process) float64 { return p.Limit }),
		column[process]{
			title: "LEFT", width: 7,
			text: func(p *process) string { return span(p.TimeToLimit) },
			// The less is left the more one looks for it.
			compare: byNumber(func(p *process) float64 { return -p.TimeToLimit }),
		},
		reading("FAULTS/s", 9, count, func(p *process) float64 { return p.Minor }),
		reading("MAJOR/s", 8, count, func(p *process) float64 { return p.Major }),
		cgroup(),
	)
	return &table[process]{
		name: "Memory", rows: processes, matches: processMatches, severity: processSeverity, columns: columns, first: 3,
	}
}

func waitTable() sheet {
	return &table[wait]{
		name: "Waits",
		rows: func(f *frame.Frame) []wait { return f.Waits },
		matches: func(w *wait, filter string) bool {
			return contains(filter, w.Host, who(w.Victim), who(w.Aggressor))
		},
		severity: func(*wait) frame.Severity { return frame.None },
		columns: []column[wait]{
			word(hostColumn, 16, func(w *wait) string { return w.Host }),
			side("WAITS", func(w *wait) frame.Party { return w.Victim }),
			side("BEHIND", func(w *wait) frame.Party { return w.Aggressor }),
			reading("SECONDS", 8, seconds, func(w *wait) float64 { return w.Seconds }),
			reading("TIME %", 8, percent, func(w *wait) float64 { return w.Seconds / w.Window }),
			reading("SHARE %", 8, percent, func(w *wait) float64 { return w.Share }),
		},
		first: 3,
	}
}

// side returns the column of one side of a wait.
func side(title string, of func(*wait) frame.Party) column[wait] {
	return column[wait]{
		title: title, width: 25, left: true,
		text: func(w *wait) string { return who(of(w)) },
		compare: func(a, b *wait) int {
			x, y := of(a), of(b)
			return cmp.Or(strings.Compare(x.Name, y.Name), cmp.Compare(x.Pid, y.Pid))
		},
	}
}

func who(p frame.Party) string { return fmt.Sprintf("%s (%d)", p.Name, p.Pid) }

func seconds(s float64) string { return number("%.3f", s) }
