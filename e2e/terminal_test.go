package e2e

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// view returns a configuration that draws on the terminal and, where a file is
// named, writes the metrics there as well.
func view(t *testing.T, window time.Duration, pipelines []string, metricsFile, more string) string {
	t.Helper()
	exporters, file := "[hotspottop]", ""
	if metricsFile != "" {
		exporters = "[hotspottop, file]"
		file = fmt.Sprintf("file: {path: %s, flush_interval: 100ms}", metricsFile)
	}
	var wired strings.Builder
	for _, p := range pipelines {
		to := "[hotspottop]"
		if p == "metrics" {
			to = exporters
		}
		fmt.Fprintf(&wired, "    %s: {receivers: [hotspot], exporters: %s}\n", p, to)
	}
	return write(t, fmt.Sprintf(`
receivers:
  hotspot: {collection_interval: %s, initial_delay: 0s, diagnosis: {repeat_interval: %[1]s}}
exporters:
  hotspottop:
  %s
service:
  telemetry:
    metrics: {level: none}
    %s
  pipelines:
%s`, window, file, more, wired.String()))
}

var both = []string{"metrics", "logs"}

const clock = `\d\d:\d\d:\d\d`

// Two processes that always want the same CPU: what the screen says that one
// waited behind the other is what the other ran, by the kernel's own account.
func TestTheScreenShowsWhoWaitsBehindWhom(t *testing.T) {
	needsRoot(t)
	for _, size := range []struct{ width, height int }{{80, 24}, {200, 50}} {
		t.Run(fmt.Sprintf("%dx%d", size.width, size.height), func(t *testing.T) {
			metricsFile := filepath.Join(t.TempDir(), "metrics.json")
			aggressor := workload.Start(t, "busy", "-cpu=0", "-comm=e2e-aggressor")
			victim := workload.Start(t, "busy", "-cpu=0", "-nice=19", "-comm=e2e-victim")
			by := int64(aggressor.Pid())
			c := runOn(t, binary(t), view(t, 2*time.Second, both, metricsFile, ""), size.width, size.height)

			// Others may wait longer, beside whatever else this host does.
			c.awaitScreen(t, "a screen", func(lines []string) bool { return strings.HasPrefix(lines[0], "hotspot") })
			c.press(t, "/e2e-\r")
			row := regexp.MustCompile(fmt.Sprintf(`(?m)^e2e-victim \(%d\) +e2e-aggressor \(%d\) +(\d+\.\d+) `, victim.Pid(), by))
			of := regexp.MustCompile(clock)

			ran, stop := watchRun(t, by)
			const windows = 5
			seen := map[string]float64{} // seconds by the clock of the window
			var last string
			read := func() bool { // whether a window has come
				text := c.text()
				at, found := of.FindString(strings.SplitN(text, "\n", 2)[0]), row.FindStringSubmatch(text)
				if text != c.text() || found == nil || at == "" { // or it is being drawn
					return false
				}
				if _, ok := seen[at]; !ok {
					waited, err := strconv.ParseFloat(found[1], 64)
					require.NoError(t, err)
					seen[at], last = waited, at
				}
				return len(seen) > windows
			}
			c.await(t, "windows with the pair on the screen", read)
			end := func(b pmetric.Metrics) string { return endOf(b).AsTime().Local().Format(time.TimeOnly) }
			var batches []pmetric.Metrics
			c.await(t, "the same windows in the file", func() bool {
				batches = readMetrics(t, metricsFile)
				return slices.ContainsFunc(batches, func(b pmetric.Metrics) bool { return end(b) == last })
			})
			stop()

			shown, truth, compared := 0.0, 0.0, 0
			for i := 1; i < len(batches); i++ {
				waited, ok := seen[end(batches[i])]
				if !ok || !ran.since(batches[i-1]) || !ran.covers(batches[i]) {
					continue
				}
				is := ran.growth(batches[i-1], batches[i])
				t.Logf("%s: the screen says %.3f s, the aggressor ran %.3f s", end(batches[i]), waited, is)
				shown, truth, compared = shown+waited, truth+is, compared+1
			}
			t.Logf("in all %.3f s and %.3f s", shown, truth)
			require.GreaterOrEqual(t, compared, windows-1)
			require.Greater(t, truth, 0.5, "they did share a CPU")
			require.InEpsilon(t, truth, shown, 0.05)

			lines := c.awaitScreen(t, "the diagnosis", func(lines []string) bool {
				return regexp.MustCompile(`(?m)^starved +e2e-victim`).MatchString(strings.Join(lines, "\n"))
			})
			require.Len(t, lines, size.height)
			require.Contains(t, lines[size.height-1], "q quit")
			c.press(t, "q")
			c.left(t)
		})
	}
}

// watchRun reads how long a process has run every few milliseconds, until it is
// stopped: on a busy host it runs by fits and starts.
func watchRun(t *testing.T, pid int64) (ran *account, stop func()) {
	t.Helper()
	ran = &account{}
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			ran.read(t, func() float64 { return schedstat(t, pid, 0) })
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	end := sync.OnceFunc(func() {
		close(done)
		watching.Wait()
	})
	t.Cleanup(end)
	return ran, end
}

func TestTheScreenAnswersToItsUser(t *testing.T) {
	needsRoot(t)
	yes := startYes(t)
	// All the log there can be, on the same terminal.
	config := view(t, time.Second, both, "", "logs: {level: debug}")
	c := runOn(t, binary(t), config, 80, 24)
	before := c.settings(t)
	name := regexp.MustCompile(fmt.Sprintf(`(?m)^ +%d yes +\d`, yes.Process.Pid))
	whole := func(width, height int) func([]string) bool {
		rule := regexp.MustCompile(`^[123] \w+.* ─+$`)
		return func(lines []string) bool {
			rules := 0
			for i, line := range lines {
				if strings.Contains(line, "log: ") && i != height-2 {
					return false
				}
				if rule.MatchString(line) && len([]rune(line)) == width {
					rules++
				}
			}
			return len(lines) == height && regexp.MustCompile("^hotspot .*"+clock).MatchString(lines[0]) && rules == 3 &&
				strings.HasPrefix(lines[height-1], "tab table") && name.MatchString(strings.Join(lines, "\n"))
		}
	}
	c.awaitScreen(t, "all of the screen at 80x24", whole(80, 24))
	require.NotEqual(t, before, c.settings(t), "keys come one by one")

	c.resize(t, 200, 50)
	c.awaitScreen(t, "all of it at 200x50", whole(200, 50))
	c.resize(t, 100, 30)
	c.awaitScreen(t, "all of it at 100x30", whole(100, 30))

	c.press(t, "/no process is called this\r")
	c.awaitScreen(t, "a filter nothing matches", func(lines []string) bool {
		text := strings.Join(lines, "\n")
		return !name.MatchString(text) && strings.Contains(text, "Diagnosed: 0") && strings.Contains(text, "1 CPU /no process")
	})
	c.press(t, "\x1b")
	c.awaitScreen(t, "all again", func(lines []string) bool { return name.MatchString(strings.Join(lines, "\n")) })

	c.press(t, "p")
	paused := c.awaitScreen(t, "a pause", func(lines []string) bool { return strings.Contains(lines[0], "PAUSED") })
	c.press(t, "2")
	c.awaitScreen(t, "another table while it is paused", func(lines []string) bool { return lines[0] == paused[0] })
	c.press(t, "p")
	c.awaitScreen(t, "the next window", func(lines []string) bool { return !strings.Contains(lines[0], "PAUSED") })

	c.press(t, "\x03")
	after := c.left(t)
	require.Equal(t, before, c.settings(t))
	require.Contains(t, after, "Everything is ready", "the log is not lost")
	require.Contains(t, after, "Starting shutdown")
}

// The screen is there before the collector has started, and before it listens
// to signals.
func TestTheTerminalIsLeftAsItWas(t *testing.T) {
	needsRoot(t)
	for name, stop := range map[string]func(*terminal){
		"by a signal": func(c *terminal) { c.stop(t) },
		"by a key":    func(c *terminal) { c.press(t, "q") },
	} {
		t.Run(name, func(t *testing.T) {
			c := runOn(t, binary(t), view(t, time.Second, both, "", ""), 80, 24)
			before := c.settings(t)
			c.await(t, "a screen", func() bool { return strings.HasPrefix(c.lines()[0], "hotspot") })
			stop(c)
			c.left(t)
			require.Equal(t, before, c.settings(t))
		})
	}
}

// A collector of which nobody sees the screen any more is not to run on.
func TestTheCollectorEndsWithItsTerminal(t *testing.T) {
	needsRoot(t)
	c := runOn(t, binary(t), view(t, time.Second, both, "", ""), 80, 24)
	c.awaitScreen(t, "a window", func(lines []string) bool { return regexp.MustCompile(clock).MatchString(lines[0]) })
	require.NoError(t, c.slave.Close())
	require.NoError(t, c.master.Close())
	select {
	case <-c.exited:
	case <-time.After(patience):
		require.Fail(t, "it runs on")
	}
}

func TestNamesOfProcessesAreNothingButText(t *testing.T) {
	needsRoot(t)
	const evil = "\x1b]0;o\x07\x1b[2Jx\u009b7m" // a title, and nothing on the screen
	hostile := workload.Start(t, "busy", "-comm="+evil)
	shown := fmt.Sprintf(`(?m)^ +%d �\]0;o��\[2Jx�`, hostile.Pid())

	c := runOn(t, binary(t), view(t, time.Second, both, "", ""), 80, 24)
	c.awaitScreen(t, "a screen", func(lines []string) bool { return strings.HasPrefix(lines[0], "hotspot") })
	c.press(t, "/]0;o\r")
	c.awaitScreen(t, shown, func(lines []string) bool { return regexp.MustCompile(shown).MatchString(strings.Join(lines, "\n")) })
	c.press(t, "q")
	c.left(t)
	require.Equal(t, "hotspot", strings.TrimSpace(c.title + "hotspot")[:7])
	require.NotContains(t, c.output.String(), "]0;o\x07")

	plain := run(t, binary(t), view(t, time.Second, both, "", ""))
	plain.await(t, shown, func() bool { return regexp.MustCompile(shown).MatchString(plain.output.String()) })
	plain.stop(t)
	require.NotContains(t, plain.output.String(), "\x1b")
}

func TestWithoutATerminalThereIsPlainText(t *testing.T) {
	needsRoot(t)
	yes := startYes(t)
	row := regexp.MustCompile(fmt.Sprintf(`(?m)^ +%d yes +\d+\.\d +\d+\.\d `, yes.Process.Pid))
	header := regexp.MustCompile(`(?m)^hotspot .*` + clock)
	check := func(t *testing.T, c *collector) {
		t.Helper()
		c.await(t, "three windows", func() bool {
			text := c.output.String()
			return row.MatchString(text) && len(header.FindAllString(text, -1)) >= 3
		})
		c.stop(t)
		require.NotContains(t, c.output.String(), "\x1b")
	}
	t.Run("in a pipe", func(t *testing.T) { check(t, run(t, binary(t), view(t, time.Second, both, "", ""))) })
	t.Run("on a dumb terminal", func(t *testing.T) {
		check(t, runOn(t, binary(t), view(t, time.Second, both, "", ""), 80, 24, "TERM=dumb").collector)
	})
}

func TestWithoutColoursThereAreNone(t *testing.T) {
	needsRoot(t)
	startYes(t)
	coloured := regexp.MustCompile(`\x1b\[[0-9;]*\b(3[0-7]|38|9[0-7])[0-9;:]*m`)
	for variable, colours := range map[string]bool{"NO_COLOR=1": false, "NO_COLOR=": true} {
		t.Run(variable, func(t *testing.T) {
			c := runOn(t, binary(t), view(t, time.Second, both, "", ""), 80, 24, variable)
			c.awaitScreen(t, "a diagnosis", func(lines []string) bool {
				return strings.Contains(strings.Join(lines, "\n"), "cpu_bound")
			})
			c.press(t, "q")
			c.left(t)
			require.Equal(t, colours, coloured.MatchString(c.output.String()))
		})
	}
}

func TestOneSignalAloneShowsWhatItHas(t *testing.T) {
	needsRoot(t)
	yes := startYes(t)
	for signal, parts := range map[string][]string{
		"metrics": {
			fmt.Sprintf(`(?m)^cpu_bound +yes \(%d\) is limited by the CPU`, yes.Process.Pid),
			fmt.Sprintf(`(?m)^ +%d yes +\d+\.\d +\d+\.\d +\d+\.\d cpu_bound`, yes.Process.Pid),
		},
		"logs": {
			fmt.Sprintf(`(?m)^cpu_bound +yes \(%d\) is limited by the CPU: it ran for \d\.\d s`, yes.Process.Pid),
			fmt.Sprintf(`(?m)^ +%d yes +- +\d+\.\d +\S+ cpu_bound`, yes.Process.Pid),
		},
	} {
		t.Run(signal, func(t *testing.T) {
			// Where others wait behind it that would be the diagnosis.
			c := run(t, binary(t), view(t, time.Second, []string{signal}, "", ""),
				"yaml:receivers::hotspot::diagnosis::noisy_neighbor::min_cores: 4096")
			for _, part := range parts {
				c.await(t, part, func() bool { return regexp.MustCompile(part).MatchString(c.output.String()) })
			}
			c.stop(t)
		})
	}
}
