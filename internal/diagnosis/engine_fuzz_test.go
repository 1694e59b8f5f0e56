package diagnosis

import (
	"encoding/binary"
	"math"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// numbers are drawn from what the fuzzer makes up; 0 when that is used up.
type numbers []byte

func (n *numbers) uint64() uint64 {
	var b [8]byte
	*n = (*n)[copy(b[:], *n):]
	return binary.LittleEndian.Uint64(b[:])
}

func (n *numbers) duration() time.Duration { return time.Duration(n.uint64()) }

func (n *numbers) float64() float64 { return math.Float64frombits(n.uint64()) }

func (n *numbers) usage() sampler.Usage {
	return sampler.Usage{
		User: n.duration(), System: n.duration(), RunQueue: n.duration(),
		MinorFaults: n.uint64(), MajorFaults: n.uint64(),
		Voluntary: n.uint64(), Involuntary: n.uint64(),
	}
}

func (n *numbers) thread() sampler.Thread {
	return sampler.Thread{CPU: n.duration(), RunQueue: n.duration(), Runs: n.uint64()}
}

func (n *numbers) process() sampler.Process {
	return sampler.Process{ID: sampler.ID{Pid: uint32(n.uint64() % 3)}, Name: "p"}
}

func (n *numbers) window() sampler.Window {
	return sampler.Window{
		Process:        n.process(),
		Used:           n.usage(),
		Threads:        int(n.uint64()),
		Busiest:        n.thread(),
		MaxThreadCPU:   n.duration(),
		RSS:            n.uint64(),
		Growth:         n.float64(),
		GrowthSpan:     n.duration(),
		GrowthReadings: int(n.uint64()),
		Limit:          n.uint64(),
		Headroom:       n.uint64(),
		Throttled:      n.duration(),
		GrowthSteps:    int(n.uint64()),
		Grew:           n.uint64(),
		Refaults:       n.uint64(),
		Waited: sampler.Wait{
			Others: n.duration(), Self: n.duration(), Idle: n.duration(), Unattributed: n.duration(),
		},
		Caused:      n.duration(),
		Delayed:     n.thread(),
		Quota:       n.float64(),
		MemoryStall: n.float64(),
		Children:    sampler.Children{Exits: int(n.uint64()), CPU: n.duration(), Name: "c"},
		IOStall:     n.float64(),
		Returned:    n.uint64(),
		Exited:      n.uint64()%4 == 3,
	}
}

func (n *numbers) snapshot() *sampler.Snapshot {
	s := &sampler.Snapshot{
		End:         first.Add(n.duration()),
		Length:      n.duration(),
		CPUs:        int(n.uint64()),
		MemoryStall: n.float64(),
	}
	for range n.uint64() % 4 {
		s.Windows = append(s.Windows, n.window())
	}
	for range n.uint64() % 4 {
		s.Pairs = append(s.Pairs, &sampler.Pair{Victim: n.process(), Aggressor: n.process(), Wait: n.duration()})
	}
	// Last, so that without any the windows of processes are the host's.
	for i := range s.Windows {
		w := &s.Windows[i]
		w.Length, w.Busiest.Span = s.Length+n.duration(), s.Length+n.duration()
	}
	return s
}

// unfit is what no sentence may say: no number, or one below zero.
var unfit = regexp.MustCompile(`(?i)NaN|inf| -\d|%!`)

// FuzzObserve: whatever a window says, the events can be sent to a backend.
func FuzzObserve(f *testing.F) {
	// In the order snapshot and window draw.
	encode := func(values ...any) []byte {
		var b []byte
		for _, v := range values {
			switch v := v.(type) {
			case int:
				b = binary.LittleEndian.AppendUint64(b, uint64(v))
			case float64:
				b = binary.LittleEndian.AppendUint64(b, math.Float64bits(v))
			}
		}
		return b
	}
	// Two windows, of a victim and its aggressor, that match all rules if the
	// numbers are sane.
	snapshot := func(end, length, cpus int, stall, growth float64, span, cpu, wait int) []any {
		window := func(pid, ran, waited int) []any {
			return []any{
				pid, 0, ran, waited, 1 << 62, 1 << 62, 0, 0, 1, ran, waited, 10, ran, 1 << 40, growth, span, 4,
				1 << 41, 1 << 30, wait / 10, 3, math.MaxInt64, 1 << 62, waited, 0, wait, 0, wait, ran, waited, 10,
				growth, stall, 1 << 40, cpu, stall, 1 << 62, 0,
			}
		}
		all := append([]any{end, length, cpus, stall, 2}, window(1, cpu, 0)...)
		return append(append(all, window(2, 0, wait)...), 1, 2, 1, wait)
	}
	for _, length := range []int{0, -5e9, 1, 5e9, math.MaxInt64, math.MinInt64} {
		for _, stall := range []float64{0, -1, math.NaN(), math.Inf(1)} {
			for _, growth := range []float64{1e300, -1e300, math.NaN(), math.Inf(1), math.Inf(-1), math.SmallestNonzeroFloat64} {
				for _, span := range []int{10e9, -10e9} {
					for _, cpu := range []int{4.9e9, -1, math.MaxInt64, math.MinInt64} {
						s := snapshot(0, length, 2, stall, growth, span, cpu, cpu)
						// Once more with a clock that went back, and gone.
						s = append(s, snapshot(-60_000_000_000, length, 0, stall, growth, span, cpu, -cpu)...)
						f.Add(encode(append(s, -60_000_000_000, length, 2, stall, 0, 0)...))
					}
				}
			}
		}
	}

	f.Fuzz(func(t *testing.T, data []byte) {
		config := DefaultConfig()
		config.RepeatInterval = 1
		e, n := New(config), numbers(data)
		for len(n) > 0 {
			s := n.snapshot()
			for _, ev := range e.Observe(s) {
				require.GreaterOrEqual(t, ev.Duration, time.Duration(0))
				require.Positive(t, ev.Window)
				require.False(t, unfit.MatchString(ev.Sentence), ev.Sentence)
				for _, p := range slices.Concat(ev.Aggressors, ev.Victims) {
					require.Positive(t, p.Wait)
				}
				for _, signal := range ev.Evidence {
					require.False(t, math.IsNaN(signal.Threshold) || math.IsInf(signal.Threshold, 0), signal.Name)
					require.GreaterOrEqual(t, signal.Value, 0.0, signal.Name) // false for NaN
					require.False(t, math.IsInf(signal.Value, 0), signal.Name)
				}
			}
			counted := 0
			for _, c := range e.Count() {
				counted += c
			}
			require.LessOrEqual(t, counted, 3)
		}
	})
}
