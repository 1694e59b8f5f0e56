package filter

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// counted tells the same of every process and counts who asks what.
type counted struct {
	cgroup, command, owner string
	asked                  map[string]int
}

func (c *counted) Of(sampler.Process) identity.Identity {
	c.asked["cgroup"]++
	return identity.Identity{Cgroup: c.cgroup}
}

func (c *counted) CommandLine(sampler.Process) string {
	c.asked["command"]++
	return c.command
}

func (c *counted) Owner(sampler.Process) string {
	c.asked["owner"]++
	return c.owner
}

func postgres() *counted {
	return &counted{
		cgroup:  "/system.slice/postgresql.service",
		command: "postgres -D /data",
		owner:   "postgres",
		asked:   map[string]int{},
	}
}

func process(pid uint32, name string) sampler.Process {
	return sampler.Process{ID: sampler.ID{Pid: pid, Start: time.Second}, Name: name, ExecID: 1}
}

func TestExported(t *testing.T) {
	names := func(as MatchType, all ...string) Config { return Config{MatchType: as, ExecutableNames: all} }
	none := DefaultConfig()
	for name, tt := range map[string]struct {
		include, exclude Config
		want             bool
	}{
		"without blocks all are": {none, none, true},

		"included by name":                         {names(Strict, "nginx", "postgres"), none, true},
		"a part of a name is not it":               {names(Strict, "postgre"), none, false},
		"strict is no pattern":                     {names(Strict, "post.*"), none, false},
		"included by a pattern":                    {names(Regexp, "^nginx$", "^post"), none, true},
		"a pattern is found anywhere":              {names(Regexp, "gre"), none, true},
		"no pattern matches":                       {names(Regexp, "^gre"), none, false},
		"excluded by name":                         {none, names(Strict, "postgres"), false},
		"another is excluded":                      {none, names(Strict, "nginx"), true},
		"exclude wins":                             {names(Strict, "postgres"), names(Strict, "postgres"), false},
		"neither included nor excluded":            {names(Strict, "nginx"), names(Strict, "sshd"), false},
		"by command":                               {Config{MatchType: Regexp, Commands: []string{"-D /data"}}, none, true},
		"by the whole command":                     {Config{MatchType: Strict, Commands: []string{"postgres -D /data"}}, none, true},
		"not by a part of it":                      {Config{MatchType: Strict, Commands: []string{"postgres"}}, none, false},
		"by cgroup":                                {Config{MatchType: Strict, Cgroups: []string{"/system.slice/postgresql.service"}}, none, true},
		"not by the cgroup above":                  {Config{MatchType: Strict, Cgroups: []string{"/system.slice"}}, none, false},
		"by the cgroup above as a pattern":         {Config{MatchType: Regexp, Cgroups: []string{"^/system.slice/"}}, none, true},
		"by owner":                                 {Config{MatchType: Strict, Owners: []string{"root", "postgres"}}, none, true},
		"not by another owner":                     {Config{MatchType: Strict, Owners: []string{"root"}}, none, false},
		"by pid":                                   {Config{MatchType: Strict, Pids: []int64{1, 812}}, none, true},
		"by pid beside patterns":                   {Config{MatchType: Regexp, Pids: []int64{812}}, none, true},
		"not by another pid":                       {Config{MatchType: Strict, Pids: []int64{81}}, none, false},
		"all kinds of a block must match":          {Config{MatchType: Strict, Pids: []int64{812}, Owners: []string{"root"}}, none, false},
		"and do":                                   {Config{MatchType: Strict, Pids: []int64{812}, Owners: []string{"postgres"}}, none, true},
		"excluded only if all kinds match":         {none, Config{MatchType: Strict, ExecutableNames: []string{"postgres"}, Owners: []string{"root"}}, true},
		"excluded if they do":                      {none, Config{MatchType: Strict, ExecutableNames: []string{"postgres"}, Owners: []string{"postgres"}}, false},
		"a match type without entries is no block": {Config{MatchType: Regexp}, none, true},
	} {
		t.Run(name, func(t *testing.T) {
			f, err := New(tt.include, tt.exclude, postgres())
			require.NoError(t, err)
			require.Equal(t, tt.want, f.Exported(process(812, "postgres")))
			require.Equal(t, tt.want, f.Exported(process(812, "postgres")), "remembered")
		})
	}
}

func TestNamesAreCutAsTheKernelCutsThem(t *testing.T) {
	f, err := New(Config{MatchType: Strict, ExecutableNames: []string{"postgres_exporter"}}, DefaultConfig(), postgres())
	require.NoError(t, err)
	require.True(t, f.Exported(process(1, "postgres_export")))
	require.False(t, f.Exported(process(2, "postgres")))
}

func TestWhatIsNotKnownMatchesNothing(t *testing.T) {
	unknown := &counted{asked: map[string]int{}}
	for _, c := range []Config{
		{MatchType: Regexp, Commands: []string{".*"}},
		{MatchType: Regexp, Cgroups: []string{".*"}},
		{MatchType: Regexp, Owners: []string{".*"}},
	} {
		f, err := New(c, DefaultConfig(), unknown)
		require.NoError(t, err)
		require.False(t, f.Exported(process(1, "gone")))
		f, err = New(DefaultConfig(), c, unknown)
		require.NoError(t, err)
		require.True(t, f.Exported(process(1, "gone")))
	}
}

// /proc is read for what a block has entries of, and not where a cheaper kind
// has said no.
func TestOnlyWhatIsNeededIsAsked(t *testing.T) {
	for name, tt := range map[string]struct {
		include Config
		want    map[string]int
	}{
		"names and pids cost nothing": {
			Config{MatchType: Strict, ExecutableNames: []string{"postgres"}, Pids: []int64{812}},
			map[string]int{},
		},
		"not the command of another name": {
			Config{MatchType: Strict, ExecutableNames: []string{"nginx"}, Commands: []string{"x"}, Owners: []string{"x"}},
			map[string]int{},
		},
		"the owner once": {
			Config{MatchType: Strict, Owners: []string{"postgres"}},
			map[string]int{"owner": 1},
		},
		"the command once": {
			Config{MatchType: Strict, Commands: []string{"postgres"}},
			map[string]int{"command": 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			whose := postgres()
			f, err := New(tt.include, DefaultConfig(), whose)
			require.NoError(t, err)
			for range 3 {
				f.Exported(process(812, "postgres"))
				f.EndPass()
			}
			require.Equal(t, tt.want, whose.asked)
		})
	}
}

func TestADecisionIsMadeAnew(t *testing.T) {
	for name, change := range map[string]func(*sampler.Process){
		"when it runs another program": func(p *sampler.Process) { p.ExecID++ },
		"when it is renamed":           func(p *sampler.Process) { p.Name = "worker" },
		"when it moves":                func(p *sampler.Process) { p.Cgroup++ },
		"when it moves in v1":          func(p *sampler.Process) { p.CPUCgroup++ },
	} {
		t.Run(name, func(t *testing.T) {
			whose, p := postgres(), process(812, "postgres")
			f, err := New(DefaultConfig(), Config{MatchType: Strict, Cgroups: []string{"/b"}}, whose)
			require.NoError(t, err)
			require.True(t, f.Exported(p))
			whose.cgroup = "/b"
			require.True(t, f.Exported(p))
			change(&p)
			require.False(t, f.Exported(p))
		})
	}
}

func TestTheGoneAreForgotten(t *testing.T) {
	f, err := New(Config{MatchType: Strict, Pids: []int64{1}}, DefaultConfig(), postgres())
	require.NoError(t, err)
	f.Exported(process(1, "a"))
	f.EndPass()
	require.Len(t, f.decided, 1)
	f.Exported(process(2, "b"))
	f.EndPass()
	require.Len(t, f.decided, 1)
	require.Contains(t, f.decided, process(2, "b").ID)
}

func TestABadPatternIsAnError(t *testing.T) {
	bad := Config{MatchType: Regexp, Owners: []string{"("}}
	_, err := New(bad, DefaultConfig(), postgres())
	require.Error(t, err)
	_, err = New(DefaultConfig(), bad, postgres())
	require.Error(t, err)
}

func BenchmarkExported(b *testing.B) {
	f, err := New(DefaultConfig(), Config{MatchType: Regexp, Commands: []string{"^kworker", "java .*Main"}}, postgres())
	require.NoError(b, err)
	p := process(812, "postgres")
	b.ReportAllocs()
	for b.Loop() {
		f.Exported(p)
	}
}
