package containers

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/confmap"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/receiver/receivertest"

	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver"
)

// collectorVariable makes this binary a collector with that configuration of
// the receiver, in JSON.
const collectorVariable = "HOTSPOT_TEST_COLLECTOR"

// line is what a collector writes of each resource, or why it did not start.
type line struct {
	Signal     string         `json:"signal,omitempty"` // metrics or logs
	Attributes map[string]any `json:"attributes,omitempty"`
	Error      string         `json:"error,omitempty"`
}

// collect is the collector: it writes the resources of all that the receiver
// sends to its standard output.
func collect(config string) {
	var mu sync.Mutex
	out := json.NewEncoder(os.Stdout)
	write := func(l line) {
		mu.Lock()
		defer mu.Unlock()
		if err := out.Encode(l); err != nil {
			os.Exit(1) // the test is gone
		}
	}
	if err := receive(config, write); err != nil {
		write(line{Error: err.Error()})
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	os.Exit(0)
}

func receive(text string, write func(line)) error {
	ctx, f := context.Background(), hotspotreceiver.NewFactory()
	config := f.CreateDefaultConfig()
	retrieved, err := confmap.NewRetrievedFromYAML([]byte(text))
	if err != nil {
		return err
	}
	block, err := retrieved.AsConf()
	if err != nil {
		return err
	}
	if err := block.Unmarshal(config); err != nil {
		return err
	}
	if err := confmap.Validate(config); err != nil {
		return err
	}
	metricsTo, err := consumer.NewMetrics(func(_ context.Context, batch pmetric.Metrics) error {
		for _, rm := range batch.ResourceMetrics().All() {
			write(line{Signal: "metrics", Attributes: rm.Resource().Attributes().AsRaw()})
		}
		return nil
	})
	if err != nil {
		return err
	}
	logsTo, err := consumer.NewLogs(func(_ context.Context, batch plog.Logs) error {
		for _, rl := range batch.ResourceLogs().All() {
			write(line{Signal: "logs", Attributes: rl.Resource().Attributes().AsRaw()})
		}
		return nil
	})
	if err != nil {
		return err
	}
	settings := receivertest.NewNopSettings(f.Type())
	metrics, err := f.CreateMetrics(ctx, settings, config, metricsTo)
	if err != nil {
		return err
	}
	logs, err := f.CreateLogs(ctx, settings, config, logsTo)
	if err != nil {
		return err
	}
	if err := metrics.Start(ctx, componenttest.NewNopHost()); err != nil {
		return err
	}
	return logs.Start(ctx, componenttest.NewNopHost())
}

// collector is a running one, and what it has said last.
type collector struct {
	lines chan line
	said  map[string]map[int64]map[string]any // attributes by signal and pid
	err   string
}

// follow reads what a collector writes.
func follow(output io.Reader) *collector {
	c := &collector{lines: make(chan line, 1<<16), said: map[string]map[int64]map[string]any{
		"metrics": {}, "logs": {},
	}}
	go func() {
		defer close(c.lines)
		text := bufio.NewScanner(output)
		text.Buffer(nil, 1<<20)
		for text.Scan() {
			var l line
			if err := json.Unmarshal(text.Bytes(), &l); err != nil {
				l.Error = fmt.Sprintf("%s: %v", text.Text(), err)
			}
			c.lines <- l
		}
	}()
	return c
}

// onHost runs a collector as a process of the host.
func onHost(t *testing.T, config string) *collector {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), collectorVariable+"="+config)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	lines, ended := newLines(output)
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
		_ = cmd.Wait()
	})
	return follow(lines)
}

// next takes in what is said next, and tells whether it came in time.
func (c *collector) next(timeout <-chan time.Time) bool {
	select {
	case <-timeout:
		return false
	case l, open := <-c.lines:
		switch pid, ok := l.Attributes["process.pid"].(float64); {
		case !open:
			c.err = cmp.Or(c.err, "the collector has ended")
		case l.Error != "":
			c.err = l.Error
		case ok:
			c.said[l.Signal][int64(pid)] = l.Attributes
		}
		return true
	}
}

// await returns the resource of a process once what is said of it is so.
func (c *collector) await(t *testing.T, signal string, pid int, is func(attributes map[string]any) bool, why string) map[string]any {
	t.Helper()
	for timeout := time.After(patience); ; {
		got := c.said[signal][int64(pid)]
		if got != nil && is(got) {
			return got
		}
		require.True(t, c.next(timeout), "%s of process %d: %s, not %v", signal, pid, why, got)
		require.Empty(t, c.err)
	}
}

func anything(map[string]any) bool { return true }
