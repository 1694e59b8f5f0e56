package bpf

import (
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
)

func TestMarks_OfWaitsThatNobodyLookedBackOverAreSwept(t *testing.T) {
	const gone = 1 << 30 // no thread has this id
	c := open(t)
	pass := func() { require.NoError(t, c.Read(func(*Thread, *Activity, *Process) {})) }
	require.NoError(t, c.marks.Put(uint32(gone), censusMark{Queued: 1, Until: 2}))
	there := func() bool {
		var mark censusMark
		err := c.marks.Lookup(uint32(gone), &mark)
		if err != nil {
			require.ErrorIs(t, err, ebpf.ErrKeyNotExist)
		}
		return err == nil
	}
	for range sweepEvery {
		pass()
	}
	require.True(t, there(), "it may be of a wait that goes on")
	require.NoError(t, c.marks.Put(uint32(gone), censusMark{Queued: 1, Until: 3}))
	for range sweepEvery {
		pass()
	}
	require.True(t, there(), "it has moved")
	for range sweepEvery {
		pass()
	}
	require.False(t, there())
}
