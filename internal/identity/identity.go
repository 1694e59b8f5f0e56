// Package identity tells whose a process is: its control group, container and
// pod, what it was started with and who owns it.
package identity

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/prometheus/procfs"

	"github.com/hotspot-otel/hotspot/internal/cgroup"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// Identity is whose a process is; a field is empty where nothing tells it.
type Identity struct {
	Cgroup      string // path, under cgroup v1 that of the cpu controller
	ContainerID string // 64 hexadecimal digits, or the name of an nspawn machine
	PodUID      string // Kubernetes, with dashes

	// Paths in the hierarchies where memory is limited; empty where there is none.
	MemoryCgroup  string // of the memory controller, cgroup v1
	UnifiedCgroup string // cgroup v2
}

// Reader reads /proc once per process, and again when it moves to another
// control group. It is not safe for concurrent use.
type Reader struct {
	proc  procfs.FS
	space namespace
	known map[sampler.ID]*entry
	pass  uint64
}

type entry struct {
	Identity
	cgroup, cpu, memory uint64 // the control groups it was read in
	pass                uint64 // the last that asked
}

// Open returns a reader of the host whose root is mounted at root.
func Open(root string, mounts cgroup.Mounts) (*Reader, error) {
	proc, err := procfs.NewFS(filepath.Join(root, "proc"))
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return &Reader{
		proc:  proc,
		space: namespace{proc: proc, mounts: mounts, bases: make(map[string]base)},
		known: make(map[sampler.ID]*entry),
	}, nil
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
	groups, err := proc.Cgroups()
	if err != nil {
		return Identity{}, false
	}
	return r.identify(groups), true
}

// identify puts together what the hierarchies tell. Of the container the one
// tells that has it in most others: not every hierarchy is known to all
// runtimes.
func (r *Reader) identify(groups []procfs.Cgroup) Identity {
	var id Identity
	var best place
	for _, g := range groups {
		path, absolute := r.space.absolute(g)
		// Hierarchy 0 is v2. Where the cpu controller is on v1, it says more.
		isV2 := g.HierarchyID == 0
		if slices.Contains(g.Controllers, "cpu") || isV2 && id.Cgroup == "" {
			id.Cgroup = sampler.Printable(path)
		}
		if absolute && isV2 {
			id.UnifiedCgroup = path
		} else if absolute && slices.Contains(g.Controllers, "memory") {
			id.MemoryCgroup = path
		}
		p := placeOf(path)
		if p.depth > best.depth {
			best.container, best.depth = sampler.Printable(p.container), p.depth
		}
		if best.pod == "" {
			best.pod = p.pod
		}
	}
	id.ContainerID, id.PodUID = best.container, best.pod
	return id
}
