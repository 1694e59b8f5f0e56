package hotspotreceiver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer/consumertest"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/bpf"
)

// patience is how long a condition is awaited. It is no measure of anything:
// tests count windows.
const patience = time.Minute

// needsKernel skips the test where BPF programs cannot be loaded, unless the
// environment says that none may be.
func needsKernel(t *testing.T) {
	t.Helper()
	see, err := openHost(createDefaultConfig().(*Config))
	if errors.Is(err, bpf.ErrRequirement) {
		skip(t, err.Error())
	}
	require.NoError(t, err)
	require.NoError(t, see.close())
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("HOTSPOT_REQUIRE_KERNEL") == "1" {
		require.Fail(t, why)
	}
	t.Skip("needs the kernel: " + why)
}

func TestNothingOfBPFIsLeftAfterShutdown(t *testing.T) {
	needsKernel(t)
	require.Zero(t, openBPF(t))
	f := NewFactory()
	for range 5 {
		c, config := newCollector(t), everySecond()
		config.CollectionInterval = minInterval
		var to consumertest.MetricsSink
		metrics, logs := c.metrics(t, f, config, &to), c.logs(t, f, config, consumertest.NewNop())
		start(t, metrics, componenttest.NewNopHost())
		start(t, logs, componenttest.NewNopHost())
		require.Eventually(t, func() bool { return len(to.AllMetrics()) > 0 }, patience, minInterval)
		require.Positive(t, openBPF(t))
		require.NoError(t, metrics.Shutdown(t.Context()))
		require.NoError(t, logs.Shutdown(t.Context()))
		require.Zero(t, openBPF(t))
		require.Empty(t, c.errors())
	}
}

func TestContentionIsWatchedAsConfigured(t *testing.T) {
	needsKernel(t)
	config := everySecond()
	see, err := openHost(config)
	require.NoError(t, err)
	require.Empty(t, see.deficits())
	require.NotNil(t, see.from.Contention)
	with := openBPF(t)
	require.NoError(t, see.close())

	config.Contention.Enabled = false
	see, err = openHost(config)
	require.NoError(t, err)
	require.Empty(t, see.deficits(), "switched off is not missing")
	require.NotContains(t, see.programs, bpf.ContentionProgram)
	require.Nil(t, see.from.Contention)
	require.Less(t, openBPF(t), with)
	require.NoError(t, see.close())
}

// openBPF returns how many programs, links, maps and passes this process holds.
func openBPF(t *testing.T) int {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	require.NotEmpty(t, fds)
	n := 0
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.Contains(to, "bpf") {
			n++
		}
	}
	return n
}

func TestABusyLoopIsDiagnosed(t *testing.T) {
	needsKernel(t)
	var (
		c         = newCollector(t)
		f, config = NewFactory(), everySecond()
		metricsTo consumertest.MetricsSink
		logsTo    consumertest.LogsSink
	)
	metrics, logs := c.metrics(t, f, config, &metricsTo), c.logs(t, f, config, &logsTo)
	start(t, metrics, componenttest.NewNopHost())
	start(t, logs, componenttest.NewNopHost())
	require.Eventually(t, func() bool { return len(metricsTo.AllMetrics()) > 0 }, patience, minInterval)

	yes := exec.Command("yes")
	require.NoError(t, yes.Start())
	defer func() {
		_ = yes.Process.Kill()
		_ = yes.Wait()
	}()
	born, pid := time.Now(), int64(yes.Process.Pid)
	var first unix.CPUSet
	first.Set(0)
	require.NoError(t, unix.SchedSetaffinity(yes.Process.Pid, &first))

	began := awaitRecord(t, &logsTo, pid, "started")
	record := began.record
	require.Equal(t, "hotspot.diagnosis.cpu_bound", record.EventName())
	require.Equal(t, plog.SeverityNumberInfo, record.SeverityNumber())
	require.Contains(t, record.Body().Str(), fmt.Sprintf("yes (%d) is limited by the CPU", pid))

	// The two pipelines are handed their batches apart, the record's window may be on its way.
	windows := 0
	var batch pmetric.Metrics
	require.Eventually(t, func() bool {
		windows = 0
		for _, batch = range metricsTo.AllMetrics() {
			if end := endOf(batch); end > pcommon.NewTimestampFromTime(born) {
				windows++
				if end == record.Timestamp() {
					return true
				}
			}
		}
		return false
	}, patience, minInterval, "the metrics of the record's window")
	require.LessOrEqual(t, windows, 2, "windows until the diagnosis")
	rm, ok := ofProcess(batch, pid)
	require.True(t, ok)
	require.Equal(t, rm.Resource().Attributes().AsRaw(), began.resource.Attributes().AsRaw())
	require.Equal(t, int64(1), number(t, batch, pid, "hotspot.process.diagnosis").IntValue())
	utilization, ok := record.Attributes().Get("hotspot.evidence.thread_utilization")
	require.True(t, ok)
	require.GreaterOrEqual(t, utilization.Double(), config.Diagnosis.CPUBound.MinThreadUtilization)
	ran := number(t, batch, pid, "hotspot.process.thread.max_utilization").DoubleValue()
	require.Positive(t, ran)
	require.LessOrEqual(t, ran, utilization.Double(), "ran, and ran or waited")

	require.NoError(t, yes.Process.Kill())
	_ = yes.Wait()
	ended := awaitRecord(t, &logsTo, pid, "ended")
	require.Contains(t, ended.record.Body().Str(), fmt.Sprintf("yes (%d) has exited", pid))
	require.Equal(t, began.resource.Attributes().AsRaw(), ended.resource.Attributes().AsRaw())
	require.Empty(t, c.errors())
}

// said is a log record with its resource.
type said struct {
	record   plog.LogRecord
	resource pcommon.Resource
}

// awaitRecord returns the first record of a process in this state.
func awaitRecord(t *testing.T, logs *consumertest.LogsSink, pid int64, state string) (found said) {
	t.Helper()
	require.Eventually(t, func() bool {
		for _, batch := range logs.AllLogs() {
			for _, rl := range batch.ResourceLogs().All() {
				of, _ := rl.Resource().Attributes().Get("process.pid")
				for _, r := range rl.ScopeLogs().At(0).LogRecords().All() {
					if is, _ := r.Attributes().Get("hotspot.diagnosis.state"); of.Int() == pid && is.Str() == state {
						found = said{r, rl.Resource()}
						return true
					}
				}
			}
		}
		return false
	}, patience, minInterval, "%s, of process %d", state, pid)
	return found
}

// endOf returns when the window of a batch ended.
func endOf(batch pmetric.Metrics) pcommon.Timestamp {
	return batch.ResourceMetrics().At(0).ScopeMetrics().At(0).Metrics().At(0).Gauge().DataPoints().At(0).Timestamp()
}
