package e2e

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// A soak takes about as long as $SOAK says. From ten minutes on it is of full
// size; a shorter one has each load for less time, and fewer reloads and signals.
const fullSoak = 10 * time.Minute

func soakLength(t *testing.T) time.Duration {
	t.Helper()
	length, err := time.ParseDuration(cmp.Or(os.Getenv("SOAK"), "60s"))
	require.NoError(t, err)
	return length
}

// inProportion returns a part of a number of the full soak.
func inProportion(length time.Duration, full, least int) int {
	return max(least, int(float64(full)*min(1, length.Seconds()/fullSoak.Seconds())))
}

// TestSoak keeps one collector under one load after the other, while a backend
// goes away and returns, another refuses all and a third never answers. What it
// holds at the end is what it held before, and each record is accounted for.
func TestSoak(t *testing.T) {
	needsRoot(t)
	length := soakLength(t)
	each := length / 8 // reloads take as long as all loads do in a short one
	s := newSoaked(t)
	s.awaitPasses(t, 4)
	begin := s.holds(t)

	s.under(t, "20 000 exits a second", func(t *testing.T) {
		bombs := workload.StartOnEachCPU(t, "exits", "-life=1h", strconv.Itoa(24_000/runtime.NumCPU()))
		s.requireChildren(t, bombs, each)
	})
	s.under(t, "50 000 threads", func(t *testing.T) {
		workload.AllowManyTasks(t)
		// In few processes: where thousands that have many threads end at once, the
		// kernel is busy with that for minutes.
		const n, ofEach = 50_000, 1000
		workload.Start(t, "sleepers", "-life=1h", "-threads="+strconv.Itoa(ofEach), "-wake=100", strconv.Itoa(n/ofEach))
		s.awaitThreads(t, n)
		s.lasts(t, each)
	})
	s.kept.stop()
	s.under(t, "400 000 context switches a second, and the backend is gone", func(t *testing.T) {
		workload.StartOnEachCPU(t, "pingpong", "-life=1h", "-one")
		s.lasts(t, each)
	})
	require.Contains(t, s.c.output.String(), "connection refused")
	s.kept.start(t)
	s.under(t, "control groups come and go", func(t *testing.T) {
		for deadline := time.Now().Add(each); time.Now().Before(deadline); {
			t.Run("", func(t *testing.T) {
				group := workload.NewCgroup(t, "cpu")
				group.Add(workload.Start(t, "busy").Pid())
				s.awaitPasses(t, 1)
			})
		}
	})
	s.awaitPasses(t, 4)
	s.requireKept(t, begin)
	s.requireAccounts(t)

	reloads := inProportion(length, 50, 5)
	for n := range reloads {
		require.NoError(t, s.c.cmd.Process.Signal(syscall.SIGHUP))
		s.c.await(t, "a reload", func() bool {
			return strings.Count(s.c.output.String(), "Everything is ready") == n+2
		})
		s.awaitPasses(t, 1)
	}
	s.awaitPasses(t, 4)
	s.requireKept(t, begin)
	s.requireNothingLost(t)
	s.requireNoFlood(t, reloads)

	objects := bpfObjects(t, s.c.cmd.Process.Pid)
	require.NotEmpty(t, objects)
	s.c.stop(t)
	requireGone(t, objects)
}

// requireChildren lets time go by and compares what the diagnoses of these say of
// their children with what the kernel has made.
func (s *soaked) requireChildren(t *testing.T, of []*workload.Process, length time.Duration) {
	t.Helper()
	s.awaitPasses(t, 2)
	began, lostBefore := now(), s.counted(t, "otelcol_hotspot_lost", "exit_ring_full")
	forks, _ := rates(t)
	s.lasts(t, length)
	moreForks, _ := rates(t)
	ended, lost := now(), s.counted(t, "otelcol_hotspot_lost", "exit_ring_full")
	seconds := ended.AsTime().Sub(began.AsTime()).Seconds()

	told := 0.0
	for _, p := range of {
		children, length := 0.0, 0.0
		for _, r := range s.records(t) {
			rate, ok := r.record.Attributes().Get("hotspot.evidence.children_per_second")
			if ok && r.pid() == int64(p.Pid()) && r.record.Timestamp() > began && r.record.Timestamp() < ended {
				window, _ := r.record.Attributes().Get("hotspot.window")
				children, length = children+rate.Double()*window.Double(), length+window.Double()
			}
		}
		require.Positive(t, length, "process %d is no fork storm", p.Pid())
		told += children / length
	}
	made, missed := (moreForks-forks)/seconds, (lost-lostBefore)/seconds
	t.Logf("%.0f processes made a second, %.0f told of, %.0f counted as lost", made, told, missed)
	// Only some windows are told of; package bpf counts each exit.
	require.InEpsilon(t, made, told+missed, 0.3)
}

// A collector that is told to end as it starts, loads its programs, reads the
// kernel or sends.
func TestSIGTERMAtAnyMoment(t *testing.T) {
	needsRoot(t)
	config := write(t, `
receivers: {hotspot: {collection_interval: 100ms, initial_delay: 0s}}
exporters: {debug: {}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    metrics: {receivers: [hotspot], exporters: [debug]}
    logs: {receivers: [hotspot], exporters: [debug]}
`)
	ended := 0
	for n := range inProportion(soakLength(t), 50, 8) {
		c := launch(t, exec.Command(binary(t), "--config="+config))
		if n%2 == 0 {
			c.await(t, "a start", func() bool { return strings.Contains(c.output.String(), "Everything is ready") })
		}
		time.Sleep(rand.N(2 * time.Second)) // the moment is what is tried
		objects := bpfObjects(t, c.cmd.Process.Pid)
		require.NoError(t, c.cmd.Process.Signal(syscall.SIGTERM))
		select {
		case <-c.exited:
		case <-time.After(patience):
			require.Fail(t, "SIGTERM did not end it")
		}
		// Before it listens to signals, one ends it as any program.
		if status := c.result.Sys().(syscall.WaitStatus); !status.Signaled() {
			require.Equal(t, 0, c.result.ExitCode(), c.output.String())
			ended++
		}
		require.NotContains(t, c.output.String(), "panic")
		requireGone(t, objects)
	}
	require.Positive(t, ended, "all died of the signal: this test has shown nothing")
}

// rates says how busy the host was.
func rates(t *testing.T) (forks, switches float64) {
	t.Helper()
	text, err := os.ReadFile("/proc/stat")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		_, _ = fmt.Sscanf(line, "processes %g", &forks)
		_, _ = fmt.Sscanf(line, "ctxt %g", &switches)
	}
	return forks, switches
}
