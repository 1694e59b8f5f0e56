package memory

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
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
	root           string // where it is mounted, empty if it is not
	limit, usage   string // files
	active, unused string // keys of memory.stat: page cache that can be dropped
}

// group is what was read of one control group.
type group struct {
	limit   uint64 // noLimit or more: none
	limitAt time.Time

	used   uint64 // less the page cache that can be dropped
	usedIn uint64 // the pass that was read in

	stall      time.Duration // since it was created
	stallIn    uint64        // the pass that was read in
	stallAt    time.Time     // zero: never
	stallShare float64       // of the last window
}

// New returns a reader of the hierarchies where they are mounted.
func New(mounts cgroup.Mounts) *Reader {
	return newReader(mounts.Controller("memory"), mounts.Unified())
}

func newReader(v1, v2 string) *Reader {
	return &Reader{
		v1:     hierarchy{v1, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_active_file", "total_inactive_file"},
		v2:     hierarchy{v2, "memory.max", "memory.current", "active_file", "inactive_file"},
		groups: make(map[string]*group),
	}
}

// Fill sets the limit of every living process whose control groups have one, and
// the headroom and the stall of those that may need them: those that grow or
// fault.
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
		}
		if r.v2.root == "" || id.UnifiedCgroup == "" {
			continue
		}
		r.tighten(w, &r.v2, id.UnifiedCgroup, asks)
		if asks && id.UnifiedCgroup != "/" {
			if share, ok := r.stall(filepath.Join(r.v2.root, id.UnifiedCgroup), s.Length); ok {
				w.MemoryStall = share
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

// tighten goes up the tree from the group of the process. The root has no limit.
func (r *Reader) tighten(w *sampler.Window, h *hierarchy, of string, asks bool) {
	for p := path.Clean("/" + of); p != "/"; p = path.Dir(p) {
		dir := filepath.Join(h.root, p)
		g := r.groups[dir]
		if g == nil {
			g = &group{}
			r.groups[dir] = g
		}
		if r.now.Sub(g.limitAt) >= limitLife || g.limitAt.IsZero() {
			g.limit, g.limitAt = readLimit(filepath.Join(dir, h.limit)), r.now
		}
		if g.limit >= noLimit {
			continue
		}
		if w.Limit == 0 || g.limit < w.Limit {
			w.Limit = g.limit
		}
		if !asks {
			continue
		}
		if g.usedIn != r.pass {
			g.used, g.usedIn = readUsed(dir, h), r.pass
		}
		if left := g.limit - min(g.used, g.limit); left < w.Headroom {
			w.Headroom = left
		}
	}
}

// stall returns for which share of the window some task of the group stood still
// for want of memory. The first time it is an average over ten seconds.
func (r *Reader) stall(dir string, length time.Duration) (float64, bool) {
	g := r.groups[dir]
	if g == nil || length <= 0 {
		return 0, false
	}
	if g.stallIn == r.pass {
		return g.stallShare, true
	}
	total, recent, ok := readPressure(filepath.Join(dir, "memory.pressure"))
	if !ok {
		return 0, false
	}
	g.stallShare = recent
	if since := r.now.Sub(g.stallAt); since > 0 && since < 2*length {
		g.stallShare = min(max(float64(total-g.stall)/float64(since), 0), 1)
	}
	g.stall, g.stallIn, g.stallAt = total, r.pass, r.now
	return g.stallShare, true
}

// forget drops the groups nobody has been in for the life of a limit.
func (r *Reader) forget() {
	for dir, g := range r.groups {
		if r.now.Sub(g.limitAt) > 2*limitLife {
			delete(r.groups, dir)
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
	stat, err := os.ReadFile(filepath.Join(dir, "memory.stat"))
	if err != nil {
		return used
	}
	lines := bufio.NewScanner(bytes.NewReader(stat))
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), " ")
		if key != h.active && key != h.unused {
			continue
		}
		n, err := strconv.ParseUint(value, 10, 64)
		if err == nil {
			used -= min(used, n)
		}
	}
	return used
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
