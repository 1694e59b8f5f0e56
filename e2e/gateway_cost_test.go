package e2e

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// TestCostOfAGateway measures what agents cost one, for docs/scale.md: each has a
// connection of its own, and sends a window in every interval.
func TestCostOfAGateway(t *testing.T) {
	agents, _ := strconv.Atoi(os.Getenv("HOTSPOT_FLEET"))
	if agents == 0 {
		t.Skip("HOTSPOT_FLEET does not say how many agents: run make fleet")
	}
	recorded := record(t, 3)
	for _, batch := range recorded.metrics {
		t.Logf("a window has %d resources, %d points and %d KiB uncompressed",
			batch.ResourceMetrics().Len(), batch.DataPointCount(), (&pmetric.ProtoMarshaler{}).MetricsSize(batch)>>10)
	}
	for _, interval := range []time.Duration{5 * time.Second, 10 * time.Second} {
		t.Run(interval.String(), func(t *testing.T) { measureGateway(t, recorded, agents, interval) })
	}
}

func measureGateway(t *testing.T, recorded recording, agents int, interval time.Duration) {
	t.Helper()
	const repeatInterval = time.Minute // of what a diagnosis says
	backend := newCounter(t)
	backend.taken = nil // it need not know what it takes
	t.Setenv("OTLP_HTTP_URL", backend.URL)
	t.Setenv("OTLP_ENDPOINT", freeAddress(t))
	gateway := startGateway(t)
	process, err := procfs.NewProc(gateway.cmd.Process.Pid)
	require.NoError(t, err)

	begin := time.Now()
	end := begin.Add(2*interval + time.Minute)
	replayers, errs := make([]*replayer, agents), make([]error, agents)
	var windows atomic.Int64
	var all sync.WaitGroup
	for i := range replayers {
		r := newReplayer(t, fmt.Sprintf("agent-%d", i), os.Getenv("OTLP_ENDPOINT"))
		r.sent = nil
		replayers[i] = r
		all.Go(func() {
			for next := begin.Add(interval * time.Duration(i) / time.Duration(agents)); next.Before(end); next = next.Add(interval) {
				time.Sleep(time.Until(next))
				errs[i] = errors.Join(errs[i], r.send(recorded, r.windows%int(repeatInterval/interval) == i%int(repeatInterval/interval)))
				windows.Add(1)
			}
		})
	}
	type reading struct{ cpu, windows, in, out float64 }
	read := func() (r reading) {
		stat, err := process.Stat()
		require.NoError(t, err)
		for _, replayer := range replayers {
			r.in += float64(replayer.written.Load())
		}
		r.cpu, r.windows, r.out = stat.CPUTime(), float64(windows.Load()), float64(backend.bytes.Load())
		return r
	}
	time.Sleep(2 * interval) // all have connected
	before, since := read(), time.Now()
	all.Wait()
	after, took := read(), time.Since(since).Seconds()
	require.NoError(t, errors.Join(errs...))
	status, err := process.NewStatus()
	require.NoError(t, err)
	sent, cpu := after.windows-before.windows, after.cpu-before.cpu
	t.Logf("%d agents, %.1f windows a second: %.2f cores, %.2f ms CPU, %.1f KiB in and %.1f KiB out a window; resident %d MiB, at most %d",
		agents, sent/took, cpu/took, 1000*cpu/sent, (after.in-before.in)/sent/1024, (after.out-before.out)/sent/1024, status.VmRSS>>20, status.VmHWM>>20)
	require.InEpsilon(t, float64(agents)/interval.Seconds(), sent/took, 0.2, "this machine is too busy to send them in time")
	gateway.stop(t)
	require.NoError(t, backend.failed)
}
