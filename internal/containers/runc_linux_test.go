package containers

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
)

// bundle is an OCI container of which this test binary is the only file: the
// part of the runtime specification that is used here.
type bundle struct {
	Version string  `json:"ociVersion"`
	Process process `json:"process"`
	Root    root    `json:"root"`
	Mounts  []mount `json:"mounts"`
	Linux   linux   `json:"linux"`
}

type process struct {
	Args         []string            `json:"args"`
	Env          []string            `json:"env"`
	User         user                `json:"user"`
	Cwd          string              `json:"cwd"`
	Capabilities map[string][]string `json:"capabilities"`
	// NoNewPrivileges is what Kubernetes calls allowPrivilegeEscalation: false.
	NoNewPrivileges bool `json:"noNewPrivileges"`
}

type user struct {
	UID int `json:"uid"`
	GID int `json:"gid"`
}

type root struct {
	Path     string `json:"path"`
	Readonly bool   `json:"readonly"`
}

type mount struct {
	Destination string   `json:"destination"`
	Type        string   `json:"type"`
	Source      string   `json:"source"`
	Options     []string `json:"options"`
}

type linux struct {
	CgroupsPath string      `json:"cgroupsPath"`
	Namespaces  []namespace `json:"namespaces"`
	// Seccomp is a profile, which containerd and docker take in the same form.
	Seccomp json.RawMessage `json:"seccomp,omitempty"`
}

type namespace struct {
	Type string `json:"type"`
}

const binary = "/test"

// newBundle returns a container with the usual namespaces that runs this binary
// in a control group, with these variables set.
func newBundle(t *testing.T, cgroup string, args []string, env ...string) *bundle {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	return &bundle{
		Version: "1.0.2",
		Process: process{Args: append([]string{binary}, args...), Env: env, Cwd: "/"},
		Root:    root{Path: "rootfs", Readonly: true},
		Mounts: []mount{
			{"/proc", "proc", "proc", nil},
			{"/dev", "tmpfs", "tmpfs", []string{"nosuid", "mode=755"}},
			{"/sys", "sysfs", "sysfs", []string{"ro"}},
			{binary, "bind", self, []string{"bind", "ro"}},
		},
		Linux: linux{
			CgroupsPath: cgroup,
			Namespaces:  []namespace{{"pid"}, {"mount"}, {"ipc"}, {"uts"}, {"cgroup"}},
		},
	}
}

// without leaves the container in the host's namespace of this type.
func (b *bundle) without(kind string) *bundle {
	b.Linux.Namespaces = slices.DeleteFunc(b.Linux.Namespaces, func(n namespace) bool { return n.Type == kind })
	return b
}

// allow gives the container capabilities.
func (b *bundle) allow(capabilities ...string) *bundle {
	b.Process.Capabilities = map[string][]string{}
	for _, set := range []string{"bounding", "effective", "inheritable", "permitted", "ambient"} {
		b.Process.Capabilities[set] = capabilities
	}
	return b
}

// container is a running one.
type container struct {
	pid    int // of its first process, in the host's namespace
	output io.Reader
}

// run runs a container that is gone at the end of the test. It skips the test
// where there is no runc.
func (b *bundle) run(t *testing.T) *container {
	t.Helper()
	needsRunc(t)
	dir := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(dir, "rootfs"), 0o755))
	config, err := json.Marshal(b)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), config, 0o600))

	name := "hotspot-test-" + strconv.Itoa(os.Getpid()) + "-" + filepath.Base(dir) + filepath.Base(filepath.Dir(dir))
	runc := func(args ...string) *exec.Cmd {
		return exec.Command("runc", append([]string{"--root", filepath.Join(dir, "state"), "--log", filepath.Join(dir, "log")}, args...)...)
	}
	pidFile := filepath.Join(dir, "pid")
	removeGroups(t, b.Linux.CgroupsPath)
	cmd := runc("run", "--bundle", dir, "--pid-file", pidFile, name)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	exited := make(chan struct{})
	t.Cleanup(func() {
		_ = runc("delete", "--force", name).Run()
		_ = cmd.Process.Kill()
		<-exited
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Logf("runc: %s%s", log, stderr.String())
		}
	})
	c := &container{}
	lines, ended := newLines(output)
	go func() {
		<-ended // Wait would close what is still being read
		_ = cmd.Wait()
		close(exited)
	}()
	c.output = lines
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(pidFile)
		if err != nil {
			select {
			case <-exited:
				require.Fail(t, "the container does not run", stderr.String())
			default:
			}
			return false
		}
		c.pid, err = strconv.Atoi(string(text))
		return err == nil
	}, patience, pace, "a container")
	return c
}

// removeGroups removes, at the end of the test, the groups of this path that do
// not exist yet: runc leaves those above the container's own.
func removeGroups(t *testing.T, path string) {
	t.Helper()
	mounts, err := procfs.GetMounts()
	require.NoError(t, err)
	for _, m := range mounts {
		if m.FSType != "cgroup" && m.FSType != "cgroup2" {
			continue
		}
		var made []string
		for at := filepath.Join(m.MountPoint, path); at != m.MountPoint; at = filepath.Dir(at) {
			if _, err := os.Stat(at); errors.Is(err, os.ErrNotExist) {
				made = append(made, at)
			}
		}
		t.Cleanup(func() {
			for i, group := range made { // the innermost first
				removed := func() bool {
					err := os.Remove(group)
					return err == nil || errors.Is(err, os.ErrNotExist)
				}
				// The runtime may still be at the container's own. What is above may
				// have got others meanwhile.
				if i == 0 {
					require.Eventually(t, removed, patience, pace, "removal of %s", group)
				} else {
					removed()
				}
			}
		})
	}
}

// newLines takes in what a container writes, so that it is never held up.
func newLines(from io.Reader) (io.Reader, <-chan struct{}) {
	r, w := io.Pipe()
	ended := make(chan struct{})
	chunks := make(chan []byte, 1<<16)
	go func() {
		defer close(ended)
		defer close(chunks)
		for {
			chunk := make([]byte, 1<<16)
			n, err := from.Read(chunk)
			if n > 0 {
				chunks <- chunk[:n]
			}
			if err != nil {
				return
			}
		}
	}()
	go func() {
		for chunk := range chunks {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
		_ = w.Close()
	}()
	return r, ended
}

// needsRunc skips the test where containers cannot be run, unless the
// environment says that none may be.
func needsRunc(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		skip(t, "only root can run a container as it is run on a node")
	}
	if _, err := exec.LookPath("runc"); err != nil {
		skip(t, "there is no runc (Debian: apt-get install runc)")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	file, err := elf.Open(self)
	require.NoError(t, err)
	defer file.Close()
	for _, part := range file.Progs {
		if part.Type == elf.PT_INTERP {
			skip(t, "the test binary is not static: set CGO_ENABLED=0")
		}
	}
}

func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("HOTSPOT_REQUIRE_KERNEL") == "1" {
		require.Fail(t, why)
	}
	t.Skip("needs containers: " + why)
}

// newID returns 64 hexadecimal digits, other ones for each name.
func newID(name string) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(os.Getpid(), name)))
	return hex.EncodeToString(sum[:])
}

// newUID returns the UID of a pod, another for each name.
func newUID(name string) string {
	id := newID(name)
	return strings.Join([]string{id[:8], id[8:12], "4" + id[13:16], "a" + id[17:20], id[20:32]}, "-")
}
