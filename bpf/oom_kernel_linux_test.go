package bpf

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

func TestAnOOMKillTellsWhomAndOfHowMuch(t *testing.T) {
	const limit, perSecond = 64 << 20, 64 << 20
	open(t) // skips
	oom, err := OpenOOM()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, oom.Close()) })
	group := workload.NewCgroup(t, "memory")
	group.SetMemory(limit)
	// All that it takes is taken in the group, however long it waits to be moved.
	child := workload.Start(t, "leak", "-base="+strconv.Itoa(unix.Getpagesize()), strconv.Itoa(perSecond))
	child.WaitStopped()
	group.Add(child.Pid())
	child.Signal(unix.SIGCONT)

	var kills []OOMKill
	require.Eventually(t, func() bool {
		require.NoError(t, oom.Read(func(k *OOMKill) {
			if int(k.Pid) == child.Pid() {
				kills = append(kills, *k)
			}
		}))
		return len(kills) > 0
	}, time.Minute, 10*time.Millisecond)
	require.Len(t, kills, 1)
	// The files it maps were read by others, and are in their groups.
	anonymous := int(kills[0].AnonPages) * unix.Getpagesize()
	t.Logf("killed at %d of %d bytes", anonymous, limit)
	require.InEpsilon(t, limit, anonymous, 0.15)
}
