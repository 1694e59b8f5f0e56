package identity

import (
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/cgroup"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// inside is a host with the hierarchies at /sys/fs/cgroup, seen from a control
// group of it.
type inside struct {
	t    *testing.T
	root string
}

// lookFrom returns a host where this process is in the given group of v2 and of
// the memory controller of v1, and its own path is as the kernel shows it.
func lookFrom(t *testing.T, group, own string) inside {
	h := inside{t, t.TempDir()}
	h.write("proc/1/mountinfo", `30 23 0:26 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
28 25 0:25 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
`)
	h.write("proc/"+strconv.Itoa(os.Getpid())+"/cgroup", "4:memory:"+own+"\n0::"+own+"\n")
	require.NoError(t, os.Symlink(strconv.Itoa(os.Getpid()), filepath.Join(h.root, "proc/self")))
	for _, hierarchy := range []string{"unified", "memory"} {
		h.write("sys/fs/cgroup/"+hierarchy+"/cgroup.procs", "1\n2\n")
		h.write("sys/fs/cgroup/"+hierarchy+"/init.scope/cgroup.procs", "1\n")
		h.write("sys/fs/cgroup/"+hierarchy+group+"/cgroup.procs", "17\n"+strconv.Itoa(os.Getpid())+"\n")
	}
	return h
}

func (h inside) write(file, content string) {
	h.t.Helper()
	path := filepath.Join(h.root, file)
	require.NoError(h.t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(h.t, os.WriteFile(path, []byte(content), 0o600))
}

// of returns the identity of a process whose path is as the kernel shows it.
func (h inside) of(path string) Identity {
	h.t.Helper()
	h.write("proc/4711/cgroup", "4:memory:"+path+"\n0::"+path+"\n")
	mounts, err := cgroup.Find(h.root)
	require.NoError(h.t, err)
	r, err := Open(h.root, mounts, Details{})
	require.NoError(h.t, err)
	return r.Of(sampler.Process{ID: sampler.ID{Pid: 4711}})
}

const (
	podA       = "/kubepods/burstable/pod3f1a7c52-0d4e-4b77-9f8e-6a5b4c3d2e1f"
	podB       = "/kubepods/burstable/pod00000000-0d4e-4b77-9f8e-6a5b4c3d2e1f"
	containerA = "6cf2fd9dd1b3f4a43e7b7a5d1f6d1c9d0a5a0b3a4f9c1b2d3e4f5a6b7c8d9e0f"
	containerB = "00f2fd9dd1b3f4a43e7b7a5d1f6d1c9d0a5a0b3a4f9c1b2d3e4f5a6b7c8d9e0f"
)

func TestPathsAreAbsoluteFromInsideANamespaceToo(t *testing.T) {
	for name, tt := range map[string]struct {
		group, own string
		path       string
		want       string
		relative   bool // could not be found out
		container  string
	}{
		"no namespace": {
			group: podA + "/" + containerA, own: podA + "/" + containerA,
			path: podB + "/" + containerB, want: podB + "/" + containerB, container: containerB,
		},
		"one in another pod": {
			group: podA + "/" + containerA, own: "/",
			path: "/../../pod00000000-0d4e-4b77-9f8e-6a5b4c3d2e1f/" + containerB,
			want: podB + "/" + containerB, container: containerB,
		},
		"one in the same pod": {
			group: podA + "/" + containerA, own: "/",
			path: "/../" + containerB, want: podA + "/" + containerB, container: containerB,
		},
		"one in the same container": {
			group: podA + "/" + containerA, own: "/",
			path: "/", want: podA + "/" + containerA, container: containerA,
		},
		"one of the host": {
			group: podA + "/" + containerA, own: "/",
			path: "/../../../../system.slice/sshd.service", want: "/system.slice/sshd.service",
		},
		"the root of the host": {
			group: podA + "/" + containerA, own: "/",
			path: "/../../../..", want: "/",
		},
		"from a group below the root of the namespace": {
			group: podA + "/" + containerA + "/init", own: "/init",
			path: "/worker", want: podA + "/" + containerA + "/worker", container: containerA,
		},
		"this process left its namespace": {
			group: podA, own: "/..",
			path: "/../" + containerB, want: "/../" + containerB, container: containerB, relative: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			id := lookFrom(t, tt.group, tt.own).of(tt.path)
			require.Equal(t, tt.want, id.Cgroup)
			require.Equal(t, tt.container, id.ContainerID)
			if tt.relative {
				require.Empty(t, id.UnifiedCgroup, "is no path in the hierarchy")
				require.Empty(t, id.MemoryCgroup)
				return
			}
			require.Equal(t, tt.want, id.UnifiedCgroup)
			require.Equal(t, tt.want, id.MemoryCgroup)
		})
	}
}

func TestWithoutTheHostsHierarchiesPathsAreAsTheKernelShowsThem(t *testing.T) {
	h := lookFrom(t, podA+"/"+containerA, "/")
	require.NoError(t, os.RemoveAll(filepath.Join(h.root, "sys")))
	id := h.of("/../../pod00000000-0d4e-4b77-9f8e-6a5b4c3d2e1f/" + containerB)
	require.Equal(t, "/../../pod00000000-0d4e-4b77-9f8e-6a5b4c3d2e1f/"+containerB, id.Cgroup)
	require.Equal(t, containerB, id.ContainerID)
	require.Equal(t, "00000000-0d4e-4b77-9f8e-6a5b4c3d2e1f", id.PodUID)
	require.Empty(t, id.UnifiedCgroup)
}
