package diagnosis

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// play shows the engine the windows of one process after another, none where
// the process is gone, and returns the events of each: "started cpu_bound".
func play(e *Engine, windows []*sampler.Window) [][]string {
	said := make([][]string, 0, len(windows))
	for i, w := range windows {
		s := snapshot(i + 1)
		if w != nil {
			s.Windows = append(s.Windows, *w)
		}
		events := []string{}
		for _, ev := range e.Observe(s) {
			events = append(events, ev.State.String()+" "+ev.Label.String())
		}
		said = append(said, events)
	}
	return said
}

// exit returns the last window of the process.
func exit(w sampler.Window) sampler.Window {
	return sampler.Window{Process: w.Process, Exited: true}
}

func TestStates(t *testing.T) {
	quiet, cpu, leak, cpuAndLeak := idle(7, "x"), busy(7, "x"), leaking(7, "x"), both(7, "x")
	exited := exit(quiet)
	o, c, l, b, x, gone := &quiet, &cpu, &leak, &cpuAndLeak, &exited, (*sampler.Window)(nil)
	never := func(config *Config) { config.RepeatInterval = 0 }

	for name, tt := range map[string]struct {
		config  func(*Config)
		windows []*sampler.Window
		want    [][]string
	}{
		"a quiet process is not spoken of": {
			windows: []*sampler.Window{o, o, gone},
			want:    [][]string{{}, {}, {}},
		},
		"a diagnosis starts with the first window that matches": {
			windows: []*sampler.Window{o, c, c},
			want:    [][]string{{}, {"started cpu_bound"}, {}},
		},
		"for 2 waits for the second in a row": {
			config:  func(config *Config) { config.For = 2 },
			windows: []*sampler.Window{c, o, c, c, c},
			want:    [][]string{{}, {}, {}, {"started cpu_bound"}, {}},
		},
		"clear_after 2 bears one window without": {
			windows: []*sampler.Window{c, o, c, o, o, o},
			want:    [][]string{{"started cpu_bound"}, {}, {}, {}, {"ended cpu_bound"}, {}},
		},
		"clear_after 1 bears none": {
			config:  func(config *Config) { config.ClearAfter = 1 },
			windows: []*sampler.Window{c, o, c},
			want:    [][]string{{"started cpu_bound"}, {"ended cpu_bound"}, {"started cpu_bound"}},
		},
		"repeat_interval says it again as often": {
			config:  func(config *Config) { config.RepeatInterval = 2 * length },
			windows: []*sampler.Window{c, c, c, c, c},
			want:    [][]string{{"started cpu_bound"}, {}, {"ongoing cpu_bound"}, {}, {"ongoing cpu_bound"}},
		},
		"a window without does not repeat": {
			config:  func(config *Config) { config.RepeatInterval = length },
			windows: []*sampler.Window{c, o, c},
			want:    [][]string{{"started cpu_bound"}, {}, {"ongoing cpu_bound"}},
		},
		"repeat_interval 0 never repeats": {
			config:  never,
			windows: slices.Repeat([]*sampler.Window{c}, 100),
			want:    append([][]string{{"started cpu_bound"}}, slices.Repeat([][]string{{}}, 99)...),
		},
		"a process that is not seen once may have slipped past the census": {
			windows: []*sampler.Window{c, gone, c, gone, gone, gone},
			want:    [][]string{{"started cpu_bound"}, {}, {}, {}, {"ended cpu_bound"}, {}},
		},
		"an exit ends it at once": {
			windows: []*sampler.Window{c, x, gone},
			want:    [][]string{{"started cpu_bound"}, {"ended cpu_bound"}, {}},
		},
		"an exit before it has started says nothing": {
			config:  func(config *Config) { config.For = 2 },
			windows: []*sampler.Window{c, gone},
			want:    [][]string{{}, {}},
		},
		"the more severe wins at once": {
			windows: []*sampler.Window{c, b, b},
			want:    [][]string{{"started cpu_bound"}, {"ended cpu_bound", "started oom_risk"}, {}},
		},
		"the more severe wins from the start": {
			windows: []*sampler.Window{b},
			want:    [][]string{{"started oom_risk"}},
		},
		"the more severe, too, must match for 2": {
			config:  func(config *Config) { config.For = 2 },
			windows: []*sampler.Window{c, c, b, b},
			want:    [][]string{{}, {"started cpu_bound"}, {}, {"ended cpu_bound", "started oom_risk"}},
		},
		"windows of for 2 that are not in a row do not add up": {
			config:  func(config *Config) { config.For = 2 },
			windows: []*sampler.Window{c, c, b, c, b},
			want:    [][]string{{}, {"started cpu_bound"}, {}, {}, {}},
		},
		"the lesser takes over when the more severe has ended": {
			windows: []*sampler.Window{l, c, c, c},
			want:    [][]string{{"started oom_risk"}, {}, {"ended oom_risk", "started cpu_bound"}, {}},
		},
		"a rule that is switched off says nothing": {
			config:  func(config *Config) { config.OOMRisk.Enabled = false },
			windows: []*sampler.Window{l, b},
			want:    [][]string{{}, {"started cpu_bound"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig()
			if tt.config != nil {
				tt.config(&config)
			}
			require.Equal(t, tt.want, play(New(config), tt.windows))
		})
	}
}

func TestDurationCountsFromTheFirstWindowThatMatched(t *testing.T) {
	config := DefaultConfig()
	config.For = 2
	e := New(config)
	require.Empty(t, e.Observe(snapshot(1, busy(7, "x"))))

	started := e.Observe(snapshot(2, busy(7, "x")))
	require.Len(t, started, 1)
	require.Equal(t, 2*length, started[0].Duration)

	require.Empty(t, e.Observe(snapshot(3, idle(7, "x"))))
	ended := e.Observe(snapshot(4, idle(7, "x")))
	require.Len(t, ended, 1)
	require.Equal(t, 4*length, ended[0].Duration)
	require.Equal(t, "x (7) is no longer limited by the CPU; it lasted 20s", ended[0].Sentence)
	require.Equal(t, started[0].Evidence, ended[0].Evidence, "of the last window that matched")
}

func TestASecondDiagnosisCountsAnew(t *testing.T) {
	e := New(DefaultConfig())
	for n := range 4 {
		e.Observe(snapshot(n+1, busy(7, "x")))
	}
	e.Observe(snapshot(5, idle(7, "x")))
	e.Observe(snapshot(6, idle(7, "x")))
	again := e.Observe(snapshot(7, busy(7, "x")))
	require.Len(t, again, 1)
	require.Equal(t, Started, again[0].State)
	require.Equal(t, length, again[0].Duration)
}

func TestADiagnosisThatGaveWayCountsAnew(t *testing.T) {
	e := New(DefaultConfig())
	e.Observe(snapshot(1, busy(7, "x")))
	gaveWay := e.Observe(snapshot(2, both(7, "x")))
	require.Len(t, gaveWay, 2)
	require.Equal(t, 2*length, gaveWay[0].Duration)
	require.Equal(t, length, gaveWay[1].Duration)
	require.Empty(t, e.Observe(snapshot(3, busy(7, "x"))))
	back := e.Observe(snapshot(4, busy(7, "x")))
	require.Len(t, back, 2)
	require.Equal(t, 3*length, back[0].Duration)
	require.Equal(t, 2*length, back[1].Duration, "since it was said to be over")
}

func TestAnExitIsSaid(t *testing.T) {
	e := New(DefaultConfig())
	late := busy(7, "a")
	late.Start = time.Hour
	e.Observe(snapshot(1, busy(9, "b"), late, idle(8, "c")))
	ended := e.Observe(snapshot(2, exit(busy(9, "b")), exit(late), exit(idle(8, "c"))))
	require.Len(t, ended, 2)
	require.Equal(t, "a (7) has exited and is no longer limited by the CPU; it lasted 10s", ended[0].Sentence)
	require.Equal(t, uint32(9), ended[1].Process.Pid, "by process id")
	require.Equal(t, OK, e.Label(ended[0].Process.ID))
	require.Zero(t, e.Count())
	require.Empty(t, e.cases, "nothing is kept of the dead")
}

func TestAReusedPidIsAnotherProcess(t *testing.T) {
	e := New(DefaultConfig())
	e.Observe(snapshot(1, busy(7, "old")))
	w := idle(7, "new")
	w.Start += time.Hour
	events := e.Observe(snapshot(2, w, exit(busy(7, "old"))))
	require.Len(t, events, 1)
	require.Equal(t, Ended, events[0].State)
	require.Equal(t, "old", events[0].Process.Name)
	require.Equal(t, OK, e.Label(w.ID))
}

func TestEvidenceIsOfEveryRuleThatMatched(t *testing.T) {
	e := New(DefaultConfig())
	events := e.Observe(snapshot(1, both(7, "x")))
	require.Len(t, events, 1)
	names := []string{}
	for _, ev := range events[0].Evidence {
		names = append(names, ev.Name)
	}
	require.Equal(t, []string{
		"memory_growth_bytes", "memory_rss_bytes", "memory_limit_ratio", "faults_per_second", "memory_limit_bytes",
		"time_to_limit_seconds",
		"thread_utilization", "host_share", "memory_stall",
	}, names)
}

func TestLabelAndCountFollowTheState(t *testing.T) {
	e := New(DefaultConfig())
	e.Observe(snapshot(1, busy(1, "a"), leaking(2, "b"), both(3, "c"), idle(4, "d")))
	require.Equal(t, CPUBound, e.Label(busy(1, "a").ID))
	require.Equal(t, OOMRisk, e.Label(leaking(2, "b").ID))
	require.Equal(t, OOMRisk, e.Label(both(3, "c").ID))
	require.Equal(t, OK, e.Label(idle(4, "d").ID))
	count := e.Count()
	require.Equal(t, 1, count[CPUBound])
	require.Equal(t, 2, count[OOMRisk])
}

func TestASnapshotWithoutLengthSaysNothing(t *testing.T) {
	e := New(DefaultConfig())
	s := snapshot(1, busy(7, "x"))
	s.Length = 0
	require.Empty(t, e.Observe(s))
	require.Equal(t, OK, e.Label(busy(7, "x").ID))

	require.Len(t, e.Observe(snapshot(2, busy(7, "x"))), 1)
	s = snapshot(3)
	s.Length = -length
	require.Empty(t, e.Observe(s), "nor does anybody exit in it")
	require.Equal(t, CPUBound, e.Label(busy(7, "x").ID))
}

func TestTheMoreSevereLabelIsSaid(t *testing.T) {
	order := []sampler.Window{
		busy(7, "x"), forking(7, "x"), throttled(7, "x"), busy(7, "x"), kept(7, "x"), thrashing(7, "x"), leaking(7, "x"),
	}
	hog, victim := busy(8, "y"), kept(9, "z")
	w := idle(7, "x")
	for i, label := range Labels() {
		switch with := order[i]; label {
		case CPUBound:
			w = with
		case ForkStorm:
			w.Children = with.Children
		case CPUThrottled:
			w.Throttled, w.Used.RunQueue = with.Throttled, with.Used.RunQueue
		case NoisyNeighbor: // below
		case Starved:
			w.Waited, w.Delayed = sampler.Wait{Others: 10 * length}, with.Delayed
			w.Threads, w.Throttled = 10, with.Used.User
		case MemThrashing:
			w.Used.System, w.Refaults = 2*length, 100_000_000
			w.Waited.Others *= 10
		case OOMRisk:
			w.RSS, w.Limit, w.Headroom, w.Grew = with.RSS, with.Limit, with.Headroom, with.Grew
			w.Growth, w.GrowthSpan = with.Growth, with.GrowthSpan
			w.GrowthReadings, w.GrowthSteps = with.GrowthReadings, with.GrowthSteps
		}
		s := snapshot(1, w, hog, victim)
		if label >= NoisyNeighbor {
			s.Pairs = []*sampler.Pair{pair(victim, w, 4*time.Second)}
		}
		e := New(DefaultConfig())
		events := e.Observe(s)
		require.Equal(t, label, events[0].Label, "%v", events[0].Sentence)
		require.Equal(t, label, e.Label(w.ID))
	}
}

// What a rule sets for itself takes the place of what holds for all.
func TestARuleStartsEndsAndRepeatsAsItSays(t *testing.T) {
	quiet, cpu, fork := idle(7, "x"), busy(7, "x"), forking(7, "x")
	o, c, f := &quiet, &cpu, &fork
	number := func(n int) *int { return &n }
	duration := func(d time.Duration) *time.Duration { return &d }
	for name, tt := range map[string]struct {
		config  func(*Config)
		windows []*sampler.Window
		want    [][]string
	}{
		"for: its own": {
			config:  func(c *Config) { c.ForkStorm.For = number(3) },
			windows: []*sampler.Window{f, f, f},
			want:    [][]string{{}, {}, {"started fork_storm"}},
		},
		"for: not another rule's": {
			config:  func(c *Config) { c.ForkStorm.For = number(3) },
			windows: []*sampler.Window{c},
			want:    [][]string{{"started cpu_bound"}},
		},
		"for: less than all others'": {
			config:  func(c *Config) { c.For, c.ForkStorm.For = 3, number(1) },
			windows: []*sampler.Window{f, c, c},
			want:    [][]string{{"started fork_storm"}, {}, {"ended fork_storm"}},
		},
		"for: inherited": {
			config:  func(c *Config) { c.For = 2 },
			windows: []*sampler.Window{f, f},
			want:    [][]string{{}, {"started fork_storm"}},
		},
		"clear_after: its own": {
			config:  func(c *Config) { c.ForkStorm.ClearAfter = number(1) },
			windows: []*sampler.Window{f, o, c, o, o},
			want:    [][]string{{"started fork_storm"}, {"ended fork_storm"}, {"started cpu_bound"}, {}, {"ended cpu_bound"}},
		},
		"clear_after: inherited": {
			config:  func(c *Config) { c.ClearAfter = 3 },
			windows: []*sampler.Window{f, o, o, o},
			want:    [][]string{{"started fork_storm"}, {}, {}, {"ended fork_storm"}},
		},
		"repeat_interval: its own": {
			config:  func(c *Config) { c.ForkStorm.RepeatInterval = duration(length) },
			windows: []*sampler.Window{f, f, f},
			want:    [][]string{{"started fork_storm"}, {"ongoing fork_storm"}, {"ongoing fork_storm"}},
		},
		"repeat_interval: its own of 0 is never": {
			config:  func(c *Config) { c.RepeatInterval, c.ForkStorm.RepeatInterval = length, duration(0) },
			windows: []*sampler.Window{f, f, f},
			want:    [][]string{{"started fork_storm"}, {}, {}},
		},
		"repeat_interval: inherited": {
			config:  func(c *Config) { c.RepeatInterval = 2 * length },
			windows: []*sampler.Window{f, f, f},
			want:    [][]string{{"started fork_storm"}, {}, {"ongoing fork_storm"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig()
			tt.config(&config)
			require.Equal(t, tt.want, play(New(config), tt.windows))
		})
	}
}

// The engine keeps processes in maps, whose order must not show.
func TestTheSameSnapshotsGiveTheSameEvents(t *testing.T) {
	kinds := []func(uint32, string) sampler.Window{idle, busy, leaking, both, kept, thrashing, throttled, forking}
	observe := func() []Event {
		var all []Event
		e := New(DefaultConfig())
		for n := 1; n <= 40; n++ {
			s := snapshot(n)
			for pid := uint32(1); pid <= 60; pid++ {
				make := kinds[(int(pid)*7+n*n)%len(kinds)]
				if (int(pid)+n)%11 != 0 {
					s.Windows = append(s.Windows, make(pid, fmt.Sprint("p", pid)))
				}
			}
			for i := range s.Windows { // the longest wait first, as they come
				victim, aggressor := s.Windows[i], s.Windows[(i*7+1)%len(s.Windows)]
				s.Pairs = append(s.Pairs, pair(victim, aggressor, 4*time.Second-time.Duration(i/8)*time.Millisecond))
			}
			all = append(all, e.Observe(s)...)
		}
		return all
	}
	want := observe()
	said := map[Label]bool{}
	for _, ev := range want {
		said[ev.Label] = true
	}
	require.Len(t, said, len(Labels()), "every label is among them")
	for range 5 {
		require.Equal(t, want, observe())
	}
}

func TestLabels(t *testing.T) {
	require.Equal(t, []Label{CPUBound, ForkStorm, CPUThrottled, NoisyNeighbor, Starved, MemThrashing, OOMRisk}, Labels())
	for _, l := range Labels() {
		require.NotEmpty(t, l.String())
		require.NotZero(t, l.Severity())
		require.NotEmpty(t, descriptions[l].over)
	}
}

func TestIdleProcessesAllocateNothing(t *testing.T) {
	e, s := New(DefaultConfig()), crowd()
	require.Zero(t, testing.AllocsPerRun(10, func() { e.Observe(s) }))
}

func BenchmarkObserveIdle(b *testing.B) {
	e, s := New(DefaultConfig()), crowd()
	b.ReportAllocs()
	for b.Loop() {
		e.Observe(s)
	}
}

// crowd returns a window of 10 000 idle processes.
func crowd() *sampler.Snapshot {
	s := snapshot(1)
	for pid := range uint32(10_000) {
		s.Windows = append(s.Windows, idle(pid+1, "idle"))
	}
	// They wait for each other now and then.
	for i := range 1000 {
		s.Pairs = append(s.Pairs, pair(s.Windows[i], s.Windows[i+1], time.Millisecond))
	}
	return s
}
