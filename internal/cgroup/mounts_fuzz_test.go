package cgroup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzFind: whatever stands in mountinfo, no hierarchy is outside of the root.
func FuzzFind(f *testing.F) {
	f.Add("30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n")
	f.Add("26 25 0:23 / /../../etc rw - cgroup cgroup rw,name=,memory,=\n30 23 0:26 / .. rw - cgroup2 x rw\n")
	f.Add("1 1 1:1 - - - - - - - - cgroup2\n\n\n- cgroup cgroup\n")
	f.Add("30 23 0:26 / /a\\040b\\012\xff rw - cgroup2 cgroup2 rw")
	f.Fuzz(func(t *testing.T, mountinfo string) {
		root := t.TempDir()
		require.NoError(t, os.MkdirAll(filepath.Join(root, "proc/1"), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(root, "proc/1/mountinfo"), []byte(mountinfo), 0o600))
		m, err := Find(root)
		if err != nil {
			return
		}
		dirs := []string{m.Unified()}
		for controller := range m.controllers {
			dirs = append(dirs, m.Controller(controller))
		}
		for _, dir := range dirs {
			require.True(t, dir == "" || dir == root || strings.HasPrefix(dir, root+"/"), "%q", dir)
		}
	})
}
