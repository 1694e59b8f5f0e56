package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stores are a VictoriaMetrics and a VictoriaLogs.
type stores struct {
	metricsURL, logsURL string
}

func startStores(t *testing.T) *stores {
	m, l := freeAddress(t), freeAddress(t)
	start := func(path string, args ...string) {
		cmd := exec.Command(path, args...)
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { kill(t, cmd) })
	}
	start(os.Getenv("HOTSPOT_VM"), "-storageDataPath="+t.TempDir(), "-httpListenAddr="+m, "-retentionPeriod=1d", "-memory.allowedBytes=256MB",
		"-search.latencyOffset=1s", "-opentelemetry.usePrometheusNaming", "-vmui.customDashboardsPath=../deploy/victoriametrics")
	start(os.Getenv("HOTSPOT_VL"), "-storageDataPath="+t.TempDir(), "-httpListenAddr="+l, "-retentionPeriod=1d", "-memory.allowedBytes=128MB")
	require.Eventually(t, func() bool { return healthy(m+"/health") && healthy(l+"/health") }, patience, pace)
	return &stores{"http://" + m, "http://" + l}
}

// exportsTo is a configuration of the distribution that sends all it has to the
// stores, its own telemetry as well, and to a backend that is not there.
func exportsTo(s *stores) string {
	return fmt.Sprintf(`
receivers:
  hotspot:
    collection_interval: 1s
    initial_delay: 0s
    # Whatever else is wrong on this host, the first few of each graph are these.
    include: {match_type: strict, executable_names: [noisy, victim, leak, throttled, loop, storm, thrash]}
processors:
  transform:
    metric_statements: [{context: resource, statements: ['set(attributes["host.name"], "e2e")']}]
    log_statements: [{context: resource, statements: ['set(attributes["host.name"], "e2e")']}]
exporters:
  otlp_http/metrics: {metrics_endpoint: "%[1]s/opentelemetry/v1/metrics"}
  otlp_http/logs: {logs_endpoint: "%[2]s/insert/opentelemetry/v1/logs", headers: {VL-Stream-Fields: "host.name"}}
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
`, s.metricsURL, s.logsURL)
}

// series is one that a query has returned.
type series struct {
	Labels map[string]string `json:"metric"`
	// Values are pairs of seconds and a number as text.
	Values [][2]any `json:"values"`
}

// legend names the series as the dashboards do.
func (s series) legend(template string) string {
	return regexp.MustCompile(`\{\{(\w+)\}\}`).ReplaceAllStringFunc(template, func(label string) string {
		return s.Labels[label[2:len(label)-2]]
	})
}

// series returns what a query had for an answer at any second since then.
func (s *stores) series(t *testing.T, query string, since time.Time) []series {
	t.Helper()
	return s.results(t, "/api/v1/query_range", url.Values{
		"query": {query}, "step": {"1s"}, "nocache": {"1"},
		"start": {strconv.FormatInt(since.Unix(), 10)}, "end": {strconv.FormatInt(time.Now().Unix(), 10)},
	})
}

// instant returns what a query has for an answer at one time.
func (s *stores) instant(t *testing.T, query string, at time.Time) []series {
	t.Helper()
	return s.results(t, "/api/v1/query", url.Values{"query": {query}, "time": {strconv.FormatInt(at.Unix(), 10)}, "nocache": {"1"}})
}

func (s *stores) results(t *testing.T, path string, form url.Values) []series {
	t.Helper()
	var answer struct {
		Data struct{ Result []series }
	}
	require.NoError(t, json.Unmarshal(post(t, s.metricsURL+path, form), &answer), form)
	return answer.Data.Result
}

// labelValues returns those of the series a selector selects.
func (s *stores) labelValues(t *testing.T, label, selector string) []string {
	t.Helper()
	var answer struct{ Data []string }
	require.NoError(t, json.Unmarshal(post(t, s.metricsURL+"/api/v1/label/"+label+"/values", url.Values{"match[]": {selector}}), &answer))
	return answer.Data
}

// logs returns the records a query selects.
func (s *stores) logs(t *testing.T, query string) []map[string]string {
	t.Helper()
	var all []map[string]string
	lines := json.NewDecoder(bytes.NewReader(post(t, s.logsURL+"/select/logsql/query", url.Values{"query": {query}})))
	for {
		var one map[string]string
		err := lines.Decode(&one)
		if err == io.EOF {
			return all
		}
		require.NoError(t, err)
		all = append(all, one)
	}
}

func post(t *testing.T, address string, form url.Values) []byte {
	t.Helper()
	response, err := http.PostForm(address, form)
	require.NoError(t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, response.StatusCode, "%s %v: %s", address, form, body)
	return body
}
