package sampler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf"
)

// fakeExits tells of exits once.
type fakeExits struct{ exits []bpf.Exit }

func (x *fakeExits) Read(visit func(*bpf.Exit)) error {
	for i := range x.exits {
		visit(&x.exits[i])
	}
	x.exits = nil
	return nil
}

func (x *fakeExits) Lost() (bpf.ExitLoss, error) { return bpf.ExitLoss{}, nil }

// exited is the end of a process of one thread.
func exited(pid, parent uint32, start, cpu time.Duration, comm string) bpf.Exit {
	x := bpf.Exit{Pid: pid, Tid: pid, Parent: parent, ProcessStart: uint64(start), Cpu: uint64(cpu), User: uint64(cpu)}
	copy(x.Comm[:], comm)
	return x
}

func TestShortLivedProcessesAreCreditedToWhoMadeThem(t *testing.T) {
	r, x := newRig(t), &fakeExits{}
	r.from.Exits = x
	make, shell := leader(7, 0), leader(9, 0)
	old := leader(20, 95*second)
	r.pass(100*second, make, shell, old)

	x.exits = []bpf.Exit{
		exited(30, 7, 101*second, second, "cc1"),
		exited(31, 7, 102*second, 2*second, "ld"),
		exited(32, 7, 103*second, second, "as"),
		exited(33, 9, 103*second, second, "ls"),
		exited(34, 99, 103*second, second, "orphan"),
		exited(20, 7, 95*second, 3*second, "daemon"), // a census has seen it
	}
	s := r.pass(105*second, make, shell)
	require.Equal(t, Children{Exits: 3, CPU: 4 * second, Name: "ld"}, s.Windows[0].Children)
	require.Equal(t, Children{Exits: 1, CPU: second, Name: "ls"}, s.Windows[1].Children)
	for _, w := range s.Windows[2:] {
		require.True(t, w.Exited)
		require.Equal(t, w.Pid != 20, w.ShortLived)
	}

	s = r.pass(110*second, make, shell)
	require.Zero(t, s.Windows[0].Children, "each is counted once")
}
