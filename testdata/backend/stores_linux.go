package backend

import (
	"fmt"
	"os"
	"path/filepath"
)

// VictoriaMetrics is a store of metrics whose data is in dir. It names them as
// Prometheus does.
func VictoriaMetrics(program, address, dir string, flags ...string) *Server {
	return newServer(program, address, "/health", dir, append([]string{
		"-storageDataPath=" + filepath.Join(dir, "victoria-metrics"),
		"-httpListenAddr=" + address,
		"-retentionPeriod=1d",
		"-loggerLevel=WARN",
		"-memory.allowedBytes=256MB",
		// Queries leave out what came later than this, 30 s without it.
		"-search.latencyOffset=1s",
		// An answer kept from before lacks what a busy host delivered later.
		"-search.disableCache",
		"-opentelemetry.usePrometheusNaming",
	}, flags...)...)
}

// VictoriaLogs is a store of log records whose data is in dir.
func VictoriaLogs(program, address, dir string, flags ...string) *Server {
	return newServer(program, address, "/health", dir, append([]string{
		"-storageDataPath=" + filepath.Join(dir, "victoria-logs"),
		"-httpListenAddr=" + address,
		"-retentionPeriod=1d",
		"-loggerLevel=WARN",
		"-memory.allowedBytes=128MB",
	}, flags...)...)
}

// Prometheus is a store that scrapes a target, host and port, every second. Its
// data and its configuration are in dir.
func Prometheus(program, address, dir, target string) (*Server, error) {
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: hotspot
    static_configs: [{targets: [%q]}]
`, target), 0o600); err != nil {
		return nil, err
	}
	return newServer(program, address, "/-/ready", dir,
		"--config.file="+config,
		"--storage.tsdb.path="+filepath.Join(dir, "prometheus"),
		"--web.listen-address="+address,
		"--log.level=warn",
	), nil
}
