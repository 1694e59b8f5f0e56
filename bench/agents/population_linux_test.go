package agents

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// patience is how long a condition is awaited.
const patience = 90 * time.Second

// population is the processes a host has more than those it had.
type population struct {
	processes, threads int // threads: of each
	active             bool
}

// One thread in so many of an active population wakes up twice a second: 5 %.
const activeOneIn = 20

func (p population) String() string {
	s := fmt.Sprintf("%d processes", p.processes)
	if p.threads > 1 {
		s += fmt.Sprintf(" of %d threads", p.threads)
	}
	if p.active {
		s += ", 5 % active"
	}
	return s
}

// run calls f while the processes are there.
func (p population) run(t testing.TB, f func()) {
	t.Helper()
	stop := p.start(t)
	defer stop()
	f()
}

// familySize is how many processes one parent makes: a busy machine takes a minute
// for these, which is as long as a workload may take to get ready.
const familySize = 2_000

// start returns when all the processes are there, with what ends them.
func (p population) start(t testing.TB) (stop func()) {
	t.Helper()
	wake := 0
	if p.active {
		wake = activeOneIn
	}
	var families []*workload.Process
	for left := p.processes; left > 0; left -= familySize {
		n := min(left, familySize)
		s := workload.Start(t, "sleepers", "-life=20m", "-threads="+strconv.Itoa(p.threads), "-wake="+strconv.Itoa(wake), strconv.Itoa(n))
		families = append(families, s)
		began, children := time.Now(), s.Children()
		require.Len(t, children, n)
		for _, pid := range children { // which make their threads themselves
			for threads(t, pid) != p.threads {
				require.Less(t, time.Since(began), patience, "%s: not all of them come", p)
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
	return func() {
		for _, s := range families {
			s.Stop()
		}
	}
}

func threads(t testing.TB, pid int) int {
	t.Helper()
	process, err := procfs.NewProc(pid)
	require.NoError(t, err)
	stat, err := process.Stat()
	require.NoError(t, err)
	return stat.NumThreads
}
