package hotspotreceiver

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/component"
	"go.opentelemetry.io/collector/component/componentstatus"
	"go.opentelemetry.io/collector/component/componenttest"
	"go.opentelemetry.io/collector/consumer"
	"go.opentelemetry.io/collector/receiver"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/filter"
	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/memory"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadatatest"
)

// world is a host of two processes, one of which runs all the time: the kernel,
// /proc and what opens them.
type world struct {
	born time.Time // 100 s after the boot

	// The optional programs; nil as by default.
	exits      sampler.Exits
	contention sampler.Contention
	oom        sampler.OOM
	programs   map[bpf.Program]error

	mu             sync.Mutex
	opened, closed int
	openErr        error // what the next openings give
	readErr        error // what the next passes give
	passes         int
	readClosed     bool
}

// The processes of the world.
const (
	busyPid = 812
	idlePid = 900
)

func newWorld() *world { return &world{born: time.Now()} }

// open is an opener.
func (w *world) open(config *Config) (*eyes, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.openErr != nil {
		return nil, w.openErr
	}
	chosen, err := filter.New(config.Include, config.Exclude, fakeIdentifier{})
	if err != nil {
		return nil, err
	}
	w.opened++
	from := sampler.Sources{Census: w, Exits: w.exits, Contention: w.contention, OOM: w.oom, Host: w}
	return &eyes{from: from, programs: w.programs, whose: fakeIdentifier{}, chosen: chosen, memory: noLimits{}, close: func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.closed++
		return nil
	}}, nil
}

// failReads lets every pass from now on fail; nil ends it.
func (w *world) failReads(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readErr = err
}

// taken returns how many passes were taken.
func (w *world) taken() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.passes
}

// readWhenClosed tells whether a pass was taken when nothing was open.
func (w *world) readWhenClosed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.readClosed
}

// Read is a pass of the census.
func (w *world) Read(visit func(*bpf.Thread, *bpf.Activity, *bpf.Process)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.passes++
	w.readClosed = w.readClosed || w.opened == w.closed
	if w.readErr != nil {
		return w.readErr
	}
	age := uint64(time.Since(w.born))
	visit(thread(busyPid), ran(age), process("postgres", 1000))
	idle := ran(1e6)
	if w.contention != nil { // which charges it a second a pass
		idle.RunDelay = uint64(w.passes) * uint64(time.Second)
	}
	visit(thread(idlePid), idle, process("sshd", 100))
	return nil
}

func (w *world) Whole() {}

func thread(pid uint32) *bpf.Thread {
	start := uint64(90 * time.Second)
	return &bpf.Thread{Tid: pid, Pid: pid, Start: start, ProcessStart: start}
}

func ran(cpu uint64) *bpf.Activity { return &bpf.Activity{Cpu: cpu, User: cpu} }

func process(name string, pages uint64) *bpf.Process {
	p := &bpf.Process{Parent: 1, AnonPages: pages, Threads: 1, ExecId: 1}
	copy(p.Comm[:], name)
	return p
}

func (w *world) Now() (time.Time, time.Duration) {
	return time.Now(), 100*time.Second + time.Since(w.born)
}

func (w *world) CPUs() int { return 4 }

func (w *world) AvailableMemory() uint64 { return 8 << 30 }

func (w *world) MemoryStall() time.Duration { return 0 }

func (w *world) IOStall() time.Duration { return 0 }

// fakeIdentifier knows the busy process only.
type fakeIdentifier struct{}

func (fakeIdentifier) Of(p sampler.Process) identity.Identity {
	if p.Pid != busyPid {
		return identity.Identity{Cgroup: "/"}
	}
	return identity.Identity{
		Cgroup:      "/kubepods.slice/kubepods-pod2f6c.slice",
		ContainerID: "4c01db0b339c2a6d0f0a3b1cf2f0e1d2c3b4a5968778695a4b3c2d1e0f102132",
		PodUID:      "2f6c9a1e-0b7d-4a55-9d3c-5a1c2b3d4e5f",
	}
}

func (f fakeIdentifier) Describe(p sampler.Process) identity.Identity {
	id := f.Of(p)
	id.ExecutablePath, id.CommandLine, id.Owner = "/usr/bin/"+p.Name, f.CommandLine(p), f.Owner(p)
	return id
}

func (fakeIdentifier) CommandLine(p sampler.Process) string { return p.Name + " -D /data" }

func (fakeIdentifier) Owner(sampler.Process) string { return "postgres" }

func (fakeIdentifier) Failures(func(identity.Failure, int, error)) {}

func (fakeIdentifier) EndPass() {}

// noLimits is a host without control groups.
type noLimits struct{}

func (noLimits) Fill(*sampler.Snapshot, memory.Identifier) {}

// statusHost is one pipeline's host; it keeps what it is told.
type statusHost struct {
	mu     sync.Mutex
	events []*componentstatus.Event
}

func (h *statusHost) GetExtensions() map[component.ID]component.Component { return nil }

func (h *statusHost) Report(e *componentstatus.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, e)
}

// statuses returns what was reported, in order.
func (h *statusHost) statuses() []componentstatus.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := make([]componentstatus.Status, 0, len(h.events))
	for _, e := range h.events {
		all = append(all, e.Status())
	}
	return all
}

// collector is what the collector gives a receiver.
type collector struct {
	settings  receiver.Settings
	telemetry *componenttest.Telemetry
	log       *observer.ObservedLogs
}

func newCollector(t testing.TB) *collector {
	telemetry := componenttest.NewTelemetry()
	t.Cleanup(func() { require.NoError(t, telemetry.Shutdown(context.Background())) })
	core, log := observer.New(zapcore.InfoLevel)
	c := &collector{settings: metadatatest.NewSettings(telemetry), telemetry: telemetry, log: log}
	c.settings.Logger = zap.New(core)
	return c
}

// errors returns the messages logged as errors, each with its error.
func (c *collector) errors() []string {
	all := []string{}
	for _, line := range c.log.FilterLevelExact(zapcore.ErrorLevel).All() {
		all = append(all, line.Message+": "+line.ContextMap()["error"].(string))
	}
	return all
}

// warnings returns the lines logged as warnings.
func (c *collector) warnings() []observer.LoggedEntry {
	return c.log.FilterLevelExact(zapcore.WarnLevel).All()
}

func (c *collector) metrics(t *testing.T, f receiver.Factory, config *Config, next consumer.Metrics) receiver.Metrics {
	t.Helper()
	r, err := f.CreateMetrics(context.Background(), c.settings, config, next)
	require.NoError(t, err)
	return r
}

func (c *collector) logs(t *testing.T, f receiver.Factory, config *Config, next consumer.Logs) receiver.Logs {
	t.Helper()
	r, err := f.CreateLogs(context.Background(), c.settings, config, next)
	require.NoError(t, err)
	return r
}

// everySecond is a configuration with windows of a second from the start.
func everySecond() *Config {
	config := createDefaultConfig().(*Config)
	config.CollectionInterval = time.Second
	config.InitialDelay = 0
	return config
}
