package hotspotreceiver

import (
	"context"
	"fmt"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"

	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

// NewFactory returns the factory of the hotspot receiver.
func NewFactory() receiver.Factory { return newFactory(openHost) }

func newFactory(open opener) receiver.Factory {
	shared := newInstances(open)
	return receiver.NewFactory(
		metadata.Type,
		createDefaultConfig,
		receiver.WithMetrics(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Metrics) (receiver.Metrics, error) {
			i, err := shared.get(cfg.(*Config), set)
			if err != nil {
				return nil, err
			}
			i.watch.metricsTo = next
			return i, nil
		}, metadata.MetricsStability),
		receiver.WithLogs(func(_ context.Context, set receiver.Settings, cfg component.Config, next consumer.Logs) (receiver.Logs, error) {
			i, err := shared.get(cfg.(*Config), set)
			if err != nil {
				return nil, err
			}
			i.watch.logsTo = next
			return i, nil
		}, metadata.LogsStability),
	)
}

// checkPlatform refuses every operating system but Linux, as soon as a pipeline
// names the receiver.
func checkPlatform(os string) error {
	if os != "linux" {
		return fmt.Errorf("the %s receiver works only on Linux, not on %s", metadata.Type, os)
	}
	return nil
}
