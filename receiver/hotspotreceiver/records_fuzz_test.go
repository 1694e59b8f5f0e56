package hotspotreceiver

import (
	"math"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"
	"unsafe"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// hostile is a kernel whose records are what a fuzzer makes up. There are few ids,
// so that they meet.
type hostile struct {
	*world
	rest []byte
	now  time.Duration
}

const hostileIDs = 5

func (h *hostile) more() bool { return len(h.rest) > 0 }

// fill fills a record with what comes next, and with 0 when that is used up.
func fill[T any](h *hostile) (record T) {
	b := unsafe.Slice((*byte)(unsafe.Pointer(&record)), unsafe.Sizeof(record))
	h.rest = h.rest[copy(b, h.rest):]
	return record
}

// records tells how many come: at most three.
func (h *hostile) records() int { return int(fill[uint8](h) % 4) }

// Read is a pass of the census.
func (h *hostile) Read(visit func(*bpf.Thread, *bpf.Activity, *bpf.Process)) error {
	for range h.records() {
		thread, activity, process := fill[bpf.Thread](h), fill[bpf.Activity](h), fill[bpf.Process](h)
		thread.Pid %= hostileIDs
		thread.Tid %= hostileIDs
		process.Parent %= hostileIDs
		a, p := &activity, &process
		if thread.HasActivity%2 == 0 {
			a = nil
		}
		if thread.HasProcess%2 == 0 {
			p = nil
		}
		visit(&thread, a, p)
	}
	return nil
}

func (h *hostile) Now() (time.Time, time.Duration) {
	return h.born.Add(h.now), h.now
}

type hostileExits struct{ *hostile }

func (h hostileExits) Read(visit func(*bpf.Exit)) error {
	for range h.records() {
		e := fill[bpf.Exit](h.hostile)
		e.Pid %= hostileIDs
		visit(&e)
	}
	return nil
}

func (h hostileExits) Dead(visit func(bpf.Group, bpf.Dead)) error {
	for range h.records() {
		g := fill[bpf.Group](h.hostile)
		g.Pid %= hostileIDs
		visit(g, fill[bpf.Dead](h.hostile))
	}
	return nil
}

func (h hostileExits) Forget(bpf.Group) {}

func (h hostileExits) Lost() (bpf.ExitLoss, error) { return fill[bpf.ExitLoss](h.hostile), nil }

type hostileContention struct{ *hostile }

func (h hostileContention) Read(pair func(bpf.Pair, uint64), victim func(uint32, bpf.Victim)) error {
	for range h.records() {
		p := fill[bpf.Pair](h.hostile)
		p.Victim %= hostileIDs
		p.Aggressor %= hostileIDs
		pair(p, fill[uint64](h.hostile))
		victim(p.Victim, fill[bpf.Victim](h.hostile))
	}
	return nil
}

func (h hostileContention) InProgress(_ *bpf.Waiting, charge func(uint32, uint64)) error {
	charge(fill[uint32](h.hostile)%hostileIDs, fill[uint64](h.hostile))
	return nil
}

func (h hostileContention) Forget(bpf.Pair) (uint64, bool) {
	return fill[uint64](h.hostile), h.more()
}
func (h hostileContention) ForgetVictim(uint32) {}
func (h hostileContention) Lost() (bpf.ContentionLoss, error) {
	return fill[bpf.ContentionLoss](h.hostile), nil
}

type hostileOOM struct{ *hostile }

func (h hostileOOM) Read(visit func(*bpf.OOMKill)) error {
	for range h.records() {
		k := fill[bpf.OOMKill](h.hostile)
		k.Pid %= hostileIDs
		visit(&k)
	}
	return nil
}

func (h hostileOOM) Lost() (uint64, error) { return fill[uint64](h.hostile), nil }

// FuzzRecords: whatever the kernel says, what leaves can be sent to a backend and
// shown on a terminal.
func FuzzRecords(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(strings.Repeat("\x01", 1<<12)))
	f.Add([]byte(strings.Repeat("\xff", 1<<12)))
	f.Add([]byte(strings.Repeat("\x1b[2J\r\n\xc3(\x01\x80\xff\x7f\x00\x03\x01", 1<<9)))
	f.Add(hostileNames(3))
	f.Fuzz(func(t *testing.T, data []byte) {
		h := &hostile{world: newWorld(), rest: data, now: 100 * time.Second}
		samples := sampler.New(sampler.Sources{
			Census: h, Exits: hostileExits{h}, Contention: hostileContention{h}, OOM: hostileOOM{h}, Host: h,
		}, 4)
		config := everySecond()
		config.Cgroups.Enabled = true
		engine := diagnosis.New(config.Diagnosis)
		metrics := newMetricsWriter(config, newCollector(t).settings)
		logs := newLogsWriter(config, newCollector(t).settings)
		for pass := 0; pass < 3 || h.more(); pass++ {
			s, err := samples.Sample()
			require.NoError(t, err)
			h.now += time.Second
			events := engine.Observe(s)
			requireSound(t, metrics, logs, s, engine, events)
		}
	})
}

// hostileNames is what a kernel says of processes with such names as a person
// would choose to do harm.
func hostileNames(passes int) (b []byte) {
	names := []string{"\x1b[31m\x1b]0;x\x07", "a\nb} 1\r\n# HELP", "\xff\xfe\xc3(89abcdefghi"}
	for range passes {
		b = append(b, 0, 0) // no exit, and no thread
		b = append(b, 3)
		for id, name := range names {
			process := process(name, uint64(len(b)))
			b = append(b, bytesOf(&bpf.Thread{Pid: uint32(id + 1), Tid: uint32(id + 1), HasActivity: 1, HasProcess: 1})...)
			b = append(b, bytesOf(ran(uint64(len(b))*1e9))...)
			b = append(b, bytesOf(process)...)
		}
		b = append(b, 0, 0)
		b = append(b, make([]byte, unsafe.Sizeof(bpf.ExitLoss{})+unsafe.Sizeof(bpf.ContentionLoss{})+8)...)
	}
	return b
}

func bytesOf[T any](record *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(record)), unsafe.Sizeof(*record))
}

// requireSound fails the test if anything leaves that is no text, or no number.
func requireSound(t *testing.T, metrics *metricsWriter, logs *logsWriter, s *sampler.Snapshot, engine *diagnosis.Engine, events []diagnosis.Event) {
	t.Helper()
	records := logs.write(fakeIdentifier{}, s, events)
	for _, rl := range records.ResourceLogs().All() {
		requireSoundMap(t, rl.Resource().Attributes())
		for _, r := range rl.ScopeLogs().At(0).LogRecords().All() {
			requireText(t, r.Body().Str())
			requireSoundMap(t, r.Attributes())
		}
	}
	if s.Length <= 0 {
		return
	}
	batch, _ := metrics.write(fakeIdentifier{}, s, engine)
	for _, rm := range batch.ResourceMetrics().All() {
		requireSoundMap(t, rm.Resource().Attributes())
		for _, m := range rm.ScopeMetrics().At(0).Metrics().All() {
			points := pmetric.NewNumberDataPointSlice()
			switch m.Type() {
			case pmetric.MetricTypeSum:
				points = m.Sum().DataPoints()
			case pmetric.MetricTypeGauge:
				points = m.Gauge().DataPoints()
			}
			require.Positive(t, points.Len(), m.Name())
			for _, p := range points.All() {
				requireSoundMap(t, p.Attributes())
				require.False(t, math.IsNaN(p.DoubleValue()) || math.IsInf(p.DoubleValue(), 0), m.Name())
			}
		}
	}
}

func requireSoundMap(t *testing.T, m pcommon.Map) {
	t.Helper()
	for key, value := range m.All() {
		requireText(t, key)
		switch value.Type() {
		case pcommon.ValueTypeStr:
			requireText(t, value.Str())
		case pcommon.ValueTypeDouble:
			require.False(t, math.IsNaN(value.Double()) || math.IsInf(value.Double(), 0), key)
		case pcommon.ValueTypeSlice:
			for _, one := range value.Slice().All() {
				requireSoundMap(t, one.Map())
			}
		}
	}
}

// requireText fails the test on text that forges a line or moves a cursor.
func requireText(t *testing.T, text string) {
	t.Helper()
	require.True(t, utf8.ValidString(text), "%q", text)
	for _, r := range text {
		require.True(t, unicode.IsPrint(r), "%q", text)
	}
}
