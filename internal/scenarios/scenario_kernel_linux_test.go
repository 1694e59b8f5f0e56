package scenarios

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// What is said of a process: oomKill is an event of its own, the others are
// diagnoses.
const (
	cpuBound      = "cpu_bound"
	forkStorm     = "fork_storm"
	cpuThrottled  = "cpu_throttled"
	noisyNeighbor = "noisy_neighbor"
	starved       = "starved"
	memThrashing  = "mem_thrashing"
	oomRisk       = "oom_risk"
	oomKill       = "oom_kill"
)

func labelOf(event string) string {
	return strings.TrimPrefix(strings.TrimPrefix(event, "hotspot."), "diagnosis.")
}

// scenario is a workload of known behaviour and what is to be said of it.
type scenario struct {
	name string
	// play starts the workload and tells who plays which role. A role is a process
	// and its descendants.
	play func(*stage)
	must []line
	may  map[string][]string // what else is true, by role; a role without is silent
	// windows is how many full ones it is watched at least.
	windows int
	// holds checks what a line cannot say; nil is nothing.
	holds func(*stage)
}

// line is a diagnosis that must be said of a role.
type line struct {
	role, label string
	within      int    // full windows
	names       string // the role it names first as the other side, if any
}

func (l line) String() string {
	s := fmt.Sprintf("%s %s within %d", l.role, l.label, l.within)
	if l.names != "" {
		s += " naming " + l.names
	}
	return s
}

// expected says in words what a scenario must and may bring.
func (s *scenario) expected() string {
	var parts []string
	for _, l := range s.must {
		parts = append(parts, l.String())
	}
	for _, role := range slices.Sorted(maps.Keys(s.may)) {
		if len(s.may[role]) > 0 {
			parts = append(parts, role+" may "+strings.Join(s.may[role], ", "))
		}
	}
	if len(s.must) == 0 {
		parts = append(parts, fmt.Sprintf("nothing else in %d", s.windows))
	}
	return strings.Join(parts, "; ")
}

// allows tells whether something may be said of a role.
func (s *scenario) allows(role, label string) bool {
	return slices.Contains(s.may[role], label) ||
		slices.ContainsFunc(s.must, func(l line) bool { return l.role == role && l.label == label })
}

// stage is one performance of a scenario.
type stage struct {
	*attempt
	*watch
	scenario *scenario
	cast     map[string]int // pid by role
	began    time.Time      // from here on it behaves as it must be said
	first    []record       // that said each line
	ends     func() error   // waits for a workload that ends by itself, if it does
	outcome  outcome
}

// enters gives a role to a process.
func (s *stage) enters(role string, pid int) { s.cast[role] = pid }

// begins says that from now on the workload does what must be said of it.
func (s *stage) begins() { s.began = time.Now() }

// perform returns when all that must be said has been said.
func (s *stage) perform() {
	s.scenario.play(s)
	if s.began.IsZero() {
		s.begins()
	}
	for _, l := range s.scenario.must {
		s.await(l)
	}
	s.awaitWindows(s.scenario.windows, s.began)
	if s.scenario.holds != nil {
		s.scenario.holds(s)
	}
}

// patience is how long a window is awaited. It is no measure of anything: tests
// count windows.
const patience = 2 * time.Minute

func (s *stage) eventually(condition func() bool, why string, args ...any) {
	s.Helper()
	require.Eventually(s, condition, patience, 20*time.Millisecond, append([]any{why}, args...)...)
}

// awaitWindows returns when so many full windows have gone by.
func (s *stage) awaitWindows(n int, after time.Time) {
	s.Helper()
	s.eventually(func() bool { return len(s.fullWindows(after, time.Now())) >= n }, "%d windows", n)
}

// await returns when a line is said, and fails if that takes too long.
func (s *stage) await(l line) {
	s.Helper()
	pid, state := s.cast[l.role], "started"
	if l.label == oomKill {
		state = ""
	}
	var found *record
	s.eventually(func() bool {
		// Before it is looked, since logs come after the metrics of their window.
		late := len(s.fullWindows(s.began, time.Now())) > l.within+1
		all := s.said(0)
		i := slices.IndexFunc(all, func(r record) bool {
			return r.pid == pid && r.label() == l.label && r.state() == state
		})
		if i >= 0 {
			found = &all[i]
		}
		return found != nil || late
	}, "no windows")
	require.NotNil(s, found, "%v: not said of %d, but %v", l, pid, s.of(pid))
	at := found.Timestamp().AsTime()
	require.False(s, at.Before(s.began), "%v: said too early: %v", l, found)
	windows := len(s.fullWindows(s.began, at))
	s.outcome.windows = append(s.outcome.windows, windows)
	s.first = append(s.first, *found)
	require.LessOrEqual(s, windows, l.within, "%v: said too late: %v", l, found)
	if l.names != "" {
		other := max(found.number("hotspot.aggressor.pid"), found.number("hotspot.victim.pid"))
		require.Equal(s, s.cast[l.names], other, "%v: names another: %v", l, found)
	}
}

// of returns what was said of one process.
func (s *stage) of(pid int) []record {
	return slices.DeleteFunc(s.said(0), func(r record) bool { return r.pid != pid })
}

// judge takes in what was said since another performance was judged. What the
// one before could not hear any more is judged as well: a diagnosis of its cast,
// said while it was taken down.
func (s *stage) judge(news []record, before *stage) {
	s.outcome.got = make(map[string][]string)
	for _, r := range news {
		// An end comes after a start only, which was judged then.
		if r.state() == "ended" {
			continue
		}
		if role, ok := s.plays(r.pid); ok {
			if !slices.Contains(s.outcome.got[role], r.label()) {
				s.outcome.got[role] = append(s.outcome.got[role], r.label())
			}
			if !s.scenario.allows(role, r.label()) {
				s.alarm(role, r)
			}
			continue
		}
		if before != nil {
			if role, ok := before.plays(r.pid); ok {
				if !before.scenario.allows(role, r.label()) {
					s.alarm(role+" of the scenario before", r)
				}
				continue
			}
		}
		// Other processes belong to other load, unless there is none.
		if _, own := s.descends(r.pid, os.Getpid()); own {
			s.alarm("the test itself", r)
		} else if s.quiet {
			s.alarm("a bystander", r)
		}
	}
}

func (s *stage) alarm(whose string, r record) {
	alarm := fmt.Sprintf("%s: %v", whose, r)
	s.outcome.falseAlarms = append(s.outcome.falseAlarms, alarm)
	s.Errorf("said though nothing is wrong: %s %v", alarm, r.Attributes().AsRaw())
}

// plays returns the role of a process.
func (s *stage) plays(pid int) (string, bool) {
	found, ok := s.descends(pid, slices.Collect(maps.Values(s.cast))...)
	for role, pid := range s.cast {
		if ok && pid == found {
			return role, true
		}
	}
	return "", false
}
