package bpf

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

func TestMain(m *testing.M) {
	workload.Main()
	os.Exit(m.Run())
}

// open returns a census; without the rights to it the test is skipped, unless
// the environment says that no test may be.
func open(t testing.TB) *Census {
	t.Helper()
	census, err := OpenCensus()
	if errors.Is(err, ErrRequirement) && os.Getenv("HOTSPOT_REQUIRE_KERNEL") != "1" {
		t.Skip("needs the kernel:", err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, census.Close()) })
	return census
}

// reading is what one pass said of one thread.
type reading struct {
	Thread
	Activity
}

// account is what it said of one process.
type account struct {
	threads []reading
	Process
	records int // of the process
}

func (a *account) leader() reading {
	for _, thread := range a.threads {
		if thread.Tid == thread.Pid {
			return thread
		}
	}
	return reading{}
}

// total adds up one counter over the living threads.
func (a *account) total(counter func(*reading) uint64) uint64 {
	var sum uint64
	for i := range a.threads {
		sum += counter(&a.threads[i])
	}
	return sum
}

func (a *account) minorFaults() uint64 {
	return a.DeadMinorFaults + a.total(func(t *reading) uint64 { return t.MinorFaults })
}

func (a *account) majorFaults() uint64 {
	return a.DeadMajorFaults + a.total(func(t *reading) uint64 { return t.MajorFaults })
}

func (a *account) voluntary() uint64 {
	return a.DeadVoluntary + a.total(func(t *reading) uint64 { return t.Voluntary })
}

func (a *account) involuntary() uint64 {
	return a.DeadInvoluntary + a.total(func(t *reading) uint64 { return t.Involuntary })
}

func (a *account) cpu() uint64 {
	return a.DeadCpu + a.total(func(t *reading) uint64 { return t.Cpu })
}

func (a *account) residentPages() uint64 { return a.FilePages + a.AnonPages + a.ShmemPages }

// take makes a pass and returns what it said of one process: the last of it, but the
// CPU time of its dead threads as it was first.
func take(t testing.TB, census *Census, pid int) account {
	t.Helper()
	var a account
	census.Whole()
	require.NoError(t, census.Read(func(thread *Thread, activity *Activity, process *Process) {
		if int(thread.Pid) != pid {
			return
		}
		require.NotNil(t, activity)
		a.threads = append(a.threads, reading{*thread, *activity})
		if process != nil {
			dead := process.DeadCpu
			if a.records++; a.records > 1 {
				dead = a.DeadCpu
			}
			a.Process = *process
			a.DeadCpu = dead
		}
	}))
	require.NotEmpty(t, a.threads, "process %d is not in the census", pid)
	return a
}

// requireUsage compares the census with what the kernel says of the same
// process in a wait. That cuts user and system time to microseconds each.
func requireUsage(t testing.TB, want unix.Rusage, got account) {
	t.Helper()
	assert.EqualValues(t, want.Minflt, got.minorFaults(), "minor faults")
	assert.EqualValues(t, want.Majflt, got.majorFaults(), "major faults")
	assert.EqualValues(t, want.Nvcsw, got.voluntary(), "voluntary switches")
	assert.EqualValues(t, want.Nivcsw, got.involuntary(), "involuntary switches")
	assert.InDelta(t, want.Utime.Nano()+want.Stime.Nano(), got.cpu(), float64(2*time.Microsecond), "CPU time")
	if t.Failed() {
		t.FailNow()
	}
}

func TestCensusOfAStoppedProcessIsItsRusage(t *testing.T) {
	const (
		pages    = 16 << 10
		switches = 100
		cpu      = 300 * time.Millisecond
	)
	census := open(t)
	child := workload.Start(t, "account", cpu.String(), strconv.Itoa(pages), strconv.Itoa(switches))
	usage := child.WaitStopped()
	got := take(t, census, child.Pid())

	requireUsage(t, usage, got)
	require.GreaterOrEqual(t, got.minorFaults(), uint64(pages))
	require.GreaterOrEqual(t, got.voluntary(), uint64(switches))
	require.GreaterOrEqual(t, got.cpu(), uint64(cpu))
	require.Zero(t, got.DeadCpu, "no thread has exited")
	require.Equal(t, 1, got.records)

	for _, thread := range got.threads {
		directory := child.Path(fmt.Sprintf("task/%d", thread.Tid))
		ran, waited := schedstat(t, directory)
		require.Equal(t, ran, thread.Cpu, "CPU time of a thread")
		require.Equal(t, waited, thread.RunDelay, "run delay of a thread")
		require.Zero(t, thread.Waiting, "a stopped thread waits for no CPU")
		status := status(t, directory)
		require.Equal(t, status["voluntary_ctxt_switches"], strconv.FormatUint(thread.Voluntary, 10))
		require.Equal(t, status["nonvoluntary_ctxt_switches"], strconv.FormatUint(thread.Involuntary, 10))
		stat := threadStat(t, int(thread.Pid), int(thread.Tid))
		require.EqualValues(t, stat.MinFlt, thread.MinorFaults)
		require.EqualValues(t, stat.MajFlt, thread.MajorFaults)
		require.Equal(t, stat.Starttime, clockTicks(thread.Start))
	}
	whole := processStat(t, child.Pid())
	require.EqualValues(t, whole.MinFlt, got.minorFaults())
	require.EqualValues(t, whole.MajFlt, got.majorFaults())
	require.Equal(t, whole.Starttime, clockTicks(got.threads[0].ProcessStart))
	require.Equal(t, whole.NumThreads, len(got.threads))

	t.Run("and so is its resident set", func(t *testing.T) {
		statm, err := os.ReadFile(child.Path("statm"))
		require.NoError(t, err)
		want, err := strconv.ParseUint(strings.Fields(string(statm))[1], 10, 64)
		require.NoError(t, err)
		// Since 6.2 each CPU holds back a batch of what it counts.
		require.InDelta(t, want, got.residentPages(), max(0.02*float64(want), 256))
		require.GreaterOrEqual(t, got.AnonPages, uint64(pages)*98/100)
	})
}

func TestThreadsThatHaveExitedStayInTheSums(t *testing.T) {
	const live, gone = 3, 5
	for _, test := range []struct {
		name    string
		options []string
		stop    bool
	}{
		{name: "with a leader"},
		{name: "without one", options: []string{"-leaderless"}, stop: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			census := open(t)
			args := append(test.options, strconv.Itoa(live), strconv.Itoa(gone))
			child := workload.Start(t, "threads", args...)
			if test.stop {
				awaitState(t, child, 'Z')
				child.Signal(unix.SIGSTOP)
			}
			usage := child.WaitStopped()
			got := take(t, census, child.Pid())

			requireUsage(t, usage, got)
			require.GreaterOrEqual(t, got.DeadCpu, uint64(gone*workload.ThreadCPU))
			require.GreaterOrEqual(t, got.DeadMinorFaults, uint64(gone*workload.ThreadFaults))
			require.GreaterOrEqual(t, got.DeadVoluntary, uint64(gone*workload.ThreadSwitches))
			require.GreaterOrEqual(t, len(got.threads), live+1)
			require.EqualValues(t, len(got.threads), got.Threads)
			require.NotZero(t, got.residentPages(), "the memory is the living threads'")
			if test.stop {
				require.Equal(t, len(got.threads), got.records, "every thread brings the process's record")
			} else {
				require.Equal(t, 1, got.records, "the leader alone brings the process's record")
			}
		})
	}
}

// Ids begin anew at the top: the threads of a process that began just before that
// come before their leader, and many of them die until the pass is at its record.
func TestAThreadThatExitsBeforeItsLeaderIsReadIsCountedOnce(t *testing.T) {
	const passes = 200
	census := open(t)
	workload.Start(t, "sleepers", "1000") // to be read in between
	child := startAtTheTop(t, "successors", "1ms")
	early := 0
	for range passes {
		got := take(t, census, child.Pid())
		require.LessOrEqual(t, got.cpu(), uint64(cpuTime(t, child.Pid())))
		if got.threads[0].Tid < got.threads[0].Pid {
			early++
		}
	}
	require.Greater(t, early, passes/10, "few threads came before their leader: this has shown nothing")
}

// startAtTheTop starts a workload with one of the last process ids there are.
func startAtTheTop(t *testing.T, name string, args ...string) *workload.Process {
	t.Helper()
	const lastPid = "/proc/sys/kernel/ns_last_pid"
	text, err := os.ReadFile("/proc/sys/kernel/pid_max")
	require.NoError(t, err)
	most, err := strconv.Atoi(strings.TrimSpace(string(text)))
	require.NoError(t, err)
	for range 20 {
		if err := os.WriteFile(lastPid, []byte(strconv.Itoa(most-30)), 0); errors.Is(err, os.ErrNotExist) {
			t.Skip("needs CONFIG_CHECKPOINT_RESTORE")
		} else {
			require.NoError(t, err)
		}
		child := workload.Start(t, name, args...)
		if child.Pid() > most-30 {
			return child
		}
		child.Stop() // others were faster
	}
	t.Fatal("no process was given one of the last ids")
	return nil
}

// cpuTime is what a process has used, of threads that run to the moment.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	var used unix.Timespec
	const sched = 2 // CPUCLOCK_SCHED of linux/posix-timers.h
	require.NoError(t, unix.ClockGettime(int32(^pid<<3|sched), &used))
	return time.Duration(used.Nano())
}

// A thread that could always run either runs or waits. Beside a hog of full
// weight the waits of one with nice 19 last longer than these windows, so that
// most of them show up only as waits in progress.
func TestWaitsInProgressAreCounted(t *testing.T) {
	const window = 400 * time.Millisecond
	census := open(t)
	cpu := fmt.Sprintf("-cpu=%d", anyCPU(t))
	workload.Start(t, "busy", cpu)
	victim := workload.Start(t, "busy", cpu, "-nice=19")

	type reading struct {
		at, finished, wanted time.Duration
	}
	read := func() (r reading) {
		t.Helper()
		// A reader that is itself kept waiting can't tell when it read.
		require.Eventually(t, func() bool {
			before := sinceBoot(t)
			thread := leaderOf(t, census, victim)
			after := sinceBoot(t)
			r = reading{
				at:       (before + after) / 2,
				finished: time.Duration(thread.Cpu + thread.RunDelay),
				wanted:   time.Duration(thread.Cpu + thread.RunDelay + thread.Waiting),
			}
			return after-before < window/50
		}, time.Minute, time.Millisecond)
		return r
	}
	within := 0.05
	if os.Getenv("HOTSPOT_EMULATED") != "" {
		within = 0.25 // the tick comes late, and with it what a running thread is charged
	}
	needed := false
	first := read()
	last := first
	for range 8 {
		awaitBoot(t, last.at+window)
		next := read()
		length := float64(next.at - last.at)
		require.InEpsilon(t, 1, float64(next.wanted-last.wanted)/length, within,
			"a thread that could always run ran or waited all the time")
		share := float64(next.finished-last.finished) / length
		t.Logf("of %v: %.4f; without waits in progress: %.4f",
			next.at-last.at, float64(next.wanted-last.wanted)/length, share)
		needed = needed || share < 0.9 || share > 1.1
		last = next
	}
	require.InEpsilon(t, 1, float64(last.wanted-first.wanted)/float64(last.at-first.at), 0.05, "nothing adds up")
	require.True(t, needed, "no window began or ended in a long wait: this test has shown nothing")
}

func TestCensusTellsWhoAProcessIs(t *testing.T) {
	census := open(t)
	child := workload.Start(t, "threads", "-comm=who is it", "2", "1")
	child.WaitStopped()
	got := take(t, census, child.Pid())
	leader := got.leader()
	status := status(t, child.Path(""))

	require.Equal(t, "who is it", commOf(got.Process))
	require.Equal(t, status["Name"], commOf(got.Process))
	require.Equal(t, status["Threads"], strconv.Itoa(int(got.Threads)))
	require.Equal(t, status["PPid"], strconv.Itoa(int(got.Parent)))
	require.EqualValues(t, os.Getpid(), got.Parent)
	require.Zero(t, leader.Flags&KernelThread)

	kthreadd := take(t, census, 2)
	require.NotZero(t, kthreadd.leader().Flags&KernelThread)
	require.Zero(t, kthreadd.residentPages())
	self := take(t, census, os.Getpid())
	require.Zero(t, self.leader().Flags&KernelThread)
}

func TestExecChangesTheExecID(t *testing.T) {
	census := open(t)
	child := workload.Start(t, "busy")
	// The child was forked from this process and has run exec once since.
	require.Equal(t, take(t, census, os.Getpid()).ExecId+1, take(t, census, child.Pid()).ExecId)
}

func TestEveryThreadOfTheHostIsInThePass(t *testing.T) {
	const processes = 300 // more than fit into one buffer of the kernel
	census := open(t)
	parent := workload.Start(t, "sleepers", strconv.Itoa(processes))
	seen := map[uint32]int{}
	require.NoError(t, census.Read(func(_ *Thread, _ *Activity, process *Process) {
		if process != nil {
			seen[process.Parent]++
		}
	}))
	require.Equal(t, processes, seen[uint32(parent.Pid())])
}

func TestAProcessThatExitedIsInTheCensusUntilItIsReaped(t *testing.T) {
	census := open(t)
	child := workload.Start(t, "account", "-exit", "50ms", "1000", "10")
	child.WaitExited()
	got := take(t, census, child.Pid())

	require.Len(t, got.threads, 1)
	require.Zero(t, got.residentPages())
	requireUsage(t, child.Reap(), got)
	require.NoError(t, census.Read(func(thread *Thread, _ *Activity, _ *Process) {
		require.NotEqual(t, child.Pid(), int(thread.Pid), "reaped, but still in the census")
	}))
}

func TestAMoveToACgroupWithAQuotaIsSeen(t *testing.T) {
	census := open(t)
	group := workload.NewCgroup(t, "cpu")
	child := workload.Start(t, "busy")
	before := take(t, census, child.Pid())
	require.NotEqual(t, group.ID(), before.CpuCgroup)

	group.SetQuota(25*time.Millisecond, 100*time.Millisecond)
	group.Add(child.Pid())
	after := take(t, census, child.Pid())
	require.Equal(t, group.ID(), after.CpuCgroup)
	require.EqualValues(t, 25*time.Millisecond, after.CpuQuota)
	require.EqualValues(t, 100*time.Millisecond, after.CpuPeriod)

	require.Eventually(t, func() bool {
		return take(t, census, child.Pid()).Throttled >= after.Throttled+uint64(300*time.Millisecond)
	}, time.Minute, 10*time.Millisecond, "a busy process is held back by its quota")

	least := uint64(group.Throttled())
	throttled := take(t, census, child.Pid()).Throttled
	most := uint64(group.Throttled() + time.Microsecond - 1) // v2 rounds down
	require.GreaterOrEqual(t, throttled, least)
	require.LessOrEqual(t, throttled, most)

	group.SetQuota(-1, 100*time.Millisecond)
	require.Zero(t, take(t, census, child.Pid()).CpuQuota, "0 is no limit")
}

// Of the quotas that hold for a process the tightest is told. In ns a quota of
// three minutes times a period of 100 ms is 2^64 and a little.
func TestTheTightestQuotaIsTold(t *testing.T) {
	type quota struct{ quota, period time.Duration }
	const most = (1<<44 - 1) * time.Microsecond // the kernel takes no larger one, since 5.8
	for _, test := range []struct {
		name         string
		above, below quota
		aboveHolds   bool
	}{
		{
			name:  "below one of minutes",
			above: quota{184467441 * time.Microsecond, 100 * time.Millisecond},
			below: quota{25 * time.Millisecond, 100 * time.Millisecond},
		},
		{
			name:  "below the largest there can be",
			above: quota{most, time.Millisecond},
			below: quota{999999 * time.Microsecond, time.Second},
		},
		{
			name:  "the largest, below a larger share",
			above: quota{most, time.Second - time.Microsecond},
			below: quota{most, time.Second},
		},
		{
			name:       "above one of minutes",
			above:      quota{25 * time.Millisecond, 100 * time.Millisecond},
			below:      quota{184467441 * time.Microsecond, 100 * time.Millisecond},
			aboveHolds: true,
		},
		{
			name:       "above the largest there can be",
			above:      quota{999999 * time.Microsecond, time.Second},
			below:      quota{most, time.Millisecond},
			aboveHolds: true,
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			census := open(t)
			above := workload.NewCgroup(t, "cpu")
			if test.aboveHolds && !above.V2() {
				t.Skip("needs the cpu controller in the unified hierarchy")
			}
			below := above.New("cpu", "below")
			above.SetQuota(test.above.quota, test.above.period)
			below.SetQuota(test.below.quota, test.below.period)
			child := workload.Start(t, "sleepers", "1")
			below.Add(child.Pid())
			want := test.below
			if test.aboveHolds {
				want = test.above
			}
			got := take(t, census, child.Pid())
			require.EqualValues(t, want.quota, got.CpuQuota)
			require.EqualValues(t, want.period, got.CpuPeriod)
		})
	}
}

func TestAClosedCensusLeavesNothingOpen(t *testing.T) {
	open(t) // skips, and loads what is kept for good
	before := bpfDescriptors(t)
	census, err := OpenCensus()
	require.NoError(t, err)
	require.Greater(t, len(bpfDescriptors(t)), len(before))
	require.NoError(t, census.Read(func(*Thread, *Activity, *Process) {}))
	require.NoError(t, census.Close())
	require.Equal(t, before, bpfDescriptors(t))
	require.Error(t, census.Read(func(*Thread, *Activity, *Process) {}))
}

func bpfDescriptors(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("/proc/self/fd/*")
	require.NoError(t, err)
	var found []string
	for _, file := range files {
		target, err := os.Readlink(file)
		if err == nil && strings.Contains(target, "bpf") {
			found = append(found, target)
		}
	}
	slices.Sort(found)
	return found
}

func leaderOf(t testing.TB, census *Census, child *workload.Process) reading {
	t.Helper()
	a := take(t, census, child.Pid())
	return a.leader()
}

func commOf(process Process) string {
	name, _, _ := bytes.Cut(process.Comm[:], []byte{0})
	return string(name)
}

// clockTicks turns nanoseconds into what /proc counts a start in: USER_HZ,
// which is 100 on every architecture.
func clockTicks(ns uint64) uint64 { return ns / uint64(10*time.Millisecond) }

func sinceBoot(t testing.TB) time.Duration {
	t.Helper()
	var ts unix.Timespec
	require.NoError(t, unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts))
	return time.Duration(ts.Nano())
}

func awaitBoot(t testing.TB, at time.Duration) {
	t.Helper()
	for now := sinceBoot(t); now < at; now = sinceBoot(t) {
		time.Sleep(at - now)
	}
}

func anyCPU(t testing.TB) int {
	t.Helper()
	var allowed unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &allowed))
	for cpu := range len(allowed) * 64 {
		if allowed.IsSet(cpu) {
			return cpu
		}
	}
	t.Fatal("no CPU allowed")
	return 0
}

// awaitState waits until the thread group leader is in a state of proc(5).
func awaitState(t testing.TB, child *workload.Process, state byte) {
	t.Helper()
	require.Eventually(t, func() bool {
		return processStat(t, child.Pid()).State == string(state)
	}, time.Minute, time.Millisecond)
}

func processStat(t testing.TB, pid int) procfs.ProcStat {
	t.Helper()
	process, err := procfs.NewProc(pid)
	require.NoError(t, err)
	stat, err := process.Stat()
	require.NoError(t, err)
	return stat
}

func threadStat(t testing.TB, pid, tid int) procfs.ProcStat {
	t.Helper()
	fs, err := procfs.NewFS("/proc")
	require.NoError(t, err)
	thread, err := fs.Thread(pid, tid)
	require.NoError(t, err)
	stat, err := thread.Stat()
	require.NoError(t, err)
	return stat
}

// schedstat returns a thread's time on a CPU and its run delay, in ns.
func schedstat(t testing.TB, directory string) (ran, waited uint64) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(directory, "schedstat"))
	require.NoError(t, err)
	_, err = fmt.Sscan(string(text), &ran, &waited)
	require.NoError(t, err)
	return ran, waited
}

// status returns the lines of a status file by their names.
func status(t testing.TB, directory string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(directory, "status"))
	require.NoError(t, err)
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		values[name] = strings.TrimSpace(value)
	}
	return values
}
