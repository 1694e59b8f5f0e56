// Package bench measures what the receiver costs the host it watches.
package bench

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

func TestMain(m *testing.M) {
	workload.Main()
	os.Exit(m.Run())
}

// One measurement is a span with one of the hooks. A round has one of each, so
// that what else the host does is the same for all; the numbers are medians over
// the rounds. Many short ones, since the speed of a guest changes from one second
// to the next. A host that is busy with other things takes longer.
const (
	rounds = 41
	span   = 60 * time.Millisecond
	// warmUp is for the hook's caches, and for what loading it left to be done.
	warmUp = 30 * time.Millisecond
)

// BenchmarkHooks tells what the hook in every context switch costs: the hook
// itself, over an empty one, and the work that two workloads get done.
func BenchmarkHooks(b *testing.B) {
	hooks := []hook{{name: "none"}, {"empty", openEmpty}, {"ours", openOurs}}
	for _, h := range hooks[1:] { // or skip
		detach(b, h.attach(b))
	}
	cpu := leaveOneCPU(b)
	loads := []load{pingpong(cpu), loops(8, cpu)}
	costs := make([]cost, len(loads))
	for b.Loop() {
		for i, l := range loads {
			costs[i] = l.measure(b, hooks)
		}
	}
	print(b, loads, costs)
}

// load is a workload on one CPU.
type load struct {
	name, work string
	// start starts it and returns its processes, how much they have done, and
	// what ends them.
	start func(testing.TB) (pids []int, done func() float64, stop func())
}

// cost is what a workload pays. All are one value a round.
type cost struct {
	empty, net []float64            // ns a switch: the empty hook, and ours less that
	rate       map[string][]float64 // of work per second on the CPU, by hook
	switches   []float64            // in a second, of the host, while net was measured
}

func (l *load) measure(b *testing.B, hooks []hook) cost {
	pids, done, stop := l.start(b)
	defer stop()
	c := cost{rate: make(map[string][]float64)}
	for round := range rounds {
		// Every hook in every place, and after every other.
		turn := round % len(hooks)
		order := slices.Concat(hooks[turn:], hooks[:turn])
		if round%2 == 1 {
			slices.Reverse(order)
		}
		for _, h := range order {
			c.rate[h.name] = append(c.rate[h.name], throughput(b, h, pids, done))
		}
		ns := make(map[string]float64)
		for _, h := range order {
			if h.attach == nil {
				continue
			}
			var switches float64
			ns[h.name], switches = timePerRun(b, h)
			if h.name == "ours" {
				c.switches = append(c.switches, switches)
			}
		}
		c.empty = append(c.empty, ns["empty"])
		c.net = append(c.net, ns["ours"]-ns["empty"])
	}
	return c
}

// throughput returns the work done for each second on the CPU, over a span of
// that: by the wall, it would be measured how much of that CPU the rest of the
// host leaves over.
func throughput(b *testing.B, h hook, pids []int, done func() float64) float64 {
	if h.attach != nil {
		attached := h.attach(b)
		defer detach(b, attached)
	}
	time.Sleep(warmUp)
	before, work := cpuTime(b, pids), done()
	for {
		time.Sleep(span / 10)
		if ran := cpuTime(b, pids) - before; ran >= span {
			return (done() - work) / ran.Seconds()
		}
	}
}

// timePerRun returns the ns a run of the hook takes, what it takes to measure
// them included, and the runs a second.
func timePerRun(b *testing.B, h hook) (ns, perSecond float64) {
	stats, err := ebpf.EnableStats(unix.BPF_STATS_RUN_TIME)
	require.NoError(b, err)
	defer func() { require.NoError(b, stats.Close()) }()
	attached := h.attach(b)
	defer detach(b, attached)
	time.Sleep(warmUp)
	before, err := attached.Stats()
	require.NoError(b, err)
	time.Sleep(span)
	after, err := attached.Stats()
	require.NoError(b, err)
	runs := after.RunCount - before.RunCount
	require.Positive(b, runs)
	return float64(after.Runtime-before.Runtime) / float64(runs), float64(runs) / span.Seconds()
}

// hook is what runs in every context switch; attach is nil for none at all.
type hook struct {
	name   string
	attach func(testing.TB) attached
}

type attached interface {
	Stats() (*ebpf.ProgramStats, error)
	io.Closer
}

func detach(b *testing.B, a attached) {
	b.Helper()
	require.NoError(b, a.Close())
}

// ours is the hook, and the census it shares the waits in progress with.
type ours struct {
	*bpf.Contention
	census *bpf.Census
}

func openOurs(b testing.TB) attached {
	b.Helper()
	census, err := bpf.OpenCensus()
	if errors.Is(err, bpf.ErrRequirement) {
		b.Skip("needs the kernel, and root:", err)
	}
	require.NoError(b, err)
	c, err := bpf.OpenContention(census, bpf.ContentionOptions{MinWait: 100 * time.Microsecond, MaxPairs: 16384, MaxVictims: 16384})
	require.NoError(b, err)
	return ours{c, census}
}

func (o ours) Close() error { return errors.Join(o.Contention.Close(), o.census.Close()) }

// empty is a program that does nothing, of the same type.
type empty struct {
	*ebpf.Program
	link link.Link
}

func openEmpty(b testing.TB) attached {
	b.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name:         "empty",
		Type:         ebpf.Tracing,
		AttachType:   ebpf.AttachTraceRawTp,
		AttachTo:     "sched_switch",
		License:      "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if errors.Is(err, unix.EPERM) {
		b.Skip("needs the kernel, and root:", err)
	}
	require.NoError(b, err)
	l, err := link.AttachTracing(link.TracingOptions{Program: program, AttachType: ebpf.AttachTraceRawTp})
	require.NoError(b, err)
	return &empty{program, l}
}

func (e *empty) Close() error { return errors.Join(e.link.Close(), e.Program.Close()) }

// pingpong is two processes that wake each other over a pipe: as many switches
// as there can be.
func pingpong(cpu int) load {
	return load{"ping-pong over a pipe", "round trips", func(t testing.TB) ([]int, func() float64, func()) {
		p := workload.Start(t, "pingpong", alone(cpu)...)
		var other int
		require.Eventually(t, func() bool {
			children, err := os.ReadFile(p.Path(fmt.Sprintf("task/%d/children", p.Pid())))
			require.NoError(t, err)
			other, err = strconv.Atoi(strings.TrimSpace(string(children)))
			return err == nil
		}, time.Minute, time.Millisecond)
		// It sleeps once a round trip.
		return []int{p.Pid(), other}, func() float64 { return voluntarySwitches(t, p) }, p.Stop
	}}
}

// loops is processes that always want to run.
func loops(n, cpu int) load {
	return load{fmt.Sprintf("%d busy loops", n), "millions of rounds", func(t testing.TB) ([]int, func() float64, func()) {
		all := make([]*workload.Process, n)
		pids, files := make([]int, n), make([]string, n)
		for i := range all {
			files[i] = filepath.Join(t.TempDir(), "rounds")
			require.NoError(t, os.WriteFile(files[i], make([]byte, 8), 0o600))
			all[i] = workload.Start(t, "count", append(alone(cpu), files[i])...)
			pids[i] = all[i].Pid()
		}
		done := func() (sum float64) {
			for _, file := range files {
				count, err := os.ReadFile(file)
				require.NoError(t, err)
				sum += float64(binary.NativeEndian.Uint64(count)) / 1000
			}
			return sum
		}
		stop := func() {
			for _, p := range all {
				p.Stop()
			}
		}
		return pids, done, stop
	}}
}

// alone returns the options of a workload that has this CPU nearly to itself. Its
// priority is everybody's: behind a higher one who else wants the CPU would wait
// for seconds, and it is the cost beside a crowd that would be measured.
func alone(cpu int) []string {
	return []string{"-life=10m", "-cpu=" + strconv.Itoa(cpu)}
}

// leaveOneCPU returns the last CPU this process may run on, since the first often
// has the interrupts, and keeps this process on the others from now on: it would
// be one more that waits for the CPU of the workload.
func leaveOneCPU(t testing.TB) (cpu int) {
	t.Helper()
	var allowed unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &allowed))
	for i := range len(allowed) * 64 {
		if allowed.IsSet(i) {
			cpu = i
		}
	}
	if allowed.Clear(cpu); allowed.Count() == 0 {
		return cpu
	}
	require.NoError(t, workload.Pin(allowed))
	return cpu
}

func voluntarySwitches(t testing.TB, p *workload.Process) float64 {
	t.Helper()
	status, err := os.ReadFile(p.Path("status"))
	require.NoError(t, err)
	_, after, found := strings.Cut(string(status), "\nvoluntary_ctxt_switches:")
	require.True(t, found)
	n, err := strconv.ParseFloat(strings.Fields(after)[0], 64)
	require.NoError(t, err)
	return n
}

// cpuTime returns how long these processes have run, to the nanosecond even of
// those that run now, which /proc does not tell.
func cpuTime(t testing.TB, pids []int) (sum time.Duration) {
	t.Helper()
	const schedClock = 2 // CPUCLOCK_SCHED; see clock_getcpuclockid(3)
	for _, pid := range pids {
		var used unix.Timespec
		require.NoError(t, unix.ClockGettime(int32(^pid<<3|schedClock), &used))
		sum += time.Duration(used.Nano())
	}
	return sum
}

func print(b *testing.B, loads []load, costs []cost) {
	b.Helper()
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { _, _ = fmt.Fprintf(table, format+"\n", args...) }
	line("\n\nThe hook in sched_switch, medians of %d rounds (quartiles):", rounds)
	line("\n\tswitches/s\tempty, ns\tours over empty, ns\tof one CPU")
	for i, c := range costs {
		line("%s\t%.0f\t%s\t%s\t%.2f %%", loads[i].name, median(c.switches), spread(c.empty, "%.1f"), spread(c.net, "%.1f"),
			100*median(c.switches)*median(c.net)/1e9)
	}
	line("\nwork per second on the CPU\tno hook\tempty\tours\tempty slows by\tours slows by")
	for i, c := range costs {
		line("%s, %s\t%.0f\t%.0f\t%.0f\t%s\t%s", loads[i].name, loads[i].work,
			median(c.rate["none"]), median(c.rate["empty"]), median(c.rate["ours"]),
			spread(c.slowdown("empty"), "%.1f %%"), spread(c.slowdown("ours"), "%.1f %%"))
	}
	require.NoError(b, table.Flush())
}

// slowdown returns by how many percent less is done than without a hook, for
// each round.
func (c *cost) slowdown(hook string) []float64 {
	less := make([]float64, rounds)
	for i := range less {
		less[i] = 100 * (1 - c.rate[hook][i]/c.rate["none"][i])
	}
	return less
}

func spread(values []float64, format string) string {
	sorted := slices.Sorted(slices.Values(values))
	return fmt.Sprintf(format+" ("+format+" to "+format+")", median(values), sorted[len(sorted)/4], sorted[3*len(sorted)/4])
}

func median(values []float64) float64 {
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}
