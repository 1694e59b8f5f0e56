// Package identity tells whose a process is: its control group, container and
// pod, what it was started with and who owns it.
package identity

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"unique"

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

	// Of these Describe sets what was asked for.
	ExecutablePath string // in the mount namespace of the process
	CommandLine    string // printable, without secrets, at most 4096 bytes
	Owner          string // effective user: the name, or the id of one without
}

// Details is what Describe reads on top of what Of does.
type Details struct{ ExecutablePath, CommandLine, Owner bool }

// Reader reads /proc once per process, its control groups twice, and again when
// it moves to another control group or runs another program; only what it is asked for. What cannot
// be read stays as it was. It is not safe for concurrent use.
type Reader struct {
	proc     procfs.FS
	details  Details
	space    namespace
	users    users
	known    map[sampler.ID]*entry
	pass     uint64
	failures [kinds]failures
}

// A process nobody has asked for in so many passes is forgotten. One is not
// enough: a diagnosis of one that has exited may end later.
const remembered = 3

// Every so many passes it is looked who is to be forgotten: at all that are known,
// which with ten thousand processes would be a tenth of what a pass costs.
const lookEvery = 8

type entry struct {
	Identity
	cgroup, cpu, memory uint64 // the control groups it is in
	read, settled       bool   // they were read, and once more
	readIn              uint64 // the last pass that did
	execID              uint64 // the program these are of:
	path, line, owner   bool   // was read
	pass                uint64 // the last that asked
}

// Open returns a reader of the host whose root is mounted at root.
func Open(root string, mounts cgroup.Mounts, details Details) (*Reader, error) {
	proc, err := procfs.NewFS(filepath.Join(root, "proc"))
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return &Reader{
		proc:    proc,
		details: details,
		space:   namespace{proc: proc, mounts: mounts, bases: make(map[string]base)},
		users:   users{file: filepath.Join(root, "etc/passwd")},
		known:   make(map[sampler.ID]*entry),
	}, nil
}

// Of returns whose the process is, without details. One that is gone already has
// no identity but what was read before.
func (r *Reader) Of(p sampler.Process) Identity {
	id := r.of(p).Identity
	id.ExecutablePath, id.CommandLine, id.Owner = "", "", ""
	return id
}

func (r *Reader) of(p sampler.Process) *entry {
	e := r.know(p)
	if e.cgroup != p.Cgroup || e.cpu != p.CPUCgroup || e.memory != p.MemoryCgroup {
		e.cgroup, e.cpu, e.memory = p.Cgroup, p.CPUCgroup, p.MemoryCgroup
		e.read, e.settled = false, false
	}
	// It may have moved since the census, and be back before the next one: what was
	// read would stay. So it is read once more in the pass after.
	if e.read && (e.settled || e.readIn == r.pass) {
		return e
	}
	groups, err := read(r, p, procfs.Proc.Cgroups)
	before := e.Identity
	if err == nil {
		r.identify(groups, &e.Identity)
	}
	e.settled = e.read && (err != nil || e.Identity == before)
	e.read, e.readIn = true, r.pass
	return e
}

// know returns what is known of a process, and that it was asked for.
func (r *Reader) know(p sampler.Process) *entry {
	e := r.known[p.ID]
	if e == nil {
		e = &entry{execID: p.ExecID}
		r.known[p.ID] = e
	}
	if e.execID != p.ExecID {
		e.execID, e.path, e.line, e.owner = p.ExecID, false, false, false
	}
	e.pass = r.pass + 1
	return e
}

// Describe returns whose the process is, with the details the reader was opened
// for.
func (r *Reader) Describe(p sampler.Process) Identity {
	id := r.Of(p)
	if r.details.ExecutablePath {
		id.ExecutablePath = r.executablePath(p)
	}
	if r.details.CommandLine {
		id.CommandLine = r.CommandLine(p)
	}
	if r.details.Owner {
		id.Owner = r.Owner(p)
	}
	return id
}

// executablePath returns the path of the program; empty for the kernel's own
// threads and the dead. The program may have been replaced since.
func (r *Reader) executablePath(p sampler.Process) string {
	e := r.know(p)
	if e.path || p.Kernel {
		return e.ExecutablePath
	}
	e.path = true
	if path, err := read(r, p, procfs.Proc.Executable); err == nil && path != "" {
		e.ExecutablePath = sampler.Printable(strings.TrimSuffix(path, " (deleted)"))
	}
	return e.ExecutablePath
}

// CommandLine returns what the process was started with, as it leaves in an
// attribute; empty for the kernel's own threads and the dead.
func (r *Reader) CommandLine(p sampler.Process) string {
	e := r.know(p)
	if e.line || p.Kernel {
		return e.CommandLine
	}
	e.line = true
	if arguments, err := read(r, p, procfs.Proc.CmdLine); err == nil && len(arguments) > 0 {
		e.CommandLine = commandLine(arguments)
	}
	return e.CommandLine
}

// Owner returns the name of the effective user, or the id of one without a name.
func (r *Reader) Owner(p sampler.Process) string {
	e := r.know(p)
	if e.owner {
		return e.Owner
	}
	e.owner = true
	if status, err := read(r, p, procfs.Proc.NewStatus); err == nil {
		e.Owner = r.users.name(status.UIDs[1])
	}
	return e.Owner
}

// EndPass forgets the processes nobody has asked for of late.
func (r *Reader) EndPass() {
	r.pass++
	r.users.look = true
	if r.pass%lookEvery != 0 {
		return
	}
	for id, e := range r.known {
		if e.pass+remembered <= r.pass {
			delete(r.known, id)
		}
	}
}

// read reads one file of a process.
func read[T any](r *Reader, p sampler.Process, file func(procfs.Proc) (T, error)) (T, error) {
	var content T
	proc, err := r.proc.Proc(int(p.Pid))
	if err == nil {
		content, err = file(proc)
	}
	if err != nil {
		r.failed(p, err)
	}
	return content, err
}

// identify puts together what the hierarchies tell. Of the container the one
// tells that has it in most others: not every hierarchy is known to all
// runtimes.
func (r *Reader) identify(groups []procfs.Cgroup, id *Identity) {
	id.Cgroup, id.MemoryCgroup, id.UnifiedCgroup = "", "", ""
	var best place
	for _, g := range groups {
		path, absolute := r.space.absolute(g)
		// Hierarchy 0 is v2. Where the cpu controller is on v1, it says more.
		isV2 := g.HierarchyID == 0
		if slices.Contains(g.Controllers, "cpu") || isV2 && id.Cgroup == "" {
			id.Cgroup = shared(sampler.Printable(path))
		}
		if absolute && isV2 {
			id.UnifiedCgroup = shared(path)
		} else if absolute && slices.Contains(g.Controllers, "memory") {
			id.MemoryCgroup = shared(path)
		}
		p := placeOf(path)
		if p.depth > best.depth {
			best.container, best.depth = sampler.Printable(p.container), p.depth
		}
		if best.pod == "" {
			best.pod = p.pod
		}
	}
	id.ContainerID, id.PodUID = shared(best.container), shared(best.pod)
}

// shared returns a string that all processes have one of, and that is not part
// of the file it was read from: it would keep all of that.
func shared(s string) string { return unique.Make(s).Value() }
