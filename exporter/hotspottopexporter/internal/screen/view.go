package screen

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/frame"
)

// Own is what is known of the collector that draws.
type Own struct {
	Host  string  // where it runs: the name of a host that the data do not name
	Cores float64 // CPUs it uses itself, NaN if not known
}

// The tables, in the order they are drawn and numbered.
var sheets = []sheet{cpuTable(), waitTable(), memoryTable()}

// view is a frame and how it is looked at.
type view struct {
	*frame.Frame
	own     Own
	queries [3]query // of each table
	focus   int      // the table that has most of the room
	filter  string
	paused  bool
	style   styles
}

func newView(style styles) view {
	v := view{Frame: &frame.Frame{}, own: Own{Cores: math.NaN()}, style: style}
	for i := range v.queries {
		v.queries[i].sort = -1
	}
	return v
}

// header returns one line on the whole: what does not fit is left out.
func (v *view) header(width int) string {
	parts := []string{"hotspot"}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if v.paused {
		add("PAUSED")
	}
	if len(v.Hosts) == 0 {
		add("%s", v.own.Host)
		add("waiting for the end of a window")
	} else {
		v.describe(add)
	}
	if !math.IsNaN(v.own.Cores) {
		add("collector %s%%", percent(v.own.Cores))
	}
	line := parts[0]
	for _, part := range parts[1:] {
		if ansi.StringWidth(line)+2+ansi.StringWidth(part) > width {
			continue
		}
		line += "  " + part
	}
	return v.style.title.Render(ansi.Truncate(line, width, "…"))
}

func (v *view) describe(add func(string, ...any)) {
	newest, diagnosed, processes, cores, cpus := v.Hosts[0], 0, 0, 0.0, 0
	window := newest.Window
	for _, h := range v.Hosts {
		processes += h.Processes
		cores, cpus = cores+h.Cores, cpus+h.CPUs
		if h.End.After(newest.End) {
			newest = h
		}
		if h.Window != window && math.Abs(h.Window-window) > 0.05*window {
			window = math.NaN()
		}
	}
	for _, d := range v.Diagnoses {
		if !d.Over {
			diagnosed++
		}
	}
	switch {
	case len(v.Hosts) > 1:
		add("%d hosts", len(v.Hosts))
	case newest.Name == "":
		add("%s", v.own.Host)
	default:
		add("%s", newest.Name)
	}
	add("%s", newest.End.Local().Format(time.TimeOnly))
	if silent := v.At.Sub(newest.Seen); !math.IsNaN(newest.Window) && silent.Seconds() > 3*newest.Window {
		add("NO DATA for %s", span(silent.Seconds()))
	}
	add("%d diagnosed", diagnosed)
	if !math.IsNaN(cores) {
		if cpus > 0 {
			add("CPU %.2f of %d", cores, cpus)
		} else {
			add("CPU %.2f", cores)
		}
	}
	if !math.IsNaN(window) {
		add("every %.1fs", window)
	}
	add("%d processes shown", processes)
}

// diagnosed returns the diagnoses, wrapped, in at most so many lines.
func (v *view) diagnosed(width, lines int) []string {
	var all []string
	shown, matching := 0, 0
	for _, d := range v.Diagnoses {
		if v.filter != "" && !contains(v.filter, d.Host, d.Label, d.Sentence) {
			continue
		}
		matching++
		one := v.sentence(d, width)
		if len(all)+len(one) > lines && shown > 0 || lines == 0 {
			continue
		}
		shown++
		all = append(all, one[:min(len(one), lines)]...)
	}
	title := fmt.Sprintf("Diagnosed: %d", matching)
	switch {
	case matching == 0 && len(v.Diagnoses) == 0 && len(v.Hosts) > 0:
		title = "Diagnosed: nothing"
	case shown < matching:
		title += fmt.Sprintf(" (%d more than fit)", matching-shown)
	}
	return append([]string{v.rule(title, width, v.style.title.Render)}, all...)
}

// labelWidth is that of the longest label.
const labelWidth = len("noisy_neighbor")

func (v *view) sentence(d frame.Diagnosis, width int) []string {
	label := d.Label
	style := v.style.of(d.Severity)
	text := d.Sentence
	if len(v.Hosts) > 1 {
		text = d.Host + ": " + text
	}
	if d.Over {
		style = v.style.faint
		if d.Label != "oom_kill" {
			label = "ended"
		}
	} else if d.Lasted >= 1 {
		text += fmt.Sprintf(" [%s]", span(d.Lasted))
	}
	if d.Label == "oom_kill" {
		style = v.style.of(d.Severity)
	}
	label = ansi.Truncate(label, labelWidth, "…")
	label += strings.Repeat(" ", labelWidth-ansi.StringWidth(label)+1)
	room := max(width-labelWidth-1, 1)
	var lines []string
	for i, part := range strings.Split(ansi.Wrap(text, room, ""), "\n") {
		if i > 0 {
			label = strings.Repeat(" ", labelWidth+1)
		}
		lines = append(lines, style.Render(ansi.Truncate(label+part, width, "")))
	}
	return lines
}

// rule returns a title with a line to the end.
func (v *view) rule(title string, width int, style func(...string) string) string {
	title = ansi.Truncate(title, max(width-1, 0), "…") + " "
	return style(title) + v.style.faint.Render(strings.Repeat("─", max(width-ansi.StringWidth(title), 0)))
}

// tables returns all tables in so many lines, or only the one in focus where
// there is no room for more.
func (v *view) tables(width, lines int) []string {
	const frame, fewest = 2, 2 // lines of a title and a heading; rows that make a table worth it
	shown := []int{0, 1, 2}
	if lines < len(sheets)*(frame+fewest) {
		shown = []int{v.focus}
	}
	var all []drawn
	var need []int
	focus := 0
	for i, s := range shown {
		q := v.queries[s]
		q.filter = v.filter
		d := sheets[s].draw(v.Frame, q, width)
		all, need = append(all, d), append(need, d.rows)
		if s == v.focus {
			focus = i
		}
	}
	rooms := share(need, focus, lines-frame*len(shown))
	var out []string
	for i, d := range all {
		s := shown[i]
		// Scrolling ends at the last page.
		v.queries[s].offset = max(min(v.queries[s].offset, d.rows-rooms[i]), 0)
		out = append(out, v.titleOf(s, d, rooms[i], width))
		out = append(out, v.style.heading.Render(pad(d.heading, width)))
		from := v.queries[s].offset
		for row := from; row < min(from+rooms[i], d.rows); row++ {
			line, severity := d.line(row)
			out = append(out, v.style.of(severity).Render(strings.TrimRight(line, " ")))
		}
	}
	return out
}

func (v *view) titleOf(s int, d drawn, room, width int) string {
	title := fmt.Sprintf("%d %s", s+1, d.name)
	if v.filter != "" {
		title += " /" + v.filter
	}
	if from := v.queries[s].offset; d.rows > room {
		title += fmt.Sprintf(" (%d to %d of %d)", min(from+1, d.rows), min(from+room, d.rows), d.rows)
	}
	style := v.style.title
	if s == v.focus {
		style = v.style.chosen
	}
	return v.rule(title, width, style.Render)
}

// share gives each table a quarter of the lines, what is left to the one in
// focus, and what that does not need to the others.
func share(need []int, focus, lines int) []int {
	rooms := make([]int, len(need))
	give := func(i, most int) {
		n := max(min(need[i]-rooms[i], most, lines), 0)
		rooms[i], lines = rooms[i]+n, lines-n
	}
	first := max(lines/4, 3)
	give(focus, first)
	for i := range need {
		give(i, first-rooms[i])
	}
	give(focus, lines)
	for i := range need {
		give(i, lines)
	}
	return rooms
}

func pad(line string, width int) string {
	return line + strings.Repeat(" ", max(width-ansi.StringWidth(line), 0))
}
