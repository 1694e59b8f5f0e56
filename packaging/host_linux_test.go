package packaging

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// enterVariable makes this binary the first process of a host, with that root.
const enterVariable = "HOTSPOT_TEST_ENTER"

// host is a Debian in mount and network namespaces of its own, and in the pid
// namespace of this machine, whose processes the receiver is to see.
type host struct {
	t    *testing.T
	init *exec.Cmd
	boot io.Closer
	log  *os.File
}

// newHost returns a host on which systemd does not run yet.
func newHost(t *testing.T) *host {
	t.Helper()
	system := os.Getenv("HOTSPOT_DEBIAN")
	if system == "" || os.Geteuid() != 0 {
		skip(t, "HOTSPOT_DEBIAN does not name the root of a Debian, or not root: run make test-release")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	group, err := os.MkdirTemp(unified(t), "hotspot-packaging-")
	require.NoError(t, err)
	fd, err := unix.Open(group, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	require.NoError(t, err)
	defer unix.Close(fd)

	h := &host{t: t, init: exec.Command(self)}
	h.init.Env = []string{
		enterVariable + "=" + system, "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
		// A manager of the user root does all that the system's does to a service,
		// and need not be process 1. It is found where the system's is.
		"XDG_RUNTIME_DIR=/run", "XDG_CONFIG_HOME=/var/lib", "XDG_STATE_HOME=/var/lib", "HOME=/root",
		"SYSTEMD_UNIT_PATH=/usr/lib/systemd/user:/usr/lib/systemd/system",
	}
	h.init.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWIPC, Pdeathsig: syscall.SIGKILL,
		UseCgroupFD: true, CgroupFD: fd,
	}
	h.boot, err = h.init.StdinPipe()
	require.NoError(t, err)
	h.log, err = os.Create(filepath.Join(t.TempDir(), "log"))
	require.NoError(t, err)
	ready, err := h.init.StdoutPipe()
	require.NoError(t, err)
	h.init.Stderr = h.log
	require.NoError(t, h.init.Start())
	t.Cleanup(func() {
		_ = os.WriteFile(filepath.Join(group, "cgroup.kill"), []byte("1"), 0)
		_ = h.init.Wait()
		require.Eventually(t, func() bool { return removed(group) }, patience, pace, "removal of %s", group)
		if t.Failed() {
			t.Log(h.said())
		}
	})
	_, err = io.ReadFull(ready, make([]byte, len(entered)))
	require.NoError(t, err, "%s", h.said())
	return h
}

const entered = "entered\n"

// enter is the first process of a host: it makes the root its own, waits, and
// becomes systemd.
func enter() {
	root := os.Getenv(enterVariable)
	if root == "" {
		return
	}
	os.Unsetenv(enterVariable)
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	must(unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""))
	// What is written goes to memory; the root may be below what that hides.
	must(os.Chdir(root))
	const over = "/tmp"
	must(unix.Mount("tmpfs", over, "tmpfs", 0, ""))
	for _, dir := range []string{"upper", "work", "root"} {
		must(os.Mkdir(filepath.Join(over, dir), 0o755))
	}
	must(unix.Mount("overlay", over+"/root", "overlay", 0, "lowerdir=.,upperdir="+over+"/upper,workdir="+over+"/work"))
	must(os.Chdir(over + "/root"))
	must(unix.Mount("/dev", "dev", "", unix.MS_BIND|unix.MS_REC, ""))
	must(unix.Mount("proc", "proc", "proc", 0, ""))
	must(unix.Mount("sysfs", "sys", "sysfs", 0, ""))
	must(unix.Mount("cgroup2", "sys/fs/cgroup", "cgroup2", 0, ""))
	must(unix.Mount("tmpfs", "run", "tmpfs", 0, "mode=755"))
	must(unix.PivotRoot(".", "."))
	must(unix.Unmount(".", unix.MNT_DETACH))
	must(os.Chdir("/"))

	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(err)
	loopback, err := unix.NewIfreq("lo")
	must(err)
	loopback.SetUint16(unix.IFF_UP)
	must(unix.IoctlIfreq(socket, unix.SIOCSIFFLAGS, loopback))

	_, err = os.Stdout.WriteString(entered)
	must(err)
	must(unix.Dup3(unix.Stderr, unix.Stdout, 0)) // the log, for services
	_, _ = os.Stdin.Read(make([]byte, 1))
	must(os.MkdirAll("/run/systemd/system", 0o755)) // says that systemd runs
	must(unix.Exec("/lib/systemd/systemd", []string{"systemd", "--user", "--unit=basic.target", "--log-target=console", "--default-standard-output=inherit"}, os.Environ()))
}

// start lets systemd run.
func (h *host) start() {
	h.t.Helper()
	require.NoError(h.t, h.boot.Close())
	require.Eventually(h.t, func() bool {
		_, err := h.try("systemctl", "is-active", "basic.target")
		return err == nil
	}, patience, pace, "systemd: %s", h.said())
}

// try runs a program on the host.
func (h *host) try(args ...string) (string, error) {
	cmd := exec.Command("nsenter", append([]string{
		"--target=" + strconv.Itoa(h.init.Process.Pid), "--mount", "--net", "--ipc", "--root", "--wd=/", "--"}, args...)...)
	cmd.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8",
		// It would take the other root for a chroot, where nothing is to be started.
		"SYSTEMD_IGNORE_CHROOT=1"}
	output, err := cmd.CombinedOutput()
	return string(output), err
}

func (h *host) run(args ...string) string {
	h.t.Helper()
	output, err := h.try(args...)
	require.NoError(h.t, err, "%s: %s", args, output)
	return output
}

// path returns that of a file of the host on this machine.
func (h *host) path(file string) string {
	return filepath.Join("/proc", strconv.Itoa(h.init.Process.Pid), "root", file)
}

// copyIn copies a file to the host's root directory.
func (h *host) copyIn(file string) string {
	h.t.Helper()
	content, err := os.ReadFile(file)
	require.NoError(h.t, err)
	to := "/" + filepath.Base(file)
	require.NoError(h.t, os.WriteFile(h.path(to), content, 0o600))
	return to
}

func (h *host) said() string {
	text, _ := os.ReadFile(h.log.Name())
	return string(text)
}

// unified returns where control groups of version 2 are.
func unified(t *testing.T) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		if fields := strings.Fields(line); fields[2] == "cgroup2" {
			return fields[1]
		}
	}
	require.Fail(t, "no control groups of version 2")
	return ""
}

// removed tells whether a control group and those below it are gone, having
// removed those that are empty.
func removed(group string) bool {
	_ = filepath.WalkDir(group, func(path string, entry os.DirEntry, err error) error {
		if err == nil && entry.IsDir() && path != group {
			removed(path)
			return filepath.SkipDir
		}
		return nil
	})
	err := os.Remove(group)
	return err == nil || os.IsNotExist(err)
}
