package diagnosis

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

func TestStarved(t *testing.T) {
	// waits sets how long the process waits and runs.
	waits := func(wait, ran time.Duration) func(*sampler.Window) {
		return func(w *sampler.Window) { w.Waited.Others, w.Used.RunQueue, w.Used.User = wait, wait, ran }
	}
	for name, tt := range map[string]struct {
		change  func(*sampler.Window)
		matches bool
	}{
		"a process that is kept from the CPU matches": {
			change:  func(*sampler.Window) {},
			matches: true,
		},
		"a wait just under min_wait_ratio does not match": {
			change: waits(time.Second-1, 0),
		},
		"a wait at min_wait_ratio matches": {
			change:  waits(time.Second, 0),
			matches: true,
		},
		"a wait just over min_wait_ratio matches": {
			change:  waits(time.Second+1, 0),
			matches: true,
		},
		"a wait just under min_wait_share does not match": {
			change: waits(3500*time.Millisecond-1, 1500*time.Millisecond),
		},
		"a wait at min_wait_share matches": {
			change:  waits(3500*time.Millisecond, 1500*time.Millisecond),
			matches: true,
		},
		"a wait just over min_wait_share matches": {
			change:  waits(3500*time.Millisecond+1, 1500*time.Millisecond),
			matches: true,
		},
		"a process whose threads wait for each other just too long for min_wait_share has many threads": {
			change: func(w *sampler.Window) {
				waits(3500*time.Millisecond, time.Second)(w)
				w.Waited.Self = 500*time.Millisecond + 1
			},
		},
		"a process whose threads wait for each other just as long as min_wait_share allows matches": {
			change: func(w *sampler.Window) {
				waits(3500*time.Millisecond, time.Second)(w)
				w.Waited.Self = 500 * time.Millisecond
			},
			matches: true,
		},
		"a process whose threads wait for each other just less matches": {
			change: func(w *sampler.Window) {
				waits(3500*time.Millisecond, time.Second)(w)
				w.Waited.Self = 500*time.Millisecond - 1
			},
			matches: true,
		},
		"waits just under min_wait_per_run are those of anybody who wakes up": {
			change: func(w *sampler.Window) { w.Delayed.RunQueue, w.Delayed.Runs = 5*time.Second-1, 1000 },
		},
		"waits at min_wait_per_run match": {
			change:  func(w *sampler.Window) { w.Delayed.RunQueue, w.Delayed.Runs = 5*time.Second, 1000 },
			matches: true,
		},
		"waits just over min_wait_per_run match": {
			change:  func(w *sampler.Window) { w.Delayed.RunQueue, w.Delayed.Runs = 5*time.Second+1000, 1000 },
			matches: true,
		},
		"a process that never ran has waited all the same": {
			change: func(w *sampler.Window) {
				w.Waited.Others, w.Used.RunQueue, w.Used.User = length, length, 0
				w.Delayed.RunQueue, w.Delayed.Runs = length, 0
			},
			matches: true,
		},
		"waits for its own threads, for nobody and for unknown ones are no fault of others": {
			change: func(w *sampler.Window) {
				w.Waited = sampler.Wait{Self: length, Idle: length, Unattributed: length}
			},
		},
		"time held back by its own quota is no fault of others": {
			change: func(w *sampler.Window) {
				w.Used.User, w.Throttled = 0, length
				w.Waited = sampler.Wait{Others: time.Second - 1, Throttled: length - time.Second + 1}
			},
		},
		"a wait for others at min_wait_ratio matches, throttled or not": {
			change: func(w *sampler.Window) {
				w.Used.User, w.Throttled = 0, length
				w.Waited = sampler.Wait{Others: time.Second, Throttled: length - time.Second}
			},
			matches: true,
		},
		"a process that has used up its quota would not run more without others": {
			change: func(w *sampler.Window) { w.Quota = 0.1 / usedUp },
		},
		"a process that has not used up its quota would run more without others": {
			change:  func(w *sampler.Window) { w.Quota = 0.101 / usedUp },
			matches: true,
		},
		"a process is left alone in the window it was born in": {
			change: func(w *sampler.Window) { w.Created = first.Add(1) },
		},
		"a process born when the window began matches": {
			change:  func(w *sampler.Window) { w.Created = first },
			matches: true,
		},
		"a process born before the window matches": {
			change:  func(w *sampler.Window) { w.Created = first.Add(-1) },
			matches: true,
		},
		"a process that has exited is left alone": {
			change: func(w *sampler.Window) { w.Exited = true },
		},
	} {
		t.Run(name, func(t *testing.T) {
			config := DefaultConfig().Starved
			w := kept(812, "postgres")
			tt.change(&w)
			finding, matches := config.match(&w, sceneOf(snapshot(1, w)))
			require.Equal(t, tt.matches, matches)
			if matches {
				require.Equal(t, Starved, finding.Label)
			}
		})
	}
}

func TestStarvedNamesItsAggressors(t *testing.T) {
	victim, hog, backup, sshd := kept(812, "postgres"), busy(900, "stress-ng"), busy(901, "backup"), busy(902, "sshd")
	cron := busy(903, "cron")
	for name, tt := range map[string]struct {
		change     func(*sampler.Window)
		pairs      []*sampler.Pair
		want       string
		aggressors []Party
	}{
		"none that is known": {
			want: "postgres (812) waited 4.5 s of the last 5.0 s for a CPU",
		},
		"one": {
			pairs:      []*sampler.Pair{pair(victim, hog, 4410*time.Millisecond)},
			want:       "postgres (812) waited 4.5 s of the last 5.0 s for a CPU, 98 % of it behind stress-ng (900)",
			aggressors: []Party{{hog.Process, 4410 * time.Millisecond}},
		},
		"three of four, and in the sentence those with a fifth of the wait": {
			pairs: []*sampler.Pair{
				pair(victim, hog, 2250*time.Millisecond),
				pair(victim, backup, 900*time.Millisecond),
				pair(busy(7, "x"), hog, 800*time.Millisecond),
				pair(victim, sshd, 500*time.Millisecond),
				pair(victim, cron, 400*time.Millisecond),
			},
			want: "postgres (812) waited 4.5 s of the last 5.0 s for a CPU," +
				" 50 % of it behind stress-ng (900) and 20 % behind backup (901)",
			aggressors: []Party{
				{hog.Process, 2250 * time.Millisecond},
				{backup.Process, 900 * time.Millisecond},
				{sshd.Process, 500 * time.Millisecond},
			},
		},
		"pairs that did not wait in this window are left out": {
			pairs: []*sampler.Pair{pair(victim, hog, 0)},
			want:  "postgres (812) waited 4.5 s of the last 5.0 s for a CPU",
		},
		"no more than the whole wait": {
			pairs:      []*sampler.Pair{pair(victim, hog, 2*length)},
			want:       "postgres (812) waited 4.5 s of the last 5.0 s for a CPU, 100 % of it behind stress-ng (900)",
			aggressors: []Party{{hog.Process, 2 * length}},
		},
		"several threads wait longer than the window": {
			change: func(w *sampler.Window) {
				w.Threads, w.Waited.Others, w.Used.RunQueue = 4, 12*time.Second, 12*time.Second
			},
			want: "the 4 threads of postgres (812) waited 12.0 s for a CPU in the last 5.0 s",
		},
	} {
		t.Run(name, func(t *testing.T) {
			config, w := DefaultConfig().Starved, victim
			if tt.change != nil {
				tt.change(&w)
			}
			s := snapshot(1, w, hog, backup, sshd, cron)
			s.Pairs = tt.pairs
			finding, matches := config.match(&w, sceneOf(s))
			require.True(t, matches)
			require.Equal(t, tt.want, finding.Sentence)
			require.Equal(t, tt.aggressors, finding.Aggressors)
			require.Empty(t, finding.Victims)
		})
	}
}

func TestStarvedEvidence(t *testing.T) {
	config, w := DefaultConfig().Starved, kept(812, "postgres")
	w.Throttled = 500 * time.Millisecond
	w.Waited.Others, w.Waited.Throttled = w.Waited.Others-w.Throttled, w.Throttled
	finding, matches := config.match(&w, sceneOf(snapshot(1, w)))
	require.True(t, matches)
	require.Equal(t, []Evidence{
		held("wait_ratio", 0.8, 0.2),
		held("wait_share", 4/4.5, 0.7),
		held("wait_per_run_seconds", 0.45, 0.005),
		fact("wait_seconds", 4),
		fact("self_wait_seconds", 0),
		fact("cpu_seconds", 0.5),
		fact("throttled_seconds", 0.5),
	}, finding.Evidence)
}
