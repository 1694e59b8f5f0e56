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

// Group is a control group with one controller, of cgroup v1 or v2.
type Group struct {
	t    testing.TB
	path string
	v2   bool
}

// NewGroup makes a control group with the cpu or the memory controller. It is
// removed at the end of the test, after the processes that were started later.
func NewGroup(t testing.TB, controller string) *Group {
	t.Helper()
	name := "hotspot-test-" + controller + "-" + strconv.Itoa(os.Getpid())
	g := &Group{t: t, path: filepath.Join(cgroupRoot, controller, name)}
	if controllers, err := os.ReadFile(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil &&
		strings.Contains(" "+strings.TrimSpace(string(controllers))+" ", " "+controller+" ") {
		g.path, g.v2 = filepath.Join(cgroupRoot, name), true
		require.NoError(t, os.WriteFile(filepath.Join(cgroupRoot, "cgroup.subtree_control"), []byte("+"+controller), 0))
	} else if _, err := os.Stat(filepath.Join(cgroupRoot, controller, "cgroup.procs")); err != nil {
		t.Skipf("needs the %s controller of a cgroup hierarchy at %s", controller, cgroupRoot)
	}
	require.NoError(t, os.Mkdir(g.path, 0o755))
	t.Cleanup(func() {
		// The kernel empties it some time after the last process was reaped.
		require.Eventually(t, func() bool {
			err := os.Remove(g.path)
			return err == nil || errors.Is(err, os.ErrNotExist)
		}, patience, time.Millisecond)
	})
	return g
}

// ID returns its kernfs id, which is its inode number.
func (g *Group) ID() uint64 {
	g.t.Helper()
	var s unix.Stat_t
	require.NoError(g.t, unix.Stat(g.path, &s))
	return s.Ino
}

// LimitCPU gives the group a quota in each period; a negative one lifts the
// limit.
func (g *Group) LimitCPU(quota, period time.Duration) {
	g.t.Helper()
	limit, every := strconv.FormatInt(quota.Microseconds(), 10), strconv.FormatInt(period.Microseconds(), 10)
	if quota < 0 {
		limit = "-1"
	}
	if g.v2 {
		if quota < 0 {
			limit = "max"
		}
		g.write("cpu.max", limit+" "+every)
		return
	}
	g.write("cpu.cfs_period_us", every)
	g.write("cpu.cfs_quota_us", limit)
}

// Throttled returns for how long quotas have held the group back; to a
// microsecond with cgroup v2, rounded down.
func (g *Group) Throttled() time.Duration {
	g.t.Helper()
	text, err := os.ReadFile(filepath.Join(g.path, "cpu.stat"))
	require.NoError(g.t, err)
	name, unit := "throttled_time ", time.Nanosecond
	if g.v2 {
		name, unit = "throttled_usec ", time.Microsecond
	}
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, name); found {
			n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
			require.NoError(g.t, err)
			return time.Duration(n) * unit
		}
	}
	require.Fail(g.t, "no "+name+"in "+string(text))
	return 0
}

// LimitMemory sets how many bytes the group may use.
func (g *Group) LimitMemory(bytes int) {
	g.t.Helper()
	if g.v2 {
		g.write("memory.max", strconv.Itoa(bytes))
		return
	}
	g.write("memory.limit_in_bytes", strconv.Itoa(bytes))
}

// Add moves a process into the group.
func (g *Group) Add(p *Process) {
	g.t.Helper()
	g.write("cgroup.procs", strconv.Itoa(p.Pid()))
}

func (g *Group) write(file, value string) {
	g.t.Helper()
	require.NoError(g.t, os.WriteFile(filepath.Join(g.path, file), []byte(value), 0))
}
