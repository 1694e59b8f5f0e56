package host

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// CheckRoot returns an error if the root of a host is not mounted there, or
// without what is mounted below it.
func CheckRoot(root string) error {
	const advice = "mount the root of the host there, with all that is mounted below it"
	proc := filepath.Join(root, "proc")
	var fs unix.Statfs_t
	if err := unix.Statfs(proc, &fs); err != nil {
		return fmt.Errorf("%s is no procfs: %w: %s", proc, err, advice)
	}
	if fs.Type != unix.PROC_SUPER_MAGIC {
		return fmt.Errorf("%s is no procfs: %s", proc, advice)
	}
	if _, err := os.Stat(filepath.Join(root, "sys", cpusOnline)); err != nil {
		return fmt.Errorf("%s is no sysfs: %w: %s", filepath.Join(root, "sys"), err, advice)
	}
	return nil
}

// cpusOnline is the list of CPUs that are online, in sysfs.
const cpusOnline = "devices/system/cpu/online"
