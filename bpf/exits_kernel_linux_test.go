package bpf

import (
	"math"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

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

// A ring that holds them all is the measure of one that does not.
func TestExitsThatFindNoRoomAreCounted(t *testing.T) {
	const processes, room = 5000, 64 << 10
	open(t) // skips
	large, err := OpenExits()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, large.Close()) })
	spec, err := loadExits()
	require.NoError(t, err)
	spec.Maps["exits"].MaxEntries = room
	require.NoError(t, spec.Variables["wake_at"].Set(uint64(math.MaxUint64)))
	small, err := openExits(spec)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, small.Close()) })

	parent := workload.Start(t, "spawn", "-count="+strconv.Itoa(processes), strconv.Itoa(100*processes), "0s")
	parent.WaitStopped()
	var all, some exitCount
	all.readAll(t, large, parent.Pid())
	// Not all: the kernel need not run a BPF program in the context that happens
	// to free a task. Those neither ring can tell of.
	require.Greater(t, all.ours, processes/2)
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

// A fork bomb at the pace of this machine, some 20 000 a second: each is read, or
// counted as lost.
func TestExitsOfAForkBombAreReadOrCountedAsLost(t *testing.T) {
	const processes = 20_000
	open(t) // skips
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
	t.Logf("%.0f exits a second: %d read, %d of others; lost %d", processes/took.Seconds(), all.ours, all.others, lost.Processes)
	require.Greater(t, all.ours, processes/2)
	// Where a thread is hidden from BPF no program runs in the interrupts it has
	// either, nor for the tasks that are freed in these: up to 1 % was seen.
	require.InEpsilon(t, processes, all.ours+int(lost.Processes), 0.02)
}

// wait lets time go by in which the kernel does something unseen.
func wait(d time.Duration) { <-time.After(d) }
