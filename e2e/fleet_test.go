package e2e

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Twenty agents with what the receiver sent once, a gateway, that of hosts and then
// that of a cluster, and a backend that counts. Agents and gateways are killed, or
// stopped, and the backend refuses, while windows go through them.
func TestAFleetLosesNothingWhenItsGatewayRestarts(t *testing.T) {
	recorded, backend := record(t, 3), newCounter(t)
	t.Setenv("OTLP_HTTP_URL", backend.URL)
	t.Setenv("OTLP_ENDPOINT", freeAddress(t))
	t.Setenv("OTLP_INSECURE", "true")
	gateway := startGateway(t)
	agents := make([]*agent, 20)
	windows := make([]*replayer, len(agents))
	for i := range agents {
		agents[i] = &agent{address: freeAddress(t), queue: t.TempDir()}
		agents[i].start(t)
		windows[i] = newReplayer(t, fmt.Sprintf("agent-%d", i), agents[i].address)
	}
	// replay sends windows before, while and after something happens.
	replay := func(meanwhile func()) {
		t.Helper()
		require.NoError(t, sendAll(windows, recorded, 2))
		sent := make(chan error)
		go func() { sent <- sendAll(windows, recorded, 2) }()
		meanwhile()
		require.NoError(t, <-sent)
		require.NoError(t, sendAll(windows, recorded, 2))
	}
	arrives := func() {
		t.Helper()
		gateway.await(t, "all that was sent", func() bool { return backend.missing(windows) == 0 })
	}
	restart := func(start func() *collector) {
		t.Helper()
		require.Positive(t, backend.missing(windows), "what was sent last went nowhere")
		gateway = start()
		arrives()
	}

	hosts := func() *collector { return startGateway(t) }
	replay(func() {})
	arrives()
	replay(func() { gateway.kill() })
	for _, a := range agents {
		a.collector.kill()
		a.start(t)
	}
	restart(hosts)
	replay(func() { gateway.stop(t) })
	restart(hosts)
	gateway.stop(t)

	cluster := func() *collector { return startKubernetesGateway(t) }
	replay(func() {})
	restart(cluster)
	replay(func() { gateway.kill() })
	restart(cluster)
	replay(func() { backend.refuse(true) })
	gateway.kill()
	backend.refuse(false)
	restart(cluster)
	require.NoError(t, backend.failed)
	t.Logf("%d agents sent %d windows each; of %d points and records that arrived %d came again",
		len(agents), windows[0].windows, len(backend.taken), backend.again())
}

// sendAll sends n windows of each, log records with the first.
func sendAll(replayers []*replayer, recorded recording, n int) error {
	errs := make([]error, len(replayers))
	var all sync.WaitGroup
	for i, r := range replayers {
		all.Go(func() {
			for range n {
				errs[i] = errors.Join(errs[i], r.send(recorded, r.windows%n == 0))
			}
		})
	}
	all.Wait()
	return errors.Join(errs...)
}

// agent is a collector that has its windows from a replayer, not from the kernel.
type agent struct {
	address, queue string
	collector      *collector
}

func (a *agent) start(t *testing.T) {
	t.Helper()
	t.Setenv("HOTSPOT_STORAGE", a.queue)
	a.collector = run(t, binary(t), "../configs/otlp-grpc.yaml", fmt.Sprintf(`yaml:{
receivers: {otlp: {protocols: {grpc: {endpoint: %q}}}},
exporters: {otlp_grpc: {retry_on_failure: {initial_interval: 100ms, max_interval: 1s}}},
service: {telemetry: {metrics: {level: none}, logs: {level: error}}, pipelines: {
  metrics: {receivers: [otlp], processors: [memory_limiter]},
  logs: {receivers: [otlp], processors: [memory_limiter]}}}}`, a.address))
}

// startGateway runs the gateway of hosts at OTLP_ENDPOINT, with further
// configurations, and returns when it is ready.
func startGateway(t *testing.T, further ...string) *collector {
	t.Helper()
	return awaitGateway(t, "../configs/gateway.yaml", further...)
}

// startKubernetesGateway runs that of a cluster, without the cluster.
func startKubernetesGateway(t *testing.T) *collector {
	t.Helper()
	return awaitGateway(t, "../configs/kubernetes-gateway.yaml",
		`yaml:{processors: {k8s_attributes: null}, service: {pipelines: {metrics: {processors: [memory_limiter]}, logs: {processors: [memory_limiter]}}}}`)
}

func awaitGateway(t *testing.T, config string, further ...string) *collector {
	t.Helper()
	t.Setenv("GATEWAY_GRPC", os.Getenv("OTLP_ENDPOINT"))
	t.Setenv("GATEWAY_HTTP", freeAddress(t))
	t.Setenv("GATEWAY_HEALTH", freeAddress(t))
	g := run(t, binary(t), append([]string{config, "yaml:service::telemetry::metrics::level: none"}, further...)...)
	g.await(t, "the gateway", func() bool { return strings.Contains(g.output.String(), "Everything is ready") })
	return g
}
