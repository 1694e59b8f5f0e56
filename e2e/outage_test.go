package e2e

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/testdata/backend"
)

// An agent whose gateway is not there keeps what it has on disk, and another run
// of it sends that when the gateway is.
func TestAnOutageOfTheGatewayLosesNothing(t *testing.T) {
	needsRoot(t)
	path, gateway, dir := binary(t), freeAddress(t), t.TempDir()
	stores := backends{metrics: backend.StartVictoriaMetrics(t), logs: backend.StartVictoriaLogs(t)}
	yes := startYes(t)
	pid := int64(yes.Process.Pid)
	agent := func(file string) *collector {
		t.Setenv("OTLP_ENDPOINT", gateway)
		t.Setenv("OTLP_INSECURE", "true")
		t.Setenv("HOTSPOT_STORAGE", filepath.Join(dir, "agent"))
		return run(t, path, "../configs/otlp-grpc.yaml", fmt.Sprintf(`yaml:{
receivers: {hotspot: {collection_interval: 1s, initial_delay: 0s}},
exporters: {file: {path: %s, flush_interval: 100ms}},
service: {telemetry: {metrics: {level: none}}, pipelines: {metrics: {exporters: [otlp_grpc, file]}}}}`, file))
	}

	file := filepath.Join(dir, "metrics.json")
	c := agent(file)
	var kept []pmetric.Metrics
	c.await(t, "5 windows without a gateway", func() bool { kept = readMetrics(t, file); return len(kept) > 5 })
	c.stop(t)
	kept = readMetrics(t, file)
	require.Contains(t, c.output.String(), "connection refused")

	t.Setenv("OTLP_HTTP_URL", stores.metrics.URL+"/opentelemetry")
	g := startGateway(t, "yaml:exporters::otlp_http::logs_endpoint: "+stores.logs.URL+"/insert/opentelemetry/v1/logs")
	c = agent(filepath.Join(dir, "later.json"))

	held := map[int64]float64{} // CPU time by when, in milliseconds
	c.await(t, "the windows of the outage", func() bool {
		for _, s := range stores.samples(t, fmt.Sprintf(`process_cpu_time_seconds_total{process_pid="%d"}`, pid)) {
			held[s.At.UnixMilli()] = s.Value
		}
		for _, b := range kept {
			if _, there := held[endOf(b).AsTime().UnixMilli()]; !there {
				return false
			}
		}
		return true
	})
	for _, b := range kept {
		require.InDelta(t, value(t, b, pid, "process.cpu.time"), held[endOf(b).AsTime().UnixMilli()], 1e-9)
	}
	started := stores.awaitLog(t, c, pid, `hotspot.diagnosis:=cpu_bound`)
	require.Equal(t, "started", started["hotspot.diagnosis.state"])
	c.stop(t)
	g.stop(t)
}
