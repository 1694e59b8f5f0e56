package hotspotreceiver

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"
)

// instances holds the one instance behind the metrics and the logs pipeline of
// a configuration: the kernel is read once for both. The collector makes a new
// *Config each time it loads its configuration.
type instances struct {
	open opener
	mu   sync.Mutex
	of   map[*Config]*instance
}

func newInstances(open opener) *instances {
	return &instances{open: open, of: make(map[*Config]*instance)}
}

func (s *instances) get(config *Config, set receiver.Settings) (*instance, error) {
	if err := checkPlatform(runtime.GOOS); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := s.of[config]; i != nil {
		return i, nil
	}
	w, err := newWatch(config, set)
	if err != nil {
		return nil, err
	}
	i := &instance{watch: w, open: s.open, config: config, log: set.Logger}
	i.remove = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.of, config)
	}
	w.report = i.report
	s.of[config] = i
	return i, nil
}

// instance is started by the first of its pipelines and stopped by the first
// that shuts down; its status is that of all of them.
type instance struct {
	watch  *watch
	open   opener
	config *Config
	log    *zap.Logger
	remove func()

	mu       sync.Mutex
	hosts    []component.Host
	status   *componentstatus.Event // the last reported, nil before
	started  bool
	startErr error
	stop     context.CancelFunc // no further window
	giveUp   context.CancelFunc // nor the batch on its way
	done     chan struct{}      // closed when the loop has ended
	close    func() error
}

// Start begins to watch the host. Under error_mode: ignore it never fails.
func (i *instance) Start(_ context.Context, host component.Host) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hosts = append(i.hosts, host)
	if i.started {
		if i.status != nil {
			componentstatus.ReportStatus(host, i.status)
		}
		return i.startErr
	}
	i.started = true
	err := i.run()
	switch {
	case err == nil:
		return nil
	case i.config.ErrorMode == IgnoreErrors:
		// A status alone nobody sees.
		i.log.Error("The hotspot receiver does nothing: the host cannot be watched", zap.Error(err))
		i.reportLocked(componentstatus.NewPermanentErrorEvent(err))
		return nil
	default:
		i.startErr = err
		return err
	}
}

func (i *instance) run() error {
	eyes, err := i.open(i.config)
	if err != nil {
		return err
	}
	for _, d := range eyes.deficits() {
		i.log.Warn("Part of what the hotspot receiver watches is off", zap.String("off", d.off), zap.Error(d.because))
	}
	if status := eyes.status(); status.Err() != nil {
		i.reportLocked(status)
	}
	run, stop := context.WithCancel(context.Background())
	send, giveUp := context.WithCancel(context.Background())
	done := make(chan struct{})
	i.stop, i.giveUp, i.done, i.close = stop, giveUp, done, eyes.close
	go func() {
		defer close(done)
		i.watch.run(run, send, eyes)
	}()
	return nil
}

// How long a batch on its way may take at shutdown.
const lastSend = 5 * time.Second

// Shutdown ends the watch and unloads the BPF programs. A batch on its way is
// given lastSend, or as long as ctx allows if that is less.
func (i *instance) Shutdown(ctx context.Context) error {
	i.remove()
	i.mu.Lock()
	stop, giveUp, done, unload := i.stop, i.giveUp, i.done, i.close
	i.stop, i.giveUp, i.done, i.close = nil, nil, nil, nil
	i.mu.Unlock()
	if stop == nil {
		return nil
	}
	stop()
	timer := time.AfterFunc(lastSend, giveUp)
	defer timer.Stop()
	defer giveUp()
	select {
	case <-done:
		return unload()
	case <-ctx.Done():
		return errors.Join(ctx.Err(), unload())
	}
}

// report tells every pipeline's host of a change of status.
func (i *instance) report(event *componentstatus.Event) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.reportLocked(event)
}

func (i *instance) reportLocked(event *componentstatus.Event) {
	i.status = event
	for _, host := range i.hosts {
		componentstatus.ReportStatus(host, event)
	}
}
