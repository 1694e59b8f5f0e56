package identity

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/cgroup"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

const passwd = "root:x:0:0:root:/root:/bin/bash\n# a comment: with colons: 7\nbroken\n" +
	"postgres:x:112:120::/var/lib/postgresql:/bin/sh\nsecond:x:112:1::/:/bin/sh\n"

// fakeHost is a host of one process.
type fakeHost struct {
	inside
	pid int
}

func newHost(t *testing.T) fakeHost {
	h := fakeHost{inside{t, t.TempDir()}, 4711}
	h.file("cgroup", "0::/a\n")
	h.file("cmdline", "postgres\x00-D\x00/data\x00")
	h.file("status", "Name:\tpostgres\nUid:\t1000\t112\t0\t0\n")
	h.program("/usr/bin/postgres")
	h.write("etc/passwd", passwd)
	return h
}

func (h fakeHost) file(name, content string) {
	h.t.Helper()
	h.write(filepath.Join("proc", strconv.Itoa(h.pid), name), content)
}

func (h fakeHost) program(path string) {
	h.t.Helper()
	link := filepath.Join(h.root, "proc", strconv.Itoa(h.pid), "exe")
	require.NoError(h.t, os.RemoveAll(link))
	require.NoError(h.t, os.Symlink(path, link))
}

func (h fakeHost) open(details Details) *Reader {
	h.t.Helper()
	r, err := Open(h.root, cgroup.Mounts{}, details)
	require.NoError(h.t, err)
	return r
}

func (h fakeHost) process() sampler.Process {
	return sampler.Process{ID: sampler.ID{Pid: uint32(h.pid), Start: time.Second}, ExecID: 1, Cgroup: 1}
}

// failed returns how often each kind of failure came since the last call.
func failed(r *Reader) map[Failure]int {
	all := map[Failure]int{}
	r.Failures(func(kind Failure, n int, _ error) { all[kind] = n })
	return all
}

// Ten thousand processes are in a few hundred groups.
func TestProcessesOfAGroupShareTheirPath(t *testing.T) {
	h := newHost(t)
	other := fakeHost{h.inside, 4712}
	other.file("cgroup", "0::/a\n")
	r := h.open(Details{})
	one, two := r.Of(h.process()).UnifiedCgroup, r.Of(other.process()).UnifiedCgroup
	require.Equal(t, "/a", one)
	require.Same(t, unsafe.StringData(one), unsafe.StringData(two))
}

func TestOnlyTheDetailsAskedForAreRead(t *testing.T) {
	h := newHost(t)
	all := Identity{
		Cgroup: "/a", UnifiedCgroup: "/a",
		ExecutablePath: "/usr/bin/postgres", CommandLine: "postgres -D /data", Owner: "postgres",
	}
	for name, tt := range map[string]struct {
		details Details
		want    Identity
	}{
		"none":         {Details{}, Identity{Cgroup: "/a", UnifiedCgroup: "/a"}},
		"path":         {Details{ExecutablePath: true}, Identity{Cgroup: "/a", UnifiedCgroup: "/a", ExecutablePath: all.ExecutablePath}},
		"command line": {Details{CommandLine: true}, Identity{Cgroup: "/a", UnifiedCgroup: "/a", CommandLine: all.CommandLine}},
		"owner":        {Details{Owner: true}, Identity{Cgroup: "/a", UnifiedCgroup: "/a", Owner: all.Owner}},
		"all":          {Details{true, true, true}, all},
	} {
		t.Run(name, func(t *testing.T) {
			r := h.open(tt.details)
			require.Equal(t, tt.want, r.Describe(h.process()))
			require.Equal(t, Identity{Cgroup: "/a", UnifiedCgroup: "/a"}, r.Of(h.process()))
			require.Empty(t, failed(r))
		})
	}
}

// Who is in the host's sums only costs no reading of details.
func TestOfReadsNoDetails(t *testing.T) {
	h := newHost(t)
	r := h.open(Details{true, true, true})
	r.Of(h.process())
	h.file("cmdline", "other\x00")
	require.Equal(t, "other", r.Describe(h.process()).CommandLine)
}

func TestAProcessIsReadOnce(t *testing.T) {
	h := newHost(t)
	r := h.open(Details{true, true, true})
	first := r.Describe(h.process())
	r.EndPass()
	require.Equal(t, first, r.Describe(h.process()))
	h.file("cgroup", "0::/b\n")
	h.file("cmdline", "other\x00")
	h.file("status", "Uid:\t0\t0\t0\t0\n")
	h.program("/usr/bin/other")
	for range 2 * remembered {
		require.Equal(t, first, r.Describe(h.process()))
		r.EndPass()
	}
	// Another program.
	execed := h.process()
	execed.ExecID = 2
	id := r.Describe(execed)
	require.Equal(t, Identity{
		Cgroup: "/a", UnifiedCgroup: "/a",
		ExecutablePath: "/usr/bin/other", CommandLine: "other", Owner: "root",
	}, id)
	// Another control group.
	moved := execed
	moved.Cgroup = 2
	require.Equal(t, "/b", r.Describe(moved).Cgroup)
	// Another process of the same pid.
	h.file("cmdline", "third\x00")
	reused := moved
	reused.Start++
	require.Equal(t, "third", r.Describe(reused).CommandLine)
}

func TestAMoveInAnyHierarchyIsNoticed(t *testing.T) {
	for name, move := range map[string]func(*sampler.Process){
		"v2":     func(p *sampler.Process) { p.Cgroup++ },
		"cpu":    func(p *sampler.Process) { p.CPUCgroup++ },
		"memory": func(p *sampler.Process) { p.MemoryCgroup++ },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost(t)
			r, p := h.open(Details{}), h.process()
			for range 2 {
				require.Equal(t, "/a", r.Of(p).Cgroup)
				r.EndPass()
			}
			h.file("cgroup", "0::/b\n")
			require.Equal(t, "/a", r.Of(p).Cgroup)
			move(&p)
			require.Equal(t, "/b", r.Of(p).Cgroup)
		})
	}
}

// The census saw it in /a; it is read while in /b, and back at the next census.
func TestAMoveBetweenCensusAndReadingIsNotKept(t *testing.T) {
	h := newHost(t)
	r, p := h.open(Details{}), h.process()
	h.file("cgroup", "0::/b\n")
	require.Equal(t, "/b", r.Of(p).Cgroup)
	h.file("cgroup", "0::/a\n")
	require.Equal(t, "/b", r.Of(p).Cgroup, "within a pass all are told the same")
	r.EndPass()
	require.Equal(t, "/a", r.Of(p).Cgroup)
	// And again: only what was read twice is believed.
	h.file("cgroup", "0::/b\n")
	r.EndPass()
	require.Equal(t, "/b", r.Of(p).Cgroup)
	r.EndPass()
	require.Equal(t, "/b", r.Of(p).Cgroup)
	h.file("cgroup", "0::/c\n")
	r.EndPass()
	require.Equal(t, "/b", r.Of(p).Cgroup)
}

// A diagnosis may end passes after its process has exited, on the same resource.
func TestWhoIsGoneIsRememberedForAWhile(t *testing.T) {
	h := newHost(t)
	r := h.open(Details{true, true, true})
	want := r.Describe(h.process())
	require.NoError(t, os.RemoveAll(filepath.Join(h.root, "proc", strconv.Itoa(h.pid))))
	for range remembered {
		r.EndPass()
	}
	require.Equal(t, want, r.Describe(h.process()))
	for range remembered { // the pass that asked and those that did not, but for the last
		require.NotEmpty(t, r.known)
		r.EndPass()
	}
	for range lookEvery {
		r.EndPass()
	}
	require.Empty(t, r.known)
	require.Empty(t, failed(r), "to be gone is no failure")
}

func TestWhatIsGoneWhenReadAgainStaysAsItWas(t *testing.T) {
	h := newHost(t)
	r, p := h.open(Details{true, true, true}), h.process()
	want := r.Describe(p)
	require.NoError(t, os.RemoveAll(filepath.Join(h.root, "proc", strconv.Itoa(h.pid))))
	p.ExecID, p.Cgroup = 2, 2
	require.Equal(t, want, r.Describe(p))
}

func TestKernelThreadsAndTheDeadHaveNoProgram(t *testing.T) {
	h := newHost(t)
	h.file("cmdline", "")
	require.NoError(t, os.Remove(filepath.Join(h.root, "proc/4711/exe")))
	r := h.open(Details{true, true, true})
	want := Identity{Cgroup: "/a", UnifiedCgroup: "/a", Owner: "postgres"}
	require.Equal(t, want, r.Describe(h.process()))

	thread := h.process()
	thread.Kernel = true
	require.Equal(t, want, h.open(Details{true, true, true}).Describe(thread))
	require.Empty(t, failed(r))
}

func TestAReplacedProgramKeepsItsPath(t *testing.T) {
	h := newHost(t)
	h.program("/usr/bin/post\ngres (deleted)")
	r := h.open(Details{ExecutablePath: true})
	require.Equal(t, "/usr/bin/post\ufffdgres", r.Describe(h.process()).ExecutablePath)
}

func TestFailuresAreCountedByKindAndTheRestIsKept(t *testing.T) {
	t.Run("hidden", func(t *testing.T) {
		h := newHost(t)
		h.pid = os.Getpid() // lives, but not in this proc
		r := h.open(Details{true, true, true})
		require.Equal(t, Identity{}, r.Describe(h.process()))
		require.Equal(t, map[Failure]int{Hidden: 4}, failed(r))
		require.Equal(t, Identity{}, r.Describe(h.process()))
		require.Empty(t, failed(r), "each is tried once")
	})
	t.Run("unreadable", func(t *testing.T) {
		h := newHost(t)
		h.file("cgroup", "nonsense\n")
		r := h.open(Details{true, true, true})
		id := r.Describe(h.process())
		require.Empty(t, id.Cgroup)
		require.Equal(t, "postgres -D /data", id.CommandLine)
		require.Equal(t, map[Failure]int{Unreadable: 1}, failed(r))
	})
	t.Run("denied", func(t *testing.T) {
		r := newHost(t).open(Details{})
		r.failed(sampler.Process{}, &os.PathError{Op: "open", Path: "/proc/1/exe", Err: syscall.EACCES})
		require.Equal(t, map[Failure]int{Denied: 1}, failed(r))
	})
	t.Run("the last error is said", func(t *testing.T) {
		h := newHost(t)
		h.file("cgroup", "nonsense\n")
		r := h.open(Details{})
		r.Of(h.process())
		r.Failures(func(_ Failure, _ int, last error) { require.ErrorContains(t, last, "nonsense") })
	})
}

func TestOwner(t *testing.T) {
	h := newHost(t)
	r := h.open(Details{Owner: true})
	as := func(uid string) string {
		h.pid++
		h.file("cgroup", "0::/\n")
		h.file("status", "Uid:\t5\t"+uid+"\t6\t7\n")
		return r.Describe(h.process()).Owner
	}
	require.Equal(t, "root", as("0"))
	require.Equal(t, "postgres", as("112"), "the first of two names")
	require.Equal(t, "7", as("7"))

	h.write("etc/passwd", passwd+"new:x:7:7::/:/bin/sh\n")
	require.Equal(t, "7", as("7"), "looked at once a pass")
	r.EndPass()
	require.Equal(t, "new", as("7"))

	require.NoError(t, os.Remove(filepath.Join(h.root, "etc/passwd")))
	r.EndPass()
	require.Equal(t, "new", as("7"), "a file that is being replaced")
	require.Equal(t, "0", newHostWithout(t, "etc/passwd").open(Details{Owner: true}).users.name(0))
}

func newHostWithout(t *testing.T, file string) fakeHost {
	h := newHost(t)
	require.NoError(t, os.Remove(filepath.Join(h.root, file)))
	return h
}
