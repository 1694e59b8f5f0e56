package hotspottopexporter

import (
	"context"
	"os"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/exporter"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/metadata"
)

// NewFactory returns the factory of the hotspottop exporter.
func NewFactory() exporter.Factory { return newFactory(os.Stdout) }

func newFactory(out *os.File) exporter.Factory {
	shared := newInstances(out)
	return exporter.NewFactory(
		metadata.Type,
		createDefaultConfig,
		exporter.WithMetrics(func(_ context.Context, set exporter.Settings, cfg component.Config) (exporter.Metrics, error) {
			return shared.get(cfg.(*Config), set), nil
		}, metadata.MetricsStability),
		exporter.WithLogs(func(_ context.Context, set exporter.Settings, cfg component.Config) (exporter.Logs, error) {
			return shared.get(cfg.(*Config), set), nil
		}, metadata.LogsStability),
	)
}
