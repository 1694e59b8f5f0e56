package cgroup

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFind(t *testing.T) {
	for name, tt := range map[string]struct {
		mountinfo string
		want      Mounts // under the root
	}{
		"v1": {
			mountinfo: `25 1 0:22 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755
26 25 0:23 / /sys/fs/cgroup/systemd rw,nosuid shared:6 - cgroup cgroup rw,xattr,name=systemd
27 25 0:24 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:7 - cgroup cgroup rw,cpu,cpuacct
28 25 0:25 / /sys/fs/cgroup/memory rw,nosuid shared:8 - cgroup cgroup rw,memory
`,
			want: Mounts{controllers: map[string]string{
				"name=systemd": "/sys/fs/cgroup/systemd",
				"cpu":          "/sys/fs/cgroup/cpu,cpuacct",
				"cpuacct":      "/sys/fs/cgroup/cpu,cpuacct",
				"memory":       "/sys/fs/cgroup/memory",
			}},
		},
		"v2": {
			mountinfo: "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot\n",
			want:      Mounts{unified: "/sys/fs/cgroup"},
		},
		"hybrid": {
			mountinfo: `26 25 0:23 / /sys/fs/cgroup/unified rw,nosuid shared:6 - cgroup2 cgroup2 rw,nsdelegate
28 25 0:25 / /sys/fs/cgroup/memory rw,nosuid shared:8 - cgroup cgroup rw,memory
`,
			want: Mounts{unified: "/sys/fs/cgroup/unified", controllers: map[string]string{"memory": "/sys/fs/cgroup/memory"}},
		},
		"the first mount is the whole tree": {
			mountinfo: `30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw
99 23 0:26 /a /var/lib/thing/cgroup rw - cgroup2 cgroup2 rw
28 25 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
98 25 0:25 /a /var/lib/thing/memory rw - cgroup cgroup rw,memory
`,
			want: Mounts{unified: "/sys/fs/cgroup", controllers: map[string]string{"memory": "/sys/fs/cgroup/memory"}},
		},
		"none": {mountinfo: "22 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw\n"},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			require.NoError(t, os.MkdirAll(filepath.Join(root, "proc/1"), 0o755))
			require.NoError(t, os.WriteFile(filepath.Join(root, "proc/1/mountinfo"), []byte(tt.mountinfo), 0o600))
			got, err := Find(root)
			require.NoError(t, err)
			if tt.want.unified != "" {
				require.Equal(t, filepath.Join(root, tt.want.unified), got.Unified())
			} else {
				require.Empty(t, got.Unified())
			}
			for name, dir := range tt.want.controllers {
				require.Equal(t, filepath.Join(root, dir), got.Controller(name), name)
			}
			require.Empty(t, got.Controller("pids"))
		})
	}
}

func TestARootWithoutProcesses(t *testing.T) {
	_, err := Find(t.TempDir())
	require.ErrorContains(t, err, "open procfs")

	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "proc"), 0o755))
	_, err = Find(root)
	require.ErrorContains(t, err, "find the mounts of control groups")
}

func TestCheck(t *testing.T) {
	require.ErrorContains(t, Mounts{}.Check(), "none is mounted")
	dir := t.TempDir()
	v1, v2 := Mounts{controllers: map[string]string{"cpu": dir}}, Mounts{unified: dir}
	require.ErrorIs(t, v1.Check(), os.ErrNotExist, "mounted where the host has it, but not here")
	require.ErrorIs(t, v2.Check(), os.ErrNotExist)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), nil, 0o600))
	require.NoError(t, v1.Check())
	require.NoError(t, v2.Check())
}
