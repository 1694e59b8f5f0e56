// Package screen draws frames: as a screen that answers to keys, and as plain
// text.
package screen

import (
	"strings"

	"charm.land/bubbles/v2/help"
	"charm.land/bubbles/v2/key"
	"charm.land/bubbles/v2/textinput"
	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/frame"
)

// Show is the message that brings a new frame.
type Show struct {
	Frame *frame.Frame
	Own   Own
}

// Log is the message that brings a line of the collector's own log.
type Log string

// Model is the screen.
type Model struct {
	view
	newest        Show // not shown while paused
	log           string
	width, height int
	keys          keys
	help          help.Model
	input         textinput.Model // of the filter
	quit          func()
}

// New returns a screen without a frame. It calls quit when the user wants to.
func New(own Own, quit func()) *Model {
	m := &Model{view: newView(colours()), keys: newKeys(), help: help.New(), input: textinput.New(), quit: quit}
	m.own, m.newest = own, Show{m.Frame, own}
	m.help.Styles.ShortKey, m.help.Styles.ShortDesc = m.style.title, m.style.faint
	m.help.Styles.ShortSeparator, m.help.Styles.Ellipsis = m.style.faint, m.style.faint
	m.input.Prompt = "filter: "
	return m
}

// Init has nothing to do: frames come as they will.
func (m *Model) Init() tea.Cmd { return nil }

// Update answers to a message.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
		m.help.SetWidth(msg.Width)
	case Show:
		m.newest = msg
		m.adopt()
	case Log:
		m.log = frame.Printable(strings.ReplaceAll(string(msg), "\t", " "))
	case tea.KeyPressMsg:
		if m.input.Focused() {
			return m, m.edit(msg)
		}
		return m, m.press(msg)
	}
	return m, nil
}

// adopt shows the newest frame, unless it is not to.
func (m *Model) adopt() {
	if !m.paused {
		m.Frame, m.own = m.newest.Frame, m.newest.Own
	}
}

// edit takes a key while the filter is typed.
func (m *Model) edit(msg tea.KeyPressMsg) tea.Cmd {
	switch msg.String() {
	case "ctrl+c":
		return m.press(msg)
	case "esc":
		m.input.SetValue("")
		m.input.Blur()
	case "enter":
		m.input.Blur()
	default:
		// What makes the cursor blink is left out: it would redraw all the time.
		m.input, _ = m.input.Update(msg)
	}
	m.filter = strings.ToLower(m.input.Value())
	for i := range m.queries {
		m.queries[i].offset = 0
	}
	return nil
}

func (m *Model) press(msg tea.KeyPressMsg) tea.Cmd {
	k, q := &m.keys, &m.queries[m.focus]
	page := max(m.height/2, 1)
	switch {
	case key.Matches(msg, k.quit):
		m.quit()
	case key.Matches(msg, k.next):
		m.focus = (m.focus + 1) % len(sheets)
	case key.Matches(msg, k.previous):
		m.focus = (m.focus + len(sheets) - 1) % len(sheets)
	case key.Matches(msg, k.first):
		m.focus = 0
	case key.Matches(msg, k.second):
		m.focus = 1
	case key.Matches(msg, k.third):
		m.focus = 2
	case key.Matches(msg, k.sort):
		q.sort, q.offset = sheets[m.focus].after(m.Frame, *q, m.width), 0
	case key.Matches(msg, k.reverse):
		q.reverse = !q.reverse
	case key.Matches(msg, k.filter):
		m.input.Focus()
	case key.Matches(msg, k.clear):
		m.input.SetValue("")
		m.filter, m.log = "", ""
	case key.Matches(msg, k.pause):
		m.paused = !m.paused
		m.adopt()
	case key.Matches(msg, k.up):
		q.offset += -1
	case key.Matches(msg, k.down):
		q.offset += 1
	case key.Matches(msg, k.pageUp):
		q.offset += -page
	case key.Matches(msg, k.pageDown):
		q.offset += page
	case key.Matches(msg, k.top):
		q.offset = 0
	case key.Matches(msg, k.repaint):
		return tea.ClearScreen
	}
	return nil
}

// View returns the screen.
func (m *Model) View() tea.View {
	v := tea.NewView(strings.Join(m.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "hotspot"
	return v
}

// lines returns exactly as many as the screen is high, none wider than it.
func (m *Model) lines() []string {
	if m.width <= 0 || m.height <= 0 {
		return nil
	}
	bottom := []string{m.bottom()}
	if m.log != "" {
		bottom = append([]string{m.style.faint.Render(ansi.Truncate("log: "+m.log, m.width, "…"))}, bottom...)
	}
	lines := []string{m.header(m.width)}
	room := m.height - len(lines) - len(bottom)
	lines = append(lines, m.diagnosed(m.width, room/3)...)
	lines = append(lines, m.tables(m.width, m.height-len(lines)-len(bottom))...)
	for len(lines)+len(bottom) < m.height {
		lines = append(lines, "")
	}
	lines = append(lines[:max(m.height-len(bottom), 0)], bottom...)
	return lines[len(lines)-m.height:]
}

func (m *Model) bottom() string {
	if m.input.Focused() {
		return ansi.Truncate(m.input.View(), m.width, "")
	}
	return ansi.Truncate(m.help.ShortHelpView(m.keys.help()), m.width, "")
}
