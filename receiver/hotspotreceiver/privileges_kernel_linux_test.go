package hotspotreceiver

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/bpf"
)

// helperVariable tells TestHelperStart which mounts to make first.
const helperVariable = "HOTSPOT_TEST_HELPER"

// started is what came of starting the receiver in another process.
type started struct {
	Propagated string         // what Start returned under error_mode: propagate
	Logged     []string       // the errors under error_mode: ignore
	Statuses   []string       // what the two hosts were told then
	Warned     []string       // what was logged as a warning then, with its kind
	Processes  int            // in the first metrics
	Names      []string       // of these metrics
	With       map[string]int // how many of the processes have a resource attribute
}

// has tells how many of the processes have an attribute: all but those that ended
// before it was read, or none but those of the same user.
func (s *started) has(attribute string) string {
	switch n := s.With[attribute]; {
	case 10*n >= 9*s.Processes:
		return "all"
	case 2*n < s.Processes:
		return "few"
	default:
		return fmt.Sprintf("%d of %d", n, s.Processes)
	}
}

const nobody = 65534

func TestPrivileges(t *testing.T) {
	needsKernel(t)
	if os.Geteuid() != 0 {
		skip(t, "only root can hand out capabilities")
	}
	unprivileged := func(capabilities ...uintptr) *syscall.SysProcAttr {
		return &syscall.SysProcAttr{
			Credential:  &syscall.Credential{Uid: nobody, Gid: nobody},
			AmbientCaps: capabilities,
		}
	}
	for name, tt := range map[string]struct {
		as      *syscall.SysProcAttr
		mounts  string
		missing []string // all of them in the one error; none if it works
		paths   string   // which processes have process.executable.path if it does
		not     string   // what it must not blame
	}{
		"no capabilities": {
			as: unprivileged(),
			missing: []string{"missing CAP_BPF and CAP_PERFMON: run as root, or grant", "AmbientCapabilities=",
				"capabilities.add"},
			not: "BTF",
		},
		"CAP_BPF alone": {
			as:      unprivileged(unix.CAP_BPF),
			missing: []string{"missing CAP_PERFMON: "},
			not:     "missing CAP_BPF",
		},
		"CAP_PERFMON alone": {
			as:      unprivileged(unix.CAP_PERFMON),
			missing: []string{"missing CAP_BPF: "},
			not:     "missing CAP_PERFMON",
		},
		"CAP_BPF and CAP_PERFMON and no more": {
			as:    unprivileged(unix.CAP_BPF, unix.CAP_PERFMON),
			paths: "few",
		},
		"CAP_SYS_PTRACE adds the programs of others": {
			as:    unprivileged(unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_SYS_PTRACE),
			paths: "all",
		},
		"CAP_DAC_READ_SEARCH adds nothing": {
			as:    unprivileged(unix.CAP_BPF, unix.CAP_PERFMON, unix.CAP_DAC_READ_SEARCH),
			paths: "few",
		},
		"root": {
			as:    &syscall.SysProcAttr{},
			paths: "all",
		},
		"a pid namespace of its own": {
			as:      &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS},
			mounts:  "proc",
			missing: []string{"pid namespace", "hostPID: true", "--pid=host"},
			not:     "CAP_",
		},
		"type information hidden": {
			as:      &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNS},
			mounts:  "no btf",
			missing: []string{"no type information at /sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF=y"},
			not:     "CAP_",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := startElsewhere(t, tt.as, tt.mounts)
			if tt.missing == nil {
				require.Empty(t, got.Propagated)
				require.Empty(t, got.Logged)
				require.Empty(t, got.Statuses)
				require.Greater(t, got.Processes, 1, "more than itself")
				require.Subset(t, got.Names, []string{
					"process.cpu.time", "process.memory.usage", "process.paging.faults", "process.context_switches",
					"hotspot.process.run_queue.time", "hotspot.process.wait.caused", "hotspot.process.memory.limit",
					"hotspot.host.diagnosed", "hotspot.host.short_lived.cpu.time",
				})
				for _, attribute := range []string{
					"process.executable.name", "process.linux.cgroup", "process.command_line", "process.owner",
				} {
					require.Equal(t, "all", got.has(attribute), attribute)
				}
				require.Equal(t, tt.paths, got.has("process.executable.path"))
				denied := "Some processes have attributes missing: /proc could not be read: denied"
				require.Equal(t, tt.paths == "few", slices.Contains(got.Warned, denied), got.Warned)
				return
			}
			require.Len(t, got.Logged, 1, "exactly one error")
			require.Equal(t, []string{"StatusPermanentError", "StatusPermanentError"}, got.Statuses)
			for _, message := range []string{got.Propagated, got.Logged[0]} {
				require.Equal(t, 1, strings.Count(message, bpf.ErrRequirement.Error()), message)
				for _, part := range tt.missing {
					require.Contains(t, message, part)
				}
				require.NotContains(t, message, tt.not)
			}
			require.Zero(t, got.Processes)
			t.Log(got.Propagated)
		})
	}
}

// see takes in the first metrics.
func (s *started) see(batch pmetric.Metrics) {
	s.Names, s.With = metricNames(batch), map[string]int{}
	for _, rm := range batch.ResourceMetrics().All() {
		lives := false
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			lives = lives || m.Name() == "process.thread.count"
		}
		if !lives {
			continue // or is the host
		}
		s.Processes++
		for attribute := range rm.Resource().Attributes().All() {
			s.With[attribute]++
		}
	}
}

// startElsewhere runs TestHelperStart in a process with these privileges.
func startElsewhere(t *testing.T, as *syscall.SysProcAttr, mounts string) (got started) {
	t.Helper()
	// Through a descriptor: the directory of the test binary is closed to others.
	binary, err := os.Open("/proc/self/exe")
	require.NoError(t, err)
	defer binary.Close()
	cmd := exec.Command("/proc/self/fd/3", "-test.run=^TestHelperStart$", "-test.v")
	cmd.ExtraFiles = []*os.File{binary}
	cmd.Env = append(os.Environ(), helperVariable+"="+mounts)
	cmd.Dir = "/"
	cmd.SysProcAttr = as
	output, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", output)
	for line := range strings.Lines(string(output)) {
		if result, ok := strings.CutPrefix(line, "result: "); ok {
			require.NoError(t, json.Unmarshal([]byte(result), &got))
			return got
		}
	}
	require.Fail(t, "no result", "%s", output)
	return got
}

// TestHelperStart is no test: it is what TestPrivileges starts.
func TestHelperStart(t *testing.T) {
	mounts, ok := os.LookupEnv(helperVariable)
	if !ok {
		t.Skip("run by TestPrivileges")
	}
	if mounts != "" {
		require.NoError(t, unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	}
	switch mounts {
	case "proc":
		require.NoError(t, unix.Mount("proc", "/proc", "proc", 0, ""))
	case "no btf":
		require.NoError(t, unix.Mount("tmpfs", "/sys/kernel/btf", "tmpfs", 0, ""))
	}

	var result started
	f := NewFactory()
	propagate := newCollector(t).metrics(t, f, everySecond(), consumertest.NewNop())
	if err := propagate.Start(t.Context(), componenttest.NewNopHost()); err != nil {
		result.Propagated = err.Error()
	}
	require.NoError(t, propagate.Shutdown(t.Context()))

	c, config := newCollector(t), everySecond()
	config.CollectionInterval = minInterval
	config.ErrorMode = IgnoreErrors
	config.Selection.TopK, config.Selection.Max = 10_000, 10_000
	of := &config.MetricsBuilderConfig.ResourceAttributes
	of.ProcessExecutablePath.Enabled, of.ProcessCommandLine.Enabled, of.ProcessOwner.Enabled = true, true, true
	var to consumertest.MetricsSink
	metrics, logs := c.metrics(t, f, config, &to), c.logs(t, f, config, consumertest.NewNop())
	first, second := &statusHost{}, &statusHost{}
	start(t, metrics, first)
	start(t, logs, second)
	result.Logged = c.errors()
	for _, host := range []*statusHost{first, second} {
		for _, status := range host.statuses() {
			result.Statuses = append(result.Statuses, status.String())
		}
	}
	if len(result.Statuses) == 0 {
		require.Eventually(t, func() bool { return len(to.AllMetrics()) > 0 }, patience, minInterval)
		result.see(to.AllMetrics()[0])
		for _, line := range c.warnings() {
			result.Warned = append(result.Warned, fmt.Sprint(line.Message, ": ", line.ContextMap()["kind"]))
		}
	}
	line, err := json.Marshal(result)
	require.NoError(t, err)
	fmt.Printf("\nresult: %s\n", line)
}
