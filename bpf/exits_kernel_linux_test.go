package bpf

import (
	"math"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/testdata/hidden"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// exitCount is what a ring has brought.
type exitCount struct {
	ours, others int // processes, by whether the workload is their parent
	cpu          uint64
}

func (c *exitCount) read(t testing.TB, x *Exits, parent int) {
	t.Helper()
	require.NoError(t, x.Read(func(e *Exit) {
		if int(e.Parent) == parent {
			c.ours++
		} else {
			c.others++
		}
		c.cpu += e.Cpu
	}))
}

// readAll reads until no more comes: the kernel frees tasks late.
func (c *exitCount) readAll(t testing.TB, x *Exits, parent int) {
	t.Helper()
	for at, quiet := 0, 0; quiet < 10; quiet++ {
		c.read(t, x, parent)
		if c.ours != at {
			at, quiet = c.ours, 0
		}
		wait(50 * time.Millisecond)
	}
}

// unseenExits returns how many of so many exits no BPF program need have seen: none,
// but on a host that hides a thread from BPF up to 6 % of a burst were missing.
func unseenExits(t testing.TB, census *Census, of int) int {
	t.Helper()
	if !hidden.Any(t, func(visit func(uint32)) error {
		return census.Read(func(thread *Thread, _ *Activity, _ *Process) { visit(thread.Pid) })
	}) {
		return 0
	}
	return max(1, of/10)
}

// A ring that holds them all is the measure of one that does not.
func TestExitsThatFindNoRoomAreCounted(t *testing.T) {
	const processes, room = 5000, 64 << 10
	census := open(t)
	large, err := OpenExits()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, large.Close()) })
	spec, err := loadExits()
	require.NoError(t, err)
	spec.Maps["exits"].MaxEntries = room
	require.NoError(t, spec.Variables["wake_at"].Set(uint64(math.MaxUint64)))
	small, err := openExits(spec, roomForDead)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, small.Close()) })

	parent := workload.Start(t, "spawn", "-count="+strconv.Itoa(processes), strconv.Itoa(100*processes), "0s")
	parent.WaitStopped()
	var all, some exitCount
	all.readAll(t, large, parent.Pid())
	unseen := unseenExits(t, census, processes)
	require.GreaterOrEqual(t, all.ours, processes-unseen)
	require.LessOrEqual(t, all.ours, processes)
	some.read(t, small, parent.Pid())
	lost, err := small.Lost()
	require.NoError(t, err)
	t.Logf("%d exits, %d of others; a small ring %d, of others %d; lost %d",
		all.ours, all.others, some.ours, some.others, lost.Processes)
	require.Greater(t, some.ours, 0)
	require.Greater(t, lost.Processes, uint64(processes/4), "this test has shown nothing")
	// The one was opened, and is read, a moment before the other: both differ by
	// what others do meanwhile, nothing on a host that is at rest.
	require.InDelta(t, all.ours+all.others, some.ours+some.others+int(lost.Processes), float64(all.others))
	require.InEpsilon(t, all.cpu, some.cpu+lost.Cpu, 0.05)
	none, err := large.Lost()
	require.NoError(t, err)
	require.Zero(t, none.Processes)

	t.Run("and there is room again once they are read", func(t *testing.T) {
		again := workload.Start(t, "spawn", "200", "0s")
		require.Eventually(t, func() bool {
			var more exitCount
			more.read(t, small, again.Pid())
			return more.ours > 0
		}, time.Minute, 10*time.Millisecond)
	})
}

// A fork bomb at the pace of this machine, some 20 000 a second, beside which nobody
// reads until it is over: every exit is kept.
func TestNoExitOfAForkBombIsLost(t *testing.T) {
	processes := 100_000 // at 20 000 a second, in the default interval
	if os.Getenv("HOTSPOT_EMULATED") != "" {
		processes = 20_000
	}
	census := open(t)
	exits, err := OpenExits()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, exits.Close()) })

	began := time.Now()
	parent := workload.Start(t, "exits", "-count="+strconv.Itoa(processes), "1000000")
	parent.WaitStopped()
	took := time.Since(began)
	var all exitCount
	all.readAll(t, exits, parent.Pid())
	lost, err := exits.Lost()
	require.NoError(t, err)
	t.Logf("%.0f exits a second: %d read, %d of others; lost %d", float64(processes)/took.Seconds(), all.ours, all.others, lost.Processes)
	require.Zero(t, lost.Processes)
	require.GreaterOrEqual(t, all.ours, processes-unseenExits(t, census, processes))
	require.LessOrEqual(t, all.ours, processes)
}

// deadOf returns the sums of a process's dead threads; false if there are none.
func deadOf(t testing.TB, x *Exits, pid int) (of Dead, found bool) {
	t.Helper()
	require.NoError(t, x.Dead(func(g Group, d Dead) {
		if int(g.Pid) == pid {
			of, found = d, true
		}
	}))
	return of, found
}

func TestThreadsTakeNoRecordsButAreSummedUp(t *testing.T) {
	const threads, cpu = 20_000, 20 * time.Microsecond
	census := open(t)
	unseen := unseenExits(t, census, threads)
	exits, err := OpenExits()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, exits.Close()) })

	child := workload.Start(t, "churn", "-count="+strconv.Itoa(threads), cpu.String())
	child.WaitStopped()
	var dead Dead
	for quiet := 0; quiet < 10; quiet++ { // the kernel frees them late
		now, _ := deadOf(t, exits, child.Pid())
		if now != dead {
			dead, quiet = now, 0
		}
		wait(20 * time.Millisecond)
	}
	t.Logf("of %d threads that exited %d are freed; they ran for %v and waited %v", dead.Exited, dead.Threads,
		time.Duration(dead.Ran), time.Duration(dead.RunDelay))
	require.Greater(t, int(dead.Exited), threads*9/10, "but for the last ones, which are stopped")
	require.GreaterOrEqual(t, int(dead.Threads), int(dead.Exited)-unseen)
	// A program that is preempted is not run again on that CPU meanwhile.
	missed, err := exits.objects.Exiting.Stats()
	require.NoError(t, err)
	t.Logf("%d exits were missed", missed.RecursionMisses)
	require.LessOrEqual(t, dead.Threads, dead.Exited+missed.RecursionMisses)
	require.NotZero(t, dead.RunDelay)

	child.Signal(unix.SIGKILL)
	child.Reap()
	var last *Exit
	records := 0
	require.Eventually(t, func() bool {
		require.NoError(t, exits.Read(func(e *Exit) {
			records++
			if int(e.Pid) == child.Pid() {
				kept := *e
				last = &kept
			}
		}))
		return last != nil
	}, time.Minute, 10*time.Millisecond)
	require.Less(t, records, threads/10, "only processes take records")
	if last.ThreadsDue == 0 {
		_, kept := deadOf(t, exits, child.Pid())
		require.False(t, kept, "all is in the record, and the room is another's")
	} else {
		// Some thread is freed after the leader, or was unseen.
		require.GreaterOrEqual(t, uint64(last.ThreadsDue), dead.Exited)
		sums, kept := deadOf(t, exits, child.Pid())
		require.True(t, kept)
		last.Ran, last.RunDelay = last.Ran+sums.Ran, last.RunDelay+sums.RunDelay
	}
	require.GreaterOrEqual(t, last.Ran, dead.Ran)
	require.GreaterOrEqual(t, last.RunDelay, dead.RunDelay)
	if dead.Threads >= dead.Exited {
		require.GreaterOrEqual(t, last.Ran, last.Cpu, "each up to its end")
	}
	lost, err := exits.Lost()
	require.NoError(t, err)
	// A thread whose exit was missed may be freed when its process is told of.
	require.LessOrEqual(t, lost.Threads, missed.RecursionMisses)
	lost.Threads = 0
	require.Zero(t, lost)
}

// Processes that are killed while their threads come and go: of many the leader is
// freed first.
func TestThreadsThatAreFreedAfterTheirLeaderAreDue(t *testing.T) {
	const enough = 5
	unseen := unseenExits(t, open(t), enough)
	if runtime.NumCPU() < 2 {
		t.Skip("needs two CPUs: on one a thread has left it for good before its leader is reaped, nearly always")
	}
	exits, err := OpenExits()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, exits.Close()) })
	due := map[uint32]uint64{}
	for deadline := time.Now().Add(time.Minute); len(due) < enough; {
		require.Less(t, time.Now(), deadline)
		child := workload.Start(t, "churn", "20us")
		wait(5 * time.Millisecond)
		child.Stop()
		require.NoError(t, exits.Read(func(e *Exit) {
			if e.ThreadsDue > 0 && string(e.Comm[:5]) == "churn" {
				due[e.Pid] = uint64(e.ThreadsDue)
			}
		}))
	}
	t.Logf("due: %v", due)
	require.Eventually(t, func() bool {
		missing, groups := len(due), []Group{}
		require.NoError(t, exits.Dead(func(g Group, d Dead) {
			if threads := due[g.Pid]; threads > 0 {
				require.LessOrEqual(t, d.Threads, threads)
				groups = append(groups, g)
				if d.Threads == threads {
					missing--
				}
			}
		}))
		if missing > unseen {
			return false
		}
		for _, g := range groups {
			exits.Forget(g)
		}
		return true
	}, time.Minute, 10*time.Millisecond)
	require.NoError(t, exits.Dead(func(g Group, _ Dead) { require.Zero(t, due[g.Pid], "is forgotten") }))
}

// Without room for the sums the process is told of as ever.
func TestThreadsThatFindNoRoomAreCounted(t *testing.T) {
	const threads = 2000
	unseen := unseenExits(t, open(t), threads)
	spec, err := loadExits()
	require.NoError(t, err)
	exits, err := openExits(spec, 1)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, exits.Close()) })
	first := workload.Start(t, "churn", "-count=10", "0s")
	first.WaitStopped()
	_, kept := deadOf(t, exits, first.Pid())
	if !kept {
		t.Skip("somebody else's threads have exited meanwhile")
	}
	second := workload.Start(t, "churn", "-count="+strconv.Itoa(threads), "0s")
	second.WaitStopped()
	require.Eventually(t, func() bool {
		lost, err := exits.Lost()
		require.NoError(t, err)
		return int(lost.Threads) > threads*9/10-unseen // the last ones are stopped
	}, time.Minute, 10*time.Millisecond)
	second.Signal(unix.SIGKILL)
	second.Reap()
	require.Eventually(t, func() (told bool) {
		require.NoError(t, exits.Read(func(e *Exit) { told = told || int(e.Pid) == second.Pid() && e.ThreadsDue == 0 }))
		return told
	}, time.Minute, 10*time.Millisecond)
}

// wait lets time go by in which the kernel does something unseen.
func wait(d time.Duration) { <-time.After(d) }
