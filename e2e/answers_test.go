package e2e

import (
	"fmt"
	"regexp"
	"testing"
	"time"

	"github.com/hotspot-otel/hotspot/testdata/backend"
)

func startStores(t *testing.T) backends {
	t.Helper()
	return backends{
		metrics: backend.StartVictoriaMetrics(t, "-vmui.customDashboardsPath=../deploy/victoriametrics"),
		logs:    backend.StartVictoriaLogs(t),
	}
}

// exporting is a configuration of the distribution that sends all it has to the
// stores, its own telemetry as well, and metrics to a backend that is not there.
func (s backends) exporting(processes string) string {
	return fmt.Sprintf(`
receivers:
  hotspot:
    collection_interval: 1s
    initial_delay: 0s
    # Whatever else is wrong on this host, the first few of each graph are these.
    include: {match_type: strict, executable_names: [%[3]s]}
    # And of them none is starved but the one that is to be, and a host that has
    # other work to do as well has fewer faults.
    diagnosis:
      starved: {min_wait_ratio: 0.97, min_wait_share: 0.97}
      mem_thrashing: {min_refaults_per_second: 1000}
processors:
  transform:
    metric_statements: ['set(resource.attributes["host.name"], "e2e")']
    log_statements: ['set(resource.attributes["host.name"], "e2e")']
exporters:
  otlp_http/metrics: {metrics_endpoint: "%[1]s/opentelemetry/v1/metrics"}
  otlp_http/logs: {logs_endpoint: "%[2]s/insert/opentelemetry/v1/logs", headers: {VL-Stream-Fields: host.name}}
  otlp_http/down: {endpoint: "http://127.0.0.1:1", retry_on_failure: {enabled: false}}
service:
  telemetry:
    logs: {level: fatal}
    metrics:
      readers:
        - periodic:
            interval: 1000
            exporter: {otlp: {protocol: http/protobuf, endpoint: "%[1]s/opentelemetry/v1/metrics"}}
  pipelines:
    metrics: {receivers: [hotspot], processors: [transform], exporters: [otlp_http/metrics, otlp_http/down]}
    logs: {receivers: [hotspot], processors: [transform], exporters: [otlp_http/logs]}
`, s.metrics.URL, s.logs.URL, processes)
}

// askSince returns what a query had for an answer at any second since then.
func (s backends) askSince(t *testing.T, since time.Time, query string) []backend.Series {
	t.Helper()
	return promQL(t, s.metrics, fmt.Sprintf("(%s)[%ds:1s]", query, int(time.Since(since).Seconds())))
}

var label = regexp.MustCompile(`\{\{(\w+)\}\}`)

// legend names a series as the dashboards do.
func legend(s backend.Series, template string) string {
	return label.ReplaceAllStringFunc(template, func(l string) string { return s.Labels[l[2:len(l)-2]] })
}
