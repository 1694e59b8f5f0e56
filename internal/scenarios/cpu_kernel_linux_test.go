package scenarios

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// ofCPU returns those of which something is to be said of the CPU.
func ofCPU() []scenario {
	return []scenario{
		{
			name: "a busy loop is limited by the CPU",
			play: func(s *stage) { s.enters("loop", workload.Start(s, "busy").Pid()) },
			must: []line{{role: "loop", label: cpuBound, within: 1}},
		},
		{
			name:  "a thread that is busy among twenty that sleep is limited by the CPU",
			play:  func(s *stage) { s.enters("process", workload.Start(s, "hot", "20").Pid()) },
			must:  []line{{role: "process", label: cpuBound, within: 1}},
			holds: namesTheThread,
		},
		{
			name: "of two equal loops on one CPU nobody is starved and nobody noisy",
			play: func(s *stage) {
				cpu := s.oneCPU()
				s.enters("one", workload.Start(s, "busy", cpu, "-comm=one").Pid())
				s.enters("other", workload.Start(s, "busy", cpu, "-comm=other").Pid())
			},
			must: []line{
				{role: "one", label: cpuBound, within: 1},
				{role: "other", label: cpuBound, within: 1},
			},
			windows: 2,
		},
		{
			name: "of two busy loops on one CPU the nice one is starved by the other",
			play: func(s *stage) {
				cpu := s.oneCPU()
				// Beside the other the nice one would starve before it is ready.
				s.enters("nice", workload.Start(s, "busy", cpu, "-comm=nice", "-nice=19").Pid())
				s.enters("noisy", workload.Start(s, "busy", cpu, "-comm=noisy").Pid())
			},
			must: oneStarvesTheOther("noisy", "nice"),
			may:  bothAreBusy("noisy", "nice"),
		},
		{
			name: "a real-time process starves a normal one on its CPU",
			play: func(s *stage) {
				cpu := s.oneCPU()
				s.enters("normal", workload.Start(s, "busy", cpu, "-comm=normal").Pid())
				// It sleeps a tenth of the time, so that what the kernel has to do on
				// this CPU is done, whatever the host leaves to those in real time.
				s.enters("realtime", workload.Start(s, "ticker", cpu, "-comm=realtime", "-fifo=1", "90ms", "100ms").Pid())
				s.enters("kernel", kthreadd)
			},
			must: oneStarvesTheOther("realtime", "normal"),
			may: map[string][]string{
				"realtime": {cpuBound}, "normal": {cpuBound},
				// Its threads of this CPU wait as well. That is true.
				"kernel": {starved},
			},
		},
		{
			name: "sixteen threads of one process starve a service with one on their CPU",
			play: func(s *stage) {
				cpu := s.oneCPU()
				s.enters("service", workload.Start(s, "busy", cpu, "-comm=service").Pid())
				s.enters("crowd", workload.Start(s, "crowd", cpu, "16").Pid())
			},
			must: oneStarvesTheOther("crowd", "service"),
			may:  bothAreBusy("crowd", "service"),
		},
		{
			name:    "a busy loop with a quota is throttled and not starved",
			play:    throttled,
			must:    []line{{role: "loop", label: cpuThrottled, within: 1}},
			may:     map[string][]string{"loop": {cpuBound}},
			windows: 2,
		},
		{
			name:    "a process that makes many short-lived ones storms and does not thrash",
			play:    func(s *stage) { s.enters("parent", workload.Start(s, "spawn", "300", "2ms").Pid()) },
			must:    []line{{role: "parent", label: forkStorm, within: 1}},
			windows: 2,
		},
	}
}

// kthreadd is the parent of all threads of the kernel.
const kthreadd = 2

func oneStarvesTheOther(aggressor, victim string) []line {
	return []line{
		{role: victim, label: starved, within: 1, names: aggressor},
		{role: aggressor, label: noisyNeighbor, within: 1, names: victim},
	}
}

// bothAreBusy is what is true before it is known who waits for whom.
func bothAreBusy(one, other string) map[string][]string {
	return map[string][]string{one: {cpuBound}, other: {cpuBound}}
}

func throttled(s *stage) {
	group := workload.NewCgroup(s, "cpu")
	group.SetQuota(25*time.Millisecond, 100*time.Millisecond)
	busy := workload.Start(s, "busy")
	group.Add(busy.Pid())
	s.enters("loop", busy.Pid())
}

// namesTheThread checks that it is said which thread is the busy one.
func namesTheThread(s *stage) {
	var hot []string
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", s.cast["process"]))
	require.NoError(s, err)
	for _, task := range tasks {
		comm, err := os.ReadFile(filepath.Join(task, "comm"))
		require.NoError(s, err)
		if strings.TrimSpace(string(comm)) == workload.HotThread {
			hot = append(hot, filepath.Base(task))
		}
	}
	require.Len(s, hot, 1)
	require.Contains(s, s.first[0].Body().Str(), "thread ("+hot[0]+")")
}

// oneCPU returns the option that pins a workload to one CPU. This test keeps off
// it until the scenario is over: it is not to be held up, nor to hold up others.
func (s *stage) oneCPU() string {
	s.Helper()
	option, ok := workload.LeaveCPU(s)
	if !ok {
		s.Skip("needs two CPUs")
	}
	return option
}
