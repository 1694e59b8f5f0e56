package e2e

import (
	"context"
	"iter"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/encoding/gzip" // the compressor of this name
)

// recording is what the receiver sent in some windows, and what it said in one.
type recording struct {
	metrics []pmetric.Metrics
	logs    plog.Logs
}

// record runs the receiver on this host for so many windows of a second.
func record(t *testing.T, windows int) (r recording) {
	t.Helper()
	needsRoot(t)
	c, metricsFile, logsFile := watch(t, time.Second)
	yes := startYes(t)
	c.awaitRecord(t, logsFile, int64(yes.Process.Pid), "started")
	before := len(readMetrics(t, metricsFile))
	c.await(t, "windows", func() bool { return len(readMetrics(t, metricsFile)) >= before+windows })
	kill(t, yes)
	c.stop(t)
	r.metrics = readMetrics(t, metricsFile)[before:]
	logs, err := (&plog.JSONUnmarshaler{}).UnmarshalLogs(lines(t, logsFile)[0])
	require.NoError(t, err)
	r.logs = logs
	return r
}

// replayer sends as an agent does: over OTLP and gRPC, compressed.
type replayer struct {
	host       string
	connection *grpc.ClientConn
	written    atomic.Int64    // bytes, with all that gRPC adds
	windows    int             // that were sent
	sent       map[uint64]bool // by key, until the backend has it; nil if it need not know
}

func newReplayer(t *testing.T, host, to string) *replayer {
	t.Helper()
	r := &replayer{host: host, sent: map[uint64]bool{}}
	var err error
	r.connection, err = grpc.NewClient(to, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.UseCompressor("gzip"), grpc.WaitForReady(true)),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
			return countedConn{c, &r.written}, err
		}))
	require.NoError(t, err)
	t.Cleanup(func() { _ = r.connection.Close() })
	return r
}

type countedConn struct {
	net.Conn
	written *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.written.Add(int64(n))
	return n, err
}

// send sends the next window, as one that ends now. With said it has log records
// as well.
func (r *replayer) send(recorded recording, said bool) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	now := now()
	metrics := pmetric.NewMetrics()
	recorded.metrics[r.windows%len(recorded.metrics)].CopyTo(metrics)
	r.windows++
	for _, rm := range metrics.ResourceMetrics().All() {
		rm.Resource().Attributes().PutStr("host.name", r.host)
		for _, p := range pointsOf(rm) {
			p.SetTimestamp(now)
		}
	}
	r.remember(metricKeys(metrics))
	if _, err := pmetricotlp.NewGRPCClient(r.connection).Export(ctx, pmetricotlp.NewExportRequestFromMetrics(metrics)); err != nil || !said {
		return err
	}
	logs := plog.NewLogs()
	recorded.logs.CopyTo(logs)
	for _, rl := range logs.ResourceLogs().All() {
		rl.Resource().Attributes().PutStr("host.name", r.host)
		for _, record := range rl.ScopeLogs().At(0).LogRecords().All() {
			record.SetTimestamp(now)
		}
	}
	r.remember(logKeys(logs))
	_, err := plogotlp.NewGRPCClient(r.connection).Export(ctx, plogotlp.NewExportRequestFromLogs(logs))
	return err
}

func (r *replayer) remember(keys iter.Seq[uint64]) {
	if r.sent == nil {
		return
	}
	for key := range keys {
		r.sent[key] = true
	}
}
