package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

func TestAnOOMKillIsToldOf(t *testing.T) {
	needsRoot(t)
	group := newMemoryGroup(t, 64<<20)
	c, metricsFile, logsFile := watch(t, time.Second)
	leak := workload.Start(t, "leak", "-comm=leaking", strconv.Itoa(16<<20))
	group.add(t, leak.Pid())
	pid := int64(leak.Pid())

	killed := c.awaitLog(t, logsFile, "the OOM kill", func(s said) bool {
		return s.record.EventName() == "hotspot.oom_kill" && s.pid() == pid
	})
	require.Equal(t, plog.SeverityNumberError, killed.record.SeverityNumber())
	require.Contains(t, killed.record.Body().Str(), fmt.Sprintf("leaking (%d) was killed by the kernel for want of memory", pid))
	attributes := killed.record.Attributes().AsRaw()
	// Which of its windows was the last is a matter of chance; its code and heap
	// are not charged to the group.
	require.InDelta(t, 64<<20, attributes["hotspot.evidence.memory_rss_bytes"], 32<<20)
	require.Positive(t, attributes["hotspot.evidence.memory_growth_bytes_per_second"])
	// The same resource as its metrics.
	batches := readMetrics(t, metricsFile)
	last := slices.IndexFunc(batches, func(b pmetric.Metrics) bool { return endOf(b) == killed.record.Timestamp() })
	require.Positive(t, last)
	require.Equal(t, ofProcess(t, batches[last-1], pid).Resource().Attributes().AsRaw(), killed.resource.Attributes().AsRaw())
	c.stop(t)
}

// memoryGroup is a control group with the memory controller, of either version.
type memoryGroup string

// newMemoryGroup makes a group that is removed at the end of the test, after the
// processes that were started later.
func newMemoryGroup(t *testing.T, limit int) memoryGroup {
	t.Helper()
	const root = "/sys/fs/cgroup"
	name := "hotspot-e2e-" + strconv.Itoa(os.Getpid())
	group, limits := filepath.Join(root, "memory", name), map[string]int{"memory.limit_in_bytes": limit, "memory.swappiness": 0}
	if controllers, err := os.ReadFile(filepath.Join(root, "cgroup.controllers")); err == nil &&
		slices.Contains(strings.Fields(string(controllers)), "memory") {
		group, limits = filepath.Join(root, name), map[string]int{"memory.max": limit, "memory.swap.max": 0}
		require.NoError(t, os.WriteFile(filepath.Join(root, "cgroup.subtree_control"), []byte("+memory"), 0))
	} else if _, err := os.Stat(filepath.Join(root, "memory/memory.limit_in_bytes")); err != nil {
		skip(t, "needs the memory controller of a cgroup hierarchy at "+root)
	}
	require.NoError(t, os.Mkdir(group, 0o755))
	t.Cleanup(func() {
		// The kernel empties it some time after the last process was reaped.
		require.Eventually(t, func() bool { return os.Remove(group) == nil }, patience, pace)
	})
	for file, value := range limits {
		path := filepath.Join(group, file)
		if _, err := os.Stat(path); os.IsNotExist(err) && file == "memory.swap.max" {
			continue // a kernel without swap
		}
		require.NoError(t, os.WriteFile(path, []byte(strconv.Itoa(value)), 0))
	}
	return memoryGroup(group)
}

func (g memoryGroup) add(t *testing.T, pid int) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(string(g), "cgroup.procs"), []byte(strconv.Itoa(pid)), 0))
}
