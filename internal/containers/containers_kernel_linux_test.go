// Package containers runs the receiver beside real containers, and in one, and
// checks whose it says their processes are.
package containers

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/cgroup"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

// patience is how long a condition is awaited, and pace how often it is looked
// at. They measure nothing.
const (
	patience = 2 * time.Minute
	pace     = 20 * time.Millisecond
)

func TestMain(m *testing.M) {
	workload.Main()
	if config := os.Getenv(collectorVariable); config != "" {
		collect(config)
	}
	os.Exit(m.Run())
}

// inContainer runs a workload in a container and returns the pid of its process
// once it does what it is for.
func inContainer(t *testing.T, group, name string, args ...string) int {
	t.Helper()
	return started(t, newBundle(t, group, args, "HOTSPOT_TEST_WORKLOAD="+name, "GOMAXPROCS=1"))
}

func started(t *testing.T, b *bundle) int {
	t.Helper()
	c := b.run(t)
	ready, err := bufio.NewReader(c.output).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "ready\n", ready)
	go func() { _, _ = io.Copy(io.Discard, c.output) }()
	return c.pid
}

// configuration of the receiver, with keys on top.
func configuration(keys map[string]any) string {
	all := map[string]any{"collection_interval": "1s", "initial_delay": "0s"}
	for key, value := range keys {
		all[key] = value
	}
	text, err := json.Marshal(all)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// A layout as a runtime makes it, and what it tells.
type layout struct{ group, container, pod string }

func layouts() map[string]layout {
	id := newID("a")
	uid := newUID("pod")
	inSlice := func() string {
		b := []byte(uid)
		for i, c := range b {
			if c == '-' {
				b[i] = '_'
			}
		}
		return string(b)
	}()
	return map[string]layout{
		"kubelet, cgroupfs": {"/kubepods/burstable/pod" + uid + "/" + id, id, uid},
		"kubelet, systemd": {
			"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + inSlice + ".slice/cri-containerd-" + id + ".scope",
			id, uid,
		},
		"cri-o":               {"/kubepods.slice/kubepods-pod" + inSlice + ".slice/crio-" + id + ".scope/container", id, uid},
		"docker, cgroupfs":    {"/docker/" + id, id, ""},
		"docker, systemd":     {"/system.slice/docker-" + id + ".scope", id, ""},
		"docker in docker":    {"/docker/" + newID("outer") + "/docker/" + id, id, ""},
		"podman":              {"/machine.slice/libpod-" + id + ".scope/container", id, ""},
		"podman's monitor":    {"/machine.slice/libpod-conmon-" + id + ".scope", "", ""},
		"nspawn":              {`/machine.slice/systemd-nspawn@web.service/payload`, "web", ""},
		"a static pod":        {"/kubepods/pod" + id[:32] + "/" + id, id, id[:32]},
		"no container at all": {"/hotspot-test-" + strconv.Itoa(os.Getpid()), "", ""},
	}
}

func (l layout) check(t *testing.T, attributes map[string]any) {
	t.Helper()
	require.Equal(t, l.group, attributes["process.linux.cgroup"])
	want := func(key, value string) {
		t.Helper()
		if value == "" {
			require.NotContains(t, attributes, key)
		} else {
			require.Equal(t, value, attributes[key], key)
		}
	}
	want("container.id", l.container)
	want("k8s.pod.uid", l.pod)
}

func TestContainersSeenFromTheHost(t *testing.T) {
	needsRunc(t)
	c := onHost(t, configuration(nil))
	for name, l := range layouts() {
		t.Run(name, func(t *testing.T) {
			pid := inContainer(t, l.group, "busy", "-nice=19")
			l.check(t, c.await(t, "metrics", pid, anything, "anything"))
		})
	}
}

// Metrics and logs of a process in a container have the same resource, with all
// that can be known of it.
func TestAllThatCanBeKnownOfAContainer(t *testing.T) {
	needsRunc(t)
	on := map[string]any{"enabled": true}
	c := onHost(t, configuration(map[string]any{"resource_attributes": map[string]any{
		"process.executable.path": on, "process.command_line": on, "process.owner": on,
	}}))
	l := layouts()["kubelet, cgroupfs"]
	pid := inContainer(t, l.group, "busy", "-nice=19", "-life=2m")
	logs := c.await(t, "logs", pid, anything, "a diagnosis")
	metrics := c.await(t, "metrics", pid, anything, "anything")
	require.Equal(t, metrics, logs)
	l.check(t, metrics)
	require.Equal(t, binary, metrics["process.executable.path"], "as it is in the container")
	require.Equal(t, binary+" -nice=19 -life=2m", metrics["process.command_line"])
	require.Equal(t, "root", metrics["process.owner"])
	require.Equal(t, "busy", metrics["process.executable.name"])
}

// hierarchies returns where control groups can be made: v2, and the cpu
// controller of v1.
func hierarchies(t *testing.T) map[string]string {
	t.Helper()
	mounts, err := cgroup.Find("/")
	require.NoError(t, err)
	all := map[string]string{}
	if dir := mounts.Unified(); dir != "" {
		all["v2"] = dir
	}
	if dir := mounts.Controller("cpu"); dir != "" {
		all["v1"] = dir
	}
	require.NotEmpty(t, all)
	return all
}

// group makes a control group that is removed at the end of the test.
func group(t *testing.T, hierarchy, path string) string {
	t.Helper()
	dir := filepath.Join(hierarchy, path)
	require.NoError(t, os.MkdirAll(dir, 0o755))
	t.Cleanup(func() {
		for at := dir; at != hierarchy; at = filepath.Dir(at) {
			// The kernel empties it some time after the last process was reaped.
			require.Eventually(t, func() bool {
				err := os.Remove(at)
				return err == nil || errors.Is(err, os.ErrNotExist) || hasGroups(at)
			}, patience, time.Millisecond, "removal of %s", at)
		}
	})
	return dir
}

func hasGroups(dir string) bool {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() {
			return true
		}
	}
	return false
}

func move(t *testing.T, dir string, pid int) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "cgroup.procs"), []byte(strconv.Itoa(pid)), 0))
}

func TestAttributesFollowAProcessThatMoves(t *testing.T) {
	needsRunc(t)
	c := onHost(t, configuration(nil))
	all := hierarchies(t)
	for version, hierarchy := range all {
		// The path is that of the cpu controller; which container it is any tells.
		if _, v1 := all["v1"]; !v1 || version == "v1" {
			t.Run("the path, "+version, func(t *testing.T) { moves(t, c, hierarchy) })
		}
		t.Run("the container, "+version, func(t *testing.T) {
			id, uid := newID("moved"), newUID("moved")
			to := group(t, hierarchy, "/kubepods/pod"+uid+"/"+id)
			p := workload.Start(t, "busy", "-nice=19")
			c.await(t, "metrics", p.Pid(), func(a map[string]any) bool { return a["container.id"] == nil }, "no container yet")
			move(t, to, p.Pid())
			got := c.await(t, "metrics", p.Pid(), func(a map[string]any) bool { return a["container.id"] == id }, "the container")
			require.Equal(t, uid, got["k8s.pod.uid"])
			move(t, hierarchy, p.Pid())
			c.await(t, "metrics", p.Pid(), func(a map[string]any) bool { return a["container.id"] == nil && a["k8s.pod.uid"] == nil },
				"out of the container")
		})
	}
}

func moves(t *testing.T, c *collector, hierarchy string) {
	t.Helper()
	first := group(t, hierarchy, fmt.Sprintf("/hotspot-test-%d/first", os.Getpid()))
	second := group(t, hierarchy, fmt.Sprintf("/hotspot-test-%d/second", os.Getpid()))
	p := workload.Start(t, "busy", "-nice=19")
	var created any
	for _, dir := range []string{first, second, first} {
		move(t, dir, p.Pid())
		path := dir[len(hierarchy):]
		got := c.await(t, "metrics", p.Pid(), func(a map[string]any) bool { return a["process.linux.cgroup"] == path }, path)
		if created == nil {
			created = got["process.creation.time"]
		}
		require.Equal(t, created, got["process.creation.time"])
	}
}
