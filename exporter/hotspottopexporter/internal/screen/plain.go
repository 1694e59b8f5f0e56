package screen

import (
	"strings"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/frame"
)

// plainWidth is that of plain text, which no terminal tells.
const plainWidth = 160

// Plain returns a frame as text without escapes, with so many rows of each
// table at most. It ends with an empty line.
func Plain(f *frame.Frame, own Own, rows int) string {
	v := newView(noStyles())
	v.Frame, v.own = f, own
	lines := append([]string{v.header(plainWidth)}, v.diagnosed(plainWidth, 1000)...)
	for i, s := range sheets {
		d := s.draw(f, v.queries[i], plainWidth)
		lines = append(lines, d.name, d.heading)
		for row := range min(rows, d.rows) {
			line, _ := d.line(row)
			lines = append(lines, line)
		}
	}
	for i := range lines {
		lines[i] = strings.TrimRight(lines[i], " ─")
	}
	return strings.Join(lines, "\n") + "\n\n"
}
