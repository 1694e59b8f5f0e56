package containers

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/testdata/containerd"
)

// busyIn runs a busy workload in a container and returns its pid.
func busyIn(t *testing.T, d containerd.Daemon, id string, flags ...string) int {
	t.Helper()
	rootfs := t.TempDir()
	self, err := os.Executable()
	require.NoError(t, err)
	program, err := os.ReadFile(self)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(rootfs, binary), program, 0o700))
	args := append([]string{"--rootfs", "--env", "HOTSPOT_TEST_WORKLOAD=busy", "--env", "GOMAXPROCS=1"}, flags...)
	return d.Run(t, id, append(args, rootfs, id, binary, "-nice=19")...)
}

func TestContainersOfContainerd(t *testing.T) {
	needsRunc(t)
	if _, err := exec.LookPath("containerd"); err != nil {
		skip(t, "there is no containerd (Debian: apt-get install containerd)")
	}
	d := containerd.Start(t)
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
			removeGroups(t, tt.group)
			tt.check(t, c.await(t, "metrics", busyIn(t, d, id, tt.flags...), anything, "anything"))
		})
	}
}
