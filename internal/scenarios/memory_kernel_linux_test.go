package scenarios

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

const (
	mib = 1 << 20

	leakRate = 40e6 // bytes a second
)

// ofMemory returns those of which something is to be said of the memory.
func ofMemory(t *testing.T) []scenario {
	file := filepath.Join(t.TempDir(), "file") // made by the first that reads it
	return []scenario{
		{
			name: "a process that gives back and takes again its memory thrashes",
			play: func(s *stage) { s.enters("loop", workload.Start(s, "refault", "256").Pid()) },
			must: []line{{role: "loop", label: memThrashing, within: 1}},
			may:  map[string][]string{"loop": {cpuBound}},
		},
		{
			name: "a process that maps a file larger than its memory group thrashes",
			play: func(s *stage) { rereadInAGroup(s, file) },
			must: []line{{role: "reader", label: memThrashing, within: 1}},
			may:  map[string][]string{"reader": {cpuBound}}, // while it makes it, and reads it once
		},
		{
			name: "a large process that begins to leak is on its way out of memory",
			play: leak,
			must: []line{{role: "leak", label: oomRisk, within: 3}},
			may:  map[string][]string{"leak": {cpuBound}}, // while it takes what it begins with
		},
		{
			name: "a leak in a small control group is said before the kernel kills it",
			play: leakInAGroup,
			must: []line{
				{role: "leak", label: oomRisk, within: 3},
				{role: "leak", label: oomKill, within: 6},
			},
			holds: func(s *stage) {
				require.Less(s, s.first[0].Timestamp(), s.first[1].Timestamp(), "said before it happens")
			},
		},
		{
			name: "a leak is said once for all its garbage collections",
			play: leakWithDips,
			must: []line{{role: "leak", label: oomRisk, within: 4}},
			// While it takes what it begins with.
			may: map[string][]string{"leak": {cpuBound}},
			// Two dips, and after each as long as it takes to end.
			windows: 8,
			holds: func(s *stage) {
				for _, r := range s.of(s.cast["leak"]) {
					require.False(s, r.label() == oomRisk && r.state() == "ended", "it still grows: %v", r)
				}
			},
		},
		{
			name:    "a compiler run raises no alarm about memory",
			play:    compile,
			may:     map[string][]string{"compiler": {cpuBound, forkStorm, noisyNeighbor, starved}},
			windows: lookBack,
			holds:   func(s *stage) { require.NoError(s, s.ends(), "the build") },
		},
	}
}

func leakWithDips(s *stage) {
	// Of four windows three grow by as much and one shrinks by half of that.
	collect := 4 * s.interval
	leak := workload.Start(s, "leak", fmt.Sprintf("-base=%d", 600*mib), "-collect="+collect.String(), strconv.Itoa(leakRate/2))
	s.enters("leak", leak.Pid())
	leak.WaitStopped()
	s.begins()
	leak.Signal(unix.SIGCONT)
}

func rereadInAGroup(s *stage, file string) {
	var fs unix.Statfs_t
	require.NoError(s, unix.Statfs(filepath.Dir(file), &fs))
	if fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC {
		s.Skip("needs a file system with a disk at " + filepath.Dir(file))
	}
	group := workload.NewCgroup(s, "memory")
	group.SetMemory(60 * mib)
	reader := workload.Start(s, "reread", file, strconv.Itoa(400*mib))
	s.enters("reader", reader.Pid())
	reader.WaitStopped()
	group.Add(reader.Pid())
	reader.Signal(unix.SIGCONT)
	reader.WaitStopped()
	s.begins()
	reader.Signal(unix.SIGCONT)
}

// compile builds a large package and all it depends on, with a cache of its own.
func compile(s *stage) {
	if _, err := exec.LookPath("go"); err != nil {
		s.Skip("needs the go command")
	}
	// Nice, so that it is in nobody's way.
	build := exec.Command("nice", "go", "build", "-o", os.DevNull, "net/http")
	build.Env = append(os.Environ(), "GOCACHE="+s.TempDir(), "GOENV=off", "GOFLAGS=", "GOTOOLCHAIN=local")
	build.Stderr = os.Stderr
	build.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	require.NoError(s, build.Start())
	s.ends = build.Wait
	s.Cleanup(func() {
		// Of a run that did not get so far, with the processes it has made.
		_ = unix.Kill(-build.Process.Pid, unix.SIGKILL)
		_ = build.Wait()
	})
	s.enters("compiler", build.Process.Pid)
}

func leak(s *stage) {
	leak := workload.Start(s, "leak", fmt.Sprintf("-base=%d", 600*mib), strconv.Itoa(leakRate))
	s.enters("leak", leak.Pid())
	leak.WaitStopped()
	// All that is looked back on is without growth.
	s.awaitWindows(lookBack, time.Now())
	s.begins()
	leak.Signal(unix.SIGCONT)
}

func leakInAGroup(s *stage) {
	group := workload.NewCgroup(s, "memory")
	// The kernel kills it in the fifth window after that in which it begins.
	group.SetMemory(int(leakRate * 5 * s.interval.Seconds()))
	leak := workload.Start(s, "leak", strconv.Itoa(leakRate))
	group.Add(leak.Pid())
	s.enters("leak", leak.Pid())
}
