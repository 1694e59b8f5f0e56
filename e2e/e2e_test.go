// Package e2e tests the distribution from outside, as a user runs it.
//
// HOTSPOT_BINARY names it; make e2e sets that.
package e2e

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// patience is how long a condition is awaited, and pace how often it is looked
// at. They measure nothing: tests count windows.
const (
	patience = 90 * time.Second
	pace     = 100 * time.Millisecond
)

func TestMain(m *testing.M) {
	workload.Main()
	os.Exit(m.Run())
}

func TestABusyLoopIsDiagnosed(t *testing.T) {
	needsRoot(t)
	c, metricsFile, logsFile := watch(t, 2*time.Second)

	yes := startYes(t)
	pid, born := int64(yes.Process.Pid), now()
	began := c.awaitRecord(t, logsFile, pid, "started")

	record := began.record
	require.Equal(t, "hotspot.diagnosis.cpu_bound", record.EventName())
	require.Equal(t, plog.SeverityNumberInfo, record.SeverityNumber())
	require.EqualValues(t, 9, record.SeverityNumber())
	require.Contains(t, record.Body().Str(), fmt.Sprintf("yes (%d) is limited by the CPU: it ran for ", pid))
	require.GreaterOrEqual(t, record.ObservedTimestamp(), record.Timestamp())
	attributes := record.Attributes().AsRaw()
	require.Equal(t, "cpu_bound", attributes["hotspot.diagnosis"])
	require.Equal(t, attributes["hotspot.diagnosis.duration"], attributes["hotspot.window"], "its first window")
	for _, signal := range []string{"thread_utilization", "host_share", "memory_stall"} {
		require.Contains(t, attributes, "hotspot.evidence."+signal)
		require.Contains(t, attributes, "hotspot.evidence."+signal+".threshold")
	}
	require.GreaterOrEqual(t, attributes["hotspot.evidence.thread_utilization"],
		attributes["hotspot.evidence.thread_utilization.threshold"])

	// Metrics may reach their file after the record has reached its own.
	of := func(b pmetric.Metrics) bool { return endOf(b) == record.Timestamp() }
	c.await(t, "the metrics of that window", func() bool { return slices.ContainsFunc(readMetrics(t, metricsFile), of) })
	batches := readMetrics(t, metricsFile)
	ends := []pcommon.Timestamp{}
	for _, b := range batches {
		if endOf(b) > born {
			ends = append(ends, endOf(b))
		}
	}
	require.Contains(t, ends[:min(2, len(ends))], record.Timestamp(), "the first or the second window of the process")
	metrics := ofProcess(t, batches[slices.IndexFunc(batches, of)], pid)
	require.Equal(t, metrics.Resource().Attributes().AsRaw(), began.resource.Attributes().AsRaw())
	require.Equal(t, "yes", metrics.Resource().Attributes().AsRaw()["process.executable.name"])
	require.Equal(t, []string{
		"hotspot.process.diagnosis",
		"hotspot.process.memory.growth",
		"hotspot.process.memory.limit",
		"hotspot.process.run_queue.time",
		"hotspot.process.thread.max_utilization",
		"hotspot.process.wait.caused",
		"process.context_switches",
		"process.cpu.time",
		"process.cpu.utilization",
		"process.memory.usage",
		"process.paging.faults",
		"process.thread.count",
	}, slices.DeleteFunc(names(metrics), func(name string) bool {
		return name == "hotspot.process.wait.time" || // if it waited behind anyone
			name == "hotspot.process.memory.time_to_limit" // if it grew
	}))

	// The kernel's own account brackets the one exported: both only grow, and a
	// census begins after the end its window is given.
	low, high, exported := 0.0, 0.0, 0.0
	accounts := map[pcommon.Timestamp]float64{} // by when it had been read
	low = cpuTime(t, pid)
	asked := now()
	c.await(t, "another window", func() bool {
		for _, b := range readMetrics(t, metricsFile) {
			if end := endOf(b); end > asked {
				exported = sum(t, ofProcess(t, b, pid), "process.cpu.time")
				for at, account := range accounts {
					if at < end {
						low = max(low, account)
					}
				}
				high = cpuTime(t, pid)
				return true
			}
		}
		account := cpuTime(t, pid)
		accounts[now()] = account
		return false
	})
	require.Positive(t, low)
	require.GreaterOrEqual(t, exported, low-1e-6)
	require.LessOrEqual(t, exported, high+1e-6)
	t.Logf("process.cpu.time is %.3f s, schedstat's %.3f to %.3f s", exported, low, high)

	kill(t, yes)
	ended := c.awaitRecord(t, logsFile, pid, "ended")
	require.Contains(t, ended.record.Body().Str(), fmt.Sprintf("yes (%d) has exited", pid))
	require.Equal(t, began.resource.Attributes().AsRaw(), ended.resource.Attributes().AsRaw())

	c.stop(t)
	for line := range strings.Lines(c.output.String()) {
		require.NotContains(t, line, "panic")
		require.NotContains(t, strings.ToLower(line), "error")
	}
}

// allProcesses are the keys with which no process is left out.
const allProcesses = "top_k: 4194304\n    max_processes: 4194304"

// watch runs the distribution with windows of this length and further keys of
// the receiver, and returns it with the files its metrics and logs go to when
// the first window is there.
func watch(t *testing.T, window time.Duration, keys ...string) (c *collector, metricsFile, logsFile string) {
	t.Helper()
	dir := t.TempDir()
	metricsFile, logsFile = filepath.Join(dir, "metrics.json"), filepath.Join(dir, "logs.json")
	health := freeAddress(t)
	c = run(t, binary(t), write(t, fmt.Sprintf(`
receivers:
  hotspot:
    collection_interval: %s
    initial_delay: 0s
    %s
exporters:
  file/metrics: {path: %s, flush_interval: 100ms}
  file/logs: {path: %s, flush_interval: 100ms}
extensions:
  health_check: {endpoint: %s}
service:
  extensions: [health_check]
  telemetry:
    metrics: {level: none}
    logs: {encoding: json}
  pipelines:
    metrics: {receivers: [hotspot], exporters: [file/metrics]}
    logs: {receivers: [hotspot], exporters: [file/logs]}
`, window, strings.Join(keys, "\n    "), metricsFile, logsFile, health)))
	c.await(t, "healthy", func() bool { return healthy(health) })
	c.await(t, "a window", func() bool { return len(readMetrics(t, metricsFile)) > 0 })
	return c, metricsFile, logsFile
}

func TestTheConfigurationOfTheRepositoryShowsDiagnoses(t *testing.T) {
	needsRoot(t)
	yes := startYes(t)
	c := run(t, binary(t), repositoryConfig(t))
	sentence := fmt.Sprintf("yes (%d) is limited by the CPU", yes.Process.Pid)
	c.await(t, sentence, func() bool { return strings.Contains(c.output.String(), sentence) })
	for _, line := range []string{
		fmt.Sprintf(`(?m)^ResourceMetrics #.* process\.pid=%d .*process\.executable\.name=yes `, yes.Process.Pid),
		`(?m)^process\.cpu\.utilization\{cpu\.mode=system\} 0\.`,
		`(?m)^hotspot\.host\.diagnosed\{hotspot\.diagnosis=cpu_bound\} [1-9]`,
	} {
		c.await(t, line, func() bool { return regexp.MustCompile(line).MatchString(c.output.String()) })
	}
	c.stop(t)
	require.NotContains(t, c.output.String(), "panic")
}

func TestValidate(t *testing.T) {
	path := binary(t)
	validate := func(config string) (string, error) {
		output, err := exec.Command(path, "validate", "--config="+config).CombinedOutput()
		return string(output), err
	}

	t.Run("the configuration of the repository is good", func(t *testing.T) {
		output, err := validate(repositoryConfig(t))
		require.NoError(t, err, output)
	})
	examples, err := filepath.Glob("../configs/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, examples)
	for _, example := range examples {
		t.Run(filepath.Base(example)+" is good", func(t *testing.T) {
			output, err := validate(example)
			require.NoError(t, err, output)
		})
	}
	for hotspot, parts := range map[string][]string{
		"{}": nil,
		"{root_path: /hostfs, include: {match_type: regexp, cgroups: [^/kubepods]}, exclude: {pids: [1]}}": nil,
		"{root_path: hostfs, include: {match_type: glob}, exclude: {match_type: regexp, owners: ['(']}}": {
			`root_path: must be an absolute path, is "hostfs"`,
			`include::match_type: must be strict or regexp, is "glob"`,
			"exclude::owners::0: must be a regular expression of Go's",
		},
		"{interval: 5s}": {
			"hotspot", "has invalid keys: interval",
		},
		"{diagnosis: {cpu_bound: {min_cores: 1}}}": {
			"hotspot", "'diagnosis.cpu_bound' has invalid keys: min_cores",
		},
		"{contention: {min_wait: 2s, max_pairs: -1}}": {
			"contention::min_wait: must be between 10µs and 1s, is 2s",
			"contention::max_pairs: must be between 0 and 16384, is -1",
		},
		"{top_k: -1, max_processes: 0}": {
			"receivers::hotspot: top_k: must be between 0 and 4194304, is -1",
			"max_processes: must be between 1 and 4194304, is 0",
		},
		"{collection_interval: -5s}": {
			"receivers::hotspot: collection_interval: must be between 100ms and 1h0m0s, is -5s",
		},
		"{diagnosis: {cpu_bound: {min_thread_utilization: 3}}}": {
			"receivers::hotspot: diagnosis::cpu_bound::min_thread_utilization: must be between 0 and 1, is 3",
		},
		"{diagnosis: {for: 0, oom_risk: {windows: 1}}}": {
			"diagnosis::for: must be between 1 and 1000, is 0",
			"diagnosis::oom_risk::windows: must be between 2 and 60, is 1",
		},
		"{diagnosis: {oom_risk: {min_growth: banana}}}": {
			"diagnosis.oom_risk.min_growth", `"banana" is not a size such as 500 MiB`,
		},
	} {
		t.Run(hotspot, func(t *testing.T) {
			output, err := validate(write(t, `
receivers: {hotspot: `+hotspot+`}
exporters: {nop: {}}
service:
  pipelines:
    metrics: {receivers: [hotspot], exporters: [nop]}
`))
			if parts == nil {
				require.NoError(t, err, output)
				return
			}
			var exit *exec.ExitError
			require.ErrorAs(t, err, &exit, output)
			require.Positive(t, exit.ExitCode())
			for _, part := range parts {
				require.Contains(t, output, part)
			}
		})
	}
}

// binary returns the path of the distribution under test.
func binary(t *testing.T) string {
	t.Helper()
	path := os.Getenv("HOTSPOT_BINARY")
	if path == "" {
		skip(t, "HOTSPOT_BINARY does not name the built distribution: run make e2e")
	}
	require.FileExists(t, path)
	return path
}

func needsRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "needs root, to load BPF programs")
	}
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("HOTSPOT_REQUIRE_KERNEL") == "1" {
		require.Fail(t, why)
	}
	t.Skip(why)
}

func repositoryConfig(t *testing.T) string {
	t.Helper()
	path := filepath.Join("..", "otelcol-config.yaml")
	require.FileExists(t, path)
	return path
}

// write returns the path of a configuration.
func write(t *testing.T, config string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(path, []byte(config), 0o600))
	return path
}

// freeAddress returns a loopback address nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}

func healthy(address string) bool {
	response, err := http.Get("http://" + address)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	return response.StatusCode == http.StatusOK
}

// collector is a running distribution.
type collector struct {
	cmd    *exec.Cmd
	output *transcript      // what it wrote to the terminal
	exited chan struct{}    // closed when it has
	result *os.ProcessState // then
}

// run starts the distribution with configurations of which the later have the
// last word; it does not outlive the test.
func run(t *testing.T, path string, configs ...string) *collector {
	t.Helper()
	cmd := exec.Command(path)
	for _, config := range configs {
		cmd.Args = append(cmd.Args, "--config="+config)
	}
	return launch(t, cmd)
}

// launch starts a program that runs the distribution; it does not outlive the test.
func launch(t *testing.T, cmd *exec.Cmd) *collector {
	t.Helper()
	c := &collector{cmd: cmd, output: &transcript{}, exited: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = c.output, c.output
	require.NoError(t, c.cmd.Start())
	go func() {
		defer close(c.exited)
		_ = c.cmd.Wait()
		c.result = c.cmd.ProcessState
	}()
	t.Cleanup(func() {
		c.kill()
		if t.Failed() {
			t.Log(c.output.String())
		}
	})
	return c
}

// await returns when the condition holds; a collector that exits before fails
// the test at once.
func (c *collector) await(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-c.exited:
			require.Fail(t, "the collector has exited, awaiting "+what)
		case <-deadline:
			require.Fail(t, "awaited in vain: "+what)
		case <-time.After(pace):
		}
	}
}

// stop ends the collector the way an init system does.
func (c *collector) stop(t *testing.T) {
	t.Helper()
	require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
	select {
	case <-c.exited:
		require.Equal(t, 0, c.result.ExitCode())
	case <-time.After(patience):
		require.Fail(t, "SIGTERM did not end it")
	}
}

// kill ends the collector at once, and returns when it has.
func (c *collector) kill() {
	_ = c.cmd.Process.Kill() // it may have ended
	<-c.exited
}

// transcript can be read while it is written.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *transcript) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *transcript) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// startYes starts a process that runs all the time; it does not outlive the test.
func startYes(t *testing.T) *exec.Cmd {
	t.Helper()
	yes := exec.Command("yes")
	require.NoError(t, yes.Start())
	t.Cleanup(func() { kill(t, yes) })
	return yes
}

func kill(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if cmd.ProcessState == nil {
		require.NoError(t, cmd.Process.Kill())
		_ = cmd.Wait()
	}
}

func now() pcommon.Timestamp { return pcommon.NewTimestampFromTime(time.Now()) }

// cpuTime returns the seconds a process of one thread has run.
func cpuTime(t *testing.T, pid int64) float64 {
	t.Helper()
	return schedstat(t, pid, 0)
}

// schedstat returns, in seconds, the first or second number of a thread's
// schedstat: how long it has run (se.sum_exec_runtime) or waited (run_delay).
func schedstat(t *testing.T, pid int64, field int) float64 {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/schedstat", pid))
	require.NoError(t, err)
	ns, err := strconv.ParseUint(strings.Fields(string(text))[field], 10, 64)
	require.NoError(t, err)
	return float64(ns) / 1e9
}

// said is a log record with its resource.
type said struct {
	record   plog.LogRecord
	resource pcommon.Resource
}

// awaitRecord returns the first record of a process in this state.
func (c *collector) awaitRecord(t *testing.T, file string, pid int64, state string) said {
	t.Helper()
	return c.awaitLog(t, file, fmt.Sprintf("%s, of process %d", state, pid), func(s said) bool {
		is, _ := s.record.Attributes().Get("hotspot.diagnosis.state")
		return s.pid() == pid && is.Str() == state
	})
}

// awaitLog returns the first record like this.
func (c *collector) awaitLog(t *testing.T, file, what string, like func(said) bool) (found said) {
	t.Helper()
	c.await(t, what, func() bool {
		for _, line := range lines(t, file) {
			batch, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(line)
			require.NoError(t, err)
			for _, rl := range batch.ResourceLogs().All() {
				for _, r := range rl.ScopeLogs().At(0).LogRecords().All() {
					if found = (said{r, rl.Resource()}); like(found) {
						return true
					}
				}
			}
		}
		return false
	})
	return found
}

func (s said) pid() int64 {
	pid, _ := s.resource.Attributes().Get("process.pid")
	return pid.Int()
}

// readMetrics returns the batches in the file, one a window.
func readMetrics(t *testing.T, file string) []pmetric.Metrics {
	t.Helper()
	var all []pmetric.Metrics
	for _, line := range lines(t, file) {
		batch, err := (&pmetric.JSONUnmarshaler{}).UnmarshalMetrics(line)
		require.NoError(t, err)
		all = append(all, batch)
	}
	return all
}

// lines returns those that are complete; none as long as there is no file.
func lines(t *testing.T, file string) [][]byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	all := bytes.Split(content, []byte("\n"))
	return all[:len(all)-1]
}

// endOf returns when the window of a batch ended.
func endOf(batch pmetric.Metrics) pcommon.Timestamp {
	for _, rm := range batch.ResourceMetrics().All() {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			if m.Name() == "process.thread.count" {
				return m.Sum().DataPoints().At(0).Timestamp()
			}
		}
	}
	return 0
}

func ofProcess(t *testing.T, batch pmetric.Metrics, pid int64) pmetric.ResourceMetrics {
	t.Helper()
	for _, rm := range batch.ResourceMetrics().All() {
		if v, ok := rm.Resource().Attributes().Get("process.pid"); ok && v.Int() == pid {
			return rm
		}
	}
	require.Fail(t, "no metrics", "of process %d", pid)
	return pmetric.ResourceMetrics{}
}

func names(rm pmetric.ResourceMetrics) []string {
	var all []string
	for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
		all = append(all, m.Name())
	}
	slices.Sort(all)
	return all
}

// sum returns the sum of a metric's data points.
func sum(t *testing.T, rm pmetric.ResourceMetrics, name string) float64 {
	t.Helper()
	total, found := 0.0, false
	for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
		if m.Name() != name {
			continue
		}
		for _, p := range m.Sum().DataPoints().All() {
			total, found = total+p.DoubleValue(), true
		}
	}
	require.True(t, found, name)
	return total
}
