//go:build unix

package hotspottopexporter

import (
	"time"

	"golang.org/x/sys/unix"
)

// cpuTime returns what this process has used, in user and system mode.
func cpuTime() (time.Duration, bool) {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		return 0, false
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano()), true
}
