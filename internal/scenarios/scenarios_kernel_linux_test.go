// Package scenarios runs the whole receiver on the real kernel beside workloads
// of known behaviour, and checks what it says of them: docs/diagnosis.md.
package scenarios

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

func TestMain(m *testing.M) {
	workload.Main()
	os.Exit(m.Run())
}

const (
	mib = 1 << 20

	cpuBound      = "cpu_bound"
	forkStorm     = "fork_storm"
	cpuThrottled  = "cpu_throttled"
	noisyNeighbor = "noisy_neighbor"
	starved       = "starved"
	memThrashing  = "mem_thrashing"
	oomRisk       = "oom_risk"
)

// scenario returns how many full windows its diagnosis took at most; one that
// is to stay without, how many it was watched for.
type scenario struct {
	name string
	run  func(*attempt, *watch) int
}

var scenarios = []scenario{
	{"a busy loop is limited by the CPU", busyLoop},
	{"of two busy loops on one CPU the nice one is starved by the other", neighbours},
	{"a process that gives back and takes again its memory thrashes", refaultLoop},
	{"a large process that begins to leak is on its way out of memory", leak},
	{"a leak in a small control group is said before the kernel kills it", leakInAGroup},
	{"a busy loop with a quota is throttled and not starved", throttled},
	{"a process that makes many short-lived ones storms and does not thrash", forks},
	{"two processes that pass a byte to and fro are left alone", pingPong},
	{"a large heap that is stable once it is filled is left alone", stableHeap},
	{"a quiet host is left alone", quiet},
}

// quietHost says that there is no other load on this host: whatever is said of
// any process but the workload's is wrong.
var quietHost = os.Getenv("HOTSPOT_QUIET_HOST") == "1"

// HOTSPOT_SCENARIOS=full runs every scenario five times at each of three
// intervals.
func TestScenarios(t *testing.T) {
	needsKernel(t)
	intervals, runs := []time.Duration{time.Second}, 1
	if os.Getenv("HOTSPOT_SCENARIOS") == "full" {
		intervals, runs = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second}, 5
	}
	var table strings.Builder
	for _, interval := range intervals {
		for _, s := range scenarios {
			passed, disturbed, windows := 0, 0, []int{}
			for n := range runs {
				t.Run(fmt.Sprintf("%s/%v/%d", s.name, interval, n+1), func(t *testing.T) {
					defer func() {
						if t.Skipped() {
							disturbed++
						}
					}()
					windows = append(windows, s.attempts(t, interval))
					passed++
				})
			}
			fmt.Fprintf(&table, "%3v  %d of %d passed, %d disturbed  full windows %v  %s\n",
				interval, passed, runs, disturbed, windows, s.name)
		}
	}
	t.Logf("the scenarios\n%s", table.String())
}

// attempts runs a scenario, and again if it failed beside other load. A host that
// is never calm shows nothing.
func (s scenario) attempts(t *testing.T, interval time.Duration) (windows int) {
	const attempts = 3
	for range attempts {
		var failures []string
		var others float64
		made := false
		t.Run("attempt", func(t *testing.T) {
			failures = try(t, func(a *attempt) {
				w := watchHost(a, interval)
				defer func() { others = w.otherLoad() }()
				windows = s.run(a, w)
			})
			made = true
		})
		why := strings.Join(failures, "\n")
		switch {
		case t.Failed():
			t.FailNow()
		case !made:
			t.Skip("see why the attempt was skipped")
		case len(failures) == 0:
			return windows
		case quietHost || others < crowd:
			require.Fail(t, why, "beside other load of %.2f CPUs", others)
		}
		t.Logf("disturbed by other load of %.2f CPUs: %s", others, why)
	}
	t.Skip("disturbed by other load")
	return 0
}

// needsKernel skips the test where BPF programs cannot be loaded, unless the
// environment says that none may be.
func needsKernel(t *testing.T) {
	t.Helper()
	census, err := bpf.OpenCensus()
	if errors.Is(err, bpf.ErrRequirement) && os.Getenv("HOTSPOT_REQUIRE_KERNEL") != "1" {
		t.Skip("needs the kernel:", err)
	}
	require.NoError(t, err)
	require.NoError(t, census.Close())
}

// events returns the names of the events of these labels.
func events(labels ...string) []string {
	names := []string{}
	for _, l := range labels {
		names = append(names, "hotspot.diagnosis."+l)
	}
	return names
}

func busyLoop(t *attempt, w *watch) int {
	busy := workload.Start(t, "busy")
	_, windows := w.await(cpuBound, busy.Pid(), time.Now())
	require.LessOrEqual(t, windows, 1)
	w.requireOnly(map[int][]string{busy.Pid(): events(cpuBound)})
	return windows
}

func neighbours(t *attempt, w *watch) int {
	cpu := fmt.Sprintf("-cpu=%d", anyCPU(t))
	noisy := workload.Start(t, "busy", cpu, "-comm=noisy")
	nice := workload.Start(t, "busy", cpu, "-comm=nice", "-nice=19")
	began := time.Now()
	ofVictim, sooner := w.await(starved, nice.Pid(), began)
	ofAggressor, later := w.await(noisyNeighbor, noisy.Pid(), began)
	require.LessOrEqual(t, sooner, 1)
	require.LessOrEqual(t, later, 1)
	require.Equal(t, noisy.Pid(), number(ofVictim.Attributes(), "hotspot.aggressor.pid"), ofVictim.Body().Str())
	require.Equal(t, nice.Pid(), number(ofAggressor.Attributes(), "hotspot.victim.pid"), ofAggressor.Body().Str())
	w.requireOnly(map[int][]string{
		// Before it is known who waits for whom, each is limited by the CPU.
		noisy.Pid(): events(cpuBound, noisyNeighbor),
		nice.Pid():  events(cpuBound, starved),
	})
	return max(sooner, later)
}

func refaultLoop(t *attempt, w *watch) int {
	refault := workload.Start(t, "refault", "256")
	_, windows := w.await(memThrashing, refault.Pid(), time.Now())
	require.LessOrEqual(t, windows, 1)
	w.requireOnly(map[int][]string{refault.Pid(): events(memThrashing, cpuBound)})
	return windows
}

const leakRate = 40e6

func leak(t *attempt, w *watch) int {
	leak := workload.Start(t, "leak", fmt.Sprintf("-base=%d", 600*mib), strconv.Itoa(leakRate))
	leak.WaitStopped()
	w.awaitWindows(4, time.Now())
	for _, said := range w.bodies(leak.Pid()) {
		require.NotContains(t, said, oomRisk, "it does not grow yet")
	}
	leak.Signal(unix.SIGCONT)
	_, windows := w.await(oomRisk, leak.Pid(), time.Now())
	require.LessOrEqual(t, windows, 3)
	w.requireOnly(map[int][]string{leak.Pid(): events(cpuBound, oomRisk)})
	return windows
}

func leakInAGroup(t *attempt, w *watch) int {
	group := workload.NewCgroup(t, "memory")
	group.SetMemory(leakRate * 8 * int(w.config.CollectionInterval/time.Second))
	leak := workload.Start(t, "leak", strconv.Itoa(leakRate))
	began := time.Now()
	group.Add(leak.Pid())
	risk, windows := w.await(oomRisk, leak.Pid(), began)
	require.LessOrEqual(t, windows, 3)
	var kill record
	w.awaitEvent("hotspot.oom_kill", "", leak.Pid(), &kill)
	require.Less(t, risk.Timestamp(), kill.Timestamp(), "said before it happens")
	w.requireOnly(map[int][]string{leak.Pid(): append(events(oomRisk), "hotspot.oom_kill")})
	return windows
}

func throttled(t *attempt, w *watch) int {
	group := workload.NewCgroup(t, "cpu")
	group.SetQuota(25*time.Millisecond, 100*time.Millisecond)
	busy := workload.Start(t, "busy")
	group.Add(busy.Pid())
	began := time.Now()
	_, windows := w.await(cpuThrottled, busy.Pid(), began)
	require.LessOrEqual(t, windows, 1)
	w.awaitWindows(3, began)
	w.requireOnly(map[int][]string{busy.Pid(): events(cpuBound, cpuThrottled)})
	return windows
}

func forks(t *attempt, w *watch) int {
	spawn := workload.Start(t, "spawn", "300", "2ms")
	began := time.Now()
	_, windows := w.await(forkStorm, spawn.Pid(), began)
	require.LessOrEqual(t, windows, 1)
	w.awaitWindows(3, began)
	w.requireOnly(map[int][]string{spawn.Pid(): events(forkStorm)})
	return windows
}

// watchedFor is for how many windows a process is watched that is to be left
// alone: longer than any rule looks back.
const watchedFor = 5

func pingPong(t *attempt, w *watch) int {
	players := workload.Start(t, "pingpong")
	w.awaitWindows(watchedFor, time.Now())
	w.requireOnly(map[int][]string{players.Pid(): {}})
	return watchedFor
}

func stableHeap(t *attempt, w *watch) int {
	// So long that it is filled over two windows, whenever it begins.
	fill := w.config.CollectionInterval * 5 / 4
	heap := workload.Start(t, "heap", strconv.Itoa(800*mib/os.Getpagesize()), fill.String(), "2000")
	w.awaitWindows(watchedFor, time.Now())
	w.requireOnly(map[int][]string{heap.Pid(): {}})
	return watchedFor
}

func quiet(t *attempt, w *watch) int {
	sleepers := workload.Start(t, "sleepers", "20")
	w.awaitWindows(watchedFor, time.Now())
	w.requireOnly(map[int][]string{sleepers.Pid(): {}})
	return watchedFor
}

func anyCPU(t *attempt) int {
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
