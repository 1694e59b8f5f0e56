package e2e

import (
	"compress/gzip"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"

	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/plog/plogotlp"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.opentelemetry.io/collector/pdata/pmetric/pmetricotlp"
)

// counter is a backend: it takes OTLP over HTTP, and knows what it has taken.
type counter struct {
	URL   string
	bytes atomic.Int64 // of bodies, compressed

	mu      sync.Mutex
	taken   map[uint64]int // how often, by key; nil if it need not know
	refuses bool
	failed  error
}

func newCounter(t *testing.T) *counter {
	t.Helper()
	c := &counter{taken: map[uint64]int{}}
	server := httptest.NewServer(c)
	t.Cleanup(server.Close)
	c.URL = server.URL
	return c
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refuses {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	if err := c.take(r); err != nil {
		c.failed = errors.Join(c.failed, err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
	w.WriteHeader(http.StatusOK) // an empty answer: all was taken
}

func (c *counter) take(r *http.Request) error {
	c.bytes.Add(r.ContentLength)
	if c.taken == nil {
		_, err := io.Copy(io.Discard, r.Body)
		return err
	}
	body, err := gzip.NewReader(r.Body)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var keys iter.Seq[uint64]
	switch r.URL.Path {
	case "/v1/metrics":
		request := pmetricotlp.NewExportRequest()
		err = request.UnmarshalProto(text)
		keys = metricKeys(request.Metrics())
	case "/v1/logs":
		request := plogotlp.NewExportRequest()
		err = request.UnmarshalProto(text)
		keys = logKeys(request.Logs())
	default:
		err = errors.New(r.URL.Path)
	}
	if err != nil {
		return err
	}
	for key := range keys {
		c.taken[key]++
	}
	return nil
}

func (c *counter) refuse(refuses bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refuses = refuses
}

// missing returns how much of what was sent was not taken. What was is forgotten.
func (c *counter) missing(replayers []*replayer) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range replayers {
		for key := range r.sent {
			if c.taken[key] > 0 {
				delete(r.sent, key)
			}
		}
		n += len(r.sent)
	}
	return n
}

// again returns how much was taken more than once.
func (c *counter) again() (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, times := range c.taken {
		n += times - 1
	}
	return n
}

var seed = maphash.MakeSeed()

// metricKeys returns a key of each point: of all that tells it from others.
func metricKeys(batch pmetric.Metrics) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, rm := range batch.ResourceMetrics().All() {
			resource := fmt.Sprint(rm.Resource().Attributes().AsRaw())
			for m, p := range pointsOf(rm) {
				key := fmt.Sprint(resource, m.Name(), p.Attributes().AsRaw(), p.Timestamp())
				if !yield(maphash.String(seed, key)) {
					return
				}
			}
		}
	}
}

// logKeys returns a key of each record.
func logKeys(batch plog.Logs) iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for _, rl := range batch.ResourceLogs().All() {
			resource := fmt.Sprint(rl.Resource().Attributes().AsRaw())
			for _, record := range rl.ScopeLogs().At(0).LogRecords().All() {
				key := fmt.Sprint(resource, record.EventName(), record.Timestamp())
				if !yield(maphash.String(seed, key)) {
					return
				}
			}
		}
	}
}

// pointsOf returns the points of a resource, each with its metric.
func pointsOf(rm pmetric.ResourceMetrics) iter.Seq2[pmetric.Metric, pmetric.NumberDataPoint] {
	return func(yield func(pmetric.Metric, pmetric.NumberDataPoint) bool) {
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			var points pmetric.NumberDataPointSlice
			if m.Type() == pmetric.MetricTypeSum {
				points = m.Sum().DataPoints()
			} else {
				points = m.Gauge().DataPoints()
			}
			for _, p := range points.All() {
				if !yield(m, p) {
					return
				}
			}
		}
	}
}
