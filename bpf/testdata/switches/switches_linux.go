// Package switches traces every context switch of a CPU: the measure for tests of
// what is derived from fewer data.
package switches

import (
	"errors"
	"os"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
	"github.com/stretchr/testify/require"
)

//go:generate go tool bpf2go -cc clang-19 -strip llvm-strip-19 -target bpfel -no-global-types -cflags "-O2 -mcpu=v3 -Wall -Wextra -Wno-unused-parameter -Werror" -type switched switches switches.bpf.c

// Trace is a trace that goes on.
type Trace struct {
	t       testing.TB
	objects struct {
		Trace    *ebpf.Program  `ebpf:"trace"`
		Switches *ebpf.Map      `ebpf:"switches"`
		Lost     *ebpf.Variable `ebpf:"lost"`
	}
	link   link.Link
	reader *ringbuf.Reader
}

// Start begins a trace. It has room for more than a million switches.
func Start(t testing.TB, cpu int) *Trace {
	t.Helper()
	tr := &Trace{t: t}
	spec, err := loadSwitches()
	require.NoError(t, err)
	require.NoError(t, spec.Variables["cpu"].Set(uint32(cpu)))
	require.NoError(t, spec.LoadAndAssign(&tr.objects, nil))
	t.Cleanup(func() {
		require.NoError(t, errors.Join(tr.objects.Trace.Close(), tr.objects.Switches.Close()))
	})
	tr.reader, err = ringbuf.NewReader(tr.objects.Switches)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, tr.reader.Close()) })
	tr.link, err = link.AttachTracing(link.TracingOptions{Program: tr.objects.Trace, AttachType: ebpf.AttachTraceRawTp})
	require.NoError(t, err)
	return tr
}

// Stop ends the trace and returns the switches in their order. The test
// fails if there was no room for some.
func (tr *Trace) Stop() Switches {
	tr.t.Helper()
	require.NoError(tr.t, tr.link.Close())
	var lost uint64
	require.NoError(tr.t, tr.objects.Lost.Get(&lost))
	require.Zero(tr.t, lost, "switches that the trace had no room for")

	var all Switches
	tr.reader.SetDeadline(time.Unix(1, 0))
	for record := new(ringbuf.Record); ; {
		err := tr.reader.ReadInto(record)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return all
		}
		require.NoError(tr.t, err)
		all = append(all, *(*switchesSwitched)(unsafe.Pointer(&record.RawSample[0])))
	}
}

// Switches is what happened on a CPU, in its order.
type Switches []switchesSwitched

// Behind returns who ran, and for how long, while some thread of a process
// waited for this CPU: over all its waits that ended in the trace and lasted at
// least the given time. 0 is the idle task.
func (s Switches) Behind(pid int, least time.Duration) map[int]time.Duration {
	behind := map[int]time.Duration{}
	for i, in := range s {
		if int(in.To) != pid || in.Queued == 0 || in.Clock < in.Queued+uint64(least) {
			continue
		}
		// Up to each switch, the one it was from had run since the switch before.
		for j := i; j > 0 && s[j].Clock > in.Queued; j-- {
			since := max(s[j-1].Clock, in.Queued)
			behind[int(s[j].From)] += time.Duration(s[j].Clock - since)
		}
	}
	return behind
}
