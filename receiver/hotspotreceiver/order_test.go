package hotspotreceiver

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// Whoever reads the logs, or compares two runs, can go by their order.
func TestTheSameWindowsGiveTheSameRecordsInTheSameOrder(t *testing.T) {
	write := func() []string {
		config := createDefaultConfig().(*Config)
		engine, writer := diagnosis.New(config.Diagnosis), newLogsWriter(config, newCollector(t).settings)
		var all []string
		for n := range 4 {
			s := fixedSnapshot(n + 1)
			if n == 0 {
				s.Pairs = fixedPairsOfTheStarved()
				s.Windows = []sampler.Window{fixedStarved(), fixedNoisy()}
				for pid := uint32(2000); pid < 2020; pid++ {
					w := fixedBusy()
					w.Process = fixedProcess(pid, "worker")
					s.Windows = append(s.Windows, w)
				}
				setLength(s.Length, s.Windows)
				s.Kills = []sampler.Kill{{Process: fixedNoisy().Process}, {Process: fixedProcess(2005, "worker")}}
			}
			// Then all are gone at once.
			logs := writer.write(fakeIdentifier{}, s, engine.Observe(s))
			for _, r := range records(logs) {
				r.SetObservedTimestamp(r.Timestamp()) // no two have the same
			}
			text, err := new(plog.JSONMarshaler).MarshalLogs(logs)
			require.NoError(t, err)
			all = append(all, string(text))
		}
		return all
	}
	want := write()
	require.Contains(t, want[0], "worker (2019)")
	require.Contains(t, want[2], "worker (2019) has exited")
	for range 20 {
		require.Equal(t, want, write())
	}
}
