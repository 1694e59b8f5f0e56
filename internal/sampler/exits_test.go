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
