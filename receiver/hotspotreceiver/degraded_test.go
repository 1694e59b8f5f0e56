package hotspotreceiver

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/consumer/consumertest"

	"github.com/hotspot-otel/hotspot/bpf"
)

// Where only the census works, all that it gives is there; what is off is said
// once for both pipelines, and told to both as long as it is so.
func TestWithTheCensusAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, c, config := newWorld(), newCollector(t), everySecond()
		no := errors.New("no such tracepoint")
		w.programs = map[bpf.Program]error{
			bpf.CensusProgram: nil, bpf.ContentionProgram: no, bpf.MigrationProgram: no, bpf.ExitsProgram: no, bpf.OOMProgram: no,
		}
		f := newFactory(w.open)
		var metricsTo consumertest.MetricsSink
		var logsTo consumertest.LogsSink
		metrics, logs := c.metrics(t, f, config, &metricsTo), c.logs(t, f, config, &logsTo)
		first, second := &statusHost{}, &statusHost{}
		start(t, metrics, first)
		start(t, logs, second)
		pass(3)
		w.failReads(errors.New("no"))
		pass(2)
		w.failReads(nil)
		pass(3)
		require.Len(t, metricsTo.AllMetrics(), 6)
		require.Equal(t, 1, logsTo.LogRecordCount())
		require.Len(t, c.errors(), 1, "the passes that failed")
		require.Len(t, c.warnings(), 3, "contention, exits, oom")

		for _, host := range []*statusHost{first, second} {
			recoverable := componentstatus.StatusRecoverableError
			require.Equal(t, []componentstatus.Status{recoverable, recoverable, recoverable}, host.statuses(),
				"a part is missing, no pass succeeds, they do again and the part is still missing")
			require.ErrorIs(t, host.events[0].Err(), no)
			require.ErrorIs(t, host.events[2].Err(), no)
		}
		require.NoError(t, metrics.Shutdown(t.Context()))
		require.NoError(t, logs.Shutdown(t.Context()))
	})
}
