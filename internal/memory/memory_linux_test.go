package memory

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/internal/cgroup"
	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

const mib = 1 << 20

// tree is a fake hierarchy of control groups.
type tree struct {
	t    testing.TB
	root string
}

func newTree(t *testing.T) tree { return tree{t, t.TempDir()} }

// write makes a file of a group, and the group.
func (f tree) write(group, file, content string) {
	f.t.Helper()
	dir := filepath.Join(f.root, group)
	require.NoError(f.t, os.MkdirAll(dir, 0o755))
	require.NoError(f.t, os.WriteFile(filepath.Join(dir, file), []byte(content+"\n"), 0o600))
}

func (f tree) remove(group, file string) {
	f.t.Helper()
	require.NoError(f.t, os.Remove(filepath.Join(f.root, group, file)))
}

// pressure writes for how many microseconds some task stood still so far.
func (f tree) pressure(group string, avg10 float64, total int) {
	f.t.Helper()
	f.write(group, "memory.pressure", "some avg10="+strconv.FormatFloat(avg10, 'f', 2, 64)+
		" avg60=1.00 avg300=0.50 total="+strconv.Itoa(total)+"\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7")
}

// whose gives every process the same groups.
type whose identity.Identity

func (w whose) Of(sampler.Process) identity.Identity { return identity.Identity(w) }

const length = 5 * time.Second

var first = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// growing returns the window of a process whose headroom and stall are asked
// for, on a host with 8 GiB available.
func growing() sampler.Window {
	w := quiet()
	w.Growth, w.GrowthSpan = mib, length
	return w
}

// quiet returns that of one which neither grows nor faults.
func quiet() sampler.Window {
	return sampler.Window{
		Process: sampler.Process{ID: sampler.ID{Pid: 7}},
		RSS:     100 * mib, Limit: 8292 * mib, Headroom: 8192 * mib, MemoryStall: 0.01,
	}
}

// fill returns what the reader makes of a window that ends so long after the
// first.
func fill(r *Reader, after time.Duration, of identity.Identity, w sampler.Window) sampler.Window {
	s := &sampler.Snapshot{End: first.Add(after), Length: length, Windows: []sampler.Window{w}}
	r.Fill(s, whose(of))
	return s.Windows[0]
}

func TestLimits(t *testing.T) {
	const host = 8292
	type files map[string]string // by group and file, with a blank between
	for name, tt := range map[string]struct {
		v1, v2          files
		limit, headroom uint64 // MiB
	}{
		"without a limit the host's is left": {
			v2:    files{"a/b memory.max": "max", "a memory.max": "max"},
			limit: host, headroom: 8192,
		},
		"the limit of the group": {
			v2:    files{"a/b memory.max": "1073741824", "a/b memory.current": "104857600"},
			limit: 1024, headroom: 924,
		},
		"the smallest up the tree": {
			v2: files{
				"a/b memory.max": "1073741824", "a/b memory.current": "104857600",
				"a memory.max": "536870912", "a memory.current": "209715200",
			},
			limit: 512, headroom: 312,
		},
		"the smallest headroom need not be that of the smallest limit": {
			v2: files{
				"a/b memory.max": "536870912", "a/b memory.current": "104857600",
				"a memory.max": "1073741824", "a memory.current": "1063256064",
			},
			limit: 512, headroom: 10,
		},
		"the root has none": {
			v2:    files{"memory.max": "1048576", "a/b memory.max": "max"},
			limit: host, headroom: 8192,
		},
		"a limit over what the host has is none": {
			v2:    files{"a/b memory.max": "109951162777600", "a/b memory.current": "1048576"},
			limit: host, headroom: 8192,
		},
		"page cache that can be dropped is not used": {
			v2: files{
				"a/b memory.max": "1073741824", "a/b memory.current": "838860800",
				"a/b memory.stat": "anon 1048576\nactive_file 104857600\ninactive_file 209715200\ninactive_anon 5",
			},
			limit: 1024, headroom: 524,
		},
		"more page cache than memory is all of it": {
			v2: files{
				"a/b memory.max": "1073741824", "a/b memory.current": "1048576",
				"a/b memory.stat": "inactive_file 209715200\nactive_file nonsense",
			},
			limit: 1024, headroom: 1024,
		},
		"more used than the limit leaves nothing": {
			v2:    files{"a/b memory.max": "1073741824", "a/b memory.current": "1073745920"},
			limit: 1024,
		},
		"a limit that is not a number is none": {
			v2:    files{"a/b memory.max": "lots"},
			limit: host, headroom: 8192,
		},
		"without files there is none": {
			v2:    files{"elsewhere memory.max": "1"},
			limit: host, headroom: 8192,
		},
		"without a file of what is used all of the limit is left": {
			v2:    files{"a/b memory.max": "1073741824"},
			limit: 1024, headroom: 1024,
		},
		"v1: the limit of the group": {
			v1: files{
				"a/b memory.limit_in_bytes": "1073741824", "a/b memory.usage_in_bytes": "838860800",
				"a/b memory.stat": "active_file 1048576\ntotal_active_file 104857600\ntotal_inactive_file 209715200",
			},
			limit: 1024, headroom: 524,
		},
		"v1: the smallest up the tree": {
			v1: files{
				"a/b memory.limit_in_bytes": "9223372036854771712", "a/b memory.usage_in_bytes": "1",
				"a memory.limit_in_bytes": "536870912", "a memory.usage_in_bytes": "209715200",
			},
			limit: 512, headroom: 312,
		},
		"v1: its largest number is no limit": {
			v1:    files{"a/b memory.limit_in_bytes": "9223372036854771712", "a/b memory.usage_in_bytes": "1"},
			limit: host, headroom: 8192,
		},
		"of both the smaller": {
			v1:    files{"a/b memory.limit_in_bytes": "536870912", "a/b memory.usage_in_bytes": "104857600"},
			v2:    files{"a/b memory.max": "1073741824", "a/b memory.current": "1048576000"},
			limit: 512, headroom: 24,
		},
	} {
		t.Run(name, func(t *testing.T) {
			var roots [2]string
			for n, files := range []files{tt.v1, tt.v2} {
				if files == nil {
					continue
				}
				f := newTree(t)
				roots[n] = f.root
				for file, content := range files {
					group, name, found := strings.Cut(file, " ")
					if !found { // the root's
						group, name = "", file
					}
					f.write(group, name, content)
				}
			}
			of := identity.Identity{MemoryCgroup: "/a/b", UnifiedCgroup: "/a/b"}
			w := fill(newReader(roots[0], roots[1]), 0, of, growing())
			require.Equal(t, tt.limit, w.Limit/mib)
			require.Equal(t, tt.headroom, w.Headroom/mib)
		})
	}
}

func TestWhereNothingIsMountedTheHostsLimitIsLeft(t *testing.T) {
	w := growing()
	require.Equal(t, w, fill(newReader("", ""), 0, identity.Identity{MemoryCgroup: "/a", UnifiedCgroup: "/a"}, w))
}

func TestAHostOfUnknownSizeHasTheLimitOfTheGroup(t *testing.T) {
	f := newTree(t)
	f.write("a", "memory.max", "1073741824")
	w := growing()
	w.Limit, w.Headroom = 0, 0
	w = fill(newReader("", f.root), 0, identity.Identity{UnifiedCgroup: "/a"}, w)
	require.Equal(t, uint64(1<<30), w.Limit)

	f.write("a", "memory.max", "9223372036854771712")
	w.Limit = 0
	w = fill(newReader("", f.root), 0, identity.Identity{UnifiedCgroup: "/a"}, w)
	require.Zero(t, w.Limit, "and none if the group has none")
}

func TestAPathCanNotLeaveTheHierarchy(t *testing.T) {
	f := newTree(t)
	f.write("outside", "memory.max", "1048576")
	f.write("mounted/a", "memory.max", "max")
	w := fill(newReader("", filepath.Join(f.root, "mounted")), 0, identity.Identity{UnifiedCgroup: "/../outside"}, growing())
	require.Equal(t, growing().Limit, w.Limit)
}

func TestWhoIsNotAskedFor(t *testing.T) {
	f := newTree(t)
	f.write("a", "memory.max", "1073741824")
	f.write("a", "memory.current", "104857600")
	f.pressure("a", 50, 1_000_000)
	of := identity.Identity{UnifiedCgroup: "/a"}
	for name, tt := range map[string]struct {
		change                 func(*sampler.Window)
		limit, headroom, stall bool
	}{
		"a quiet process has its limit": {
			change: func(*sampler.Window) {}, limit: true,
		},
		"growth just under 1 MiB does not ask": {
			change: func(w *sampler.Window) { w.Growth, w.GrowthSpan = mib-1, time.Second }, limit: true,
		},
		"growth of 1 MiB asks": {
			change: func(w *sampler.Window) { w.Growth, w.GrowthSpan = mib, time.Second }, limit: true, headroom: true, stall: true,
		},
		"a major fault asks": {
			change: func(w *sampler.Window) { w.Used.MajorFaults = 1 }, limit: true, headroom: true, stall: true,
		},
		"just under a hundred minor faults a second do not ask": {
			change: func(w *sampler.Window) { w.Used.MinorFaults = 499 }, limit: true,
		},
		"a hundred minor faults a second ask": {
			change: func(w *sampler.Window) { w.Used.MinorFaults = 500 }, limit: true, headroom: true, stall: true,
		},
		"a thread of the kernel has none": {
			change: func(w *sampler.Window) { w.Kernel, w.Used.MajorFaults = true, 1 },
		},
		"a process that has exited has none": {
			change: func(w *sampler.Window) { w.Exited, w.Used.MajorFaults = true, 1 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := quiet()
			tt.change(&w)
			w = fill(newReader("", f.root), 0, of, w)
			require.Equal(t, tt.limit, w.Limit == 1<<30, "limit")
			require.Equal(t, tt.headroom, w.Headroom == 924*mib, "headroom")
			require.Equal(t, tt.stall, w.MemoryStall == 0.5, "stall")
		})
	}
}

func TestTheLimitOfTheGroupsAlone(t *testing.T) {
	for name, tt := range map[string]struct {
		low, high string // of the process's own group and of the one above
		limit     uint64
	}{
		"none":                        {"max", "max", 0},
		"its own":                     {"1073741824", "max", 1 << 30},
		"the one above":               {"max", "536870912", 1 << 29},
		"the smaller":                 {"1073741824", "536870912", 1 << 29},
		"also more than the host has": {"109951162777600", "max", 100 << 40},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTree(t)
			f.write("a/b", "memory.max", tt.low)
			f.write("a", "memory.max", tt.high)
			require.Equal(t, tt.limit, fill(newReader("", f.root), 0, identity.Identity{UnifiedCgroup: "/a/b"}, quiet()).GroupLimit)
		})
	}
}

func TestALimitIsReadAgainAfterHalfAMinute(t *testing.T) {
	f := newTree(t)
	f.write("a", "memory.max", "1073741824")
	r, of := newReader("", f.root), identity.Identity{UnifiedCgroup: "/a"}
	require.Equal(t, uint64(1<<30), fill(r, 0, of, quiet()).Limit)
	f.write("a", "memory.max", "536870912")
	require.Equal(t, uint64(1<<30), fill(r, limitLife-1, of, quiet()).Limit)
	require.Equal(t, uint64(1<<29), fill(r, limitLife, of, quiet()).Limit)
}

func TestStallIsAShareOfTheWindow(t *testing.T) {
	f := newTree(t)
	f.write("a", "memory.max", "max")
	r, of := newReader("", f.root), identity.Identity{UnifiedCgroup: "/a"}
	f.pressure("a", 12.5, 9_000_000)
	require.Equal(t, 0.125, fill(r, 0, of, growing()).MemoryStall, "the first time the average of ten seconds")
	f.pressure("a", 99, 10_000_000)
	require.Equal(t, 0.2, fill(r, length, of, growing()).MemoryStall)
	f.pressure("a", 99, 10_000_000)
	require.Zero(t, fill(r, 2*length, of, growing()).MemoryStall)
	f.pressure("a", 99, 17_000_000)
	require.Equal(t, 1.0, fill(r, 3*length, of, growing()).MemoryStall, "no more than all of it")
	f.pressure("a", 25, 20_000_000)
	require.Equal(t, 0.25, fill(r, 9*length, of, growing()).MemoryStall, "after a gap the average again")
	f.pressure("a", 25, 1_000_000)
	require.Zero(t, fill(r, 10*length, of, growing()).MemoryStall, "another group of the same name has stalled less")
	f.remove("a", "memory.pressure")
	require.Equal(t, growing().MemoryStall, fill(r, 11*length, of, growing()).MemoryStall, "without the file the host's")
}

func TestStandingStillForADiskIsToldApart(t *testing.T) {
	f := newTree(t)
	f.write("a", "memory.max", "max")
	r, of := newReader("", f.root), identity.Identity{UnifiedCgroup: "/a"}
	f.pressure("a", 0, 0)
	f.write("a", "io.pressure", "some avg10=50.00 avg60=1.00 avg300=0.50 total=1000000")
	w := fill(r, 0, of, growing())
	require.Equal(t, 0.5, w.IOStall, "the first time the average of ten seconds")
	f.write("a", "io.pressure", "some avg10=99.00 avg60=1.00 avg300=0.50 total=2000000")
	w = fill(r, length, of, growing())
	require.Equal(t, 0.2, w.IOStall)
	require.Zero(t, w.MemoryStall)
}

func TestReturnedPages(t *testing.T) {
	for name, tt := range map[string]struct {
		v1         bool
		of         string
		key, other string // key counts, other does not
	}{
		"of files":                    {of: "/a", key: "workingset_refault_file", other: "workingset_activate_file"},
		"swapped":                     {of: "/a", key: "workingset_refault_anon", other: "pgmajfault"},
		"of an old kernel":            {of: "/a", key: "workingset_refault", other: "workingset_activate"},
		"of v1":                       {v1: true, of: "/a", key: "total_workingset_refault_file", other: "workingset_refault_file"},
		"of the root, which the host": {of: "/", key: "workingset_refault_file", other: "pgfault"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newTree(t)
			r, of := newReader("", f.root), identity.Identity{UnifiedCgroup: tt.of}
			if tt.v1 {
				r, of = newReader(f.root, ""), identity.Identity{MemoryCgroup: tt.of}
			}
			faulting := quiet()
			faulting.Used.MajorFaults = 1
			n := 0
			pages := func(key, other int) uint64 {
				f.write(tt.of, "memory.stat", tt.other+" "+strconv.Itoa(other)+"\n"+tt.key+" "+strconv.Itoa(key))
				n++
				return fill(r, time.Duration(n)*length, of, faulting).Returned
			}
			require.Zero(t, pages(1000, 1), "there is nothing to compare with")
			require.Equal(t, uint64(500), pages(1500, 900))
			require.Zero(t, pages(1500, 2000))
			require.Zero(t, pages(100, 2000), "another group of the same name")
			n += 2
			require.Zero(t, pages(9000, 2000), "after a gap it is not known when")
			require.Equal(t, uint64(1), pages(9001, 2000))
			require.Zero(t, fill(r, time.Duration(n+1)*length, of, quiet()).Returned, "no major fault, no question")
		})
	}
}

func TestPagesReturnedToAGroupAreSaidOfEachOfItsProcesses(t *testing.T) {
	f := newTree(t)
	r, of := newReader("", f.root), identity.Identity{UnifiedCgroup: "/a"}
	faulting := quiet()
	faulting.Used.MajorFaults = 1
	for n, pages := range []string{"10", "30"} {
		f.write("a", "memory.stat", "workingset_refault_file "+pages)
		s := &sampler.Snapshot{End: first.Add(time.Duration(n) * length), Length: length, Windows: []sampler.Window{faulting, faulting}}
		r.Fill(s, whose(of))
		if n == 1 {
			require.Equal(t, uint64(20), s.Windows[0].Returned)
			require.Equal(t, uint64(20), s.Windows[1].Returned)
		}
	}
}

func TestTheRootsStallIsTheHosts(t *testing.T) {
	f := newTree(t)
	f.pressure("", 50, 1_000_000)
	w := fill(newReader("", f.root), 0, identity.Identity{UnifiedCgroup: "/"}, growing())
	require.Equal(t, growing().MemoryStall, w.MemoryStall)
}

func TestReadPressure(t *testing.T) {
	for content, want := range map[string]struct {
		total  time.Duration
		recent float64
		ok     bool
	}{
		"some avg10=1.50 avg60=0.10 avg300=0.01 total=2000001\nfull avg10=9.00": {2000001 * time.Microsecond, 0.015, true},
		"some avg10=0.00 avg60=0.00 avg300=0.00 total=0":                        {ok: true},
		"full avg10=1.50 avg60=0.10 avg300=0.01 total=2000001":                  {},
		"some avg10=1.50": {},
		"":                {},
	} {
		f := newTree(t)
		f.write("a", "memory.pressure", content)
		total, recent, ok := readPressure(filepath.Join(f.root, "a", "memory.pressure"))
		require.Equal(t, want.ok, ok, content)
		require.Equal(t, want.total, total, content)
		require.InDelta(t, want.recent, recent, 1e-9, content)
	}
	_, _, ok := readPressure(filepath.Join(t.TempDir(), "memory.pressure"))
	require.False(t, ok)
}

func TestGroupsNobodyIsInAreForgotten(t *testing.T) {
	f := newTree(t)
	f.write("a", "memory.max", "max")
	f.write("b", "memory.max", "max")
	r := newReader("", f.root)
	fill(r, 0, identity.Identity{UnifiedCgroup: "/a"}, quiet())
	require.Len(t, r.groups, 1)
	fill(r, 2*limitLife, identity.Identity{UnifiedCgroup: "/b"}, quiet())
	require.Len(t, r.groups, 2)
	fill(r, 2*limitLife+1, identity.Identity{UnifiedCgroup: "/b"}, quiet())
	require.Len(t, r.groups, 1)
	require.Len(t, r.v2.known, 1)
}

// crowd returns a window of as many processes as are said, a hundred in a group.
func crowd(t testing.TB, processes int) (*Reader, *sampler.Snapshot, groupOfPid) {
	t.Helper()
	f := tree{t, t.TempDir()}
	whose := groupOfPid{}
	s := &sampler.Snapshot{End: first, Length: length}
	for pid := range uint32(processes) {
		group := "pods/pod" + strconv.Itoa(int(pid)/100)
		if pid%100 == 0 {
			f.write(group, "memory.max", "1073741824")
		}
		w := quiet()
		w.Pid = pid
		s.Windows, whose[pid] = append(s.Windows, w), identity.Identity{UnifiedCgroup: "/" + group}
	}
	return newReader("", f.root), s, whose
}

// groupOfPid has the identity of each process.
type groupOfPid map[uint32]identity.Identity

func (g groupOfPid) Of(p sampler.Process) identity.Identity { return g[p.Pid] }

func TestAProcessThatNeedsNoSecondLookAllocatesNothing(t *testing.T) {
	r, s, whose := crowd(t, 1000)
	require.Zero(t, testing.AllocsPerRun(10, func() { r.Fill(s, whose) }))
	require.Equal(t, uint64(1<<30), s.Windows[999].Limit)
}

func BenchmarkFill(b *testing.B) {
	r, s, whose := crowd(b, 10_000)
	b.ReportAllocs()
	for b.Loop() {
		r.Fill(s, whose)
	}
}

func TestTheHierarchiesOfThisHostAreFound(t *testing.T) {
	mounts, err := cgroup.Find("/")
	require.NoError(t, err)
	r := New(mounts)
	for _, h := range []hierarchy{r.v1, r.v2} {
		if h.root != "" {
			require.DirExists(t, h.root)
		}
	}
}
