package screen

import (
	"bytes"
	"math/rand"
	"strings"
	"sync"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/charmbracelet/x/vt"
	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/frame"
)

// What a terminal shows after any sequence of frames and sizes is the last view,
// with nothing left of those before.
func TestNothingIsLeftOfEarlierFrames(t *testing.T) {
	random := rand.New(rand.NewSource(1))
	m := New(Own{Host: "here"}, func() {})
	terminal := &lockedTerminal{vt: vt.NewEmulator(80, 24)}
	p := tea.NewProgram(m, tea.WithInput(terminal.vt), tea.WithOutput(terminal), tea.WithoutSignalHandler(),
		tea.WithWindowSize(80, 24), tea.WithEnvironment([]string{"TERM=xterm-256color"}))
	done := make(chan error, 1)
	go func() {
		_, err := p.Run()
		done <- err
	}()
	width, height := 80, 24
	for round := range 300 {
		if random.Intn(10) == 0 {
			width, height = 20+random.Intn(200), 5+random.Intn(60)
			terminal.resize(width, height)
			p.Send(tea.WindowSizeMsg{Width: width, Height: height})
		}
		f := randomFrame(random)
		p.Send(Show{Frame: f, Own: Own{Host: "here"}})
		expected := New(Own{Host: "here"}, func() {})
		expected.width, expected.height = width, height
		expected.help.SetWidth(width)
		expected.Frame, expected.own = f, Own{Host: "here"}
		want := ansi.Strip(strings.Join(trimmed(expected.lines()), "\n"))
		var got string
		deadline := time.Now().Add(10 * time.Second)
		for got != want {
			got = terminal.text()
			if time.Now().After(deadline) {
				require.Equal(t, want, got, "round %d, %d x %d", round, width, height)
			}
			time.Sleep(time.Millisecond)
		}
	}
	p.Quit()
	require.NoError(t, <-done)
}

func randomFrame(random *rand.Rand) *frame.Frame {
	now := time.Unix(1_700_000_000+random.Int63n(1000), 0)
	f := &frame.Frame{At: now, Hosts: []frame.Host{{Name: "web1", End: now, Seen: now, Window: 2, Processes: 40, Cores: 1.5, CPUs: 2}}}
	names := []string{"yes", "sh", "postgres", "otelcol-hotspot", "世界", "kworker/0:1"}
	name := func() string { return names[random.Intn(len(names))] }
	for range random.Intn(8) {
		f.Diagnoses = append(f.Diagnoses, frame.Diagnosis{
			Label: []string{"starved", "cpu_bound", "oom_risk"}[random.Intn(3)], Severity: frame.Severity(1 + random.Intn(3)),
			Sentence: name() + strings.Repeat(" waited behind "+name(), random.Intn(12)), Lasted: float64(random.Intn(100)), Over: random.Intn(3) == 0,
		})
	}
	for i := range random.Intn(60) {
		f.Processes = append(f.Processes, frame.Process{Name: name(), Pid: int64(i + 1), Cores: random.Float64(), Cgroup: strings.Repeat("/a", random.Intn(30)),
			Diagnosis: []string{"", "", "starved"}[random.Intn(3)], Severity: frame.Severity(random.Intn(4)), RSS: random.Float64() * 1e9})
	}
	for i := range random.Intn(20) {
		f.Waits = append(f.Waits, frame.Wait{Victim: frame.Party{Pid: int64(i), Name: name()}, Aggressor: frame.Party{Pid: 7, Name: name()}, Seconds: random.Float64(), Window: 2, Share: 0.5})
	}
	return f
}

func trimmed(lines []string) []string {
	for i, l := range lines {
		lines[i] = strings.TrimRight(ansi.Strip(l), " ")
	}
	return lines
}

type lockedTerminal struct {
	mu sync.Mutex
	vt *vt.Emulator
}

func (l *lockedTerminal) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// As the driver of a terminal in its normal mode does.
	_, err := l.vt.Write(bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n")))
	return len(p), err
}

func (l *lockedTerminal) resize(w, h int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.vt.Resize(w, h)
}

func (l *lockedTerminal) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(trimmed(strings.Split(l.vt.String(), "\n")), "\n")
}
