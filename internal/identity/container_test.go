package identity

import (
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/cgroup"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// What each layout tells: the tree of testdata, runtime-driver-version, and a
// process in it.
func TestLayouts(t *testing.T) {
	// Two containers and two pods.
	const (
		a          = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
		b          = "3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d"
		pod        = "dcc0caa9-7588-4e05-ac2f-cd764e5f919b"
		podInSlice = "dcc0caa9_7588_4e05_ac2f_cd764e5f919b"
		static     = "99dcb84d2a34f7e338778606703258c4"
	)
	layouts := []struct {
		tree                   string
		pid                    uint32
		cgroup, container, pod string
	}{
		{"docker-cgroupfs-v1", 4711, "/docker/" + a, a, ""},
		{"docker-systemd-v1", 4711, "/system.slice/docker-" + a + ".scope", a, ""},
		{"docker-cgroupfs-v2", 4711, "/docker/" + a, a, ""},
		{"docker-systemd-v2", 4711, "/system.slice/docker-" + a + ".scope", a, ""},
		{"docker-systemd-v2", 4712, "/system.slice/docker-" + a + ".scope/init", a, ""}, // a group of the container's own
		{"docker-systemd-v2", 1200, "/system.slice/docker.service", "", ""},             // the engine itself
		{"docker-in-docker-cgroupfs-v1", 4711, "/docker/" + a + "/docker/" + b, b, ""},  // the innermost, though one hierarchy does not know of it
		{"docker-in-docker-systemd-v2", 4711, "/system.slice/docker-" + a + ".scope/docker/" + b, b, ""},
		{"docker-in-docker-systemd-v2", 4712, "/system.slice/docker-" + a + ".scope/system.slice/containerd.service", a, ""}, // a service of the outer one
		{"kubelet-docker-cgroupfs-v1", 4711, "/kubepods/burstable/pod" + pod + "/" + a, a, pod},
		{"kubelet-docker-systemd-v1", 4711, "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + podInSlice + ".slice/docker-" + a + ".scope", a, pod},
		{"kubelet-containerd-cgroupfs-v1", 4711, "/kubepods/burstable/pod" + pod + "/" + a, a, pod},
		{"kubelet-containerd-cgroupfs-v1", 4712, "/kubepods/pod" + pod + "/" + a, a, pod},                                                                      // guaranteed
		{"kubelet-containerd-systemd-v1", 4711, "/system.slice/containerd.service/kubepods-burstable-pod" + podInSlice + ".slice:cri-containerd:" + a, a, pod}, // a systemd path given to a runtime that uses cgroupfs
		{"kubelet-containerd-systemd-hybrid", 4711, "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + podInSlice + ".slice/cri-containerd-" + a + ".scope", a, pod},
		{"kubelet-containerd-unified-only-hybrid", 4711, "/", a, pod}, // v1 controllers beside the hierarchy the runtime uses
		{"kubelet-containerd-cgroupfs-v2", 4711, "/kubepods/besteffort/pod" + pod + "/" + a, a, pod},
		{"kubelet-containerd-systemd-v2", 4711, "/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + podInSlice + ".slice/cri-containerd-" + a + ".scope", a, pod},
		{"kubelet-containerd-systemd-v2", 4712, "/kubepods.slice/kubepods-pod" + podInSlice + ".slice/cri-containerd-" + a + ".scope", a, pod},                                   // guaranteed
		{"kubelet-containerd-systemd-v2", 4713, "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + static + ".slice/cri-containerd-" + a + ".scope", a, static}, // a static pod
		{"kubelet-containerd-systemd-v2", 900, "/system.slice/kubelet.service", "", ""},                                                                                          // the kubelet itself
		{"kubelet-containerd-systemd-v2", 901, "/runtime.slice/containerd.service", "", ""},
		{"kubelet-crio-cgroupfs-v1", 4711, "/kubepods/besteffort/pod" + pod + "/crio-" + a, a, pod},
		{"kubelet-crio-cgroupfs-v1", 4710, "/kubepods/besteffort/pod" + pod + "/crio-conmon-" + a, "", pod},                                                                 // the monitor is of the pod but outside the container
		{"kubelet-crio-systemd-v2", 4711, "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + podInSlice + ".slice/crio-" + a + ".scope/container", a, pod}, // crun puts the container one group further down
		{"kubelet-crio-systemd-v2", 4712, "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + podInSlice + ".slice/crio-" + a + ".scope", a, pod},
		{"kubelet-crio-systemd-v2", 4710, "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + podInSlice + ".slice/crio-conmon-" + a + ".scope", "", pod},
		{"kubelet-crio-systemd-v2", 4709, "/system.slice/crio-conmon-" + a + ".scope", "", ""},
		{"kind-containerd-systemd-v2", 4711, "/system.slice/docker-" + b + ".scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + podInSlice + ".slice/cri-containerd-" + a + ".scope", a, pod}, // a pod in a node that is a container
		{"kind-containerd-systemd-v2", 4712, "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/kubelet-kubepods-burstable-pod" + static + ".slice/cri-containerd-" + a + ".scope", a, static},                                      // seen from the node
		{"kind-containerd-systemd-v2", 900, "/system.slice/docker-" + b + ".scope/kubelet.slice/kubelet.service", b, ""},                                                                                                                                 // the node's kubelet
		{"kind-containerd-cgroupfs-v1", 4711, "/docker/" + b + "/kubelet/kubepods/burstable/pod" + pod + "/" + a, a, pod},
		{"pod-docker-in-docker-v2", 4711, "/kubepods.slice/kubepods-pod" + podInSlice + ".slice/cri-containerd-" + a + ".scope/docker/" + b, b, pod}, // a build in a pod
		{"podman-cgroupfs-v1", 4711, "/libpod_parent/libpod-" + a, a, ""},
		{"podman-cgroupfs-v1", 4710, "/libpod_parent/conmon", "", ""},
		{"podman-cgroupfs-v1", 4712, "/libpod_parent/" + b + "/libpod-" + a, a, ""}, // in a pod of podman's
		{"podman-cgroupfs-v1", 4713, "/libpod_parent/" + b, "", ""},                 // a pod of podman's is no container
		{"podman-systemd-v1", 4711, "/machine.slice/libpod-" + a + ".scope", a, ""},
		{"podman-systemd-v2", 4711, "/machine.slice/libpod-" + a + ".scope/container", a, ""},
		{"podman-systemd-v2", 4710, "/machine.slice/libpod-conmon-" + a + ".scope", "", ""},
		{"podman-systemd-v2", 4712, "/machine.slice/machine-libpod_pod_" + b + ".slice/libpod-" + a + ".scope/container", a, ""}, // in a pod of podman's
		{"podman-systemd-v2", 4713, "/system.slice/nginx.service/libpod-payload-" + a, a, ""},                                    // a unit made by quadlet
		{"podman-systemd-v2", 4714, "/system.slice/nginx.service/runtime", "", ""},                                               // its monitor
		{"podman-systemd-v2", 4715, "/system.slice/" + a + ".service", "", ""},                                                   // a health check runs outside
		{"podman-rootless-systemd-v2", 4711, "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" + a + ".scope/container", a, ""},
		{"podman-rootless-systemd-v2", 4710, "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-conmon-" + a + ".scope", "", ""},
		{"nspawn-systemd-v2", 4711, "/machine.slice/systemd-nspawn@web.service/payload/system.slice/nginx.service", "web", ""},
		{"nspawn-systemd-v2", 4710, "/machine.slice/systemd-nspawn@web.service/supervisor", "", ""}, // systemd-nspawn itself is outside
		{"nspawn-systemd-v2", 4712, `/machine.slice/machine-debian\x2dsid.scope/payload`, "debian-sid", ""},
		{"nspawn-systemd-v2", 4713, "/machine.slice/systemd-nspawn@web.service/payload/system.slice/docker-" + a + ".scope", a, ""}, // docker in it
		{"nspawn-systemd-v2", 4714, `/machine.slice/machine-qemu\x2d1\x2dwin11.scope/libvirt/emulator`, "", ""},                     // a virtual machine is no container
		{"nspawn-systemd-v1", 4711, "/machine.slice/machine-debian.scope", "debian", ""},
		{"nerdctl-systemd-v2", 4711, "/system.slice/nerdctl-" + a + ".scope", a, ""},
		{"nerdctl-cgroupfs-v2", 4711, "/default/" + a, a, ""},                                                                              // what ctr makes too, in containerd's namespace default
		{"inside-a-pod-systemd-v2", 4711, "/../../kubepods-besteffort-pod" + podInSlice + ".slice/cri-containerd-" + a + ".scope", a, pod}, // as a collector in another pod sees it
		{"inside-a-pod-systemd-v2", 4712, "/../cri-containerd-" + a + ".scope", a, ""},                                                     // as one in the same pod sees it
		{"inside-a-pod-systemd-v2", 1, "/../../../../init.scope", "", ""},
		{"inside-a-pod-cgroupfs-v1", 4711, "/../../../burstable/pod" + pod + "/" + a, a, pod},
		{"host-systemd-v2", 1, "/init.scope", "", ""},
		{"host-systemd-v2", 2, "/", "", ""},
		{"host-systemd-v2", 700, "/user.slice/user-1000.slice/session-3.scope", "", ""},
		{"host-systemd-v2", 701, "/system.slice/system-postgresql.slice/postgresql@15-main.service", "", ""},
		{"host-systemd-v2", 702, "/system.slice/var-lib-docker-containers-" + a + "-mounts-shm.mount", "", ""}, // a mount unit is no container
		{"host-systemd-v2", 703, "/build/" + a[:40], "", ""},                                                   // 40 digits are another hash
		{"host-systemd-v2", 704, "/x" + a, "", ""},                                                             // 65 letters are no id
		{"host-sysvinit-v1", 700, "/", "", ""},
	}
	tested := map[string]bool{}
	for _, tt := range layouts {
		process := filepath.Join(tt.tree, "proc", strconv.Itoa(int(tt.pid)))
		tested[process] = true
		t.Run(process, func(t *testing.T) {
			r, err := Open(filepath.Join("testdata", tt.tree), cgroup.Mounts{}, Details{})
			require.NoError(t, err)
			id := r.Of(sampler.Process{ID: sampler.ID{Pid: tt.pid}})
			require.Equal(t, tt.cgroup, id.Cgroup)
			require.Equal(t, tt.container, id.ContainerID)
			require.Equal(t, tt.pod, id.PodUID)
		})
	}
	files, err := filepath.Glob("testdata/*/proc/*/cgroup")
	require.NoError(t, err)
	for _, file := range files {
		process, err := filepath.Rel("testdata", filepath.Dir(file))
		require.NoError(t, err)
		require.True(t, tested[process], "%s is in no test", process)
	}
	require.Len(t, files, len(layouts))
}
