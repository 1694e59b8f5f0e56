// Package identity tells whose a process is: its control group, container and
// pod.
package identity

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// Identity is whose a process is; a field is empty where nothing tells it.
type Identity struct {
	Cgroup      string // path, under cgroup v1 that of the cpu controller
	ContainerID string // 64 hexadecimal digits
	PodUID      string // Kubernetes, with dashes

	// Paths in the hierarchies where memory is limited; empty where there is none.
	MemoryCgroup  string // of the memory controller, cgroup v1
	UnifiedCgroup string // cgroup v2
}

// Reader reads /proc once per process, and again when it moves to another
// control group. It is not safe for concurrent use.
type Reader struct {
	proc  procfs.FS
	known map[sampler.ID]*entry
	pass  uint64
}

type entry struct {
	Identity
	cgroup, cpu, memory uint64 // the control groups it was read in
	pass                uint64 // the last that asked
}

// Open returns a reader of the procfs mounted at the given place.
func Open(proc string) (*Reader, error) {
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return &Reader{proc: fs, known: make(map[sampler.ID]*entry)}, nil
}

// Of returns whose the process is. One that is gone already has no identity
// but what was read before.
func (r *Reader) Of(p sampler.Process) Identity {
	e := r.known[p.ID]
	if e == nil {
		e = &entry{}
		r.known[p.ID] = e
	}
	if e.pass == 0 || e.cgroup != p.Cgroup || e.cpu != p.CPUCgroup || e.memory != p.MemoryCgroup {
		e.cgroup, e.cpu, e.memory = p.Cgroup, p.CPUCgroup, p.MemoryCgroup
		if id, ok := r.read(int(p.Pid)); ok {
			e.Identity = id
		}
	}
	e.pass = r.pass + 1
	return e.Identity
}

// EndPass forgets the processes nobody asked for since the last call.
func (r *Reader) EndPass() {
	r.pass++
	for id, e := range r.known {
		if e.pass < r.pass {
			delete(r.known, id)
		}
	}
}

func (r *Reader) read(pid int) (Identity, bool) {
	proc, err := r.proc.Proc(pid)
	if err != nil {
		return Identity{}, false
	}
	cgroups, err := proc.Cgroups()
	if err != nil {
		return Identity{}, false
	}
	return parse(cgroups), true
}

// What container runtimes and the kubelet write into the path, whichever
// driver they use: /kubepods/burstable/pod<uid>/<id>,
// /kubepods.slice/kubepods-pod<uid>.slice/cri-containerd-<id>.scope.
var (
	containerID = regexp.MustCompile(`(?:^|[/:-])([0-9a-f]{64})(?:\.scope)?(?:$|/)`)
	podUID      = regexp.MustCompile(`[/-]pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?:$|/)`)
)

func parse(cgroups []procfs.Cgroup) Identity {
	var id Identity
	for _, c := range cgroups {
		// Hierarchy 0 is v2. Where the cpu controller is on v1, it says more.
		isV2 := c.HierarchyID == 0
		if isV2 {
			id.UnifiedCgroup = c.Path
		} else if slices.Contains(c.Controllers, "memory") {
			id.MemoryCgroup = c.Path
		}
		if slices.Contains(c.Controllers, "cpu") || isV2 && id.Cgroup == "" {
			id.Cgroup = c.Path
		}
		if all := containerID.FindAllStringSubmatch(c.Path, -1); id.ContainerID == "" && all != nil {
			id.ContainerID = all[len(all)-1][1]
		}
		if uid := podUID.FindStringSubmatch(c.Path); id.PodUID == "" && uid != nil {
			id.PodUID = strings.ReplaceAll(uid[1], "_", "-")
		}
	}
	return id
}
