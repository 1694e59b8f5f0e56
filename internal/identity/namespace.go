package identity

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"

	"github.com/hotspot-otel/hotspot/internal/cgroup"
)

// namespace makes the paths of /proc/PID/cgroup absolute. The kernel shows them
// relative to the root of the reader's cgroup namespace: in a container with one
// of its own, which is the rule under cgroup v2, others begin with /.. and its
// own is / only. No file says where that root is, so this process looks for
// itself in the host's tree.
type namespace struct {
	proc   procfs.FS
	mounts cgroup.Mounts
	bases  map[string]base // by hierarchy
}

// base is the root of the namespace in one hierarchy.
type base struct {
	path  string
	known bool
}

// absolute returns the path in the hierarchy as it is mounted. False says that
// it could not be found out: then the path is as the kernel shows it.
func (n *namespace) absolute(g procfs.Cgroup) (string, bool) {
	key := strings.Join(g.Controllers, ",")
	b, looked := n.bases[key]
	if !looked {
		b = n.find(g.HierarchyID, n.mountOf(g))
		n.bases[key] = b
	}
	if b.known {
		return path.Join(b.path, g.Path), true
	}
	return g.Path, !isOutside(g.Path)
}

func isOutside(p string) bool { return p == "/.." || strings.HasPrefix(p, "/../") }

func (n *namespace) mountOf(g procfs.Cgroup) string {
	if g.HierarchyID == 0 {
		return n.mounts.Unified()
	}
	for _, c := range g.Controllers {
		if dir := n.mounts.Controller(c); dir != "" {
			return dir
		}
	}
	return ""
}

// find looks for this process in a hierarchy: where its path says, which is so
// without a namespace, and then everywhere.
func (n *namespace) find(hierarchy int, mount string) base {
	if mount == "" {
		return base{}
	}
	self, err := n.proc.Self()
	if err != nil {
		return base{}
	}
	groups, err := self.Cgroups()
	if err != nil {
		return base{}
	}
	i := slices.IndexFunc(groups, func(g procfs.Cgroup) bool { return g.HierarchyID == hierarchy })
	if i < 0 || isOutside(groups[i].Path) {
		return base{}
	}
	own := strings.TrimSuffix(groups[i].Path, "/")
	if hasSelf(filepath.Join(mount, own)) {
		return base{"/", true}
	}
	found := errors.New("found")
	var at string
	err = filepath.WalkDir(mount, func(dir string, entry fs.DirEntry, err error) error {
		if err != nil { // gone meanwhile
			return fs.SkipDir
		}
		if !entry.IsDir() {
			return nil
		}
		if strings.HasSuffix(dir, own) && hasSelf(dir) {
			at = strings.TrimSuffix(strings.TrimPrefix(dir, mount), own)
			return found
		}
		return nil
	})
	return base{"/" + strings.TrimPrefix(at, "/"), errors.Is(err, found)}
}

// hasSelf tells whether this process is in a group. The kernel writes pids as
// their reader's namespace has them.
func hasSelf(dir string) bool {
	pids, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return false
	}
	return slices.Contains(strings.Fields(string(pids)), strconv.Itoa(os.Getpid()))
}
