// Package cgroup finds where the hierarchies of control groups are mounted.
package cgroup

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/prometheus/procfs"
)

// Mounts is where the hierarchies are mounted, as this process reaches them.
type Mounts struct {
	unified     string            // empty: cgroup v2 is not mounted
	controllers map[string]string // cgroup v1, named hierarchies as name=systemd
}

// Find finds the hierarchies of the host whose root is mounted at root: among
// the mounts of its first process, or of this one if root is its own.
func Find(root string) (Mounts, error) {
	m := Mounts{controllers: make(map[string]string)}
	proc, err := procfs.NewFS(filepath.Join(root, "proc"))
	if err != nil {
		return m, fmt.Errorf("open procfs: %w", err)
	}
	read := proc.GetMounts
	if root != "/" {
		read = func() ([]*procfs.MountInfo, error) { return proc.GetProcMounts(1) }
	}
	mounts, err := read()
	if err != nil {
		return m, fmt.Errorf("find the mounts of control groups: %w", err)
	}
	for _, mount := range mounts {
		m.add(root, mount)
	}
	return m, nil
}

// add takes the first mount of each: others are of its parts.
func (m *Mounts) add(root string, mount *procfs.MountInfo) {
	dir := filepath.Join(root, filepath.Join("/", mount.MountPoint))
	switch mount.FSType {
	case "cgroup2":
		if m.unified == "" {
			m.unified = dir
		}
	case "cgroup":
		for option, value := range mount.SuperOptions {
			if option == "name" {
				option += "=" + value
			}
			if _, found := m.controllers[option]; !found {
				m.controllers[option] = dir
			}
		}
	}
}

// Check returns an error if no hierarchy can be read.
func (m Mounts) Check() error {
	err := errors.New("none is mounted")
	for _, dir := range append(slices.Collect(maps.Values(m.controllers)), m.unified) {
		if dir == "" {
			continue
		}
		if _, err = os.Stat(filepath.Join(dir, "cgroup.procs")); err == nil {
			return nil
		}
	}
	return fmt.Errorf("read the control groups: %w", err)
}

// Unified returns where cgroup v2 is mounted, empty if it is not.
func (m Mounts) Unified() string { return m.unified }

// Controller returns where cgroup v1 has this controller, empty if it has not.
func (m Mounts) Controller(name string) string { return m.controllers[name] }
