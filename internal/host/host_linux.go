// Package host tells what the sampler needs to know of the host as a whole.
package host

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// Host reads the host's /proc and /sys.
type Host struct {
	root string // of procfs
	proc procfs.FS
	sys  string
}

// Open returns the host whose /proc and /sys are mounted at the given places.
func Open(proc, sys string) (*Host, error) {
	fs, err := procfs.NewFS(proc)
	if err != nil {
		return nil, fmt.Errorf("open procfs: %w", err)
	}
	return &Host{root: proc, proc: fs, sys: sys}, nil
}

// Now returns the time of day and the time since boot, suspend included: the
// clock of task_struct.start_boottime. The first carries Go's monotonic
// reading.
func (h *Host) Now() (time.Time, time.Duration) {
	// The two clocks are read one after the other; what comes between them is in
	// the difference, so the closest of a few readings is taken.
	var best struct {
		wall      time.Time
		sinceBoot time.Duration
	}
	closest := time.Duration(math.MaxInt64)
	for range 3 {
		var ts unix.Timespec
		before := time.Now()
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
			return before, 0
		}
		if took := time.Since(before); took < closest {
			closest = took
			best.wall, best.sinceBoot = before, time.Duration(ts.Nano())
		}
	}
	return best.wall, best.sinceBoot
}

// CPUs returns how many CPUs are online, at least 1.
func (h *Host) CPUs() int {
	list, err := os.ReadFile(filepath.Join(h.sys, cpusOnline))
	if err != nil {
		return 1
	}
	return max(countCPUs(string(list)), 1)
}

// countCPUs counts the members of a list as the kernel writes it: 0-3,8.
func countCPUs(list string) int {
	n := 0
	for part := range strings.SplitSeq(strings.TrimSpace(list), ",") {
		low, high, isRange := strings.Cut(part, "-")
		if !isRange {
			high = low
		}
		from, err := strconv.Atoi(low)
		if err != nil {
			continue
		}
		to, err := strconv.Atoi(high)
		if err != nil || to < from {
			continue
		}
		n += to - from + 1
	}
	return n
}

// AvailableMemory returns how many bytes can be had without swapping
// (MemAvailable); 0 if that cannot be read. Not by procfs, which takes all fifty
// numbers apart and panics where one is missing.
func (h *Host) AvailableMemory() uint64 {
	text, err := os.ReadFile(filepath.Join(h.root, "meminfo"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.Fields(line)
		if len(fields) < 2 || fields[0] != "MemAvailable:" {
			continue
		}
		kib, err := strconv.ParseUint(fields[1], 10, 54)
		if err != nil {
			return 0
		}
		return kib << 10
	}
	return 0
}

// MemoryStall returns for how long, since boot, some task stood still for want
// of memory (PSI); 0 if the kernel does not say.
func (h *Host) MemoryStall() time.Duration { return h.stall("memory") }

// IOStall returns for how long, since boot, some task stood still for a disk
// (PSI); 0 if the kernel does not say.
func (h *Host) IOStall() time.Duration { return h.stall("io") }

func (h *Host) stall(resource string) time.Duration {
	stats, err := h.proc.PSIStatsForResource(resource)
	if err != nil || stats.Some == nil {
		return 0
	}
	return time.Duration(stats.Some.Total) * time.Microsecond
}
