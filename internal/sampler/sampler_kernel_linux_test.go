package sampler_test

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/host"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/testdata/hostcpu"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

func TestMain(m *testing.M) {
	workload.Main()
	sampler.MainHeldUp()
	os.Exit(m.Run())
}

// open returns the real kernel and host; without the rights to the former the
// test is skipped, unless the environment says that no test may be.
func open(t testing.TB) (*bpf.Census, *host.Host) {
	t.Helper()
	census, err := bpf.OpenCensus()
	if errors.Is(err, bpf.ErrRequirement) && os.Getenv("HOTSPOT_REQUIRE_KERNEL") != "1" {
		t.Skip("needs the kernel:", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, census.Close()) })
	h, err := host.Open("/proc", "/sys")
	require.NoError(t, err)
	return census, h
}

func sample(t testing.TB, s *sampler.Sampler) *sampler.Snapshot {
	t.Helper()
	snapshot, err := s.Sample()
	require.NoError(t, err)
	return snapshot
}

// windowOf returns the window of one process.
func windowOf(t testing.TB, s *sampler.Snapshot, pid int) sampler.Window {
	t.Helper()
	for _, w := range s.Windows {
		if int(w.Pid) == pid {
			return w
		}
	}
	t.Fatalf("process %d has no window", pid)
	return sampler.Window{}
}

// wait lets a window go by.
func wait(h *host.Host, length time.Duration) {
	_, begin := h.Now()
	for now := begin; now < begin+length; _, now = h.Now() {
		time.Sleep(begin + length - now)
	}
}

// CPU time of all processes is the host's busy time, interrupts included: if
// CONFIG_IRQ_TIME_ACCOUNTING is off, a thread's time on a CPU goes on while an
// interrupt is served on it. Measured on 6.18 with the CPUs flooded with packets
// over the loopback device, 28 % of their time in softirq: the processes came to
// 1.005 of the busy time with irq and softirq and to 1.40 of it without. If it
// is on, both are left out of the threads' times, but they are few under the
// load below. Stolen time belongs to neither: the clock of threads leaves it out
// (CONFIG_PARAVIRT_TIME_ACCOUNTING), and the tick books it apart.
func TestTheProcessesTogetherUseWhatTheHostUses(t *testing.T) {
	const windows, length = 10, time.Second
	census, h := open(t)
	exits, err := bpf.OpenExits()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, exits.Close()) })
	for _, cpu := range allowedCPUs(t) {
		workload.Start(t, "busy", fmt.Sprintf("-cpu=%d", cpu))
	}
	s := sampler.New(sampler.Sources{Census: census, Exits: exits, Host: h}, 2)

	hidden := hostcpu.Hidden(t, census)
	sample(t, s)
	busyBefore, begin := hostcpu.Busy(t, hidden), time.Now()
	var used, kernelThreads, gone time.Duration
	for range windows {
		wait(h, length)
		for _, w := range sample(t, s).Windows {
			used += w.Used.CPU()
			if w.Kernel {
				kernelThreads += w.Used.CPU()
			}
			if w.Exited {
				gone += w.Used.CPU()
			}
		}
	}
	took := time.Since(begin)
	busy := hostcpu.Busy(t, hidden) - busyBefore

	t.Logf("host busy %v of %v on %d CPUs; processes %v (%.4f), of which kernel threads %v and of processes that exited %v",
		busy, took, h.CPUs(), used, used.Seconds()/busy.Seconds(), kernelThreads, gone)
	require.InEpsilon(t, busy.Seconds(), used.Seconds(), 0.03)
}

func TestTheWindowOfABusyProcess(t *testing.T) {
	census, h := open(t)
	child := workload.Start(t, "busy")
	s := newUndisturbed(t, census, h)
	snapshot := undisturbedWindow(t, s, h)
	w := windowOf(t, snapshot, child.Pid())

	require.Equal(t, uint32(child.Pid()), w.Busiest.TID)
	require.InDelta(t, 1, snapshot.Share(w.Busiest.CPU+w.Busiest.RunQueue), 0.05, "it ran or waited all the time")
	require.Equal(t, w.Busiest.CPU, w.MaxThreadCPU)
	require.InEpsilon(t, float64(w.Used.CPU()), float64(w.MaxThreadCPU), 0.03, "one thread does it all")
	// Go's runtime has further threads, which wait for a CPU now and then.
	require.GreaterOrEqual(t, w.Used.RunQueue, w.Busiest.RunQueue)
	require.Less(t, w.Used.System, w.Used.User)
	require.Equal(t, "busy", w.Name)
	require.Equal(t, os.Getpid(), int(w.Parent))
	require.False(t, w.Kernel)

	process, err := procfs.NewProc(child.Pid())
	require.NoError(t, err)
	stat, err := process.Stat()
	require.NoError(t, err)
	// USER_HZ is 100 on every architecture.
	require.Equal(t, stat.Starttime, uint64(w.Start/(10*time.Millisecond)))
	require.InDelta(t, 0, time.Until(w.Created).Seconds()+age(h, w.Start).Seconds(), 0.01)
}

// newUndisturbed returns a sampler that was not kept from running between its
// two clocks, which would put every time of creation off.
func newUndisturbed(t testing.TB, kernel sampler.Census, h *host.Host) (s *sampler.Sampler) {
	t.Helper()
	require.Eventually(t, func() bool {
		begin := time.Now()
		s = sampler.New(sampler.Sources{Census: kernel, Host: h}, 2)
		return time.Since(begin) < time.Millisecond
	}, time.Minute, time.Millisecond)
	return s
}

// undisturbedWindow returns a window whose passes were not kept waiting for a CPU
// after they had looked at the clock.
func undisturbedWindow(t testing.TB, s *sampler.Sampler, h *host.Host) *sampler.Snapshot {
	t.Helper()
	const length = time.Second
	pass := func() (*sampler.Snapshot, bool) {
		begin := time.Now()
		snapshot := sample(t, s)
		return snapshot, time.Since(begin) < length/50
	}
	for range 60 {
		_, first := pass()
		wait(h, length)
		if snapshot, second := pass(); first && second {
			return snapshot
		}
	}
	t.Fatal("this test is never given a CPU in time")
	return nil
}

// age is how long ago something started that is known by its time since boot.
func age(h *host.Host, start time.Duration) time.Duration {
	_, now := h.Now()
	return now - start
}

func TestAWindowAllocatesNothingPerThread(t *testing.T) {
	const processes, bound = 2000, 20
	census, h := open(t)
	s := sampler.New(sampler.Sources{Census: census, Host: knownHost{h}}, 4)
	allocations := func() float64 {
		for range 3 { // maps and slices grow to their size
			sample(t, s)
		}
		return testing.AllocsPerRun(10, func() { sample(t, s) })
	}
	few := allocations()
	workload.Start(t, "sleepers", strconv.Itoa(processes))
	many := allocations()
	t.Logf("%v allocations a pass, with %d processes more %v", few, processes, many)
	require.LessOrEqual(t, many, float64(bound))
}

// knownHost does not read /proc: what that allocates is the same for any number
// of threads.
type knownHost struct{ *host.Host }

func (knownHost) CPUs() int                  { return 2 }
func (knownHost) AvailableMemory() uint64    { return 1 << 30 }
func (knownHost) MemoryStall() time.Duration { return 0 }

func (knownHost) IOStall() time.Duration { return 0 }

// BenchmarkSample is one pass over a host with 10 000 processes more than it
// has: census, decoding and diff.
func BenchmarkSample(b *testing.B) {
	const processes = 10_000
	census, h := open(b)
	workload.Start(b, "sleepers", strconv.Itoa(processes))
	s := sampler.New(sampler.Sources{Census: census, Host: h}, 4)
	sample(b, s)
	sample(b, s)
	threads := 0
	before := ownCPU(b)
	for b.Loop() {
		threads = sample(b, s).Threads
	}
	perPass := (ownCPU(b) - before) / time.Duration(b.N)
	b.ReportMetric(float64(perPass)/float64(time.Millisecond), "cpu-ms/op")
	b.ReportMetric(float64(perPass)/float64(threads), "ns/thread")
}

// ownCPU is the CPU time this process has used.
func ownCPU(t testing.TB) time.Duration {
	t.Helper()
	var used unix.Rusage
	require.NoError(t, unix.Getrusage(unix.RUSAGE_SELF, &used))
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

func allowedCPUs(t testing.TB) (all []int) {
	t.Helper()
	var allowed unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &allowed))
	for cpu := range len(allowed) * 64 {
		if allowed.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	return all
}
