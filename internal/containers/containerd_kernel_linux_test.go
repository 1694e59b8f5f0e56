package containers

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// daemon is a containerd of the test's own.
type daemon struct {
	t       *testing.T
	address string
}

func startContainerd(t *testing.T) daemon {
	t.Helper()
	if _, err := exec.LookPath("containerd"); err != nil {
		skip(t, "there is no containerd (Debian: apt-get install containerd)")
	}
	// The path of a socket has 107 bytes at most: too few for t.TempDir.
	dir, err := os.MkdirTemp("", "hotspot")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, os.RemoveAll(dir)) })
	d := daemon{t, filepath.Join(dir, "socket")}
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
		_, err := d.ctr("version")
		return err == nil
	}, patience, pace, "an answer of containerd")
	return d
}

func (d daemon) ctr(args ...string) (string, error) {
	output, err := exec.Command("ctr", append([]string{"--address", d.address}, args...)...).CombinedOutput()
	return string(output), err
}

// run runs a busy workload in a container and returns its pid.
func (d daemon) run(id string, flags ...string) int {
	d.t.Helper()
	rootfs := d.t.TempDir()
	self, err := os.Executable()
	require.NoError(d.t, err)
	program, err := os.ReadFile(self)
	require.NoError(d.t, err)
	require.NoError(d.t, os.WriteFile(filepath.Join(rootfs, binary), program, 0o700))

	args := append([]string{"run", "--detach", "--rootfs", "--env", "HOTSPOT_TEST_WORKLOAD=busy", "--env", "GOMAXPROCS=1"}, flags...)
	output, err := d.ctr(append(args, rootfs, id, binary, "-nice=19")...)
	d.t.Cleanup(func() {
		_, _ = d.ctr("tasks", "delete", "--force", id)
		_, _ = d.ctr("containers", "delete", id)
	})
	require.NoError(d.t, err, output)
	tasks, err := d.ctr("tasks", "list")
	require.NoError(d.t, err, tasks)
	for line := range strings.Lines(tasks) {
		if fields := strings.Fields(line); fields[0] == id {
			pid, err := strconv.Atoi(fields[1])
			require.NoError(d.t, err)
			return pid
		}
	}
	require.Fail(d.t, "no such task", tasks)
	return 0
}

func TestContainersOfContainerd(t *testing.T) {
	needsRunc(t)
	d := startContainerd(t)
	c := onHost(t, configuration(nil))
	id, uid := newID("containerd"), newUID("containerd")
	for name, tt := range map[string]struct {
		layout
		flags []string
	}{
		"in its own group": {layout{"/default/" + id, id, ""}, nil},
		"where the kubelet wants it": {
			layout{"/kubepods/burstable/pod" + uid + "/" + id, id, uid},
			[]string{"--cgroup", "/kubepods/burstable/pod" + uid + "/" + id},
		},
	} {
		t.Run(name, func(t *testing.T) {
			here := daemon{t, d.address}
			removeGroups(t, tt.group)
			tt.check(t, c.await(t, "metrics", here.run(id, tt.flags...), anything, "anything"))
		})
	}
}
