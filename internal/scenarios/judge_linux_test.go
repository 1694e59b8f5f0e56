package scenarios

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/pdata/plog"
)

// What is said of whom counts as a false alarm, by these processes.
const (
	loopPid = 1000 + iota
	childPid
	orphanPid
	gonePid // of the scenario before
	helperPid
	strangerPid
)

func TestJudge(t *testing.T) {
	for name, tt := range map[string]struct {
		pid           int
		label, state  string
		quiet         bool
		alarms        int
		whose, gotten string
	}{
		"what must be said is no alarm":               {pid: loopPid, label: starved, gotten: "loop"},
		"what may be said is no alarm":                {pid: loopPid, label: cpuBound, gotten: "loop"},
		"anything else of a role is an alarm":         {pid: loopPid, label: oomRisk, alarms: 1, whose: "loop", gotten: "loop"},
		"a kill is an alarm":                          {pid: loopPid, label: oomKill, alarms: 1, whose: "loop", gotten: "loop"},
		"a child plays the role of its parent":        {pid: childPid, label: oomRisk, alarms: 1, whose: "loop", gotten: "loop"},
		"and is allowed as much":                      {pid: childPid, label: cpuBound, gotten: "loop"},
		"one whose parent is gone does as well":       {pid: orphanPid, label: oomRisk, alarms: 1, whose: "loop", gotten: "loop"},
		"an end was judged when it started":           {pid: loopPid, label: oomRisk, state: "ended"},
		"what goes on is judged":                      {pid: loopPid, label: oomRisk, state: "ongoing", alarms: 1, whose: "loop", gotten: "loop"},
		"the last scenario's may is heard late":       {pid: gonePid, label: forkStorm},
		"the last scenario's alarm is heard late":     {pid: gonePid, label: starved, alarms: 1, whose: "parent of the scenario before"},
		"this test must not be diagnosed":             {pid: os.Getpid(), label: cpuBound, alarms: 1, whose: "the test itself"},
		"nor a helper of it":                          {pid: helperPid, label: cpuBound, alarms: 1, whose: "the test itself"},
		"other processes may be other load":           {pid: strangerPid, label: cpuBound},
		"on a quiet host there is no other load":      {pid: strangerPid, label: cpuBound, quiet: true, alarms: 1, whose: "a bystander"},
		"on a quiet host a workload is what it is":    {pid: loopPid, label: starved, quiet: true, gotten: "loop"},
		"on a quiet host a late word is as it was":    {pid: gonePid, label: forkStorm, quiet: true},
		"on a quiet host an end is no more than that": {pid: strangerPid, label: cpuBound, state: "ended", quiet: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := &watch{quiet: tt.quiet, parents: map[int]parent{
				loopPid: {pid: os.Getpid()}, childPid: {pid: loopPid}, orphanPid: {pid: childPid}, gonePid: {pid: os.Getpid()},
				helperPid: {pid: os.Getpid()}, strangerPid: {pid: 1}, os.Getpid(): {pid: 1},
			}}
			before := &stage{watch: w, cast: map[string]int{"parent": gonePid}, scenario: &scenario{
				may: map[string][]string{"parent": {forkStorm}},
			}}
			s := &stage{attempt: &attempt{T: t}, watch: w, cast: map[string]int{"loop": loopPid}, scenario: &scenario{
				must: []line{{role: "loop", label: starved}},
				may:  map[string][]string{"loop": {cpuBound}},
			}}
			r := record{plog.NewLogRecord(), tt.pid}
			r.SetEventName("hotspot.diagnosis." + tt.label)
			if tt.label == oomKill {
				r.SetEventName("hotspot.oom_kill")
			} else {
				if tt.state == "" {
					tt.state = "started"
				}
				r.Attributes().PutStr("hotspot.diagnosis.state", tt.state)
			}
			s.judge([]record{r}, before)
			require.Len(t, s.outcome.falseAlarms, tt.alarms)
			require.Len(t, s.failures, tt.alarms, "each fails the test")
			if tt.alarms > 0 {
				require.Contains(t, s.outcome.falseAlarms[0], tt.whose+": ")
			}
			if tt.gotten == "" {
				require.Empty(t, s.outcome.got)
			} else {
				require.Equal(t, map[string][]string{tt.gotten: {tt.label}}, s.outcome.got)
			}
		})
	}
}
