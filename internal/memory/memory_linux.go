package memory

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hotspot-otel/hotspot/internal/cgroup"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// How long a limit is believed before it is read again.
const limitLife = 30 * time.Second

// A limit as large as this is none: cgroup v1 writes the largest number of whole
// pages.
const noLimit = 1 << 62

// Reader reads the memory controller's files, for cgroup v1 and v2: of a limit
// every half minute, of how much is used and of stalls only where a window asks
// for it. It is not safe for concurrent use.
type Reader struct {
	v1, v2 hierarchy
	groups map[string]*group // by directory
	pass   uint64
	now    time.Time
}

// hierarchy is one tree of control groups.
type hierarchy struct {
	root         string // where it is mounted, empty if it is not
	limit, usage string // files
	// Keys of memory.stat: page cache that can be dropped, and pages that came back
	// after they were taken away, since the group was created; before 5.9 without
	// their kind.
	active, unused string
	returned       []string

	known map[string]*group // by path, as an identity has it; nil is the root
}

// group is what was read of one control group.
type group struct {
	dir     string
	parent  *group // nil: the root, which has no limit
	limit   uint64 // noLimit or more: none
	limitAt time.Time

	used   uint64 // less the page cache that can be dropped
	usedIn uint64 // the pass that was read in

	memory, io stall

	returned   uint64 // since it was created
	returnedAt time.Time
	returnedIn uint64 // the pass that was read in
	came       uint64 // in the window of that
}

// stall is one pressure file of a control group.
type stall struct {
	total time.Duration // since the group was created
	in    uint64        // the pass that was read in
	at    time.Time     // zero: never
	share float64       // of the last window
}

// New returns a reader of the hierarchies where they are mounted.
func New(mounts cgroup.Mounts) *Reader {
	return newReader(mounts.Controller("memory"), mounts.Unified())
}

func newReader(v1, v2 string) *Reader {
	return &Reader{
		v1: hierarchy{
			v1, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_active_file", "total_inactive_file",
			[]string{"total_workingset_refault_file", "total_workingset_refault_anon", "total_workingset_refault"},
			make(map[string]*group),
		},
		v2: hierarchy{
			v2, "memory.max", "memory.current", "active_file", "inactive_file",
			[]string{"workingset_refault_file", "workingset_refault_anon", "workingset_refault"},
			make(map[string]*group),
		},
		groups: make(map[string]*group),
	}
}

// Fill sets the limit of every living process whose control groups have one, and
// the headroom, the stalls and the returned pages of those that may need them:
// those that grow or fault.
func (r *Reader) Fill(s *sampler.Snapshot, whose Identifier) {
	r.pass++
	r.now = s.End
	for i := range s.Windows {
		w := &s.Windows[i]
		if w.Kernel || w.Exited {
			continue
		}
		id := whose.Of(w.Process)
		asks := r.asks(w, s)
		if r.v1.root != "" && id.MemoryCgroup != "" {
			r.tighten(w, &r.v1, id.MemoryCgroup, asks)
			r.count(w, &r.v1, id.MemoryCgroup, s.Length)
		}
		if r.v2.root == "" || id.UnifiedCgroup == "" {
			continue
		}
		r.tighten(w, &r.v2, id.UnifiedCgroup, asks)
		r.count(w, &r.v2, id.UnifiedCgroup, s.Length)
		if g := r.group(&r.v2, id.UnifiedCgroup); asks && g != nil {
			if share, ok := r.stall(&g.memory, filepath.Join(g.dir, "memory.pressure"), s.Length); ok {
				w.MemoryStall = share
			}
			if share, ok := r.stall(&g.io, filepath.Join(g.dir, "io.pressure"), s.Length); ok {
				w.IOStall = share
			}
		}
	}
	r.forget()
}

// asks tells whether more than the limit is worth reading: 1 MiB of growth, a
// major fault, or a hundred faults a second.
func (r *Reader) asks(w *sampler.Window, s *sampler.Snapshot) bool {
	return w.Grown() >= 1<<20 || w.Used.MajorFaults > 0 ||
		float64(w.Used.MinorFaults) >= 100*s.Length.Seconds()
}

// group returns the group of this path, nil if it is the root. Paths are put
// together once: there are many more processes than groups.
func (r *Reader) group(h *hierarchy, of string) *group {
	g, known := h.known[of]
	if !known {
		g = r.find(h, path.Clean("/"+of))
		h.known[of] = g
	}
	return g
}

func (r *Reader) find(h *hierarchy, p string) *group {
	if p == "/" {
		return nil
	}
	dir := filepath.Join(h.root, p)
	g := r.groups[dir]
	if g == nil {
		g = &group{dir: dir, parent: r.find(h, path.Dir(p))}
		r.groups[dir] = g
	}
	return g
}

// tighten goes up the tree from the group of the process.
func (r *Reader) tighten(w *sampler.Window, h *hierarchy, of string, asks bool) {
	for g := r.group(h, of); g != nil; g = g.parent {
		if r.now.Sub(g.limitAt) >= limitLife || g.limitAt.IsZero() {
			g.limit, g.limitAt = readLimit(filepath.Join(g.dir, h.limit)), r.now
		}
		if g.limit >= noLimit {
			continue
		}
		if w.GroupLimit == 0 || g.limit < w.GroupLimit {
			w.GroupLimit = g.limit
		}
		if w.Limit == 0 || g.limit < w.Limit {
			w.Limit = g.limit
		}
		if !asks {
			continue
		}
		if g.usedIn != r.pass {
			g.used, g.usedIn = readUsed(g.dir, h), r.pass
		}
		if left := g.limit - min(g.used, g.limit); left < w.Headroom {
			w.Headroom = left
		}
	}
}

// count sets how many pages came back to the group of a process with major
// faults: unknown, 0, the first time. The root's is the host's.
func (r *Reader) count(w *sampler.Window, h *hierarchy, of string, length time.Duration) {
	if w.Used.MajorFaults == 0 || length <= 0 {
		return
	}
	dir := filepath.Join(h.root, path.Clean("/"+of))
	g := r.groups[dir]
	if g == nil { // the root's
		g = &group{limit: noLimit, limitAt: r.now}
		r.groups[dir] = g
	}
	if g.returnedIn != r.pass {
		returned, ok := readStat(dir, h.returned...)
		if !ok {
			return // this hierarchy has no memory controller
		}
		g.came = 0
		if since := r.now.Sub(g.returnedAt); since > 0 && since < 2*length && returned > g.returned {
			g.came = returned - g.returned
		}
		g.returned, g.returnedAt, g.returnedIn = returned, r.now, r.pass
	}
	w.Returned = max(w.Returned, g.came)
}

// stall returns for which share of the window some task of the group stood
// still. The first time it is an average over ten seconds.
func (r *Reader) stall(s *stall, file string, length time.Duration) (float64, bool) {
	if length <= 0 {
		return 0, false
	}
	if s.in == r.pass {
		return s.share, true
	}
	total, recent, ok := readPressure(file)
	if !ok {
		return 0, false
	}
	s.share = recent
	if since := r.now.Sub(s.at); since > 0 && since < 2*length {
		s.share = min(max(float64(total-s.total)/float64(since), 0), 1)
	}
	s.total, s.in, s.at = total, r.pass, r.now
	return s.share, true
}

// forget drops the groups nobody has been in for the life of a limit.
func (r *Reader) forget() {
	for dir, g := range r.groups {
		if r.now.Sub(g.limitAt) > 2*limitLife && r.now.Sub(g.returnedAt) > 2*limitLife {
			delete(r.groups, dir)
		}
	}
	for _, h := range []*hierarchy{&r.v1, &r.v2} {
		for of, g := range h.known {
			if g != nil && r.groups[g.dir] != g {
				delete(h.known, of)
			}
		}
	}
}

func readLimit(file string) uint64 {
	text, err := os.ReadFile(file)
	if err != nil {
		return noLimit
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil { // cgroup v2 writes max
		return noLimit
	}
	return n
}

// readUsed returns the memory that cannot be taken back without swapping.
func readUsed(dir string, h *hierarchy) uint64 {
	used := readLimit(filepath.Join(dir, h.usage))
	if used >= noLimit {
		return 0
	}
	cache, _ := readStat(dir, h.active, h.unused)
	return used - min(used, cache)
}

// readStat returns the sum of keys of memory.stat; false if there is none.
func readStat(dir string, keys ...string) (sum uint64, ok bool) {
	stat, err := os.ReadFile(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return 0, false
	}
	lines := bufio.NewScanner(bytes.NewReader(stat))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		if !slices.Contains(keys, key) {
			continue
		}
		if n, err := strconv.ParseUint(value, 10, 64); err == nil {
			sum, ok = sum+n, true
		}
	}
	return sum, ok
}

// readPressure returns the some line of a PSI file: the total, and the share of
// the last ten seconds.
func readPressure(file string) (total time.Duration, recent float64, ok bool) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, 0, false
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var avg10, avg60, avg300 float64
	var us uint64
	if _, err := fmt.Sscanf(line, "some avg10=%f avg60=%f avg300=%f total=%d", &avg10, &avg60, &avg300, &us); err != nil {
		return 0, 0, false
	}
	return time.Duration(us) * time.Microsecond, avg10 / 100, true
}
