package hotspottopexporter

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/exporter"
	"go.opentelemetry.io/collector/pdata/plog"
	"go.opentelemetry.io/collector/pdata/pmetric"
	"go.uber.org/zap"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/frame"
)

// instances holds the one instance behind the metrics and the logs pipelines of
// a configuration: they are drawn as one. The collector makes a new *Config each
// time it loads its configuration.
type instances struct {
	out     *os.File
	mu      sync.Mutex
	of      map[*Config]*instance
	drawing *instance // has the output, of which there is one
}

func newInstances(out *os.File) *instances {
	return &instances{out: out, of: make(map[*Config]*instance)}
}

func (s *instances) get(config *Config, set exporter.Settings) *instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := s.of[config]
	if i == nil {
		i = &instance{
			shared: s, config: config, log: set.Logger,
			reader: frame.New(config.ForgetAfter), changed: make(chan struct{}, 1),
		}
		s.of[config] = i
	}
	return i
}

func (s *instances) claim(i *instance) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drawing != nil {
		return errors.New("there is one standard output, and another hotspottop exporter has it")
	}
	s.drawing = i
	return nil
}

func (s *instances) remove(i *instance) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.of, i.config)
	if s.drawing == i {
		s.drawing = nil
	}
}

// instance is started by the first of its pipelines and stopped by the first
// that shuts down: by then no receiver sends any more.
type instance struct {
	shared *instances
	config *Config
	log    *zap.Logger

	reading sync.Mutex
	reader  *frame.Reader
	changed chan struct{} // something came that is not drawn yet

	mu       sync.Mutex
	started  bool
	startErr error
	stop     context.CancelFunc
	done     chan struct{}
}

// Capabilities says that batches are only read.
func (i *instance) Capabilities() consumer.Capabilities { return consumer.Capabilities{} }

// ConsumeMetrics takes a batch. It never fails.
func (i *instance) ConsumeMetrics(_ context.Context, batch pmetric.Metrics) error {
	i.reading.Lock()
	defer i.reading.Unlock()
	i.reader.Metrics(batch, time.Now())
	i.change()
	return nil
}

// ConsumeLogs takes a batch. It never fails.
func (i *instance) ConsumeLogs(_ context.Context, batch plog.Logs) error {
	i.reading.Lock()
	defer i.reading.Unlock()
	i.reader.Logs(batch, time.Now())
	i.change()
	return nil
}

func (i *instance) change() {
	select {
	case i.changed <- struct{}{}:
	default:
	}
}

// Start takes the terminal, or whatever the standard output is.
func (i *instance) Start(_ context.Context, host component.Host) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.started {
		return i.startErr
	}
	i.started = true
	if i.startErr = i.shared.claim(i); i.startErr != nil {
		return i.startErr
	}
	run, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	i.stop, i.done = stop, done
	d := i.display(host)
	go func() {
		defer close(done)
		i.run(run, d)
	}()
	return nil
}

// Shutdown gives the terminal back as it was.
func (i *instance) Shutdown(ctx context.Context) error {
	defer i.shared.remove(i)
	i.mu.Lock()
	stop, done := i.stop, i.done
	i.stop = nil
	i.mu.Unlock()
	if stop == nil {
		return nil
	}
	stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
