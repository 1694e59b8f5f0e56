package diagnosis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

func TestCPUBound(t *testing.T) {
	for name, tt := range map[string]struct {
		change  func(*sampler.Window, *sampler.Snapshot)
		matches bool
	}{
		"an idle process does not match": {
			change: func(*sampler.Window, *sampler.Snapshot) {},
		},
		"a thread just under min_thread_utilization does not match": {
			change: func(w *sampler.Window, _ *sampler.Snapshot) { w.Busiest.CPU = 4500*time.Millisecond - 1 },
		},
		"a thread at min_thread_utilization matches": {
			change:  func(w *sampler.Window, _ *sampler.Snapshot) { w.Busiest.CPU = 4500 * time.Millisecond },
			matches: true,
		},
		"a thread just over min_thread_utilization matches": {
			change:  func(w *sampler.Window, _ *sampler.Snapshot) { w.Busiest.CPU = 4500*time.Millisecond + 1 },
			matches: true,
		},
		"a thread that waits counts as one that runs": {
			change: func(w *sampler.Window, _ *sampler.Snapshot) {
				w.Busiest.CPU, w.Busiest.RunQueue = time.Second, 3500*time.Millisecond
			},
			matches: true,
		},
		"a thread that runs and waits just under min_thread_utilization does not match": {
			change: func(w *sampler.Window, _ *sampler.Snapshot) {
				w.Busiest.CPU, w.Busiest.RunQueue = time.Second, 3500*time.Millisecond-1
			},
		},
		"many threads just under min_host_share do not match": {
			change: func(w *sampler.Window, _ *sampler.Snapshot) { w.Used.User = 10*time.Second - 1 },
		},
		"many threads at min_host_share match": {
			change:  func(w *sampler.Window, _ *sampler.Snapshot) { w.Used.User = 10 * time.Second },
			matches: true,
		},
		"many threads just over min_host_share match": {
			change: func(w *sampler.Window, _ *sampler.Snapshot) {
				w.Used.User, w.Used.System = 5*time.Second, 5*time.Second+1
			},
			matches: true,
		},
		"a memory stall just under max_memory_stall is not to blame": {
			change: func(w *sampler.Window, _ *sampler.Snapshot) {
				w.Busiest.CPU, w.MemoryStall = length, 0.0999
			},
			matches: true,
		},
		"a memory stall at max_memory_stall is not to blame": {
			change: func(w *sampler.Window, _ *sampler.Snapshot) {
				w.Busiest.CPU, w.MemoryStall = length, 0.1
			},
			matches: true,
		},
		"a memory stall just over max_memory_stall is to blame": {
			change: func(w *sampler.Window, _ *sampler.Snapshot) {
				w.Busiest.CPU, w.MemoryStall = length, 0.1001
			},
		},
		"a host of unknown size has no share": {
			change: func(w *sampler.Window, s *sampler.Snapshot) { w.Used.User, s.CPUs = 100*length, 0 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig().CPUBound
			w, s := idle(812, "postgres"), snapshot(1)
			tt.change(&w, s)
			finding, matches := config.match(&w, sceneOf(s))
			require.Equal(t, tt.matches, matches)
			if matches {
				require.Equal(t, CPUBound, finding.Label)
			}
		})
	}
}

func TestCPUBoundSentences(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*sampler.Window)
		want   string
	}{
		"the only thread": {
			change: func(w *sampler.Window) { w.Busiest.CPU = 4900 * time.Millisecond },
			want:   "postgres (812) is limited by the CPU: it ran for 4.9 s of the last 5.0 s",
		},
		"the busiest thread of several": {
			change: func(w *sampler.Window) {
				w.Threads, w.Busiest = 2, sampler.Thread{TID: 815, CPU: 4900 * time.Millisecond, Span: length}
			},
			want: "postgres (812) is limited by the CPU: its busiest thread (815) ran for 4.9 s of the last 5.0 s",
		},
		"a wait just under a twentieth of the window is left out": {
			change: func(w *sampler.Window) {
				w.Busiest.CPU, w.Busiest.RunQueue = 4700*time.Millisecond, 250*time.Millisecond-1
			},
			want: "postgres (812) is limited by the CPU: it ran for 4.7 s of the last 5.0 s",
		},
		"a wait of a twentieth of the window is said": {
			change: func(w *sampler.Window) {
				w.Busiest.CPU, w.Busiest.RunQueue = 4700*time.Millisecond, 250*time.Millisecond
			},
			want: "postgres (812) is limited by the CPU: it ran for 4.7 s of the last 5.0 s and waited 0.2 s for a CPU",
		},
		"no time below zero, should a counter go back": {
			change: func(w *sampler.Window) { w.Busiest.CPU, w.Busiest.RunQueue = -time.Second, 6*time.Second },
			want:   "postgres (812) is limited by the CPU: it ran for 0.0 s of the last 5.0 s and waited 5.0 s for a CPU",
		},
		"no part above the whole, should a counter have been a tick behind": {
			change: func(w *sampler.Window) {
				w.Busiest.CPU, w.Length = 2054*time.Millisecond, 2044*time.Millisecond
			},
			want: "postgres (812) is limited by the CPU: it ran for 2.0 s of the last 2.0 s",
		},
		"the share of the host, where no thread stands out": {
			change: func(w *sampler.Window) { w.Used.User = 12 * time.Second },
			want:   "postgres (812) is limited by the CPU: it used 2.4 of the host's 4 CPUs over the last 5.0 s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig().CPUBound
			w := idle(812, "postgres")
			tt.change(&w)
			finding, matches := config.match(&w, sceneOf(snapshot(1)))
			require.True(t, matches)
			require.Equal(t, tt.want, finding.Sentence)
		})
	}
}

func TestCPUBoundEvidence(t *testing.T) {
	config := DefaultConfig().CPUBound
	w, s := idle(812, "postgres"), snapshot(1)
	w.Busiest = sampler.Thread{TID: 815, CPU: 4 * time.Second, RunQueue: time.Second, Span: length}
	w.Used = sampler.Usage{User: 3 * time.Second, System: 2 * time.Second}
	w.MemoryStall = 0.05
	finding, matches := config.match(&w, sceneOf(s))
	require.True(t, matches)
	require.Equal(t, []Evidence{
		held("thread_utilization", 1, 0.9),
		held("host_share", 0.25, 0.5),
		held("memory_stall", 0.05, 0.1),
	}, finding.Evidence)
}
