package bpf

import (
	"errors"
	"os"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf/testdata/departures"
)

func TestDepartures_AreKnownByTheLowHalfOfHowOftenATaskRan(t *testing.T) {
	spec, err := departures.Spec()
	require.NoError(t, err)
	var objects struct {
		Ask   *ebpf.Program  `ebpf:"ask"`
		Entry *ebpf.Variable `ebpf:"entry"`
		Runs  *ebpf.Variable `ebpf:"runs"`
		Tid   *ebpf.Variable `ebpf:"tid"`
	}
	err = spec.LoadAndAssign(&objects, nil)
	if err != nil && os.Getenv("HOTSPOT_REQUIRE_KERNEL") != "1" && errors.Is(err, os.ErrPermission) {
		t.Skip("needs the kernel:", err)
	}
	require.NoError(t, err)
	defer func() { require.NoError(t, objects.Ask.Close()) }()
	for name, tt := range map[string]struct {
		left, now uint64
		tid       uint32
		want      uint32
	}{
		"a task that has not run since": {left: 7, now: 7, tid: 100, want: 1},
		"one that has":                  {left: 7, now: 8, tid: 100},
		"another":                       {left: 7, now: 7, tid: 101},
		"one that ran more than 2^32 times, and not since":   {left: 1<<32 + 7, now: 1<<32 + 7, tid: 100, want: 1},
		"one that ran 2^32 times, and once since":            {left: 1 << 32, now: 1<<32 + 1, tid: 100},
		"one whose count has just outgrown half of its bits": {left: 1<<32 - 1, now: 1 << 32, tid: 100},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, objects.Entry.Set(departures.Departure{Tid: 100, Runs: uint32(tt.left)}))
			require.NoError(t, objects.Runs.Set(tt.now))
			require.NoError(t, objects.Tid.Set(tt.tid))
			got, err := objects.Ask.Run(&ebpf.RunOptions{Data: make([]byte, 64)})
			require.NoError(t, err)
			require.Equal(t, tt.want, got)
		})
	}
}
