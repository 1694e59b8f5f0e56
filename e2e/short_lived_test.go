package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// A shell starts one process after the other, none of which lives until a
// reading: what they use is there all the same.
func TestShortLivedProcessesAreAccountedFor(t *testing.T) {
	needsRoot(t)
	// A name of their own, to tell them from what else runs on the host.
	const name = "hotspot-e2e-job"
	job := filepath.Join(t.TempDir(), name)
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	program, err := os.ReadFile(shell)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(job, program, 0o700))
	loop := exec.Command("sh", "-c", `while :; do "$0" -c 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done'; done`, job)
	require.NoError(t, loop.Start())
	t.Cleanup(func() { kill(t, loop) })
	parent := int64(loop.Process.Pid)

	c, metricsFile, _ := watch(t, time.Second, allProcesses)
	var children account
	const windows = 10
	var first, last pmetric.Metrics
	c.await(t, "10 windows", func() bool {
		children.read(t, func() float64 { return childrenCPU(t, parent) })
		var all []pmetric.Metrics
		for _, b := range readMetrics(t, metricsFile) {
			if children.since(b) {
				all = append(all, b)
			}
		}
		if len(all) <= windows {
			return false
		}
		first, last = all[0], all[windows]
		return children.covers(last)
	})

	own := map[string]float64{} // of those that have a resource of their own
	for _, b := range readMetrics(t, metricsFile) {
		if endOf(b) <= endOf(first) || endOf(b) > endOf(last) {
			continue
		}
		for _, rm := range b.ResourceMetrics().All() {
			resource := rm.Resource().Attributes().AsRaw()
			if resource["process.parent_pid"] == parent {
				id := fmt.Sprint(resource["process.pid"], resource["process.creation.time"])
				own[id] = sum(t, rm, "process.cpu.time")
			}
		}
	}
	owned := 0.0
	for _, cpu := range own {
		owned += cpu
	}
	named := shortLived(last)[name] - shortLived(first)[name]
	used := children.growth(first, last)
	t.Logf("the shell's children used %.2f s, of which %.2f s are by name and %.2f s those of %d resources",
		used, named, owned, len(own))
	require.Greater(t, used, 0.5)
	require.Positive(t, named)
	require.InEpsilon(t, used, named+owned, 0.1)
	c.stop(t)
}

// childrenCPU returns the seconds the children a process has reaped have run.
func childrenCPU(t *testing.T, pid int64) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	require.NoError(t, err)
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	ticks := 0.0
	for _, field := range fields[13:15] { // cutime and cstime, in USER_HZ
		n, err := strconv.ParseFloat(field, 64)
		require.NoError(t, err)
		ticks += n
	}
	return ticks / 100
}

// shortLived returns hotspot.host.short_lived.cpu.time by name.
func shortLived(b pmetric.Metrics) map[string]float64 {
	by := map[string]float64{}
	for _, rm := range b.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() != "hotspot.host.short_lived.cpu.time" {
				continue
			}
			for _, p := range m.Sum().DataPoints().All() {
				name, _ := p.Attributes().Get("process.executable.name")
				by[name.Str()] = p.DoubleValue()
			}
		}
	}
	return by
}
