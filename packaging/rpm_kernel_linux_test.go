package packaging

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The root is Debian's: what rpm does to it, and its scripts, is the same.
func TestTheRPMPackage(t *testing.T) {
	r := released(t)
	for _, architecture := range r.architectures() {
		listed := query(t, r.path(architecture, ".rpm"), "[%{FILEFLAGS:fflags} %{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME} %{FILENAMES}\n]")
		require.Contains(t, listed, "cn -rw-r----- root otelcol-hotspot "+config+"\n", "a configuration that is not replaced")
		require.Contains(t, listed, " -rwxr-xr-x root root /usr/bin/otelcol-hotspot\n")
		require.Contains(t, listed, " -rw-r--r-- root root /usr/lib/systemd/system/"+unit+"\n")
	}

	h := newHost(t)
	root := h.path("/")
	rpm := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("rpm", append([]string{"--root=" + root}, args...)...)
		output, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", output)
		return string(output)
	}
	rpm("--install", "--nodeps", "--excludedocs", r.path(runtime.GOARCH, ".rpm"))
	enabled := h.path("/etc/systemd/system/multi-user.target.wants/" + unit)
	_, err := os.Lstat(enabled)
	require.NoError(t, err, "Debian's preset")
	require.Contains(t, h.run("getent", "passwd", "otelcol-hotspot"), ":/var/lib/otelcol-hotspot:/usr/sbin/nologin\n")
	require.Empty(t, rpm("--verify", "--nodeps", "otelcol-hotspot"))
	h.run("runuser", "--user", "otelcol-hotspot", "--", "otelcol-hotspot", "validate", "--config="+config)

	h.run("sed", "-i", "1i # mine", config)
	require.Regexp(t, `^S\.5.* c `+config, strings.TrimSpace(verify(root)))
	rpm("--erase", "otelcol-hotspot")
	require.FileExists(t, h.path(config+".rpmsave"))
	_, err = os.Lstat(enabled)
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NoFileExists(t, h.path("/usr/bin/otelcol-hotspot"))
}

// verify returns what differs from the package; that there is something is
// rpm's failure.
func verify(root string) string {
	output, _ := exec.Command("rpm", "--root="+root, "--verify", "--nodeps", "otelcol-hotspot").Output()
	return string(output)
}
