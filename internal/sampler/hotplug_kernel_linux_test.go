package sampler_test

import (
	"os"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/testdata/hostcpu"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// The loops are stopped at both ends, so that what the kernel tells of them there
// is final. In between the second of two CPUs goes offline, which moves the tasks
// of its run queue to the first, and comes back, while windows go by.
func TestCPUHotplugUnderLoadLosesNoTime(t *testing.T) {
	if os.Getenv("HOTSPOT_EMULATED") == "" {
		t.Skip("takes a CPU offline: runs in a guest only")
	}
	const loops, times, apart, length = 4, 6, 700 * time.Millisecond, 500 * time.Millisecond
	w := openWatch(t)
	all := newLedger(t)
	hidden := hostcpu.Hidden(t, w.kernel.Census)
	var processes []*workload.Process
	before := map[int]unix.Rusage{}
	for range loops {
		p := workload.Start(t, "busy")
		p.Signal(unix.SIGSTOP)
		before[p.Pid()] = p.WaitStopped()
		processes = append(processes, p)
	}
	_, passBegan := w.host.Now()
	all.add(sample(t, w.Sampler))
	busyBefore, ranBefore := hostcpu.Busy(t, hidden), ranOnCPUs(t)
	for _, p := range processes {
		p.Signal(unix.SIGCONT)
	}

	var used time.Duration
	usedBy := map[int]time.Duration{}
	online := map[int]int{} // windows by the CPUs online at their ends
	window := func() {
		t.Helper()
		_, began := w.host.Now()
		s := sample(t, w.Sampler)
		_, now := w.host.Now()
		requirePossible(t, s, now-passBegan)
		passBegan = began
		all.add(s)
		online[s.CPUs]++
		for i := range s.Windows {
			used += s.Windows[i].Used.CPU()
			usedBy[int(s.Windows[i].Pid)] += s.Windows[i].Used.CPU()
		}
	}
	hotplugged := make(chan error, 1)
	t.Cleanup(func() { require.NoError(t, setOnline(true)) })
	go func() {
		hotplugged <- func() error {
			for range times {
				for _, on := range []bool{false, true} {
					if err := setOnline(on); err != nil {
						return err
					}
					wait(w.host, apart)
				}
			}
			return nil
		}()
	}()
	for running := true; running; {
		wait(w.host, length)
		window()
		select {
		case err := <-hotplugged:
			require.NoError(t, err)
			running = false
		default:
		}
	}
	for _, p := range processes {
		p.Signal(unix.SIGSTOP)
	}
	after := map[int]unix.Rusage{}
	for _, p := range processes {
		after[p.Pid()] = p.WaitStopped()
	}
	window()
	busy, ran := hostcpu.Busy(t, hidden)-busyBefore, ranOnCPUs(t)-ranBefore

	t.Logf("windows by CPUs online: %v; all processes used %v; the CPUs ran %v (%.4f) by their run queues and %v (%.4f) by the tick",
		online, used, ran, ratio(used, ran), busy, ratio(used, busy))
	require.Len(t, online, 2, "this test has shown nothing")
	for pid, usage := range after {
		requireRusage(t, usage, all.called(pid)[0].Total, woken)
		truth := cpuOf(usage) - cpuOf(before[pid])
		t.Logf("%d used %v of %v (%.4f)", pid, usedBy[pid], truth, ratio(usedBy[pid], truth))
		require.InEpsilon(t, truth, usedBy[pid], 0.02)
	}
	require.InEpsilon(t, ran, used, 0.02)
}

func cpuOf(u unix.Rusage) time.Duration { return time.Duration(u.Utime.Nano() + u.Stime.Nano()) }

// requirePossible checks what no window can be if its two passes began and ended
// within a span of time.
func requirePossible(t testing.TB, s *sampler.Snapshot, span time.Duration) {
	t.Helper()
	// What a running thread has used is told up to the last tick, at least 100 in a
	// second.
	const tick = 10 * time.Millisecond
	var used time.Duration
	for i := range s.Windows {
		w := &s.Windows[i]
		used += w.Used.CPU()
		for _, thread := range []sampler.Thread{w.Busiest, w.Delayed} {
			require.LessOrEqual(t, thread.CPU+thread.RunQueue, span+tick, "%s %v", w.Name, w.ID)
		}
		require.LessOrEqual(t, w.MaxThreadCPU, w.Used.CPU(), "%s %v", w.Name, w.ID)
	}
	require.LessOrEqual(t, used, 2*(span+tick), "on two CPUs")
}

// ranOnCPUs returns for how long tasks have run on the CPUs that are online, up to
// the last switch on each (rq_cpu_time of /proc/schedstat). The ticks of /proc/stat
// are too coarse here: an emulated CPU misses one in five.
func ranOnCPUs(t testing.TB) (sum time.Duration) {
	t.Helper()
	proc, err := procfs.NewDefaultFS()
	require.NoError(t, err)
	stat, err := proc.Schedstat()
	require.NoError(t, err)
	require.Len(t, stat.CPUs, 2)
	for _, cpu := range stat.CPUs {
		sum += time.Duration(cpu.RunningNanoseconds)
	}
	return sum
}

// setOnline takes the second CPU offline or back; not every machine lets go of its
// first.
func setOnline(on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	return os.WriteFile("/sys/devices/system/cpu/cpu1/online", []byte(value), 0)
}
