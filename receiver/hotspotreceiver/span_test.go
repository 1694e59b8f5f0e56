package hotspotreceiver

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// A pass that lost its CPU looked at this process three seconds after others.
func TestUtilizationIsOfTheWindowOfTheProcess(t *testing.T) {
	config := createDefaultConfig().(*Config)
	writer := newMetricsWriter(config, newCollector(t).settings)
	s := fixedSnapshot(1, fixedBusy())
	w := &s.Windows[0]
	w.Length = 8 * time.Second
	w.Used = sampler.Usage{User: w.Length}
	w.MaxThreadCPU = w.Length
	batch, _ := writer.write(fakeIdentifier{}, s, diagnosis.New(config.Diagnosis))
	require.Equal(t, 0.25, number(t, batch, busyPid, "process.cpu.utilization").DoubleValue(), "one of four CPUs")
	require.Equal(t, 1.0, number(t, batch, busyPid, "hotspot.process.thread.max_utilization").DoubleValue())
}
