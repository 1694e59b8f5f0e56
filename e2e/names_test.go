package e2e

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// Processes choose their names, the names of their programs, their command lines
// and, with rights on a part of the tree, those of control groups. None of these
// ends a line, a label or the text mode of a terminal.
func TestNamesForgeNothing(t *testing.T) {
	needsRoot(t)
	const (
		comm    = "a\nforged 1\r\x1b[2J"          // all of 15 bytes
		program = "b\"} 9\nforged\x1b]0;\xff\x07" // of these the kernel takes 15 for a name
		group   = "hotspot-e2e-\x1b[2J\r\"}\xff"
	)
	hostile := newNamedGroup(t, group)
	yes, err := exec.LookPath("yes")
	require.NoError(t, err)
	text, err := os.ReadFile(yes)
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), program)
	require.NoError(t, os.WriteFile(path, text, 0o755))
	named := exec.Command(path, "c\nforged 2\x1b[2J\xff")
	require.NoError(t, named.Start())
	t.Cleanup(func() { kill(t, named) })
	renamed := workload.Start(t, "busy", "-comm="+comm)
	hostile.add(t, named.Process.Pid)

	scraped := freeAddress(t)
	c := run(t, binary(t), write(t, fmt.Sprintf(`
receivers:
  hotspot:
    collection_interval: 1s
    initial_delay: 0s
    resource_attributes:
      process.executable.path: {enabled: true}
      process.command_line: {enabled: true}
      process.owner: {enabled: true}
exporters:
  debug: {verbosity: detailed, use_internal_logger: false}
  prometheus: {endpoint: %s, resource_to_telemetry_conversion: {enabled: true}}
service:
  telemetry:
    metrics: {level: none}
  pipelines:
    metrics: {receivers: [hotspot], exporters: [debug, prometheus]}
    logs: {receivers: [hotspot], exporters: [debug]}
`, scraped)))
	shown := []string{ // the first two in a sentence
		fmt.Sprintf("a�forged 1��[2J (%d)", renamed.Pid()),
		fmt.Sprintf("b\"} 9�forged�]0 (%d)", named.Process.Pid),
		"process.executable.name: Str(a�forged 1��[2J)\n",
		"process.executable.path: Str(" + filepath.Dir(path) + "/b\"} 9�forged�]0;��)\n",
		"process.linux.cgroup: Str(/hotspot-e2e-�[2J�\"}�)\n",
		"c�forged 2�[2J�)\n",
	}
	for _, part := range shown {
		c.await(t, part, func() bool { return strings.Contains(c.output.String(), part) })
	}
	response, err := http.Get("http://" + scraped + "/metrics")
	require.NoError(t, err)
	page, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Contains(t, string(page), `process_executable_name="b\"} 9�forged�]0"`)
	c.stop(t)

	for _, output := range []string{c.output.String(), string(page)} {
		require.True(t, utf8.ValidString(output))
		for line := range strings.Lines(output) {
			require.False(t, strings.HasPrefix(line, "forged"), line)
			for _, r := range strings.TrimSuffix(line, "\n") {
				require.True(t, unicode.IsPrint(r) || r == '\t', "%q", line)
			}
		}
	}
}

// newNamedGroup makes a control group where the receiver takes paths from: of the
// cpu controller under cgroup v1. It is removed after the processes that are
// started later.
func newNamedGroup(t *testing.T, name string) memoryGroup {
	t.Helper()
	root := "/sys/fs/cgroup"
	if _, err := os.Stat(filepath.Join(root, "cpu")); err == nil {
		root = filepath.Join(root, "cpu")
	}
	group := filepath.Join(root, name)
	require.NoError(t, os.Mkdir(group, 0o755))
	t.Cleanup(func() {
		require.Eventually(t, func() bool { return os.Remove(group) == nil }, patience, pace)
	})
	return memoryGroup(group)
}
