package screen

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/frame"
)

var update = flag.Bool("update", false, "write the golden files anew")

var moment = time.Date(2026, 3, 4, 5, 6, 7, 0, time.Local)

// scene is a busy host.
func scene() *frame.Frame {
	none := math.NaN()
	f := &frame.Frame{
		At: moment,
		Hosts: []frame.Host{{
			Name: "web1", End: moment, Seen: moment, Window: 2, Processes: 33, Cores: 1.94, CPUs: 2,
		}},
		Diagnoses: []frame.Diagnosis{
			{Host: "web1", Label: "oom_risk", Severity: frame.Error, Lasted: 75, Of: frame.Party{Pid: 77, Name: "leak"},
				Sentence: "leak (77) is on its way out of memory: it holds 600 MiB and grew by 40 MiB/s over the last 6 s; at that rate nothing is left in 1m10s"},
			{Host: "web1", Label: "starved", Severity: frame.Warn, Lasted: 4, Of: frame.Party{Pid: 812, Name: "postgres"},
				Sentence: "postgres (812) waited 1.9 s of the last 2.0 s for a CPU, 98 % of it behind stress-ng (900)"},
			{Host: "web1", Label: "cpu_bound", Severity: frame.Info, Lasted: 4, Of: frame.Party{Pid: 900, Name: "stress-ng"},
				Sentence: "stress-ng (900) is limited by the CPU: it ran for 2.0 s of the last 2.0 s"},
			{Host: "web1", Label: "starved", Severity: frame.Warn, Over: true, Of: frame.Party{Pid: 3, Name: "cron"},
				Sentence: "cron (3) is no longer starved of CPU; it lasted 8s"},
			{Host: "web1", Label: "oom_kill", Severity: frame.Error, Over: true, Of: frame.Party{Pid: 76, Name: "leak"},
				Sentence: "leak (76) was killed by the kernel for want of memory: it held 64 MiB"},
		},
		Processes: []frame.Process{
			{Host: "web1", Name: "stress-ng", Pid: 900, Cgroup: "/user.slice", Diagnosis: "cpu_bound", Severity: frame.Info,
				Cores: 0.978, Thread: 0.978, Wait: 0.02, RSS: 5 << 20, Growth: 0, Limit: 4 << 30, TimeToLimit: none, Minor: 3, Major: 0},
			{Host: "web1", Name: "postgres", Pid: 812, Cgroup: "/system.slice/postgresql.service", Diagnosis: "starved", Severity: frame.Warn,
				Cores: 0.02, Thread: 0.018, Wait: 0.95, RSS: 180 << 20, Growth: -2048, Limit: 4 << 30, TimeToLimit: none, Minor: 812.4, Major: 1.5},
			{Host: "web1", Name: "leak", Pid: 77, Cgroup: "/docker/" + strings.Repeat("0123456789abcdef", 4), Diagnosis: "oom_risk", Severity: frame.Error,
				Cores: 0.5, Thread: 0.5, Wait: 0, RSS: 600 << 20, Growth: 40 << 20, Limit: 1 << 30, TimeToLimit: 10.6, Minor: 10240, Major: 0},
			{Host: "web1", Name: "世界", Pid: 4194304, Cores: none, Thread: none, Wait: none, RSS: none, Growth: none, Limit: none,
				TimeToLimit: 90000, Minor: none, Major: none},
		},
		Waits: []frame.Wait{
			{Host: "web1", Victim: frame.Party{Pid: 812, Name: "postgres"}, Aggressor: frame.Party{Pid: 900, Name: "stress-ng"}, Seconds: 1.862, Window: 2, Share: 0.98},
			{Host: "web1", Victim: frame.Party{Pid: 900, Name: "stress-ng"}, Aggressor: frame.Party{Pid: 812, Name: "postgres"}, Seconds: 0.04, Window: 2, Share: none},
		},
	}
	for i := range 29 {
		f.Processes = append(f.Processes, frame.Process{Host: "web1", Name: fmt.Sprintf("worker-%d", i), Pid: int64(1000 + i), Cgroup: "/",
			Cores: float64(i) / 1000, Thread: float64(i) / 1000, RSS: float64(i << 20), Limit: 4 << 30, TimeToLimit: none})
	}
	return f
}

// fleet is the scene on two hosts.
func fleet() *frame.Frame {
	f := scene()
	second := f.Hosts[0]
	second.Name, second.End = "web2", moment.Add(time.Second)
	f.Hosts = append(f.Hosts, second)
	for i := range f.Processes[:4] {
		p := f.Processes[i]
		p.Host = "web2"
		f.Processes = append(f.Processes, p)
	}
	f.Diagnoses[1].Host = "web2"
	f.Waits[1].Host = "web2"
	return f
}

func shown(f *frame.Frame, width, height int) *Model {
	m := New(Own{Host: "here", Cores: 0.012}, func() {})
	m.Update(tea.WindowSizeMsg{Width: width, Height: height})
	m.Update(Show{Frame: f, Own: m.own})
	return m
}

func TestScreensAreAsTheGoldenFilesHaveThem(t *testing.T) {
	for name, m := range map[string]*Model{
		"80x24":        shown(scene(), 80, 24),
		"200x50":       shown(scene(), 200, 50),
		"40x10":        shown(scene(), 40, 10),
		"fleet-120x40": shown(fleet(), 120, 40),
		"empty-80x24":  shown(&frame.Frame{At: moment}, 80, 24),
	} {
		t.Run(name, func(t *testing.T) {
			golden(t, name, strings.Join(m.lines(), "\n"))
		})
	}
	t.Run("plain", func(t *testing.T) {
		golden(t, "plain", Plain(scene(), Own{Host: "here", Cores: math.NaN()}, 5))
	})
}

func golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name+".txt")
	var lines []string
	for _, l := range strings.Split(ansi.Strip(text), "\n") {
		lines = append(lines, strings.TrimRight(l, " "))
	}
	text = strings.Join(lines, "\n")
	if *update {
		require.NoError(t, os.MkdirAll("testdata", 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}

// Whatever the size, there are as many lines as the screen has, and none is
// wider.
func TestNothingIsDrawnOutsideTheScreen(t *testing.T) {
	for _, f := range []*frame.Frame{scene(), fleet(), {At: moment}} {
		for width := 1; width <= 210; width += 3 {
			for height := 1; height <= 60; height++ {
				m := shown(f, width, height)
				m.Update(Log("a line of the log that is longer than most terminals are wide, " + strings.Repeat("x", 200)))
				lines := m.lines()
				require.Len(t, lines, height)
				for _, l := range lines {
					require.LessOrEqual(t, ansi.StringWidth(l), width, "%d x %d: %q", width, height, l)
				}
			}
		}
	}
}

func TestDiagnosesAreColouredBySeverity(t *testing.T) {
	text := strings.Join(shown(scene(), 80, 24).lines(), "\n")
	for label, colour := range map[string]string{
		"oom_risk ":  "\x1b[1;91m",
		"starved ":   "\x1b[33m",
		"cpu_bound ": "\x1b[36m",
	} {
		require.Contains(t, text, colour+label)
	}
	require.NotContains(t, Plain(scene(), Own{}, 10), "\x1b")
}

func TestKeys(t *testing.T) {
	type check func(t *testing.T, m *Model, text string)
	has := func(parts ...string) check {
		return func(t *testing.T, _ *Model, text string) {
			for _, part := range parts {
				require.Contains(t, text, part)
			}
		}
	}
	first := func(table string, row string) check {
		return func(t *testing.T, _ *Model, text string) {
			_, after, found := strings.Cut(text, "\n"+table)
			require.True(t, found, table)
			require.Contains(t, strings.Split(after, "\n")[2], row)
		}
	}
	for name, c := range map[string]struct {
		keys  string
		check check
	}{
		"nothing sorts by what a table is for":                 {"", first("1 CPU", "stress-ng")},
		"s sorts by the next column":                           {"s", first("1 CPU", "stress-ng")},
		"s again by the wait":                                  {"s s", first("1 CPU", "postgres")},
		"s at last by the host's first column":                 {"s s s s", first("1 CPU", "77 leak")},
		"r turns the order round":                              {"r", has("CPU %↑")},
		"what is not known stays last sorted by the time left": {"3 s s s", first("3 Memory", "leak")},
		"tab goes to the next table":                           {"tab", has("2 Waits", "0.040")},
		"a filter keeps what matches": {"/ P o s t g enter", func(t *testing.T, _ *Model, text string) {
			require.Contains(t, text, "1 CPU /postg")
			require.Contains(t, text, "Diagnosed: 1 ")
			require.NotContains(t, text, "leak")
			require.NotContains(t, text, "worker-1 ")
		}},
		"esc ends the filter":           {"/ P o s t g enter esc", has("leak", "Diagnosed: 5")},
		"esc ends it while it is typed": {"/ P o s t g esc", has("leak", "Diagnosed: 5")},
		"keys are text in a filter":     {"/ q s", has("filter: qs")},
	} {
		t.Run(name, func(t *testing.T) {
			m := shown(scene(), 80, 24)
			press(m, strings.Fields(c.keys)...)
			c.check(t, m, ansi.Strip(strings.Join(m.lines(), "\n")))
		})
	}
}

func press(m *Model, keys ...string) {
	codes := map[string]rune{"tab": tea.KeyTab, "enter": tea.KeyEnter, "esc": tea.KeyEscape, "down": tea.KeyDown, "up": tea.KeyUp,
		"pgdown": tea.KeyPgDown, "home": tea.KeyHome, "ctrl+c": 'c'}
	for _, k := range keys {
		msg := tea.KeyPressMsg{Code: codes[k]}
		switch {
		case k == "ctrl+c":
			msg.Mod = tea.ModCtrl
		case msg.Code == 0:
			msg = tea.KeyPressMsg{Code: []rune(k)[0], Text: k}
		}
		m.Update(msg)
		m.View()
	}
}

func TestScrollingEndsAtTheLastPage(t *testing.T) {
	m := shown(scene(), 80, 24)
	text := func() string { return ansi.Strip(strings.Join(m.lines(), "\n")) }
	require.Contains(t, text(), "1 CPU (1 to ")
	press(m, "down")
	require.Contains(t, text(), "1 CPU (2 to ")
	for range 10 {
		press(m, "pgdown")
	}
	require.Contains(t, text(), " to 33 of 33)")
	last := text()
	press(m, "up")
	require.NotEqual(t, last, text(), "one key goes back")
	press(m, "home")
	require.Contains(t, text(), "1 CPU (1 to ")
}

func TestWhatIsPausedStays(t *testing.T) {
	m := shown(scene(), 80, 24)
	press(m, "p")
	later := scene()
	later.Hosts[0].End = moment.Add(time.Hour)
	m.Update(Show{Frame: later, Own: m.own})
	require.Contains(t, m.View().Content, "05:06:07")
	require.Contains(t, m.View().Content, "PAUSED")
	press(m, "p")
	require.Contains(t, m.View().Content, "06:06:07")
	require.NotContains(t, m.View().Content, "PAUSED")
}

func TestQuitIsAskedForWithEitherKeyEvenWhileAFilterIsTyped(t *testing.T) {
	for _, keys := range []string{"q", "ctrl+c", "/ a ctrl+c"} {
		asked := 0
		m := New(Own{}, func() { asked++ })
		m.Update(tea.WindowSizeMsg{Width: 80, Height: 24})
		press(m, strings.Fields(keys)...)
		require.Equal(t, 1, asked, keys)
	}
}

func TestSilenceIsSaid(t *testing.T) {
	f := scene()
	f.At = moment.Add(10 * time.Second)
	require.Contains(t, shown(f, 80, 24).View().Content, "NO DATA for 10s")
	f.At = moment.Add(5 * time.Second)
	require.NotContains(t, shown(f, 80, 24).View().Content, "NO DATA")
}

func TestNumbersAreShort(t *testing.T) {
	for want, got := range map[string]string{
		"-": span(math.NaN()), "0s": span(0), "59s": span(59.4), "1m0s": span(59.6), "3m10s": span(190), "5h20m": span(19200),
		"2d3h": span(2*86400 + 3*3600), ">99d": span(1e12), "1.5 KiB": size(1536), "-2.0 KiB": size(-2048), "97.8": percent(0.978),
	} {
		require.Equal(t, want, got)
	}
	require.Equal(t, "-", size(math.NaN()))
	require.Equal(t, "-", size(math.Inf(1)))
	require.Equal(t, "-", percent(math.NaN()))
}

func TestALineOfTheLogIsNothingButText(t *testing.T) {
	m := shown(scene(), 80, 24)
	m.Update(Log("warn\t\x1b[2Jcannot read"))
	lines := m.lines()
	require.Equal(t, "log: warn �[2Jcannot read", ansi.Strip(lines[22]))
	press(m, "esc")
	require.NotContains(t, strings.Join(m.lines(), "\n"), "log: ")
}
