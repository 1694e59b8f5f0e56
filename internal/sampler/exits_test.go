package sampler

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf"
)

// fakeExits says each exit once.
type fakeExits struct{ exits []bpf.Exit }

func (x *fakeExits) Read(visit func(*bpf.Exit)) error {
	for i := range x.exits {
		visit(&x.exits[i])
	}
	x.exits = nil
	return nil
}

func (x *fakeExits) Lost() (bpf.ExitLoss, error) { return bpf.ExitLoss{}, nil }

func TestAProcessThatNoCensusHasSeen(t *testing.T) {
	for _, test := range []struct {
		name       string
		start      time.Duration
		shortLived bool
		used       time.Duration
	}{
		{name: "came and went in this window", start: 101 * second, shortLived: true, used: second},
		{name: "was reaped before the watch began, and its past is not of this window", start: 50 * second},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newRig(t)
			exits := &fakeExits{}
			r.from.Exits = exits
			r.pass(100 * second)
			exits.exits = []bpf.Exit{{
				Pid: 7, Tid: 7, ProcessStart: uint64(test.start), Cpu: uint64(second), User: uint64(second),
			}}
			w := r.only(r.pass(105 * second))
			require.True(t, w.Exited)
			require.Equal(t, test.shortLived, w.ShortLived)
			require.Equal(t, test.used, w.Used.CPU())
			require.Equal(t, second, w.Total.CPU())
		})
	}
}

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
