package agents

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// agent is a receiver to be measured, and how it is configured.
type agent struct {
	name     string
	receiver string // its block of the configuration
	counter  string // what its own telemetry counts with each collection
}

// The metrics both have. Threads are counted by process.threads in one and
// process.thread.count in the other.
const theirMetrics = `
        metrics:
          process.context_switches: {enabled: true}
          process.cpu.utilization: {enabled: true}
          process.paging.faults: {enabled: true}
          process.threads: {enabled: true}
          process.disk.io: {enabled: false}
          process.memory.virtual: {enabled: false}`

// What only ours has is off, and what only theirs has by default is on: but for
// process.command all attributes of the resource are the same then.
const ourEqualContent = `
    top_k: 4194304
    max_processes: 4194304
    kernel_threads: true
    resource_attributes:
      process.command_line: {enabled: true}
      process.executable.path: {enabled: true}
      process.owner: {enabled: true}
      process.linux.cgroup: {enabled: true}
    metrics:
      hotspot.host.diagnosed: {enabled: false}
      hotspot.host.other.cpu.time: {enabled: false}
      hotspot.host.other.memory.usage: {enabled: false}
      hotspot.host.short_lived.cpu.time: {enabled: false}
      hotspot.process.cpu.throttled.time: {enabled: false}
      hotspot.process.diagnosis: {enabled: false}
      hotspot.process.memory.growth: {enabled: false}
      hotspot.process.memory.limit: {enabled: false}
      hotspot.process.memory.time_to_limit: {enabled: false}
      hotspot.process.run_queue.time: {enabled: false}
      hotspot.process.thread.max_utilization: {enabled: false}
      hotspot.process.wait.caused: {enabled: false}
      hotspot.process.wait.time: {enabled: false}`

const (
	ourCounter   = "otelcol_hotspot_census_duration_count"
	theirCounter = "otelcol_receiver_accepted_metric_points"
)

var (
	ours      = agent{"hotspot", "hotspot:", ourCounter}
	oursEqual = agent{"hotspot, equal content", "hotspot:" + ourEqualContent, ourCounter}
	theirs    = agent{"host_metrics, equal content", hostMetrics(theirMetrics), theirCounter}
	// oursEverything has all processes, with all metrics.
	oursEverything = agent{"hotspot, all processes", "hotspot:\n    top_k: 4194304\n    max_processes: 4194304", ourCounter}
	// theirsDefault has four metrics, two of which ours does not have.
	theirsDefault = agent{"host_metrics", hostMetrics(""), theirCounter}
)

// hostMetrics mutes errors: a log line for each kernel thread would cost more than
// its metrics.
func hostMetrics(metrics string) string {
	return "host_metrics:\n    scrapers:\n      process:\n        mute_process_all_errors: true" + metrics
}

// running is a collector that runs one agent.
type running struct {
	t         testing.TB
	agent     agent
	cmd       *exec.Cmd
	output    *bytes.Buffer // read only once it has exited
	telemetry string        // address
	launched  time.Time
}

// start runs the agent, its metrics going to nowhere, or to a file.
func (a agent) start(t testing.TB, binary string, interval time.Duration, file string) *running {
	t.Helper()
	exporter, exporters := "nop", "nop:"
	if file != "" {
		exporter, exporters = "file", fmt.Sprintf("file: {path: %s, format: proto, flush_interval: 100ms}", file)
	}
	r := &running{t: t, agent: a, output: &bytes.Buffer{}, telemetry: freeAddress(t)}
	host, port, err := net.SplitHostPort(r.telemetry)
	require.NoError(t, err)
	config := filepath.Join(t.TempDir(), "config.yaml")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, `
receivers:
  %s
    collection_interval: %s
    initial_delay: 0s
exporters:
  %s
service:
  telemetry:
    metrics: {level: normal, readers: [{pull: {exporter: {prometheus: {host: %s, port: %s}}}}]}
  pipelines:
    metrics: {receivers: [%s], exporters: [%s]}
`, a.receiver, interval, exporters, host, port, strings.TrimSuffix(strings.Fields(a.receiver)[0], ":"), exporter), 0o600))
	r.cmd = exec.Command(binary, "--config="+config)
	r.cmd.Stdout, r.cmd.Stderr = r.output, r.output
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r.launched = time.Now()
	require.NoError(t, r.cmd.Start())
	t.Cleanup(r.stop)
	return r
}

// stop ends the collector.
func (r *running) stop() {
	if r.cmd.ProcessState != nil {
		return
	}
	_ = r.cmd.Process.Kill()
	_ = r.cmd.Wait()
	if r.t.Failed() {
		r.t.Logf("%s: %s", r.agent.name, r.output)
	}
}

// count returns what the agent has counted: with each collection one, or its
// points; 0 before the first.
func (r *running) count() float64 { return r.value(r.agent.counter) }

// value returns a value of the collector's own telemetry, 0 if there is none.
func (r *running) value(metric string) float64 {
	response, err := http.Get("http://" + r.telemetry + "/metrics")
	if err != nil {
		return 0 // not up yet
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if name, _, _ = strings.Cut(name, "{"); name == metric {
			n, err := strconv.ParseFloat(value, 64)
			if err == nil {
				return n
			}
		}
	}
	return 0
}

// awaitCount returns when the agent has counted more than it had.
func (r *running) awaitCount(had float64) (now float64) {
	r.t.Helper()
	require.Eventually(r.t, func() bool { now = r.count(); return now > had }, patience, 20*time.Millisecond,
		"%s makes no collection", r.agent.name)
	return now
}

// cpu returns the CPU time the collector has used, in user and system mode, to
// the nanosecond.
func (r *running) cpu() time.Duration {
	r.t.Helper()
	const schedClock = 2 // CPUCLOCK_SCHED; see clock_getcpuclockid(3)
	var used unix.Timespec
	require.NoError(r.t, unix.ClockGettime(int32(^r.cmd.Process.Pid<<3|schedClock), &used))
	return time.Duration(used.Nano())
}

// memory is the resident set, in bytes: most of what is of files is the program.
type memory struct {
	Peak uint64 `json:"peak_bytes"` // since the last time it was asked for
	Anon uint64 `json:"anonymous_bytes"`
}

// memory returns the resident set and begins a new peak.
func (r *running) memory() (m memory) {
	r.t.Helper()
	status, err := os.ReadFile(r.path("status"))
	require.NoError(r.t, err)
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		to := map[string]*uint64{"VmHWM": &m.Peak, "RssAnon": &m.Anon}[name]
		if to == nil {
			continue
		}
		*to, err = strconv.ParseUint(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		require.NoError(r.t, err)
		*to <<= 10
	}
	require.NoError(r.t, os.WriteFile(r.path("clear_refs"), []byte("5"), 0))
	return m
}

func (r *running) path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(r.cmd.Process.Pid), name)
}

// freeAddress returns a loopback address nobody listens on.
func freeAddress(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	return listener.Addr().String()
}
