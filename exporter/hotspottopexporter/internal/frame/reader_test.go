package frame

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSumsAreDiffedFromWindowToWindow(t *testing.T) {
	r := New(time.Minute)
	born := after(-1000)
	for i, cpu := range []float64{700, 701, 704} {
		b := window("", after(2*float64(i)))
		b.of(7, "busy").cpu(born, cpu).
			sum("hotspot.process.run_queue.time", born, "", map[string]float64{"": 10 + cpu/2}).
			sum("process.paging.faults", born, "system.paging.fault.type", map[string]float64{"minor": 100 * cpu, "major": cpu})
		r.Metrics(b.Metrics, after(2*float64(i)))
		f := r.Frame(after(2 * float64(i)))
		require.Len(t, f.Processes, 1)
		p := f.Processes[0]
		switch i {
		case 0:
			require.True(t, math.IsNaN(p.Cores), "nothing to compare with: 700 s are not of this window")
			require.True(t, math.IsNaN(f.Hosts[0].Window))
		case 1:
			require.InDelta(t, 0.5, p.Cores, 1e-9)
		case 2:
			require.InDelta(t, 1.5, p.Cores, 1e-9)
			require.InDelta(t, 0.75, p.Wait, 1e-9)
			require.InDelta(t, 150, p.Minor, 1e-9)
			require.InDelta(t, 1.5, p.Major, 1e-9)
			require.InDelta(t, 2, f.Hosts[0].Window, 1e-9)
			require.InDelta(t, 1.5, f.Hosts[0].Cores, 1e-9)
		}
	}
}

func TestWhatBeganInTheWindowCountsFromZero(t *testing.T) {
	r := New(time.Minute)
	b := window("", after(0))
	b.of(1, "old").cpu(after(-1000), 1)
	r.Metrics(b.Metrics, after(0))

	b = window("", after(2))
	b.of(1, "old").cpu(after(-1000), 2).waited(after(0), 9, "new", 1.25)
	b.of(9, "new").cpu(after(0.5), 1.5)
	r.Metrics(b.Metrics, after(2))

	f := r.Frame(after(2))
	require.Len(t, f.Processes, 2)
	require.InDelta(t, 0.75, named(f, "new").Cores, 1e-9)
	require.Len(t, f.Waits, 1)
	require.True(t, math.IsNaN(f.Waits[0].Share), "without the run queue time there is no telling")
	f.Waits[0].Share = 0
	require.Equal(t, []Wait{{Victim: Party{1, "old"}, Aggressor: Party{9, "new"}, Seconds: 1.25, Window: 2}}, f.Waits)
}

func TestASumThatBeginsAnewIsNotNegative(t *testing.T) {
	for name, restart := range map[string]time.Time{"with a new start": after(2), "with the old start": after(-1000)} {
		t.Run(name, func(t *testing.T) {
			r := New(time.Minute)
			for i, waited := range []float64{50, 51, 0.5} {
				since := after(-1000)
				if i == 2 {
					since = restart
				}
				b := window("", after(2*float64(i)))
				b.of(1, "victim").waited(since, 9, "aggressor", waited)
				r.Metrics(b.Metrics, after(2*float64(i)))
			}
			f := r.Frame(after(4))
			require.Len(t, f.Waits, 1)
			require.InDelta(t, 0.5, f.Waits[0].Seconds, 1e-9)
		})
	}
}

// Which processes are exported changes from window to window. One that comes in
// has a share of the host's CPUs, and others tell how many there are.
func TestAProcessThatComesInIsKnownByItsShare(t *testing.T) {
	r := New(time.Minute)
	for i := range 2 {
		b := window("", after(2*float64(i)))
		b.of(1, "steady").cpu(after(-1000), 100+float64(i)).gauge("process.cpu.utilization", 0.125)
		if i == 1 {
			b.of(2, "coming").cpu(after(-1000), 5000).gauge("process.cpu.utilization", 0.5)
		}
		r.Metrics(b.Metrics, after(2*float64(i)))
	}
	f := r.Frame(after(2))
	require.Equal(t, 4, f.Hosts[0].CPUs)
	require.InDelta(t, 2, named(f, "coming").Cores, 1e-9)
	require.InDelta(t, 2.5, f.Hosts[0].Cores, 1e-9)
}

func TestAProcessThatIsNotExportedAnyMoreIsNotShown(t *testing.T) {
	r := New(time.Minute)
	b := window("", after(0))
	b.of(1, "stays").cpu(after(-9), 1)
	b.of(2, "goes").cpu(after(-9), 1)
	r.Metrics(b.Metrics, after(0))
	b = window("", after(2))
	b.of(1, "stays").cpu(after(-9), 1)
	r.Metrics(b.Metrics, after(2))
	f := r.Frame(after(2))
	require.Len(t, f.Processes, 1)
	require.Equal(t, "stays", f.Processes[0].Name)
}

func TestAPidThatIsUsedAgainIsAnotherProcess(t *testing.T) {
	r := New(time.Minute)
	b := window("", after(0))
	b.of(1, "first").cpu(after(-9), 5)
	r.Metrics(b.Metrics, after(0))
	b = window("", after(2))
	b.of(1, "second").cpu(after(1), 6)
	b.ResourceMetrics().At(0).Resource().Attributes().PutStr("process.creation.time", "another")
	r.Metrics(b.Metrics, after(2))
	f := r.Frame(after(2))
	require.Len(t, f.Processes, 1)
	require.InDelta(t, 3, f.Processes[0].Cores, 1e-9, "6 s since its birth, not 1 s since the other's last")
}

func TestHostsAreApart(t *testing.T) {
	r := New(time.Minute)
	for i := range 2 {
		for n, host := range []string{"b", "a"} {
			// Their clocks need not agree.
			b := window(host, after(2*float64(i)+100*float64(n)))
			b.of(1, "same").cpu(after(-1000), float64((n+1)*i))
			r.Metrics(b.Metrics, after(2*float64(i)))
		}
	}
	f := r.Frame(after(2))
	require.Equal(t, "a", f.Hosts[0].Name)
	require.Equal(t, "b", f.Hosts[1].Name)
	require.Len(t, f.Processes, 2)
	require.InDelta(t, 1, f.Processes[0].Cores, 1e-9)
	require.InDelta(t, 0.5, f.Processes[1].Cores, 1e-9)

	require.Len(t, r.Frame(after(30)).Hosts, 2)
	require.Empty(t, r.Frame(after(63)).Hosts, "nothing has come for a minute")
}

// A batch may be split on its way.
func TestAWindowInTwoBatchesIsOne(t *testing.T) {
	r := New(time.Minute)
	for i := range 2 {
		at := after(2 * float64(i))
		for pid, name := range []string{"zero", "one"} {
			b := window("", at)
			b.of(int64(pid), name).cpu(after(-1000), float64(i))
			r.Metrics(b.Metrics, at)
		}
	}
	f := r.Frame(after(2))
	require.Len(t, f.Processes, 2)
	require.InDelta(t, 1, f.Hosts[0].Cores, 1e-9)
	require.InDelta(t, 2, f.Hosts[0].Window, 1e-9)
}

func TestMemoryIsWhatTheGaugesSay(t *testing.T) {
	r := New(time.Minute)
	b := window("", after(0))
	b.of(1, "leak").gauge("process.memory.usage", 1000).gauge("hotspot.process.memory.growth", 10).
		gauge("hotspot.process.memory.limit", 5000).gauge("hotspot.process.memory.time_to_limit", 400).
		gauge("hotspot.process.thread.max_utilization", 0.25)
	r.Metrics(b.Metrics, after(0))
	b = window("", after(2))
	b.of(1, "leak").gauge("process.memory.usage", 900)
	p := r.Frame(after(0)).Processes[0]
	require.Equal(t, []float64{1000, 10, 5000, 400, 0.25}, []float64{p.RSS, p.Growth, p.Limit, p.TimeToLimit, p.Thread})
	r.Metrics(b.Metrics, after(2))
	p = r.Frame(after(2)).Processes[0]
	require.InDelta(t, 900, p.RSS, 0)
	require.True(t, math.IsNaN(p.TimeToLimit), "it does not grow any more")
}

func named(f *Frame, name string) Process {
	for _, p := range f.Processes {
		if p.Name == name {
			return p
		}
	}
	return Process{}
}

func TestTheHostUsesWhatItsProcessesAndItsSumsSay(t *testing.T) {
	r := New(time.Minute)
	for i := range 2 {
		n := float64(i)
		b := window("", after(2*n))
		b.of(1, "own").cpu(after(-1000), 100+n)
		b.ofHost().sum("hotspot.host.other.cpu.time", after(-9), "", map[string]float64{"": 7 + n/2}).
			sum("hotspot.host.short_lived.cpu.time", after(-9), "process.executable.name", map[string]float64{"sh": n / 4, "other": n / 4})
		r.Metrics(b.Metrics, after(2*n))
	}
	require.InDelta(t, 1, r.Frame(after(2)).Hosts[0].Cores, 1e-9)
}
