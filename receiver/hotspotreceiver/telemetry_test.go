package hotspotreceiver

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// ofProcess returns the metrics of a process; false if there are none.
func ofProcess(batch pmetric.Metrics, pid int64) (pmetric.ResourceMetrics, bool) {
	for _, rm := range batch.ResourceMetrics().All() {
		if v, ok := rm.Resource().Attributes().Get("process.pid"); ok && v.Int() == pid {
			return rm, true
		}
	}
	return pmetric.ResourceMetrics{}, false
}

// number returns the first data point of a metric of a process.
func number(t *testing.T, batch pmetric.Metrics, pid int64, name string) pmetric.NumberDataPoint {
	t.Helper()
	rm, ok := ofProcess(batch, pid)
	require.True(t, ok, "no metrics of process %d", pid)
	for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
		switch {
		case m.Name() != name:
		case m.Type() == pmetric.MetricTypeSum:
			return m.Sum().DataPoints().At(0)
		case m.Type() == pmetric.MetricTypeGauge:
			return m.Gauge().DataPoints().At(0)
		}
	}
	require.Fail(t, "no metric "+name)
	return pmetric.NumberDataPoint{}
}
