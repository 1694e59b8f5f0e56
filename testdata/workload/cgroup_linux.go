package workload

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

// Cgroup is a control group with one controller, of either version.
type Cgroup struct {
	t    testing.TB
	path string
	v2   bool
}

// NewCgroup makes a group with the cpu or the memory controller that is removed
// at the end of the test, after the processes that were started later. Without
// that controller the test is skipped.
func NewCgroup(t testing.TB, controller string) Cgroup {
	t.Helper()
	name := "hotspot-test-" + strconv.Itoa(os.Getpid())
	g := Cgroup{t: t, path: filepath.Join(cgroupRoot, controller, name)}
	if controllers, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil &&
		strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " "+controller+" ") {
		g.path, g.v2 = filepath.Join(cgroupRoot, name), true
		write(t, filepath.Join(cgroupRoot, "cgroup.subtree_control"), "+"+controller)
	} else if _, err := os.Stat(filepath.Join(cgroupRoot, controller, "cgroup.procs")); err != nil {
		t.Skip("needs the " + controller + " controller of a cgroup hierarchy at " + cgroupRoot)
	}
	g.make()
	return g
}

// New makes a group below this one, with the same controller, which is removed
// before it.
func (g Cgroup) New(controller, name string) Cgroup {
	g.t.Helper()
	if g.v2 {
		write(g.t, filepath.Join(g.path, "cgroup.subtree_control"), "+"+controller)
	}
	g.path = filepath.Join(g.path, name)
	g.make()
	return g
}

func (g Cgroup) make() {
	g.t.Helper()
	require.NoError(g.t, os.Mkdir(g.path, 0o755))
	g.t.Cleanup(func() {
		// The kernel empties it some time after the last process was reaped.
		require.Eventually(g.t, func() bool {
			err := os.Remove(g.path)
			return err == nil || errors.Is(err, os.ErrNotExist)
		}, time.Minute, time.Millisecond)
	})
}

// NewAccount makes a group that says what CPU time its processes use.
func NewAccount(t testing.TB) Cgroup {
	t.Helper()
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return NewCgroup(t, "cpu")
	}
	return NewCgroup(t, "cpuacct")
}

// CPU returns what CPU time the processes of the group have used in it, each up to
// when it last left a CPU, or the last tick; rounded down to a microsecond by v2.
func (g Cgroup) CPU() time.Duration {
	g.t.Helper()
	if g.v2 {
		return time.Duration(g.stat("usage_usec ")) * time.Microsecond
	}
	text, err := os.ReadFile(filepath.Join(g.path, "cpuacct.usage"))
	require.NoError(g.t, err)
	n, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	require.NoError(g.t, err)
	return time.Duration(n)
}

// V2 tells whether it is of the unified hierarchy. There alone a group may have a
// larger quota than the one above it.
func (g Cgroup) V2() bool { return g.v2 }

// ID is the group's kernfs id, which is its inode number.
func (g Cgroup) ID() uint64 {
	g.t.Helper()
	var s unix.Stat_t
	require.NoError(g.t, unix.Stat(g.path, &s))
	return s.Ino
}

// Add moves a process into the group.
func (g Cgroup) Add(pid int) {
	g.t.Helper()
	write(g.t, filepath.Join(g.path, "cgroup.procs"), strconv.Itoa(pid))
}

// Remove moves a process of the group into the one above it.
func (g Cgroup) Remove(pid int) {
	g.t.Helper()
	write(g.t, filepath.Join(filepath.Dir(g.path), "cgroup.procs"), strconv.Itoa(pid))
}

// SetQuota limits the CPU time of the group to quota in each period; a negative
// one lifts the limit.
func (g Cgroup) SetQuota(quota, period time.Duration) {
	g.t.Helper()
	limit := strconv.FormatInt(quota.Microseconds(), 10)
	every := strconv.FormatInt(period.Microseconds(), 10)
	if g.v2 {
		if quota < 0 {
			limit = "max"
		}
		write(g.t, filepath.Join(g.path, "cpu.max"), limit+" "+every)
		return
	}
	if quota < 0 {
		limit = "-1"
	}
	write(g.t, filepath.Join(g.path, "cpu.cfs_period_us"), every)
	write(g.t, filepath.Join(g.path, "cpu.cfs_quota_us"), limit)
}

// SetMemory limits the memory of the group, in bytes.
func (g Cgroup) SetMemory(limit int) {
	g.t.Helper()
	file := "memory.limit_in_bytes"
	if g.v2 {
		file = "memory.max"
	}
	write(g.t, filepath.Join(g.path, file), strconv.Itoa(limit))
}

// Throttled returns for how long the group was held back; rounded down to a
// microsecond by v2.
func (g Cgroup) Throttled() time.Duration {
	g.t.Helper()
	if g.v2 {
		return time.Duration(g.stat("throttled_usec ")) * time.Microsecond
	}
	return time.Duration(g.stat("throttled_time "))
}

// stat returns a value of cpu.stat.
func (g Cgroup) stat(name string) int64 {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join(g.path, "cpu.stat"))
	require.NoError(g.t, err)
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name); found {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			require.NoError(g.t, err)
			return n
		}
	}
	g.t.Fatalf("no %s in %s", name, text)
	return 0
}

func write(t testing.TB, path, value string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte(value), 0))
}
