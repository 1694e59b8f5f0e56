// Package containerd runs a containerd of a test's own.
package containerd

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// patience is how long a condition is awaited, and pace how often it is looked
// at. They measure nothing.
const (
	patience = 2 * time.Minute
	pace     = 20 * time.Millisecond
)

// Daemon is a running containerd.
type Daemon struct {
	address string
}

// Start starts a containerd that is gone at the end of the test.
func Start(t testing.TB) Daemon {
	t.Helper()
	// The path of a socket has 107 bytes at most: too few for t.TempDir.
	dir, err := os.MkdirTemp("", "hotspot")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	d := Daemon{filepath.Join(dir, "socket")}
	config := filepath.Join(dir, "config.toml")
	require.NoError(t, os.WriteFile(config, []byte(`version = 2
root = "`+dir+`/root"
state = "`+dir+`/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "`+d.address+`"
`), 0o600))
	cmd := exec.Command("containerd", "--config", config)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(log.String())
		}
	})
	require.Eventually(t, func() bool {
		_, err := d.Ctr("version")
		return err == nil
	}, patience, pace, "an answer of containerd")
	return d
}

// Ctr runs ctr and returns what it says.
func (d Daemon) Ctr(args ...string) (string, error) {
	output, err := exec.Command("ctr", append([]string{"--address", d.address}, args...)...).CombinedOutput()
	return string(output), err
}

// Run runs a container that is gone at the end of the test, with the arguments of
// ctr run, and returns the pid of its first process.
func (d Daemon) Run(t testing.TB, id string, args ...string) int {
	t.Helper()
	output, err := d.Ctr(append([]string{"run", "--detach"}, args...)...)
	t.Cleanup(func() {
		_, _ = d.Ctr("tasks", "delete", "--force", id)
		_, _ = d.Ctr("containers", "delete", id)
	})
	require.NoError(t, err, output)
	tasks, err := d.Ctr("tasks", "list")
	require.NoError(t, err, tasks)
	for line := range strings.Lines(tasks) {
		if fields := strings.Fields(line); fields[0] == id {
			pid, err := strconv.Atoi(fields[1])
			require.NoError(t, err)
			return pid
		}
	}
	require.Fail(t, "no such task", tasks)
	return 0
}
