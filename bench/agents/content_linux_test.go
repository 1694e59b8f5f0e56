package agents

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// content is what one collection brings.
type content struct {
	Host      string `json:"host"`
	Agent     string `json:"agent"`
	Processes int    `json:"processes"` // with a resource of their own
	Points    int    `json:"data_points"`
	Bytes     int    `json:"otlp_bytes"`
}

// measureContent returns what the agents bring, with their defaults and with equal
// content, and how long a collection of theirs takes at most.
func measureContent(t testing.TB, path string, host population) (all []content, busy time.Duration) {
	t.Helper()
	const often = 500 * time.Millisecond
	type part struct {
		agent agent
		batch int // from which on it is complete: rates come with the second,
	} // and what was in the top stays for a while
	parts := []part{{ours, 5}, {theirsDefault, 2}, {oursEqual, 5}, {theirs, 2}}
	if host.threads > 1 {
		parts = parts[3:] // how long it takes; further threads change no content
	}
	for _, c := range parts {
		file := filepath.Join(t.TempDir(), "metrics")
		r := c.agent.start(t, path, often, file)
		first := r.awaitCount(0)
		began := time.Now()
		r.awaitCount(first)
		busy = max(busy, time.Since(began))
		var batches [][]byte
		require.Eventually(t, func() bool {
			batches = messages(t, file)
			return len(batches) >= c.batch
		}, patience, 50*time.Millisecond)
		r.stop()
		one := content{Host: host.String(), Agent: c.agent.name, Bytes: len(batches[c.batch-1])}
		m := metricsOf(t, batches[c.batch-1])
		one.Points = m.DataPointCount()
		for _, rm := range m.ResourceMetrics().All() {
			if _, ok := rm.Resource().Attributes().Get("process.pid"); ok {
				one.Processes++
			}
		}
		all = append(all, one)
	}
	return all, busy
}

// messages returns the OTLP messages the file exporter has written whole, each
// after its length.
func messages(t testing.TB, file string) (all [][]byte) {
	t.Helper()
	const prefix = 4
	rest, err := os.ReadFile(file)
	require.NoError(t, err)
	for len(rest) >= prefix {
		length := int(binary.BigEndian.Uint32(rest))
		if len(rest) < prefix+length {
			break
		}
		all = append(all, rest[prefix:prefix+length])
		rest = rest[prefix+length:]
	}
	return all
}

func metricsOf(t testing.TB, message []byte) pmetric.Metrics {
	t.Helper()
	m, err := (&pmetric.ProtoUnmarshaler{}).UnmarshalMetrics(message)
	require.NoError(t, err)
	return m
}
