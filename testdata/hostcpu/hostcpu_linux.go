// Package hostcpu tells tests what the host's CPUs have done, to compare with what
// its processes have.
package hostcpu

import (
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/testdata/hidden"
)

// Busy is what the CPUs have done since boot for the processes that a census can
// see: neither idle nor stolen, interrupts included. Guest time is in user time
// already. It goes by the tick (man 5 proc_stat).
//
// Some hosts keep processes from BPF's iterators that /proc shows, their init for
// one: what these have used is left out.
func Busy(t testing.TB, hidden procfs.Procs) time.Duration {
	t.Helper()
	proc, err := procfs.NewDefaultFS()
	require.NoError(t, err)
	stat, err := proc.Stat()
	require.NoError(t, err)
	c := stat.CPUTotal
	busy := c.User + c.Nice + c.System + c.IRQ + c.SoftIRQ
	for _, p := range hidden {
		stat, err := p.Stat()
		require.NoError(t, err)
		busy -= stat.CPUTime()
	}
	return time.Duration(busy * float64(time.Second))
}

// Hidden returns the processes that live throughout a pass of the census and are
// not in it.
func Hidden(t testing.TB, census interface {
	Read(visit func(*bpf.Thread, *bpf.Activity, *bpf.Process)) error
}) procfs.Procs {
	t.Helper()
	return hidden.Processes(t, func(visit func(uint32)) error {
		return census.Read(func(thread *bpf.Thread, _ *bpf.Activity, _ *bpf.Process) { visit(thread.Pid) })
	})
}
