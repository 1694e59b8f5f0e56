package e2e

import (
	"fmt"
	"html"
	"os"
	"path/filepath"
	"strings"
	"testing"

	uv "github.com/charmbracelet/ultraviolet"
	"github.com/charmbracelet/x/vt"
	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// TestPicture makes the picture of the documentation, of a real run.
func TestPicture(t *testing.T) {
	folder := os.Getenv("HOTSPOT_PICTURES")
	if folder == "" {
		t.Skip("HOTSPOT_PICTURES does not name a folder to write to: run make pictures")
	}
	needsRoot(t)
	workload.Start(t, "busy", "-cpu=0", "-comm=report-job")
	workload.Start(t, "busy", "-cpu=0", "-nice=19", "-comm=api-server")
	workload.Start(t, "leak", "-comm=importer", "60000000")
	c := runOn(t, binary(t), write(t, `
receivers:
  hotspot:
    collection_interval: 2s
    diagnosis: {repeat_interval: 2s}
    include: {executable_names: [report-job, api-server, importer]}
exporters:
  hotspottop:
service:
  telemetry:
    metrics: {level: none}
    logs: {level: warn}
  pipelines:
    metrics: {receivers: [hotspot], exporters: [hotspottop]}
    logs: {receivers: [hotspot], exporters: [hotspottop]}
`), 120, 26)
	c.awaitScreen(t, "the diagnoses", func(lines []string) bool {
		text := strings.Join(lines, "\n")
		return strings.Contains(text, "oom_risk") && strings.Contains(text, "behind report-job") && !strings.Contains(text, "ended")
	})
	c.mu.Lock()
	picture := svg(c.screen)
	c.mu.Unlock()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "terminal.svg"), []byte(picture), 0o644))
	c.press(t, "q")
	c.left(t)
}

// svg draws a screen as it looks in a dark terminal.
func svg(screen *vt.Emulator) string {
	const cell, line, ink, paper = 8.4, 18.0, "#d8dee9", "#1d2027"
	width, height := screen.Width(), screen.Height()
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %.0f" font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14" xml:space="preserve">
<rect width="100%%" height="100%%" rx="6" fill="%s"/>
`, float64(width)*cell+20, float64(height)*line+20, paper)
	for y := range height {
		for x := 0; x < width; {
			style := screen.CellAt(x, y).Style
			from := x
			var text strings.Builder
			for x < width && screen.CellAt(x, y).Style.Equal(&style) {
				c := screen.CellAt(x, y)
				text.WriteString(c.Content)
				x += max(c.Width, 1)
			}
			left, top := 10+float64(from)*cell, 10+float64(y)*line
			fill, length := ink, float64(x-from)*cell
			if style.Fg != nil {
				r, g, bl, _ := style.Fg.RGBA()
				fill = fmt.Sprintf("#%02x%02x%02x", r>>8, g>>8, bl>>8)
			}
			if style.Attrs&uv.AttrReverse != 0 {
				fmt.Fprintf(&b, "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%.1f\" fill=\"%s\"/>\n", left, top, length, line, fill)
				fill = paper
			}
			if strings.TrimSpace(text.String()) == "" {
				continue
			}
			look := ""
			if style.Attrs&uv.AttrBold != 0 {
				look += ` font-weight="bold"`
			}
			if style.Attrs&uv.AttrFaint != 0 {
				look += ` opacity="0.6"`
			}
			fmt.Fprintf(&b, "<text x=\"%.1f\" y=\"%.1f\" textLength=\"%.1f\" fill=\"%s\"%s>%s</text>\n",
				left, top+13, length, fill, look, html.EscapeString(text.String()))
		}
	}
	return b.String() + "</svg>\n"
}
