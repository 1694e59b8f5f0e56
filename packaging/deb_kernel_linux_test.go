package packaging

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/testdata/workload"
)

const config = "/etc/otelcol-hotspot/config.yaml"

func TestTheDebianPackage(t *testing.T) {
	r := released(t)
	h := newHost(t)
	deb := r.path(runtime.GOARCH, ".deb")

	// Without systemd, as an image of a system is made.
	h.run("dpkg", "--install", h.copyIn(deb))
	enabled := "/etc/systemd/system/multi-user.target.wants/" + unit
	require.Equal(t, "/lib/systemd/system/"+unit+"\n", h.run("readlink", enabled))
	require.Equal(t, "640 root otelcol-hotspot\n", h.run("stat", "--format=%a %U %G", config))
	require.Empty(t, h.run("dpkg", "--verify", "otelcol-hotspot"))
	h.run("systemd-analyze", "verify", "/lib/systemd/system/"+unit)

	h.start()
	h.run("systemctl", "start", unit)
	first := h.mainPid()
	status := procStatus(t, first)
	user := strings.TrimSpace(h.run("id", "--user", "otelcol-hotspot"))
	require.Equal(t, []string{user, user, user, user}, strings.Fields(status["Uid"]))
	for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
		require.Equal(t, fmt.Sprintf("%016x", 1<<38|1<<39), status[set], "%s: CAP_PERFMON and CAP_BPF", set)
	}
	require.Equal(t, "1", status["NoNewPrivs"])
	require.Equal(t, "2", status["Seccomp"])
	require.Equal(t, "750 otelcol-hotspot\n", h.run("stat", "--format=%a %U", "/var/lib/otelcol-hotspot"))
	h.sees(t)

	t.Run("after a crash it is back", func(t *testing.T) {
		require.NoError(t, syscall.Kill(first, syscall.SIGKILL))
		require.Eventually(t, func() bool { pid := h.mainPid(); return pid != 0 && pid != first }, patience, pace)
		h.sees(t)
	})
	t.Run("a reload keeps the process", func(t *testing.T) {
		pid := h.mainPid()
		h.run("systemctl", "reload", unit)
		h.sees(t)
		require.Equal(t, pid, h.mainPid())
	})

	t.Run("an upgrade replaces the configuration nobody has changed", func(t *testing.T) {
		before := h.mainPid()
		h.run("dpkg", "--install", h.copyIn(next(t, deb, "1")))
		require.Contains(t, h.run("cat", config), "default of version 1")
		require.Eventually(t, func() bool { pid := h.mainPid(); return pid != 0 && pid != before }, patience, pace, "a restart")
		h.sees(t)
	})
	t.Run("an upgrade keeps the one of the user", func(t *testing.T) {
		h.run("sed", "-i", "1i # mine", config)
		mine := h.run("cat", config)
		h.run("dpkg", "--install", "--force-confdef", h.copyIn(next(t, deb, "2")))
		require.Equal(t, mine, h.run("cat", config))
		require.Contains(t, h.run("cat", config+".dpkg-dist"), "default of version 2")
		require.Equal(t, "640 root otelcol-hotspot\n", h.run("stat", "--format=%a %U %G", config))
		h.sees(t)
	})

	pid := h.mainPid()
	h.run("dpkg", "--remove", "otelcol-hotspot")
	require.ErrorIs(t, syscall.Kill(pid, 0), syscall.ESRCH)
	require.NoFileExists(t, h.path("/usr/bin/otelcol-hotspot"))
	require.FileExists(t, h.path(config))
	h.run("dpkg", "--purge", "otelcol-hotspot")
	require.Empty(t, h.run("find", "/etc", "/usr", "/var/lib", "-path", "/var/lib/dpkg", "-prune", "-o", "-name", "*otelcol*", "-print"))
}

// sees waits for the metrics of a new process of this machine.
func (h *host) sees(t *testing.T) {
	t.Helper()
	awaitCPUTime(t, h.init.Process.Pid, workload.Start(t, "busy", "-nice=19").Pid())
}

// awaitCPUTime returns what the page for Prometheus, in the network namespace of
// one process, has of the CPU time of another.
func awaitCPUTime(t *testing.T, collector, pid int) (found string) {
	t.Helper()
	const get = `exec 3<>/dev/tcp/127.0.0.1/9464 && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3`
	require.Eventually(t, func() bool {
		page, _ := exec.Command("nsenter", "--target="+strconv.Itoa(collector), "--net", "bash", "-c", get).Output()
		for line := range strings.Lines(string(page)) {
			if strings.HasPrefix(line, "process_cpu_time_seconds_total{") && strings.Contains(line, fmt.Sprintf(`process_pid="%d"`, pid)) {
				found = line
			}
		}
		return found != ""
	}, patience, pace, "metrics of process %d", pid)
	return found
}

// mainPid returns that of the service's process, 0 while it has none.
func (h *host) mainPid() int {
	h.t.Helper()
	pid, err := strconv.Atoi(strings.TrimSpace(h.run("systemctl", "show", "--property=MainPID", "--value", unit)))
	require.NoError(h.t, err)
	return pid
}

func procStatus(t *testing.T, pid int) map[string]string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	status := map[string]string{}
	for line := range strings.Lines(string(text)) {
		key, value, _ := strings.Cut(line, ":")
		status[key] = strings.TrimSpace(value)
	}
	return status
}

// next returns a later version of a package, with another default.
func next(t *testing.T, deb, version string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "package")
	do := func(name string, args ...string) {
		t.Helper()
		output, err := exec.Command(name, args...).CombinedOutput()
		require.NoError(t, err, "%s", output)
	}
	do("dpkg-deb", "--raw-extract", deb, dir)
	do("sed", "-i", "s/^Version: .*/Version: 99."+version+"/", filepath.Join(dir, "DEBIAN/control"))
	do("sed", "-i", "$a # The default of version "+version, filepath.Join(dir, config))
	to := filepath.Join(filepath.Dir(dir), "next.deb")
	do("dpkg-deb", "-Znone", "--build", dir, to)
	return to
}
