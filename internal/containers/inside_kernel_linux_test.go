package containers

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// agent is a collector in a container, as docs/kubernetes.md has it: no more than
// the capabilities it needs, no new ones, the system calls of its profile, the
// host's processes, and its root read-only.
func agent(t *testing.T, group string, keys map[string]any) *bundle {
	t.Helper()
	all := map[string]any{"root_path": "/hostfs"}
	for key, value := range keys {
		all[key] = value
	}
	b := newBundle(t, group, nil, collectorVariable+"="+configuration(all))
	b.without("pid").allow("CAP_BPF", "CAP_PERFMON", "CAP_SYS_PTRACE")
	profile, err := os.ReadFile("../../deploy/seccomp/otelcol-hotspot.json")
	require.NoError(t, err)
	b.Process.NoNewPrivileges, b.Linux.Seccomp = true, profile
	b.Mounts = append(b.Mounts, mount{"/hostfs", "bind", "/", []string{"rbind", "rslave", "ro"}})
	return b
}

func TestContainersSeenFromAContainer(t *testing.T) {
	needsRunc(t)
	uid, own := newUID("agent"), newID("agent")
	inside := layout{"/kubepods/burstable/pod" + uid + "/" + own, own, uid}
	for name, prepare := range map[string]func(*bundle){
		"with a cgroup namespace of its own": func(*bundle) {},
		"in the host's cgroup namespace":     func(b *bundle) { b.without("cgroup") },
	} {
		t.Run(name, func(t *testing.T) {
			b := agent(t, inside.group, map[string]any{
				"resource_attributes": map[string]any{"process.owner": map[string]any{"enabled": true}},
				"include":             map[string]any{"executable_names": []string{"busy", "test"}},
			})
			prepare(b)
			running := b.run(t)
			c := follow(running.output)
			c.await(t, "metrics", running.pid, anything, "the collector itself")

			t.Run("it is confined", func(t *testing.T) {
				status, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(running.pid), "status"))
				require.NoError(t, err)
				capabilities := uint64(1<<unix.CAP_BPF | 1<<unix.CAP_PERFMON | 1<<unix.CAP_SYS_PTRACE)
				for _, line := range []string{
					"NoNewPrivs:\t1\n", "Seccomp:\t2\n", fmt.Sprintf("CapEff:\t%016x\n", capabilities), fmt.Sprintf("CapBnd:\t%016x\n", capabilities),
				} {
					require.Contains(t, string(status), line)
				}
				err = os.WriteFile(filepath.Join("/proc", strconv.Itoa(running.pid), "root/written"), nil, 0o600)
				require.ErrorIs(t, err, unix.EROFS)
			})
			t.Run("the collector itself", func(t *testing.T) {
				inside.check(t, c.await(t, "metrics", running.pid, anything, "anything"))
			})
			t.Run("a container in the same pod", func(t *testing.T) {
				sibling := layout{"/kubepods/burstable/pod" + uid + "/" + newID("sibling"), newID("sibling"), uid}
				pid := inContainer(t, sibling.group, "busy", "-nice=19")
				sibling.check(t, c.await(t, "metrics", pid, anything, "anything"))
			})
			t.Run("a process of the host", func(t *testing.T) {
				p := workload.Start(t, "busy", "-nice=19")
				got := c.await(t, "metrics", p.Pid(), anything, "anything")
				require.NotContains(t, got, "container.id")
				require.False(t, strings.HasPrefix(got["process.linux.cgroup"].(string), "/.."), got["process.linux.cgroup"])
				require.Equal(t, "root", got["process.owner"], "the host's passwd, for there is no other")
			})
			for name, l := range layouts() {
				t.Run(name, func(t *testing.T) {
					pid := inContainer(t, l.group, "busy", "-nice=19")
					l.check(t, c.await(t, "metrics", pid, anything, "anything"))
				})
			}
		})
	}
}

func TestAContainerWithoutTheRootOfTheHostSaysSo(t *testing.T) {
	needsRunc(t)
	for name, tt := range map[string]struct {
		change func(*mount)
		want   string
	}{
		"not mounted there":             {func(m *mount) { m.Destination = "/elsewhere" }, "root_path: /hostfs/proc is no procfs"},
		"without what is mounted below": {func(m *mount) { m.Options = []string{"bind", "ro"} }, "root_path: /hostfs/proc is no procfs"},
	} {
		t.Run(name, func(t *testing.T) {
			b := agent(t, "/docker/"+newID("agent"), nil)
			tt.change(&b.Mounts[len(b.Mounts)-1])
			c := follow(b.run(t).output)
			for timeout := time.After(patience); c.err == ""; {
				require.True(t, c.next(timeout), "an error")
			}
			require.Contains(t, c.err, tt.want)
		})
	}
}

// Where /proc hides others and no control groups are mounted, processes lack
// attributes and are there all the same.
func TestWithoutProcAndControlGroupsMetricsFlow(t *testing.T) {
	needsRunc(t)
	on := map[string]any{"enabled": true}
	b := newBundle(t, "/docker/"+newID("agent"), nil, collectorVariable+"="+configuration(map[string]any{
		"resource_attributes": map[string]any{"process.executable.path": on, "process.command_line": on, "process.owner": on},
	}))
	b.without("pid").allow("CAP_BPF", "CAP_PERFMON")
	b.Process.User = user{nobody, nobody}
	b.Mounts[0].Options = []string{"hidepid=2"}
	c := follow(b.run(t).output)
	p := workload.Start(t, "busy", "-nice=19")
	got := c.await(t, "metrics", p.Pid(), anything, "anything")
	require.Equal(t, "busy", got["process.executable.name"])
	require.Contains(t, got, "process.creation.time")
	for _, hidden := range []string{
		"process.executable.path", "process.command_line", "process.owner", "process.linux.cgroup", "container.id",
	} {
		require.NotContains(t, got, hidden)
	}
	require.Equal(t, got, c.await(t, "logs", p.Pid(), anything, "a diagnosis"))
}

const nobody = 65534
