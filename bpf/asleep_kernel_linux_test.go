package bpf

import (
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// diary is what a reader has of the threads of a process that takes every pass.
type diary struct {
	last   map[uint32]Activity
	asleep int // threads of the last pass without an activity
}

func (d *diary) pass(t testing.TB, census *Census, pid int) {
	t.Helper()
	d.asleep = 0
	require.NoError(t, census.Read(func(thread *Thread, activity *Activity, _ *Process) {
		switch {
		case int(thread.Pid) != pid:
		case activity != nil:
			d.last[thread.Tid] = *activity
		default:
			require.Contains(t, d.last, thread.Tid, "of a thread that is said to sleep nothing was ever told")
			d.asleep++
		}
	}))
}

// What is left out of a pass is what the passes before have told. Threads run,
// wait, wake each other and move between CPUs while passes are made, and stop at
// any moment of one.
func TestASleepingThreadIsWhatItWas(t *testing.T) {
	for _, test := range []struct{ name, workload string }{
		{"of a crowd", "crowd"},
		{"of two that take turns", "pingpong"},
	} {
		t.Run(test.name, func(t *testing.T) {
			const rounds, threads = 60, 6
			census := open(t)
			var child *workload.Process
			if test.workload == "crowd" {
				child = workload.Start(t, test.workload, strconv.Itoa(threads))
			} else {
				child = workload.Start(t, test.workload)
			}
			d := diary{last: map[uint32]Activity{}}
			d.pass(t, census, child.Pid())
			asleep := 0
			for round := range rounds {
				for until := time.Now().Add(rand.N(20 * time.Millisecond)); time.Now().Before(until); {
					d.pass(t, census, child.Pid())
				}
				child.Signal(unix.SIGSTOP)
				for range round % 3 {
					d.pass(t, census, child.Pid()) // while it stops
				}
				child.WaitStopped()
				for range 3 { // at some time it is long enough ago
					d.pass(t, census, child.Pid())
					time.Sleep(rand.N(15 * time.Millisecond))
				}
				d.pass(t, census, child.Pid())
				asleep += d.asleep

				whole := take(t, census, child.Pid())
				for _, thread := range whole.threads {
					last := d.last[thread.Tid]
					last.At = thread.At // since when it is so is all that differs
					require.Equal(t, thread.Activity, last, "round %d, thread %d", round, thread.Tid)
				}
				require.GreaterOrEqual(t, len(whole.threads), d.asleep)
				child.Signal(unix.SIGCONT)
			}
			require.Greater(t, asleep, rounds/2, "nothing was left out: this test has shown nothing")
		})
	}
}

// What a pass that was not made to its end has left out would be told by none.
func TestAPassAfterOneThatWasNotFinishedIsWhole(t *testing.T) {
	const sleepers = 300
	census := open(t)
	parent := workload.Start(t, "sleepers", strconv.Itoa(sleepers))
	asleep := func() (n int) {
		require.NoError(t, census.Read(func(_ *Thread, activity *Activity, process *Process) {
			if activity == nil && process != nil && int(process.Parent) == parent.Pid() {
				n++
			}
		}))
		return n
	}
	// Those a CPU has run last before it became idle may be told of again and again:
	// its clock stands still.
	most := func() bool { return asleep() >= sleepers*9/10 }

	require.Zero(t, asleep(), "the first")
	require.Eventually(t, most, time.Minute, 20*time.Millisecond)
	require.Panics(t, func() {
		_ = census.Read(func(*Thread, *Activity, *Process) { panic("enough") })
	})
	require.Zero(t, asleep())
	require.True(t, most())
	require.NoError(t, census.Read(func(*Thread, *Activity, *Process) { census.Whole() }))
	require.Zero(t, asleep(), "asked for in the pass before")
	require.True(t, most())
}
