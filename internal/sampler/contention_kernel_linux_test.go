package sampler_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/bpf/testdata/switches"
	"github.com/hotspot-otel/hotspot/internal/host"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

const (
	minWait  = 100 * time.Microsecond // the default of the receiver
	maxPairs = 16384
)

// watch is a sampler over everything the kernel has to say.
type watch struct {
	t      testing.TB
	kernel *bpf.Kernel
	host   *host.Host
	*sampler.Sampler
}

// openWatch loads all programs; see open for who may not. The first pass, which
// has no windows, is made.
func openWatch(t testing.TB) *watch {
	t.Helper()
	kernel, err := bpf.Open(&bpf.ContentionOptions{MinWait: minWait, MaxPairs: maxPairs, MaxVictims: 16384})
	if errors.Is(err, bpf.ErrRequirement) && os.Getenv("HOTSPOT_REQUIRE_KERNEL") != "1" {
		t.Skip("needs the kernel:", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, kernel.Close()) })
	for program, err := range kernel.Programs {
		require.NoError(t, err, program)
	}
	h, err := host.Open("/proc", "/sys")
	require.NoError(t, err)
	s := sampler.New(sampler.Sources{
		Census: kernel.Census, Exits: kernel.Exits, Contention: kernel.Contention, OOM: kernel.OOM, Host: h,
	}, 4)
	sample(t, s)
	return &watch{t: t, kernel: kernel, host: h, Sampler: s}
}

// windows lets some windows go by and calls visit with each.
func (w *watch) windows(n int, length time.Duration, visit func(*sampler.Snapshot)) {
	w.t.Helper()
	for range n {
		wait(w.host, length)
		visit(sample(w.t, w.Sampler))
	}
}

// loop starts a process of one thread that runs without end and has no runtime,
// whose threads would wait beside it. It is killed at the end of the test.
func loop(t testing.TB, options ...string) (pid int) {
	t.Helper()
	parent := workload.Start(t, "spawn", append(options, "-count=1", "1", "1h")...)
	require.Eventually(t, func() bool {
		for _, child := range parent.Children() {
			pid = child
		}
		return pid != 0
	}, patience, time.Millisecond)
	return pid
}

// thaw continues what was frozen.
func thaw(t testing.TB, pid int) {
	t.Helper()
	require.NoError(t, unix.Kill(pid, unix.SIGCONT))
}

// waits adds up how one process waited, window by window.
type waits struct {
	pid    int
	behind map[int]time.Duration // by aggressor
	total  sampler.Wait
	used   sampler.Usage
}

func (w *waits) add(s *sampler.Snapshot) {
	if w.behind == nil {
		w.behind = map[int]time.Duration{}
	}
	for _, p := range s.Pairs {
		if int(p.Victim.Pid) == w.pid {
			w.behind[int(p.Aggressor.Pid)] += p.Wait
		}
	}
	for i := range s.Windows {
		if v := &s.Windows[i]; int(v.Pid) == w.pid {
			w.total.Others += v.Waited.Others
			w.total.Self += v.Waited.Self
			w.total.Idle += v.Waited.Idle
			w.total.Throttled += v.Waited.Throttled
			w.total.Various += v.Waited.Various
			w.total.Unattributed += v.Waited.Unattributed
			w.used.RunQueue += v.Used.RunQueue
			w.used.Involuntary += v.Used.Involuntary
		}
	}
}

func (w *waits) pairs() time.Duration { return sum(w.behind) }

// schedstat returns the time on a CPU and the run delay of all threads of a
// process.
func schedstat(t testing.TB, pid int) (ran, waited time.Duration) {
	t.Helper()
	for _, thread := range schedstats(t, pid) {
		ran, waited = ran+thread.CPU, waited+thread.RunQueue
	}
	return ran, waited
}

// schedstats returns what each thread of a process has used.
func schedstats(t testing.TB, pid int) (all []sampler.Thread) {
	t.Helper()
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	require.NoError(t, err)
	require.NotEmpty(t, files, "process %d is gone", pid)
	for _, file := range files {
		tid, err := strconv.ParseUint(filepath.Base(filepath.Dir(file)), 10, 32)
		require.NoError(t, err)
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		thread := sampler.Thread{TID: uint32(tid)}
		_, err = fmt.Sscan(string(text), (*int64)(&thread.CPU), (*int64)(&thread.RunQueue))
		require.NoError(t, err)
		all = append(all, thread)
	}
	return all
}

// oneCPU is the option that keeps workloads on the same CPU.
func oneCPU(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("-cpu=%d", allowedCPUs(t)[0])
}

// A frozen process waits for no CPU. So a victim that is frozen at both ends has
// no wait in progress there, and the kernel's own run delay is the measure of
// all it ever waited; in between most windows end inside a wait.
func TestWaitIsAttributedToTheProcessThatTookTheCPU(t *testing.T) {
	const windows, length = 20, 500 * time.Millisecond
	w := openWatch(t)
	cpu := oneCPU(t)
	victim := loop(t, cpu, "-nice=19")
	workload.Freeze(t, victim)
	hog := loop(t, cpu)
	got := waits{pid: victim}
	sample(t, w.Sampler)
	cutBefore := victims(t, w)[uint32(victim)].Cut
	_, waitedBefore := schedstat(t, victim)
	hogBefore, _ := schedstat(t, hog)

	thaw(t, victim)
	w.windows(windows, length, got.add)
	workload.Freeze(t, victim)
	hogAfter, _ := schedstat(t, hog)
	got.add(sample(t, w.Sampler))

	_, waitedAfter := schedstat(t, victim)
	waited, hogRan := waitedAfter-waitedBefore, hogAfter-hogBefore
	// Nothing on a host at rest, but others can keep the victim waiting for longer
	// than the history reaches back.
	cut := time.Duration(victims(t, w)[uint32(victim)].Cut - cutBefore)
	t.Logf("the victim waited %v, of which cut off %v; attributed %v (%.4f), of which to the hog %v; that ran %v (%.4f)",
		waited, cut, got.pairs(), got.pairs().Seconds()/waited.Seconds(),
		got.behind[hog], hogRan, got.behind[hog].Seconds()/hogRan.Seconds())
	require.Greater(t, waited, windows*length/2, "this test has shown nothing")
	// 0.998 at rest. The end of a wait is missed if the kernel runs no BPF program
	// in the context of the task that had the CPU before.
	require.InEpsilon(t, (waited - cut).Seconds(), got.pairs().Seconds(), 0.05)
	// The victim always wants the CPU: what the hog gets it waits for.
	require.InEpsilon(t, hogRan.Seconds(), got.behind[hog].Seconds(), 0.03)
}

func TestEachAggressorIsChargedItsShare(t *testing.T) {
	const windows, length = 12, 500 * time.Millisecond
	w := openWatch(t)
	cpu := oneCPU(t)
	victim := loop(t, cpu)
	workload.Freeze(t, victim)
	hog := loop(t, cpu)
	ticker := workload.Start(t, "ticker", cpu, "1ms", "10ms").Pid()
	got := waits{pid: victim}
	sample(t, w.Sampler)
	trace := switches.Start(t, allowedCPUs(t)[0])

	thaw(t, victim)
	w.windows(windows, length, got.add)
	workload.Freeze(t, victim)
	all := trace.Stop()
	got.add(sample(t, w.Sampler))

	truth, long := all.Behind(victim, 0), all.Behind(victim, minWait)
	var whole, wholeLong time.Duration
	for pid, ns := range truth {
		if pid != 0 && pid != victim {
			whole, wholeLong = whole+ns, wholeLong+long[pid]
		}
	}
	for _, pid := range []int{hog, ticker} {
		share := got.behind[pid].Seconds() / got.pairs().Seconds()
		want := truth[pid].Seconds() / whole.Seconds()
		t.Logf("%d: %v of %v, share %.4f; in truth %v of %v, share %.4f; of waits of %v and more %v of %v",
			pid, got.behind[pid], got.pairs(), share, truth[pid], whole, want, minWait, long[pid], wholeLong)
		assert.InEpsilon(t, want, share, 0.05)
		assert.InEpsilon(t, long[pid].Seconds(), got.behind[pid].Seconds(), 0.03)
	}
}

// Twenty threads that always want to run on every CPU there is. Those that may
// roam are moved between CPUs while they wait, most often off a crowded one.
func TestTheWaitsAddUp(t *testing.T) {
	const processes, threads = 4, "5"
	for _, test := range []struct {
		name    string
		options []string
		beside  string // threads that stay on one CPU, if any
	}{
		{name: "of threads that stay on their CPU", options: []string{"-pinned"}},
		{name: "of threads that roam"},
		{name: "of threads that roam beside a crowded CPU", beside: "10"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := openWatch(t)
			crowd := map[int]*waits{}
			for range processes {
				p := workload.Start(t, "crowd", append(test.options, threads)...)
				crowd[p.Pid()] = &waits{pid: p.Pid()}
			}
			if test.beside != "" {
				workload.Start(t, "crowd", oneCPU(t), test.beside)
			}
			sample(t, w.Sampler)
			w.addUp(crowd)
		})
	}
}

// addUp checks every window of some processes, and all of them together.
func (w *watch) addUp(crowd map[int]*waits) {
	const windows, length = 6, time.Second
	t := w.t
	t.Helper()
	w.windows(windows, length, func(s *sampler.Snapshot) {
		t.Helper()
		behind := map[sampler.ID]time.Duration{}
		var pairs, caused time.Duration
		alive := map[sampler.ID]bool{}
		for i := range s.Windows {
			caused += s.Windows[i].Caused
			alive[s.Windows[i].ID] = true
		}
		for _, p := range s.Pairs {
			behind[p.Victim.ID] += p.Wait
			if alive[p.Aggressor.ID] {
				pairs += p.Wait
			}
		}
		require.Equal(t, pairs, caused, "what some wait others cause")

		for i := range s.Windows {
			v := &s.Windows[i]
			if crowd[int(v.Pid)] == nil {
				continue
			}
			crowd[int(v.Pid)].add(s)
			sum := v.Waited.Others + v.Waited.Self + v.Waited.Idle + v.Waited.Throttled + v.Waited.Unattributed
			t.Logf("%d: run queue %v, others %.4f, self %.4f, idle %.4f, unattributed %.4f; pairs %.4f of others", v.Pid,
				v.Used.RunQueue, ratio(v.Waited.Others, v.Used.RunQueue), ratio(v.Waited.Self, v.Used.RunQueue),
				ratio(v.Waited.Idle, v.Used.RunQueue), ratio(v.Waited.Unattributed, v.Used.RunQueue),
				ratio(behind[v.ID], v.Waited.Others))
			assert.InEpsilon(t, v.Used.RunQueue.Seconds(), sum.Seconds(), 0.02)
			assert.InEpsilon(t, (v.Waited.Others - v.Waited.Various).Seconds(), behind[v.ID].Seconds(), 0.02)
		}
	})
	for _, c := range crowd {
		require.NotZero(t, c.used.RunQueue)
		require.LessOrEqual(t, ratio(c.total.Unattributed, c.used.RunQueue), 0.05)
	}
}

func ratio(part, whole time.Duration) float64 {
	if whole == 0 {
		return 0
	}
	return part.Seconds() / whole.Seconds()
}

// Sixty-four processes take turns every few microseconds beside a hundred that
// want to run: more than there are slots for, in slices and in pairs.
func TestContention_ACrowdThatTakesTurnsIsAttributed(t *testing.T) {
	const ring, crowd, windows, length = 64, 100, 6, time.Second
	w := openWatch(t)
	cpu := oneCPU(t)
	workload.Start(t, "ring", cpu, strconv.Itoa(ring))
	parent := workload.Start(t, "spawn", cpu, "-count="+strconv.Itoa(crowd), "1000", "1h")
	require.Eventually(t, func() bool { return len(parent.Children()) == crowd }, patience, time.Millisecond)
	waiting := map[int]*waits{}
	for _, pid := range parent.Children() {
		waiting[pid] = &waits{pid: pid}
	}
	sample(t, w.Sampler)
	w.windows(windows, length, func(s *sampler.Snapshot) {
		for _, v := range waiting {
			v.add(s)
		}
	})
	var all waits
	for _, v := range waiting {
		all.total.Others += v.total.Others
		all.total.Various += v.total.Various
		all.total.Self += v.total.Self
		all.total.Idle += v.total.Idle
		all.total.Throttled += v.total.Throttled
		all.total.Unattributed += v.total.Unattributed
		all.used.RunQueue += v.used.RunQueue
	}
	of := func(d time.Duration) float64 { return ratio(d, all.used.RunQueue) }
	t.Logf("run queue %v: others %.4f, of which various %.4f; self %.4f, idle %.4f, unattributed %.4f", all.used.RunQueue,
		of(all.total.Others), of(all.total.Various), of(all.total.Self), of(all.total.Idle), of(all.total.Unattributed))
	sum := all.total.Others + all.total.Self + all.total.Idle + all.total.Throttled + all.total.Unattributed
	require.InEpsilon(t, all.used.RunQueue.Seconds(), sum.Seconds(), 0.001)
	require.LessOrEqual(t, of(all.total.Unattributed), 0.05)
	require.NotZero(t, all.total.Various, "this test has shown nothing")
}

// A server that answers a query runs for a few hundred microseconds and blocks:
// whatever it waits for, it waits in short pieces.
func TestContention_WaitsInShortPiecesAreAttributed(t *testing.T) {
	const windows, length = 6, time.Second
	for _, nice := range []string{"0", "-10"} {
		t.Run("behind a loop of nice "+nice, func(t *testing.T) {
			w := openWatch(t)
			cpu := oneCPU(t)
			hog := loop(t, cpu, "-nice="+nice)
			server := workload.Start(t, "ticker", cpu, "300us", "1ms").Pid()
			got := waits{pid: server}
			sample(t, w.Sampler)
			trace := switches.Start(t, allowedCPUs(t)[0])
			w.windows(windows, length, got.add)
			truth := trace.Stop().Behind(server, 0)
			delete(truth, server)
			named := got.total.Others + got.total.Self + got.total.Idle + got.total.Throttled
			t.Logf("run queue %v, %+v; behind the loop %v of %v, in truth %v of %v",
				got.used.RunQueue, got.total, got.behind[hog], got.pairs(), truth[hog], sum(truth))
			require.Greater(t, got.used.RunQueue, windows*length/50, "this test has shown nothing")
			require.GreaterOrEqual(t, ratio(named, got.used.RunQueue), 0.95)
			require.InEpsilon(t, ratio(truth[hog], sum(truth)), ratio(got.behind[hog], got.pairs()), 0.05)
		})
	}
}

// A loop whose cgroup may use a quarter of a CPU, beside one that may use all: what
// the quota holds it back is no fault of the other's. Of a single thread the kernel
// says how long that was.
func TestContention_TimeHeldBackByAQuotaIsBehindNobody(t *testing.T) {
	const windows, length = 6, time.Second
	w := openWatch(t)
	cpu := oneCPU(t)
	group := workload.NewCgroup(t, "cpu")
	group.SetQuota(25*time.Millisecond, 100*time.Millisecond)
	victim := loop(t, cpu)
	group.Add(victim)
	hog := loop(t, cpu)
	got := waits{pid: victim}
	sample(t, w.Sampler)
	_, before := schedstat(t, victim)
	throttledBefore := group.Throttled()
	w.windows(windows, length, got.add)
	_, after := schedstat(t, victim)
	throttled := group.Throttled() - throttledBefore
	truth := after - before - throttled
	t.Logf("waited %v, throttled for %v of that: %v behind others; told %+v, behind the loop %v",
		after-before, throttled, truth, got.total, got.behind[hog])
	require.Greater(t, throttled, windows*length/10, "this test has shown nothing")
	require.Greater(t, truth, windows*length/20, "nor this")
	// A window may end while it is held back, once, and what was before the first
	// and after the last reading of /proc counts in one of the two only.
	require.InDelta(t, truth.Seconds(), got.total.Others.Seconds(), 0.05*truth.Seconds()+0.02)
	require.InDelta(t, throttled.Seconds(), got.total.Throttled.Seconds(), 0.05*throttled.Seconds()+0.1)
}

// A task of SCHED_DEADLINE goes before all others, until it has used its runtime:
// then it waits for its next period, whoever runs.
func TestContention_TimeHeldBackByAReservationIsBehindNobody(t *testing.T) {
	const windows, length = 6, time.Second
	w := openWatch(t)
	workload.StartOnEachCPU(t, "busy")
	pid := loop(t)
	reserved := &unix.SchedAttr{
		Size: unix.SizeofSchedAttr, Policy: unix.SCHED_DEADLINE,
		Runtime: uint64(20 * time.Millisecond), Deadline: uint64(100 * time.Millisecond), Period: uint64(100 * time.Millisecond),
	}
	require.NoError(t, unix.SchedSetAttr(pid, reserved, 0))
	got := waits{pid: pid}
	sample(t, w.Sampler)
	w.windows(windows, length, got.add)
	t.Logf("run queue %v, %+v", got.used.RunQueue, got.total)
	require.Greater(t, got.used.RunQueue, windows*length/2, "this test has shown nothing")
	require.GreaterOrEqual(t, ratio(got.total.Throttled, got.used.RunQueue), 0.95)
	require.LessOrEqual(t, ratio(got.total.Others, got.used.RunQueue), 0.05)
}

// Two processes that pass a byte to and fro are off their CPU half of the time
// without waiting for it. Who wakes the other while both are on one CPU loses it
// as often as not: that is no sleep, and the kernel counts it as involuntary.
func TestInvoluntarySwitchesAreTheKernels(t *testing.T) {
	const windows, length = 6, 500 * time.Millisecond
	for _, test := range []struct {
		name   string
		beside bool
	}{
		{name: "two that ping-pong"},
		{name: "two that ping-pong beside a loop", beside: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := openWatch(t)
			cpu := oneCPU(t)
			ping := workload.Start(t, "pingpong", cpu)
			pids := []int{ping.Pid()}
			require.Eventually(t, func() bool {
				pids = append(pids[:1], ping.Children()...)
				return len(pids) == 2
			}, patience, time.Millisecond)
			if test.beside {
				pids = append(pids, loop(t, cpu))
			}
			freeze := func() {
				t.Helper()
				for _, pid := range pids {
					workload.Freeze(t, pid)
				}
			}
			freeze()
			sample(t, w.Sampler)
			wantBefore := map[int]switchCounts{}
			for _, pid := range pids {
				wantBefore[pid] = countSwitches(t, pid)
			}
			for _, pid := range pids {
				thaw(t, pid)
			}
			waited := map[int]*waits{}
			visit := func(s *sampler.Snapshot) {
				for _, pid := range pids {
					if waited[pid] == nil {
						waited[pid] = &waits{pid: pid}
					}
					waited[pid].add(s)
				}
			}
			w.windows(windows, length, visit)
			freeze()
			visit(sample(t, w.Sampler))

			for _, pid := range pids {
				want := countSwitches(t, pid).since(wantBefore[pid])
				got := waited[pid]
				t.Logf("%d: %d voluntary, %d involuntary switches; waited %v, behind others %v of %+v", pid,
					want.voluntary, want.involuntary, got.used.RunQueue, got.pairs(), got.total)
				assert.Equal(t, want.involuntary, got.used.Involuntary)
				assert.LessOrEqual(t, got.pairs(), got.used.RunQueue)
			}
			ours := countSwitches(t, ping.Pid()).since(wantBefore[ping.Pid()])
			require.Greater(t, ours.voluntary, uint64(1000), "this test has shown nothing")
		})
	}
}

// victims reads what the kernel keeps of every process that waited.
func victims(t testing.TB, w *watch) map[uint32]bpf.Victim {
	t.Helper()
	all := map[uint32]bpf.Victim{}
	require.NoError(t, w.kernel.Contention.Read(
		func(bpf.Pair, uint64) {},
		func(pid uint32, v bpf.Victim) { all[pid] = v }))
	return all
}

type switchCounts struct{ voluntary, involuntary uint64 }

func (c switchCounts) since(before switchCounts) switchCounts {
	return switchCounts{c.voluntary - before.voluntary, c.involuntary - before.involuntary}
}

// countSwitches adds up the context switches of all threads of a process.
func countSwitches(t testing.TB, pid int) (c switchCounts) {
	t.Helper()
	threads, err := procfs.AllThreads(pid)
	require.NoError(t, err)
	for _, thread := range threads {
		status, err := thread.NewStatus()
		require.NoError(t, err)
		c.voluntary += status.VoluntaryCtxtSwitches
		c.involuntary += status.NonVoluntaryCtxtSwitches
	}
	return c
}

// What runs beside the victim switches thousands of times a second and comes and
// goes: many of the aggressors of a wait are dead by its end.
func TestALongWaitBesideManySwitchesIsAttributed(t *testing.T) {
	const windows, length, long = 6, time.Second, 50 * time.Millisecond
	w := openWatch(t)
	cpu := oneCPU(t)
	victim := loop(t, cpu, "-nice=12")
	workload.Freeze(t, victim)
	beside := []int{workload.Start(t, "pingpong", cpu).Pid(), loop(t, cpu)}
	workload.Start(t, "spawn", cpu, "100", "5ms")
	got := waits{pid: victim}
	sample(t, w.Sampler)
	before := victims(t, w)[uint32(victim)]
	trace := switches.Start(t, allowedCPUs(t)[0])

	thaw(t, victim)
	w.windows(windows, length, got.add)
	workload.Freeze(t, victim)
	all := trace.Stop()
	got.add(sample(t, w.Sampler))
	after := victims(t, w)[uint32(victim)]

	truth, ofLong := all.Behind(victim, 0), all.Behind(victim, long)
	t.Logf("%d switches; run queue %v, of which %v in waits of %v and more; others %.4f, self %.4f, unattributed %.4f; cut off %v",
		len(all), got.used.RunQueue, sum(ofLong), long, ratio(got.total.Others, got.used.RunQueue),
		ratio(got.total.Self, got.used.RunQueue), ratio(got.total.Unattributed, got.used.RunQueue), time.Duration(after.Cut-before.Cut))
	require.Greater(t, len(all), 30_000, "this test has shown nothing")
	require.Greater(t, sum(ofLong), got.used.RunQueue/4, "nor this")
	// How far the history reaches back depends on how many processes take turns:
	// seconds on a host at rest, where no wait is that long.
	var cut time.Duration
	if sum(all.Behind(victim, time.Second)) > 0 {
		cut = time.Duration(after.Cut - before.Cut)
	}
	require.GreaterOrEqual(t, ratio(got.total.Others+got.total.Self+cut, got.used.RunQueue), 0.95)
	for _, pid := range beside {
		t.Logf("behind %d: %v, in truth %v", pid, got.behind[pid], truth[pid])
		assert.InDelta(t, truth[pid].Seconds(), got.behind[pid].Seconds(), 0.05*truth[pid].Seconds()+cut.Seconds())
	}
}

func sum(of map[int]time.Duration) (all time.Duration) {
	for _, d := range of {
		all += d
	}
	return all
}
