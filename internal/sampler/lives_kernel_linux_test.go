package sampler_test

import (
	"cmp"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/testdata/hidden"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// patience is how long to wait for what must come; the kernel frees a task
// some time after it was reaped.
const patience = time.Minute

// ledger keeps the windows of every process of the host and finds what no series
// of windows may do.
type ledger struct {
	t    testing.TB
	last map[sampler.ID]sampler.Window
}

func newLedger(t testing.TB) *ledger { return &ledger{t: t, last: map[sampler.ID]sampler.Window{}} }

func (l *ledger) add(s *sampler.Snapshot) {
	l.t.Helper()
	seen := map[sampler.ID]bool{}
	for _, w := range s.Windows {
		require.False(l.t, seen[w.ID], "%s %v is counted twice", w.Name, w.ID)
		seen[w.ID] = true
		before, known := l.last[w.ID]
		require.False(l.t, before.Exited, "%s %v has come back", w.Name, w.ID)
		if known {
			requireGrown(l.t, before.Total, w.Total)
			require.Equal(l.t, w.Total.CPU()-before.Total.CPU(), w.Used.CPU(), "%s %v", w.Name, w.ID)
			require.Equal(l.t, w.Total.RunQueue-before.Total.RunQueue, w.Used.RunQueue, "%s %v", w.Name, w.ID)
			require.Equal(l.t, w.Total.MinorFaults-before.Total.MinorFaults, w.Used.MinorFaults, "%s %v", w.Name, w.ID)
		}
		require.False(l.t, w.ShortLived && known, "%s %v was there before", w.Name, w.ID)
		require.False(l.t, w.ShortLived && w.Used != w.Total, "%s %v is %v of %v", w.Name, w.ID, w.Used, w.Total)
		l.last[w.ID] = w
	}
}

func requireGrown(t testing.TB, before, after sampler.Usage) {
	t.Helper()
	require.GreaterOrEqual(t, after.User, before.User)
	require.GreaterOrEqual(t, after.System, before.System)
	require.GreaterOrEqual(t, after.RunQueue, before.RunQueue)
	require.GreaterOrEqual(t, after.MinorFaults, before.MinorFaults)
	require.GreaterOrEqual(t, after.MajorFaults, before.MajorFaults)
	require.GreaterOrEqual(t, after.Voluntary, before.Voluntary)
	require.GreaterOrEqual(t, after.Involuntary, before.Involuntary)
}

// called returns the last windows of the processes that had a pid, the oldest
// process first.
func (l *ledger) called(pid int) (all []sampler.Window) {
	for id, w := range l.last {
		if int(id.Pid) == pid {
			all = append(all, w)
		}
	}
	slices.SortFunc(all, func(a, b sampler.Window) int { return cmp.Compare(a.Start, b.Start) })
	return all
}

// until makes passes until a condition is met.
func (w *watch) until(met func() bool, visit func(*sampler.Snapshot)) {
	w.t.Helper()
	for deadline := time.Now().Add(patience); !met(); {
		require.Less(w.t, time.Now(), deadline, "does not come")
		w.windows(1, 20*time.Millisecond, visit)
	}
}

// untilExited makes passes until all processes that had a pid have exited.
func (w *watch) untilExited(l *ledger, pid, processes int) []sampler.Window {
	w.t.Helper()
	w.until(func() bool {
		all := l.called(pid)
		gone := func(v sampler.Window) bool { return !v.Exited }
		return len(all) >= processes && !slices.ContainsFunc(all, gone)
	}, l.add)
	all := l.called(pid)
	require.Len(w.t, all, processes)
	return all
}

// tick is the longest there is, 100 Hz.
const tick = 10 * time.Millisecond

// woken is more than the threads of Go's runtime run once they are woken to exit. An
// emulator takes some ten times as long: 2.9 ms was seen.
var woken = 2 * time.Millisecond

func init() {
	if os.Getenv("HOTSPOT_EMULATED") != "" {
		woken *= 10
	}
}

// requireRusage compares with what the kernel says. It leaves out the tail of threads
// that have exited, what they had not been charged yet when they were reaped: at most
// a tick of one that ran until then.
func requireRusage(t testing.TB, want unix.Rusage, got sampler.Usage, tail time.Duration) {
	t.Helper()
	const cut = 2 * time.Microsecond // user and system time, to microseconds each
	cpu := time.Duration(want.Utime.Nano() + want.Stime.Nano())
	require.GreaterOrEqual(t, got.CPU(), cpu-cut)
	require.LessOrEqual(t, got.CPU(), cpu+cut+tail)
	require.EqualValues(t, want.Minflt, got.MinorFaults, "minor faults")
	require.EqualValues(t, want.Majflt, got.MajorFaults, "major faults")
	require.EqualValues(t, want.Nvcsw, got.Voluntary, "voluntary switches")
	require.EqualValues(t, want.Nivcsw, got.Involuntary, "involuntary switches")
}

// A cgroup's account has what a thread runs up to its very end. The kernel's sum
// of the dead threads of a process, which /proc and rusage go by, has what was charged
// to a thread when it was reaped: of one that ends before a tick that may be nothing.
func TestAProcessHasWhatItsShortLivedThreadsRan(t *testing.T) {
	for _, test := range []struct {
		name    string
		threads int // 0: it is killed while it makes them
		each    time.Duration
	}{
		{name: "that exit at once", threads: 100_000},
		{name: "that run for a while", threads: 20_000, each: 100 * time.Microsecond},
		{name: "and is killed with these", each: 100 * time.Microsecond},
	} {
		if os.Getenv("HOTSPOT_EMULATED") != "" {
			test.threads /= 10
		}
		t.Run(test.name, func(t *testing.T) {
			w := openWatch(t)
			ring := openRing(t)
			all := newLedger(t)
			group := workload.NewAccount(t)
			child := workload.Start(t, "churn", "-count="+strconv.Itoa(test.threads), test.each.String())
			total := func() sampler.Usage { return all.called(child.Pid())[0].Total }
			// settled makes passes until the kernel has freed the threads that exited.
			settled := func() sampler.Usage {
				child.WaitStopped()
				w.windows(1, 0, all.add)
				for quiet, last := 0, total(); quiet < 5; quiet++ {
					w.windows(1, 20*time.Millisecond, all.add)
					if now := total(); now != last {
						quiet, last = 0, now
					}
				}
				return total()
			}
			// requireTruth allows for what the threads used that no program has seen.
			var unseen float64
			requireTruth := func(used time.Duration) {
				t.Helper()
				truth := group.CPU()
				t.Logf("ran for %v; its windows say %v (%.4f)", truth, used, used.Seconds()/truth.Seconds())
				require.InEpsilon(t, truth.Seconds(), used.Seconds(), 0.01+unseen)
			}
			child.Signal(unix.SIGSTOP)
			before, kernel := settled(), statOf(t, child.Pid()).CPUTime()
			group.Add(child.Pid())
			child.Signal(unix.SIGCONT)
			if test.threads > 0 {
				w.until(func() bool { return statOf(t, child.Pid()).State == "T" }, all.add)
				settled()
				kernels := statOf(t, child.Pid()).CPUTime() - kernel
				t.Logf("the kernel's sums say %.2fs (%.4f)", kernels, kernels/group.CPU().Seconds())
			} else {
				w.windows(10, 50*time.Millisecond, all.add)
			}
			if threads := ring.dead(t, child.Pid()); w.hidden() {
				unseen = float64(threads.Exited-min(threads.Exited, threads.Threads)) / float64(threads.Exited)
			}
			if test.threads > 0 {
				requireTruth(total().CPU() - before.CPU())
			}
			child.Signal(unix.SIGKILL)
			child.Reap()
			last := w.untilExited(all, child.Pid(), 1)[0]
			requireTruth(last.Total.CPU() - before.CPU())
		})
	}
}

// The thread takes the leader's place, id and start; the leader and its run
// queue are gone.
func TestAnExecByAnotherThreadGoesOnCounting(t *testing.T) {
	const cpu = 100 * time.Millisecond
	w := openWatch(t)
	all := newLedger(t)
	workload.Start(t, "crowd", "4") // so that every thread has to wait
	child := workload.Start(t, "exec", cpu.String())
	pid := child.Pid()
	child.WaitStopped()
	_, waitedBefore := schedstat(t, pid)
	var lives sampler.Thread // the one that will execute the other program
	for _, thread := range schedstats(t, pid) {
		if int(thread.TID) != pid && thread.CPU > lives.CPU {
			lives = thread
		}
	}
	require.GreaterOrEqual(t, lives.CPU, 2*cpu)
	w.windows(2, 50*time.Millisecond, all.add)
	old := all.called(pid)[0]
	require.Equal(t, "exec", old.Name)
	require.InDelta(t, waitedBefore, old.Total.RunQueue, 0)

	child.Signal(unix.SIGCONT)
	w.until(func() bool { return all.called(pid)[0].Name == "new" }, all.add)
	w.until(func() bool { return all.called(pid)[0].Total.CPU() >= 4*cpu }, all.add)
	usage := child.WaitStopped()
	w.windows(2, 50*time.Millisecond, all.add)
	windows := all.called(pid)
	require.Len(t, windows, 1, "it is the same process")
	now := windows[0]
	require.Equal(t, old.ID, now.ID)
	require.NotEqual(t, old.ExecID, now.ExecID)
	requireRusage(t, usage, now.Total, woken)
	_, waitedNow := schedstat(t, pid)
	// All threads but one have exited, which takes their run delay from /proc.
	dead := waitedBefore - lives.RunQueue
	t.Logf("run queue %v; the threads that are left waited %v, those that exited %v at least", now.Total.RunQueue, waitedNow, dead)
	require.NotZero(t, dead)
	require.GreaterOrEqual(t, now.Total.RunQueue, waitedNow+dead)
	require.Less(t, now.Total.RunQueue, waitedNow+waitedBefore, "what lives on is not counted twice")

	child.Signal(unix.SIGKILL)
	usage = child.Reap()
	last := w.untilExited(all, pid, 1)[0]
	require.Equal(t, old.ID, last.ID)
	requireRusage(t, usage, last.Total, woken)
	require.GreaterOrEqual(t, last.Total.RunQueue, now.Total.RunQueue)
}

func TestAProcessWhoseLeaderExitsFirstIsOneProcess(t *testing.T) {
	const live, gone = 3, 5
	w := openWatch(t)
	all := newLedger(t)
	child := workload.Start(t, "threads", "-leaderless", strconv.Itoa(live), strconv.Itoa(gone))
	w.windows(3, 50*time.Millisecond, all.add)
	child.Signal(unix.SIGSTOP)
	usage := child.WaitStopped()
	w.windows(2, 50*time.Millisecond, all.add)
	windows := all.called(child.Pid())
	require.Len(t, windows, 1)
	requireRusage(t, usage, windows[0].Total, gone*tick)
	require.NotZero(t, windows[0].RSS)
	require.GreaterOrEqual(t, windows[0].Total.CPU(), (live+gone)*workload.ThreadCPU)

	child.Signal(unix.SIGKILL)
	usage = child.Reap()
	last := w.untilExited(all, child.Pid(), 1)[0]
	require.Equal(t, windows[0].ID, last.ID)
	requireRusage(t, usage, last.Total, gone*tick)
}

func TestAZombieHasUsedWhatItUsed(t *testing.T) {
	w := openWatch(t)
	all := newLedger(t)
	child := workload.Start(t, "account", "-exit", "50ms", "1000", "10")
	child.WaitExited()
	w.windows(3, 20*time.Millisecond, all.add)
	windows := all.called(child.Pid())
	require.Len(t, windows, 1)
	require.False(t, windows[0].Exited, "it is not reaped")
	require.Zero(t, windows[0].Used)
	usage := child.Reap()
	requireRusage(t, usage, windows[0].Total, woken)

	last := w.untilExited(all, child.Pid(), 1)[0]
	requireRusage(t, usage, last.Total, woken)
	require.False(t, last.ShortLived)
	require.Zero(t, last.Used, "its last window has nothing new")
}

// Others may have had the pid in between: a life is known by when it began.
func TestTheNextProcessWithAPidIsAnother(t *testing.T) {
	const lives, everyPass = 12, 3
	w := openWatch(t)
	all := newLedger(t)
	pid := 0
	usages := map[uint64]unix.Rusage{} // by clock ticks
	for life := range lives {
		child := startAs(t, pid, "account", "-exit", strconv.Itoa(12+life)+"ms", strconv.Itoa(100*(life+1)), "5")
		pid = child.Pid()
		child.WaitExited()
		if life%everyPass == 1 {
			// Some are seen alive, and most come and go in one window.
			all.add(sample(t, w.Sampler))
		}
		start := statOf(t, pid).Starttime
		usages[start] = child.Reap()
	}
	require.Len(t, usages, lives, "each uses more than a tick")
	w.windows(20, 50*time.Millisecond, all.add)
	found, shortLived := 0, 0
	for _, v := range all.called(pid) {
		usage, ours := usages[uint64(v.Start/(10*time.Millisecond))]
		if !ours || int(v.Parent) != os.Getpid() {
			continue
		}
		found++
		requireRusage(t, usage, v.Total, woken)
		if v.ShortLived {
			shortLived++
		}
	}
	t.Logf("of %d processes with pid %d %d are found, %d of them short-lived", lives, pid, found, shortLived)
	unseen := w.unseenExits(lives, 4)
	require.GreaterOrEqual(t, found, lives-unseen)
	require.GreaterOrEqual(t, shortLived, lives/3)
}

// startAs starts a workload that has a pid which is free, any if it is 0.
func startAs(t testing.TB, pid int, name string, args ...string) *workload.Process {
	t.Helper()
	for range 100 {
		if pid != 0 {
			// The kernel gives the next free one, to whoever comes first.
			require.NoError(t, os.WriteFile("/proc/sys/kernel/ns_last_pid", []byte(strconv.Itoa(pid-1)), 0))
		}
		child := workload.Start(t, name, args...)
		if pid == 0 || child.Pid() == pid {
			return child
		}
		child.Stop()
		_, err := os.Stat("/proc/" + strconv.Itoa(pid))
		if err == nil {
			t.Skipf("somebody else has pid %d", pid)
		}
	}
	t.Skipf("pid %d is not to be had", pid)
	return nil
}

func TestAMoveBetweenCgroupsIsNoNewProcess(t *testing.T) {
	const moves = 6
	w := openWatch(t)
	all := newLedger(t)
	group := workload.NewCgroup(t, "cpu")
	child := workload.Start(t, "busy")
	for move := range moves {
		inside := move%2 == 0
		if inside {
			group.Add(child.Pid())
		} else {
			group.Remove(child.Pid())
		}
		w.windows(2, 100*time.Millisecond, func(s *sampler.Snapshot) {
			all.add(s)
			v := windowOf(t, s, child.Pid())
			require.Equal(t, inside, v.CPUCgroup == group.ID())
			require.Zero(t, v.Throttled)
		})
	}
	child.Signal(unix.SIGSTOP)
	usage := child.WaitStopped()
	w.windows(1, 0, all.add)
	windows := all.called(child.Pid())
	require.Len(t, windows, 1)
	requireRusage(t, usage, windows[0].Total, 0)
	_, waited := schedstat(t, child.Pid())
	require.Equal(t, waited, windows[0].Total.RunQueue)
}

// unseenExits returns how many of so many exits no BPF program need have seen: none,
// but on a host that hides a thread from BPF a share.
func (w *watch) unseenExits(of, share int) int {
	w.t.Helper()
	if !w.hidden() {
		return 0
	}
	return of / share
}

func (w *watch) hidden() bool {
	w.t.Helper()
	return hidden.Any(w.t, func(visit func(uint32)) error {
		return w.kernel.Census.Read(func(t *bpf.Thread, _ *bpf.Activity, _ *bpf.Process) { visit(t.Pid) })
	})
}

// requireAll requires all children of a process that has reaped them but the unseen.
func requireAll(t testing.TB, processes, unseen int, parent procfs.ProcStat, got children) {
	t.Helper()
	require.GreaterOrEqual(t, got.processes, processes-unseen)
	require.LessOrEqual(t, got.processes, processes)
	faults := int(parent.CMinFlt)
	require.GreaterOrEqual(t, int(got.minorFaults), faults-faults/processes*unseen)
	require.LessOrEqual(t, int(got.minorFaults), faults)
	if unseen == 0 {
		require.EqualValues(t, faults, got.minorFaults)
	}
}

// A second ring is the measure of what the sampler makes of the first; the
// kernel's own account of the parent that of both.
func TestShortLivedProcessesAreAllCounted(t *testing.T) {
	const perSecond, each, processes = 200, 5 * time.Millisecond, 2000
	w := openWatch(t)
	ring := openRing(t)
	all := newLedger(t)
	parent := workload.Start(t, "spawn", "-count="+strconv.Itoa(processes), strconv.Itoa(perSecond), each.String())
	for statOf(t, parent.Pid()).State != "T" {
		w.windows(1, time.Second, all.add)
	}
	got := w.untilAsMany(all, ring, parent.Pid())

	stat := statOf(t, parent.Pid())
	truth := time.Duration(stat.CUTime+stat.CSTime) * time.Second / 100 // USER_HZ
	t.Logf("%d processes used %v; seen %d (%d short-lived) and %v (%.4f); faults %d of %d", processes, truth,
		got.processes, got.shortLived, got.cpu, got.cpu.Seconds()/truth.Seconds(), got.minorFaults, stat.CMinFlt)
	unseen := w.unseenExits(processes, 20)
	requireAll(t, processes, unseen, stat, got)
	require.InEpsilon(t, truth.Seconds(), got.cpu.Seconds(), 0.02+float64(unseen)/processes)
	require.Greater(t, got.shortLived, processes/2, "this test has shown nothing")
}

// Threads that end take nothing from the processes that do.
func TestThreadChurnLosesNoShortLivedProcess(t *testing.T) {
	perSecond, processes := 2000, 20_000
	if os.Getenv("HOTSPOT_EMULATED") != "" {
		perSecond, processes = perSecond/20, processes/20
	}
	w := openWatch(t)
	ring := openRing(t)
	all := newLedger(t)
	before := sample(t, w.Sampler).Lost.Exits
	began := time.Now()
	churn := workload.Start(t, "churn", "0s")
	// In real time, or it would not come to its rate beside that.
	parent := workload.Start(t, "spawn", "-fifo=1", "-count="+strconv.Itoa(processes), strconv.Itoa(perSecond), "0s")
	for statOf(t, parent.Pid()).State != "T" {
		w.windows(1, 5*time.Second, all.add)
	}
	took := time.Since(began)
	threads := ring.dead(t, churn.Pid()).Exited
	churn.Stop()
	got := w.untilAsMany(all, ring, parent.Pid())

	stat := statOf(t, parent.Pid())
	truth := time.Duration(stat.CUTime+stat.CSTime) * time.Second / 100 // USER_HZ
	t.Logf("%d processes used %v beside %.0f threads a second in %v; seen %d and %v (%.4f)", processes, truth,
		float64(threads)/took.Seconds(), took, got.processes, got.cpu, got.cpu.Seconds()/truth.Seconds())
	require.Equal(t, before, sample(t, w.Sampler).Lost.Exits)
	unseen := w.unseenExits(processes, 10)
	requireAll(t, processes, unseen, stat, got)
	require.GreaterOrEqual(t, got.cpu.Seconds(), truth.Seconds()*(0.99-float64(unseen)/float64(processes)))
	require.Greater(t, int(threads), 4*processes, "this test has shown nothing")
}

func TestABurstOfExitsBetweenTwoPassesIsNotLost(t *testing.T) {
	const processes = 20_000
	w := openWatch(t)
	ring := openRing(t)
	all := newLedger(t)
	before := sample(t, w.Sampler).Lost.Exits
	parent := workload.Start(t, "spawn", "-count="+strconv.Itoa(processes), strconv.Itoa(processes*100), "0s")
	parent.WaitStopped()
	got := w.untilAsMany(all, ring, parent.Pid())
	require.Equal(t, before, sample(t, w.Sampler).Lost.Exits)
	stat := statOf(t, parent.Pid())
	t.Logf("seen %d; faults %d of %d", got.processes, got.minorFaults, stat.CMinFlt)
	require.Equal(t, got.processes, got.shortLived)
	requireAll(t, processes, w.unseenExits(processes, 10), stat, got)
}

// ring counts the children of each process that have exited.
type ring struct {
	*bpf.Exits
	children map[uint32]int
}

func openRing(t testing.TB) *ring {
	t.Helper()
	exits, err := bpf.OpenExits()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, exits.Close()) })
	return &ring{exits, map[uint32]int{}}
}

func (r *ring) read(t testing.TB) {
	t.Helper()
	require.NoError(t, r.Read(func(e *bpf.Exit) {
		r.children[e.Parent]++
	}))
}

// dead returns what the threads of a process have used that are gone.
func (r *ring) dead(t testing.TB, pid int) (of bpf.Dead) {
	t.Helper()
	require.NoError(t, r.Dead(func(g bpf.Group, d bpf.Dead) {
		if int(g.Pid) == pid {
			of = d
		}
	}))
	return of
}

// children is what the children of a process have used that have exited.
type children struct {
	processes, shortLived int
	cpu                   time.Duration
	minorFaults           uint64
}

// untilAsMany makes passes until the ring brings no more exits of children of a
// process, which has reaped all of them, and requires a window of each.
func (w *watch) untilAsMany(l *ledger, r *ring, parent int) (c children) {
	w.t.Helper()
	const quiet = 5 // passes, longer than a grace period of RCU
	for since, n := 0, -1; since < quiet; since++ {
		r.read(w.t)
		if now := r.children[uint32(parent)]; now != n {
			since, n = 0, now
		}
		w.windows(1, 50*time.Millisecond, l.add)
	}
	for _, v := range l.last {
		if int(v.Parent) == parent && v.Exited {
			c.processes++
			c.cpu += v.Total.CPU()
			c.minorFaults += v.Total.MinorFaults
			if v.ShortLived {
				c.shortLived++
			}
		}
	}
	require.Equal(w.t, r.children[uint32(parent)], c.processes)
	return c
}

func statOf(t testing.TB, pid int) procfs.ProcStat {
	t.Helper()
	process, err := procfs.NewProc(pid)
	require.NoError(t, err)
	stat, err := process.Stat()
	require.NoError(t, err)
	return stat
}

// A leak in a small cgroup, watched until the kernel puts an end to it.
func TestAnOOMKillIsToldWithTheLastWindow(t *testing.T) {
	const limit, perSecond = 200 << 20, 300 << 20
	w := openWatch(t)
	group := workload.NewCgroup(t, "memory")
	group.SetMemory(limit)
	child := workload.Start(t, "leak", strconv.Itoa(perSecond))
	group.Add(child.Pid())
	var kills []sampler.Kill
	var last sampler.Window
	w.until(func() bool { return len(kills) > 0 }, func(s *sampler.Snapshot) {
		kills = append(kills, s.Kills...)
		for _, v := range s.Windows {
			if int(v.Pid) == child.Pid() && !v.Exited && len(kills) == 0 {
				last = v
			}
		}
	})
	require.Len(t, kills, 1)
	kill := kills[0]
	t.Logf("killed at %d of %d bytes; in its last window it had %d", kill.RSS, limit, kill.Last.RSS)
	require.EqualValues(t, child.Pid(), kill.Process.Pid)
	require.Equal(t, "leak", kill.Process.Name)
	require.Equal(t, group.ID(), kill.Process.MemoryCgroup)
	require.InEpsilon(t, limit, kill.RSS, 0.10)
	require.True(t, kill.Known)
	require.Equal(t, last, kill.Last)
	require.NotZero(t, kill.Last.RSS)
	require.LessOrEqual(t, kill.Last.RSS, kill.RSS)
}
