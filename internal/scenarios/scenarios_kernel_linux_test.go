// Package scenarios runs the whole receiver on the real kernel beside workloads
// of known behaviour, and checks what it says of them: docs/diagnosis-guide.md.
package scenarios

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

func TestMain(m *testing.M) {
	workload.Main()
	os.Exit(m.Run())
}

// TestScenarios runs every scenario once, with windows of one second; with
// HOTSPOT_SCENARIOS=full five times at each of three intervals. It logs a table
// of what came of them, and writes it as JSON to $HOTSPOT_SCENARIOS_JSON. With
// HOTSPOT_QUIET_HOST=1 nothing is made again, and nothing is put down to others.
func TestScenarios(t *testing.T) {
	needsKernel(t)
	intervals, runs := []time.Duration{time.Second}, 1
	if os.Getenv("HOTSPOT_SCENARIOS") == "full" {
		intervals, runs = []time.Duration{time.Second, 2 * time.Second, 5 * time.Second}, 5
	}
	quiet := os.Getenv("HOTSPOT_QUIET_HOST") == "1"
	results := &table{Quiet: quiet, CPUs: runtime.NumCPU()}
	scenarios := append(append(ofCPU(), ofMemory(t)...), ofCalm()...)
	for _, interval := range intervals {
		t.Run(interval.String(), func(t *testing.T) {
			theatre := &theatre{watch: watchHost(t, interval, quiet)}
			for i := range scenarios {
				s := &scenarios[i]
				r := results.row(s.name, interval, s.expected())
				for n := range runs {
					t.Run(fmt.Sprintf("%s/%d", s.name, n+1), func(t *testing.T) { theatre.run(t, s, r) })
				}
			}
			theatre.close(t)
		})
	}
	t.Logf("the scenarios\n%v", results.played())
	if name := os.Getenv("HOTSPOT_SCENARIOS_JSON"); name != "" {
		require.NoError(t, results.write(name))
	}
}

// theatre is where scenarios are performed, one after the other, under one watch.
type theatre struct {
	*watch
	judged int    // how many records have been
	before *stage // the last performance
}

// run performs a scenario, and again if it failed beside other load. A host that
// is never calm shows nothing.
func (h *theatre) run(t *testing.T, s *scenario, r *row) {
	r.Runs++
	attempts := 3
	if h.quiet {
		attempts = 1
	}
	for range attempts {
		var failures []string
		var others float64
		var came *stage
		t.Run("attempt", func(t *testing.T) { came, failures, others = h.perform(t, s) })
		why := strings.Join(failures, "\n")
		switch {
		case t.Failed():
			t.FailNow()
		case came == nil:
			r.Skipped++
			t.Skip("see why the attempt was skipped")
		case len(failures) == 0:
			r.Passed++
			r.add(&came.outcome)
			return
		case h.quiet || others < crowd:
			r.add(&came.outcome)
			require.Fail(t, why, "beside other load of %.2f CPUs", others)
		}
		t.Logf("disturbed by other load of %.2f CPUs: %s", others, why)
	}
	r.Disturbed++
	t.Skip("disturbed by other load")
}

// perform returns nothing of a scenario that was skipped.
func (h *theatre) perform(t *testing.T, s *scenario) (*stage, []string, float64) {
	st := &stage{watch: h.watch, scenario: s, cast: make(map[string]int)}
	var since time.Time
	failures := try(t, func(a *attempt) {
		st.attempt = a
		since = h.awaitCalm(st)
		defer h.judge(st)
		st.perform()
	})
	if len(failures) == 0 {
		return st, nil, 0
	}
	// Once the window in progress has ended it is known who else ran in it.
	others := 0.0
	failures = append(failures, try(t, func(a *attempt) {
		st.attempt = a
		st.awaitWindows(1, time.Now())
		for _, w := range h.fullWindows(since, time.Now()) {
			others = max(others, w.otherLoad)
		}
	})...)
	return st, failures, others
}

func (h *theatre) judge(st *stage) {
	news := h.said(h.judged)
	h.judged += len(news)
	st.judge(news, h.before)
	h.before = st
}

// close judges what was said when the last workload was taken down.
func (h *theatre) close(t *testing.T) {
	for _, failure := range try(t, func(a *attempt) {
		st := &stage{attempt: a, watch: h.watch, scenario: &scenario{}}
		st.awaitWindows(1, time.Now())
		h.judge(st)
	}) {
		t.Error(failure)
	}
}

// crowd is how many CPUs other load may use on a host that is called calm.
const crowd = 0.25

// awaitCalm returns when a window has ended in which there was little other load
// on this host, or when there was none such among some windows; and when that
// was. What was said meanwhile beside other load is not judged.
func (h *theatre) awaitCalm(st *stage) time.Time {
	st.Helper()
	const windows = 5
	came := len(h.ended())
	st.eventually(func() bool {
		all := h.ended()
		if h.quiet {
			return len(all) > 0
		}
		return len(all) > came && (len(all) >= came+windows || all[len(all)-1].otherLoad < crowd)
	}, "no window")
	if !h.quiet {
		h.judged = len(h.said(0))
	}
	all := h.ended()
	return all[len(all)-1].end
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
