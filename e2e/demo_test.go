package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/testdata/backend"
)

func TestTheDemoShowsItsPagesAndLeavesNothing(t *testing.T) {
	needsRoot(t)
	metrics, logs, dir := freeAddress(t), freeAddress(t), t.TempDir()
	demo := startDemo(t, dir, "-metrics="+metrics, "-logs="+logs)
	yes := startYes(t)

	for _, page := range []string{metrics + "/vmui/", logs + "/select/vmui/"} {
		link := "http://" + page + "?#/"
		demo.await(t, link, func() bool { return strings.Contains(demo.output.String(), link) })
		require.True(t, healthy(page), page)
	}
	b := backends{metrics: &backend.Server{URL: "http://" + metrics}, logs: &backend.Server{URL: "http://" + logs}}
	diagnosed := fmt.Sprintf(`hotspot_process_diagnosis_ratio{process_pid="%d"} == 1`, yes.Process.Pid)
	demo.await(t, diagnosed, func() bool { return len(promQL(t, b.metrics, diagnosed)) > 0 })
	// The query of the page.
	require.Contains(t, b.awaitLog(t, demo, int64(yes.Process.Pid), "hotspot.diagnosis:*")["_msg"], fmt.Sprintf("yes (%d) ", yes.Process.Pid))

	started := children(t, demo.cmd.Process.Pid)
	require.Len(t, started, 3)
	require.NoError(t, demo.cmd.Process.Signal(os.Interrupt))
	demo.awaitExit(t)
	require.Equal(t, 0, demo.result.ExitCode())
	for _, pid := range started {
		require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	}
	requireEmpty(t, dir)
}

func TestTheDemoSaysThatAPortIsTaken(t *testing.T) {
	binary(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	dir := t.TempDir()
	demo := startDemo(t, dir, "-metrics="+freeAddress(t), "-logs="+taken.Addr().String())
	demo.awaitExit(t)
	require.Equal(t, 1, demo.result.ExitCode())
	require.Equal(t, fmt.Sprintf("start victoria-logs: listen tcp %s: bind: address already in use\n", taken.Addr()), demo.output.String())
	requireEmpty(t, dir)
}

// startDemo runs the demo with its data in dir.
func startDemo(t *testing.T, dir string, flags ...string) *collector {
	t.Helper()
	cmd := exec.Command(filepath.Join(filepath.Dir(binary(t)), "demo"), flags...)
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "TMPDIR="+dir)
	return launch(t, cmd)
}

func (c *collector) awaitExit(t *testing.T) {
	t.Helper()
	select {
	case <-c.exited:
	case <-time.After(patience):
		require.Fail(t, "it does not end")
	}
}

func requireEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// children returns the process ids of a process's children.
func children(t *testing.T, pid int) (pids []int) {
	t.Helper()
	all, err := procfs.AllProcs()
	require.NoError(t, err)
	for _, one := range all {
		// One that cannot be read is gone.
		if stat, err := one.Stat(); err == nil && stat.PPID == pid {
			pids = append(pids, one.PID)
		}
	}
	return pids
}
