package hotspottopexporter

import (
	"io"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/exporter/exportertest"
	"go.opentelemetry.io/collector/pdata/plog"
)

// output returns a file to draw to, and a function that returns what was drawn.
func output(t *testing.T) (*os.File, func() string) {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "")
	require.NoError(t, err)
	t.Cleanup(func() { _ = file.Close() })
	return file, func() string {
		text, err := os.ReadFile(file.Name())
		require.NoError(t, err)
		return string(text)
	}
}

func TestMetricsAndLogsAreDrawnAsOne(t *testing.T) {
	file, drawn := output(t)
	factory := newFactory(file)
	config := factory.CreateDefaultConfig()
	set := exportertest.NewNopSettings(factory.Type())
	metrics, err := factory.CreateMetrics(t.Context(), set, config)
	require.NoError(t, err)
	logs, err := factory.CreateLogs(t.Context(), set, config)
	require.NoError(t, err)
	require.Same(t, metrics, logs)
	require.False(t, metrics.Capabilities().MutatesData)
	require.NoError(t, metrics.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, logs.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, metrics.ConsumeMetrics(t.Context(), processes(3)))
	require.NoError(t, logs.ConsumeLogs(t.Context(), starved()))
	require.NoError(t, metrics.Shutdown(t.Context()))
	require.NoError(t, logs.Shutdown(t.Context()))

	// Both came within a refresh interval: nothing was drawn in between.
	require.Equal(t, 1, strings.Count(drawn(), "hotspot  "), drawn())
	require.Contains(t, drawn(), "p-2")
	require.Contains(t, drawn(), "p-2 (2) waited")
}

func TestTheOutputHasOneOwner(t *testing.T) {
	file, _ := output(t)
	factory := newFactory(file)
	set := exportertest.NewNopSettings(factory.Type())
	first, err := factory.CreateMetrics(t.Context(), set, factory.CreateDefaultConfig())
	require.NoError(t, err)
	second, err := factory.CreateMetrics(t.Context(), set, factory.CreateDefaultConfig())
	require.NoError(t, err)
	require.NoError(t, first.Start(t.Context(), componenttest.NewNopHost()))
	require.ErrorContains(t, second.Start(t.Context(), componenttest.NewNopHost()), "another hotspottop exporter has it")
	require.NoError(t, second.Shutdown(t.Context()))
	require.NoError(t, first.Shutdown(t.Context()))

	third, err := factory.CreateMetrics(t.Context(), set, factory.CreateDefaultConfig())
	require.NoError(t, err)
	require.NoError(t, third.Start(t.Context(), componenttest.NewNopHost()), "it is free again")
	require.NoError(t, third.Shutdown(t.Context()))
}

func TestAnOutputThatCannotBeWrittenHurtsNobody(t *testing.T) {
	r, w, err := os.Pipe()
	require.NoError(t, err)
	require.NoError(t, r.Close())
	t.Cleanup(func() { _ = w.Close() })
	factory := newFactory(w)
	c, err := factory.CreateMetrics(t.Context(), exportertest.NewNopSettings(factory.Type()), factory.CreateDefaultConfig())
	require.NoError(t, err)
	require.NoError(t, c.Start(t.Context(), componenttest.NewNopHost()))
	require.NoError(t, c.ConsumeMetrics(t.Context(), processes(1)))
	require.NoError(t, c.Shutdown(t.Context()))
	_, err = io.WriteString(w, "x")
	require.Error(t, err)
}

// starved returns a record of one process.
func starved() plog.Logs {
	logs := plog.NewLogs()
	rl := logs.ResourceLogs().AppendEmpty()
	identify(rl.Resource(), 2)
	r := rl.ScopeLogs().AppendEmpty().LogRecords().AppendEmpty()
	r.SetSeverityNumber(plog.SeverityNumberWarn)
	r.Body().SetStr("p-2 (2) waited 1.9 s of the last 2.0 s for a CPU")
	r.Attributes().PutStr("hotspot.diagnosis", "starved")
	r.Attributes().PutStr("hotspot.diagnosis.state", "started")
	return logs
}
