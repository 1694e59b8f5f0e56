package selection

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// labels says what is wrong with whom, by pid.
type labels map[uint32]diagnosis.Label

func (l labels) Label(id sampler.ID) diagnosis.Label { return l[id.Pid] }

var healthy labels

func all(*sampler.Window, diagnosis.Label) bool { return true }

func window(pid uint32, edits ...func(*sampler.Window)) sampler.Window {
	w := sampler.Window{Process: sampler.Process{ID: sampler.ID{Pid: pid, Start: time.Second}}}
	for _, edit := range edits {
		edit(&w)
	}
	return w
}

func ran(d time.Duration) func(*sampler.Window) {
	return func(w *sampler.Window) { w.Used.User, w.Used.System = d-d/4, d/4 }
}

func has(rss uint64) func(*sampler.Window) { return func(w *sampler.Window) { w.RSS = rss } }

func exited(w *sampler.Window) { w.Exited = true }

func shortLived(w *sampler.Window) { w.Exited, w.ShortLived = true, true }

// chosen returns the pids of the processes that are exported.
func chosen(s *Selector, of Labels, windows ...sampler.Window) []uint32 {
	pids := []uint32{}
	for i, exported := range s.Choose(windows, of, all) {
		if exported {
			pids = append(pids, windows[i].Pid)
		}
	}
	return pids
}

func TestTheTopByEachSignalIsExported(t *testing.T) {
	for name, most := range map[string]func(*sampler.Window){
		"CPU time in user mode":   func(w *sampler.Window) { w.Used.User = time.Second },
		"CPU time in system mode": func(w *sampler.Window) { w.Used.System = time.Second },
		"wait behind others":      func(w *sampler.Window) { w.Waited.Others = time.Second },
		// All of it where contention is not watched.
		"wait behind nobody known": func(w *sampler.Window) { w.Waited.Unattributed = time.Second },
		"wait it caused":           func(w *sampler.Window) { w.Caused = time.Second },
		"minor faults":             func(w *sampler.Window) { w.Used.MinorFaults = 1000 },
		"major faults":             func(w *sampler.Window) { w.Used.MajorFaults = 11 },
		"resident set":             func(w *sampler.Window) { w.RSS = 1 << 30 },
		"growth":                   func(w *sampler.Window) { w.Growth = 1 << 20 },
	} {
		t.Run(name, func(t *testing.T) {
			little := func(w *sampler.Window) {
				w.Used = sampler.Usage{User: time.Millisecond, System: time.Millisecond, MinorFaults: 10, MajorFaults: 1}
				w.Waited = sampler.Wait{Others: time.Millisecond, Unattributed: time.Millisecond}
				w.Caused, w.RSS, w.Growth = time.Millisecond, 1<<20, 10
			}
			windows := []sampler.Window{}
			for pid := range uint32(20) {
				windows = append(windows, window(1+pid, little))
			}
			most(&windows[12])
			// Pid 1 is first in all other tops, where all are the same.
			require.Equal(t, []uint32{1, 13}, chosen(New(Config{TopK: 1, Max: 100}), healthy, windows...))
		})
	}
}

func TestWhatIsNoReasonToBeExported(t *testing.T) {
	for name, edit := range map[string]func(*sampler.Window){
		"wait behind its own threads": func(w *sampler.Window) { w.Waited.Self = time.Hour },
		"wait while nothing ran":      func(w *sampler.Window) { w.Waited.Idle = time.Hour },
		"shrinking":                   func(w *sampler.Window) { w.Growth = -1 << 30 },
		"no number":                   func(w *sampler.Window) { w.Growth = math.NaN() },
		"memory of the dead":          func(w *sampler.Window) { w.Exited, w.RSS, w.Growth = true, 1<<30, 1<<30 },
		"waits of a short-lived one": func(w *sampler.Window) {
			shortLived(w)
			w.Waited.Others, w.Caused, w.Used.MinorFaults = time.Hour, time.Hour, 1e9
		},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, []uint32{1}, chosen(New(Config{TopK: 1, Max: 100}), healthy, window(1, has(1)), window(2, edit)))
		})
	}
}

func TestAMajorFaultCountsForAHundredMinorOnes(t *testing.T) {
	faults := func(minor, major uint64) func(*sampler.Window) {
		return func(w *sampler.Window) { w.Exited, w.Used.MinorFaults, w.Used.MajorFaults = true, minor, major }
	}
	s := New(Config{TopK: 1, Max: 100})
	require.Equal(t, []uint32{2}, chosen(s, healthy, window(1, faults(999, 0)), window(2, faults(0, 10))))
	require.Equal(t, []uint32{1}, chosen(s, healthy, window(1, faults(1001, 0)), window(2, faults(0, 10))))
}

func TestTheDiagnosedAreExportedWhereverTheyRank(t *testing.T) {
	s := New(Config{TopK: 1, Max: 100})
	windows := []sampler.Window{window(1, ran(time.Second), has(9)), window(2), window(3), window(4)}
	require.Equal(t, []uint32{1, 3}, chosen(s, labels{3: diagnosis.Starved}, windows...))
	require.Equal(t, []uint32{1}, chosen(s, healthy, windows...), "a diagnosis that has ended holds nothing")
}

func TestWithoutATopOnlyTheDiagnosedAreExported(t *testing.T) {
	s := New(Config{TopK: 0, Hold: 3, Max: 100})
	windows := []sampler.Window{window(1, ran(time.Second), has(1<<30)), window(2), window(3, shortLived, ran(time.Second))}
	require.Empty(t, chosen(s, healthy, windows...))
	require.Equal(t, []uint32{2}, chosen(s, labels{2: diagnosis.CPUBound}, windows...))
	require.Empty(t, chosen(s, healthy, windows...))
}

func TestATopAsLargeAsTheHostIsAllOfIt(t *testing.T) {
	kernelThread := func(w *sampler.Window) { w.Kernel = true }
	windows := []sampler.Window{window(1, has(1)), window(2, kernelThread), window(3), window(4, kernelThread)}
	require.Equal(t, []uint32{1, 2, 3, 4}, chosen(New(Config{TopK: allProcesses, Max: allProcesses}), healthy, windows...))
}

func TestWhoMayNotBeExportedTakesNobodysPlace(t *testing.T) {
	s := New(Config{TopK: 1, Max: 100})
	windows := []sampler.Window{window(1, ran(9*time.Second), has(9)), window(2, ran(time.Second), has(1)), window(3)}
	got := s.Choose(windows, labels{3: diagnosis.OOMRisk}, func(w *sampler.Window, label diagnosis.Label) bool {
		require.Equal(t, label == diagnosis.OOMRisk, w.Pid == 3)
		return w.Pid == 2
	})
	require.Equal(t, []bool{false, true, false}, got)
}

func TestOnceInTheTopAProcessStaysForAsManyWindows(t *testing.T) {
	const one, other = 1, 2
	first := []sampler.Window{window(one, ran(2*time.Second), has(2)), window(other, ran(time.Second), has(1))}
	then := []sampler.Window{window(one, has(1)), window(other, ran(time.Second), has(2))}
	for hold := range 5 {
		t.Run(fmt.Sprint(hold), func(t *testing.T) {
			s := New(Config{TopK: 1, Hold: hold, Max: 100})
			require.Equal(t, []uint32{one}, chosen(s, healthy, first...))
			for range 2 { // it can come again
				for range hold {
					require.Equal(t, []uint32{one, other}, chosen(s, healthy, then...))
				}
				require.Equal(t, []uint32{other}, chosen(s, healthy, then...))
				require.Contains(t, chosen(s, healthy, first...), uint32(one))
			}
		})
	}
}

func TestAWindowThatMissesAProcessEndsNothing(t *testing.T) {
	s := New(Config{TopK: 1, Hold: 3, Max: 100})
	top := window(2, has(2))
	require.Equal(t, []uint32{1}, chosen(s, healthy, window(1, has(9)), window(2)))
	require.Equal(t, []uint32{2}, chosen(s, healthy, top))
	require.Equal(t, []uint32{1, 2}, chosen(s, healthy, window(1), top))
	require.Equal(t, []uint32{1, 2}, chosen(s, healthy, window(1), top))
	require.Equal(t, []uint32{2}, chosen(s, healthy, window(1), top))
}

func TestTheLastWindowOfAnExportedProcessIsExported(t *testing.T) {
	top := window(1, ran(time.Hour), has(1<<30))
	t.Run("of one in the top", func(t *testing.T) {
		s := New(Config{TopK: 1, Max: 100})
		require.Equal(t, []uint32{2}, chosen(s, healthy, window(2, ran(2*time.Hour), has(1<<40))))
		require.Equal(t, []uint32{1, 2}, chosen(s, healthy, top, window(2, exited)))
		require.Equal(t, []uint32{1}, chosen(s, healthy, top, window(2, exited)), "once")
	})
	t.Run("of one that was diagnosed, some windows after it was seen", func(t *testing.T) {
		s := New(Config{TopK: 1, Max: 100})
		require.Equal(t, []uint32{1, 2}, chosen(s, labels{2: diagnosis.CPUBound}, top, window(2)))
		for range 10 {
			require.Equal(t, []uint32{1}, chosen(s, healthy, top))
		}
		require.Equal(t, []uint32{1, 2}, chosen(s, healthy, top, window(2, exited)))
	})
	t.Run("not of one that had left", func(t *testing.T) {
		s := New(Config{TopK: 1, Max: 100})
		require.Equal(t, []uint32{1, 2}, chosen(s, labels{2: diagnosis.CPUBound}, top, window(2)))
		require.Equal(t, []uint32{1}, chosen(s, healthy, top, window(2)))
		require.Equal(t, []uint32{1}, chosen(s, healthy, top, window(2, exited)))
	})
}

func TestOfTheShortLivedTenAreExportedAtMost(t *testing.T) {
	windows := []sampler.Window{}
	for pid := range uint32(30) {
		windows = append(windows, window(1+pid, shortLived, ran(time.Duration(30-pid)*time.Second)))
	}
	lasting := window(100, ran(time.Minute))
	for k, want := range map[int]int{0: 0, 5: 4, 10: 9, 1000: 9} {
		windows := append(slices.Clone(windows), lasting)
		got := chosen(New(Config{TopK: k, Max: 100}), healthy, windows...)
		require.Len(t, slices.DeleteFunc(got, func(pid uint32) bool { return pid == 100 }), want, k)
	}
}

func TestOfTooManyTheFirstAreExported(t *testing.T) {
	s := New(Config{TopK: 2, Hold: 2, Max: 100})
	grows := func(w *sampler.Window) { w.Growth = 1 }
	windows := []sampler.Window{
		window(1, ran(time.Second), has(10)),   // the first by CPU time
		window(2, ran(time.Millisecond)),       // the second
		window(3, has(1000)),                   // the first by resident set,
		window(4, has(999)),                    // the second
		window(5, grows),                       // the first by growth
		window(6), window(7), window(8, grows), // the second by growth
		window(9, exited),
	}
	wrong := labels{6: diagnosis.CPUBound, 7: diagnosis.OOMRisk, 2: diagnosis.CPUBound}
	// The order, which nobody sees but at the end of the room.
	order := []uint32{7, 2, 6, 1, 3, 5, 4, 8}
	for most := 1; most <= len(order); most++ {
		s := New(Config{TopK: 2, Max: most})
		want := slices.Sorted(slices.Values(order[:most]))
		require.Equal(t, want, chosen(s, wrong, windows...), most)
	}
	require.ElementsMatch(t, order, chosen(s, wrong, windows...))

	t.Run("those that stay come last, who was in the top last before the others", func(t *testing.T) {
		s := New(Config{TopK: 1, Hold: 9, Max: 3})
		require.Equal(t, []uint32{1}, chosen(s, healthy, window(1, has(9)), window(2), window(3), window(4)))
		require.Equal(t, []uint32{1, 2}, chosen(s, healthy, window(1), window(2, has(9)), window(3), window(4)))
		require.Equal(t, []uint32{1, 2, 3}, chosen(s, healthy, window(1), window(2), window(3, has(9)), window(4)))
		require.Equal(t, []uint32{2, 3, 4}, chosen(s, healthy, window(1), window(2), window(3), window(4, has(9))))
		require.Equal(t, []uint32{3, 4, 5},
			chosen(s, labels{5: diagnosis.Starved}, window(1), window(2), window(3), window(4, has(9)), window(5)))
		require.Equal(t, []uint32{3, 4}, chosen(s, healthy, window(1), window(2), window(3), window(4, has(9))),
			"who had to leave is held no more")
	})
}

func TestOfTheSameValueTheLowerPidIsFirst(t *testing.T) {
	windows := []sampler.Window{}
	for _, pid := range []uint32{7, 3, 9, 5, 1} {
		windows = append(windows, window(pid, ran(time.Second)))
	}
	reused := windows[4]
	reused.Start = time.Hour // of the same pid
	windows = append([]sampler.Window{reused}, windows...)
	require.Equal(t, []uint32{3, 1}, chosen(New(Config{TopK: 2, Max: 100}), healthy, windows[1:]...))
	got := New(Config{TopK: 1, Max: 100}).Choose(windows, healthy, all)
	require.Equal(t, []bool{false, false, false, false, false, true}, got)
}

// Random windows and a reference that sorts all of them: nothing depends on the
// order in which they come.
func TestTheSameSnapshotsGiveTheSameSelection(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 0))
		config := Config{TopK: random.IntN(8), Hold: random.IntN(4), Max: 1 + random.IntN(60)}
		a, b := New(config), New(config)
		for range 20 {
			windows, wrong := []sampler.Window{}, labels{}
			for pid := range uint32(200) {
				few := func() time.Duration { return time.Duration(max(0, random.IntN(30)-10)) } // many are the same
				w := window(pid, func(w *sampler.Window) {
					w.Used = sampler.Usage{User: few(), MinorFaults: uint64(few()), MajorFaults: uint64(few() / 10)}
					w.Waited.Others, w.Caused, w.RSS, w.Growth = few(), few(), uint64(few()), float64(few())
				})
				if random.IntN(50) == 0 {
					wrong[pid] = diagnosis.Label(1 + random.IntN(6))
				}
				windows = append(windows, w)
			}
			shuffled := slices.Clone(windows)
			random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			first, second := chosen(a, wrong, windows...), chosen(b, wrong, shuffled...)
			require.ElementsMatch(t, first, second)
			require.LessOrEqual(t, len(first), config.Max)
			if len(first) < config.Max { // there was room for all
				require.Subset(t, first, inTheTop(windows, config.TopK))
			}
		}
	}
}

// inTheTop returns the union of the tops, the slow way.
func inTheTop(windows []sampler.Window, k int) []uint32 {
	union := map[uint32]bool{}
	for signal := range signals {
		sorted := slices.Clone(windows)
		slices.SortFunc(sorted, func(a, b sampler.Window) int {
			return cmp.Or(cmp.Compare(signalsOf(&b)[signal], signalsOf(&a)[signal]), cmp.Compare(a.Pid, b.Pid))
		})
		for _, w := range sorted[:k] {
			if signalsOf(&w)[signal] > 0 {
				union[w.Pid] = true
			}
		}
	}
	pids := []uint32{}
	for pid := range union {
		pids = append(pids, pid)
	}
	return pids
}

// host is windows of a host of n processes, most of which do little.
func host(n int) []sampler.Window {
	random := rand.New(rand.NewPCG(1, 2))
	windows := make([]sampler.Window, n)
	for i := range windows {
		windows[i] = window(uint32(1+i), func(w *sampler.Window) {
			if random.IntN(10) == 0 {
				w.Used = sampler.Usage{User: time.Duration(random.ExpFloat64() * 1e6), MinorFaults: random.Uint64N(1000)}
				w.Waited.Others, w.Caused = w.Used.User/2, w.Used.User/3
				w.Growth = random.NormFloat64()
			}
			w.RSS = random.Uint64N(1 << 30)
		})
	}
	return windows
}

func TestASteadyHostAllocatesNothing(t *testing.T) {
	for name, config := range map[string]Config{
		"defaults": DefaultConfig(),
		"all":      {TopK: allProcesses, Hold: 3, Max: allProcesses},
	} {
		t.Run(name, func(t *testing.T) {
			windows, s := host(2000), New(config)
			require.Zero(t, testing.AllocsPerRun(20, func() { s.Choose(windows, healthy, all) }))
		})
	}
}

func BenchmarkChoose(b *testing.B) {
	for name, config := range map[string]Config{
		"default": DefaultConfig(),
		"all":     {TopK: allProcesses, Hold: 3, Max: allProcesses},
	} {
		b.Run(name, func(b *testing.B) {
			windows, s := host(10_000), New(config)
			b.ReportAllocs()
			for b.Loop() {
				s.Choose(windows, healthy, all)
			}
		})
	}
}

func TestBadConfig(t *testing.T) {
	require.NoError(t, DefaultConfig().Check())
	require.NoError(t, Config{TopK: 0, Hold: 0, Max: 1}.Check())
	require.NoError(t, Config{TopK: 4194304, Hold: 1000, Max: 4194304}.Check())
	require.EqualError(t, Config{TopK: -1, Hold: -2, Max: 0}.Check(),
		"top_k: must be between 0 and 4194304, is -1\n"+
			"top_k_hold: must be between 0 and 1000, is -2\n"+
			"max_processes: must be between 1 and 4194304, is 0")
	require.EqualError(t, Config{TopK: 4194305, Hold: 1001, Max: 4194305}.Check(),
		"top_k: must be between 0 and 4194304, is 4194305\n"+
			"top_k_hold: must be between 0 and 1000, is 1001\n"+
			"max_processes: must be between 1 and 4194304, is 4194305")
}
