package bpf

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// cpuGroup is a control group with the cpu controller, of either version.
type cpuGroup struct {
	path string
	v2   bool
}

// newCPUGroup makes a group that is removed at the end of the test, after the
// processes that were started later.
func newCPUGroup(t *testing.T) cpuGroup {
	t.Helper()
	name := "hotspot-test-" + strconv.Itoa(os.Getpid())
	g := cpuGroup{path: filepath.Join(cgroupRoot, "cpu", name)}
	if controllers, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil &&
		strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " cpu ") {
		g = cpuGroup{path: filepath.Join(cgroupRoot, name), v2: true}
		write(t, filepath.Join(cgroupRoot, "cgroup.subtree_control"), "+cpu")
	} else if _, err := os.Stat(filepath.Join(cgroupRoot, "cpu/cpu.cfs_quota_us")); err != nil {
		t.Skip("needs the cpu controller of a cgroup hierarchy at " + cgroupRoot)
	}
	require.NoError(t, os.Mkdir(g.path, 0o755))
	t.Cleanup(func() {
		// The kernel empties it some time after the last process was reaped.
		require.Eventually(t, func() bool {
			err := os.Remove(g.path)
			return err == nil || errors.Is(err, os.ErrNotExist)
		}, time.Minute, time.Millisecond)
	})
	return g
}

// id is the group's kernfs id, which is its inode number.
func (g cpuGroup) id(t *testing.T) uint64 {
	t.Helper()
	var s unix.Stat_t
	require.NoError(t, unix.Stat(g.path, &s))
	return s.Ino
}

// setQuota limits the group to quota in each period; a negative one lifts the
// limit.
func (g cpuGroup) setQuota(t *testing.T, quota, period time.Duration) {
	t.Helper()
	limit := strconv.FormatInt(quota.Microseconds(), 10)
	every := strconv.FormatInt(period.Microseconds(), 10)
	if g.v2 {
		if quota < 0 {
			limit = "max"
		}
		write(t, filepath.Join(g.path, "cpu.max"), limit+" "+every)
		return
	}
	if quota < 0 {
		limit = "-1"
	}
	write(t, filepath.Join(g.path, "cpu.cfs_period_us"), every)
	write(t, filepath.Join(g.path, "cpu.cfs_quota_us"), limit)
}

func (g cpuGroup) add(t *testing.T, pid int) {
	t.Helper()
	write(t, filepath.Join(g.path, "cgroup.procs"), strconv.Itoa(pid))
}

// throttled returns for how long the group was held back, in ns; rounded down
// to a microsecond by v2.
func (g cpuGroup) throttled(t *testing.T) uint64 {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(g.path, "cpu.stat"))
	require.NoError(t, err)
	name, unit := "throttled_time ", uint64(1)
	if g.v2 {
		name, unit = "throttled_usec ", 1000
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name); found {
			n, err := strconv.ParseUint(strings.TrimSpace(value), 10, 64)
			require.NoError(t, err)
			return n * unit
		}
	}
	t.Fatalf("no %s in %s", name, text)
	return 0
}

func write(t *testing.T, path, value string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(value), 0))
}
