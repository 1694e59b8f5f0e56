package screen

import (
	"charm.land/lipgloss/v2"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/frame"
)

// styles colours what is drawn. The sixteen colours of a terminal are those its
// user has chosen; what a terminal cannot show, bubbletea leaves out.
type styles struct {
	title, heading, chosen, faint lipgloss.Style
	severity                      map[frame.Severity]lipgloss.Style
}

func colours() styles {
	plain := lipgloss.NewStyle().Inline(true)
	return styles{
		title:   plain.Bold(true),
		heading: plain.Reverse(true),
		chosen:  plain.Reverse(true).Bold(true),
		faint:   plain.Faint(true),
		severity: map[frame.Severity]lipgloss.Style{
			frame.None:  plain,
			frame.Info:  plain.Foreground(lipgloss.Cyan),
			frame.Warn:  plain.Foreground(lipgloss.Yellow),
			frame.Error: plain.Foreground(lipgloss.BrightRed).Bold(true),
		},
	}
}

// noStyles is plain text.
func noStyles() styles {
	plain := lipgloss.NewStyle().Inline(true)
	return styles{title: plain, heading: plain, chosen: plain, faint: plain}
}

func (s *styles) of(severity frame.Severity) lipgloss.Style {
	if style, ok := s.severity[severity]; ok {
		return style
	}
	return s.title.Bold(false)
}
