package agents

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// shortLived is which share of the CPU time of short-lived processes each agent
// shows, one value a run.
type shortLived struct {
	Processes int                  `json:"processes"` // of a run
	CPUEach   float64              `json:"cpu_seconds_each"`
	Interval  float64              `json:"interval_seconds"`
	Used      []float64            `json:"used_seconds"`
	Shares    map[string][]float64 `json:"shares"`
}

var shortLivedAgents = []agent{ours, oursEverything, theirsDefault}

const (
	jobs    = 500
	jobCPU  = 20 * time.Millisecond
	jobRate = 60 // a second: more than one CPU's worth, so that a run is not long
)

// measureShortLived lets all watch the same processes. What has a name counts. By
// default ours has that of the processes no reading sees; the few that one does
// see, and that are no top of anything, are in hotspot.host.other.cpu.time with all
// others. With everything exported these show up as well.
func measureShortLived(t testing.TB, path string) shortLived {
	t.Helper()
	const interval = 2 * time.Second
	s := shortLived{jobs, jobCPU.Seconds(), interval.Seconds(), nil, map[string][]float64{}}
	var agents []*running
	files := map[*running]string{}
	for _, a := range shortLivedAgents {
		file := filepath.Join(t.TempDir(), "metrics")
		r := a.start(t, path, interval, file)
		defer r.stop()
		r.awaitCount(0)
		agents, files[r] = append(agents, r), file
	}
	for run := range pairedRuns {
		name := fmt.Sprintf("bench-job-%d", run)
		spawn := workload.Start(t, "spawn", "-comm="+name, "-count="+strconv.Itoa(jobs), strconv.Itoa(jobRate), jobCPU.String())
		spawn.WaitStopped()
		used := reapedCPU(t, spawn.Pid())
		s.Used = append(s.Used, used)
		for _, r := range agents {
			// The first may have begun before the last process was gone for good.
			have := len(messages(t, files[r]))
			var batches [][]byte
			require.Eventually(t, func() bool {
				batches = messages(t, files[r])
				return len(batches) >= have+2
			}, patience, 100*time.Millisecond)
			seen := shown(t, batches, name, spawn.Pid())
			s.Shares[r.agent.name] = append(s.Shares[r.agent.name], seen/used)
		}
		spawn.Stop()
	}
	return s
}

// reapedCPU returns the seconds the children have run that a process has reaped.
func reapedCPU(t testing.TB, pid int) float64 {
	t.Helper()
	process, err := procfs.NewProc(pid)
	require.NoError(t, err)
	stat, err := process.Stat()
	require.NoError(t, err)
	return float64(stat.CUTime+stat.CSTime) / 100 // USER_HZ
}

// shown returns the CPU seconds the batches have under this name, but for one
// process: with a resource of its own or by name alone.
func shown(t testing.TB, batches [][]byte, name string, but int) (sum float64) {
	t.Helper()
	own, named := map[string]float64{}, 0.0
	for _, batch := range batches {
		for _, rm := range metricsOf(t, batch).ResourceMetrics().All() {
			resource := rm.Resource().Attributes().AsRaw()
			pid, ofProcess := resource["process.pid"].(int64)
			if ofProcess && (resource["process.executable.name"] != name || int(pid) == but) {
				continue
			}
			for _, sm := range rm.ScopeMetrics().All() {
				for _, m := range sm.Metrics().All() {
					switch {
					case ofProcess && m.Name() == "process.cpu.time":
						own[fmt.Sprint(pid)] = total(m, func(pmetric.NumberDataPoint) bool { return true })
					case m.Name() == "hotspot.host.short_lived.cpu.time":
						named = total(m, func(p pmetric.NumberDataPoint) bool {
							is, _ := p.Attributes().Get("process.executable.name")
							return is.Str() == name
						})
					}
				}
			}
		}
	}
	for _, cpu := range own {
		sum += cpu
	}
	return sum + named
}

// total sums some points of a metric.
func total(m pmetric.Metric, which func(pmetric.NumberDataPoint) bool) (sum float64) {
	for _, p := range m.Sum().DataPoints().All() {
		if which(p) {
			sum += p.DoubleValue()
		}
	}
	return sum
}

// machineOf describes the machine in a line.
func machineOf(t testing.TB) string {
	t.Helper()
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	require.NoError(t, err)
	fs, err := procfs.NewDefaultFS()
	require.NoError(t, err)
	cpus, err := fs.CPUInfo()
	require.NoError(t, err)
	memory, err := fs.Meminfo()
	require.NoError(t, err)
	require.NotEmpty(t, cpus)
	require.NotNil(t, memory.MemTotal)
	return fmt.Sprintf("%d CPUs (%s), %d GiB of memory, Linux %s",
		len(cpus), strings.Join(strings.Fields(cpus[0].ModelName), " "), (*memory.MemTotal+1<<19)>>20, strings.TrimSpace(string(release)))
}
