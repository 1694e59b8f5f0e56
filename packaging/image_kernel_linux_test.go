package packaging

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/hotspot-otel/hotspot/testdata/containerd"
	"github.com/hotspot-otel/hotspot/testdata/workload"
)

func TestTheImage(t *testing.T) {
	r := released(t)
	if _, err := exec.LookPath("containerd"); err != nil || os.Geteuid() != 0 {
		skip(t, "there is no containerd (Debian: apt-get install containerd), or not root")
	}
	d := containerd.Start(t)
	output, err := d.Ctr("images", "import", "--all-platforms", r.image())
	require.NoError(t, err, output)
	image := "ghcr.io/hotspot-otel/otelcol-hotspot:" + r.version
	for _, architecture := range r.architectures() {
		root := filepath.Join(t.TempDir(), "root")
		require.NoError(t, os.Mkdir(root, 0o700))
		output, err := d.Ctr("images", "mount", "--platform=linux/"+architecture, image, root)
		require.NoError(t, err, output)
		r.requireBinary(t, architecture, checksum(t, filepath.Join(root, "otelcol-hotspot")))
		roots, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
		require.NoError(t, err)
		require.Greater(t, strings.Count(string(roots), "BEGIN CERTIFICATE"), 100)
		output, err = d.Ctr("images", "unmount", "--rm", root)
		require.NoError(t, err, output)
	}

	id := newID("agent")
	agent := d.Run(t, id, append(guideFlags(t), image, id)...)
	status := procStatus(t, agent)
	for _, set := range []string{"CapPrm", "CapEff", "CapBnd"} {
		require.Equal(t, fmt.Sprintf("%016x", 1<<38|1<<39), status[set], "%s: CAP_PERFMON and CAP_BPF", set)
	}
	require.Equal(t, "1", status["NoNewPrivs"])
	mounts, err := os.ReadFile(fmt.Sprintf("/proc/%d/mounts", agent))
	require.NoError(t, err)
	require.Regexp(t, `(?m)^\S+ / overlay ro,`, string(mounts))

	self, err := os.Executable()
	require.NoError(t, err)
	program, err := os.ReadFile(self)
	require.NoError(t, err)
	rootfs := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(rootfs, "test"), program, 0o700))
	other := newID("other")
	contained := d.Run(t, other, "--rootfs", "--env", "HOTSPOT_TEST_WORKLOAD=busy", rootfs, other, "/test", "-nice=19")
	require.Contains(t, awaitCPUTime(t, agent, contained), fmt.Sprintf(`container_id="%s"`, other))
	onHost := workload.Start(t, "busy", "-nice=19")
	require.NotContains(t, awaitCPUTime(t, agent, onHost.Pid()), "container_id")
}

// newID returns 64 hexadecimal digits, by which a container is recognised.
func newID(name string) string {
	sum := sha256.Sum256([]byte(fmt.Sprint(os.Getpid(), name)))
	return hex.EncodeToString(sum[:])
}

// guideFlags returns those of the guide's docker run, in the words of ctr run.
func guideFlags(t *testing.T) (all []string) {
	t.Helper()
	_, command, _ := strings.Cut(commands(t, "docker run"), "docker run")
	for _, flag := range strings.Fields(strings.ReplaceAll(command, "\\\n", " ")) {
		switch name, value, _ := strings.Cut(flag, "="); name {
		case "--pid":
			all = append(all, "--with-ns=pid:/proc/self/ns/pid")
		case "--read-only":
			all = append(all, flag)
		case "--cap-drop":
			require.Equal(t, "ALL", value)
			for _, c := range strings.Fields("AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID SYS_CHROOT") {
				all = append(all, "--cap-drop=CAP_"+c)
			}
		case "--cap-add":
			all = append(all, "--cap-add=CAP_"+value)
		case "--volume":
			require.Equal(t, "/:/hostfs:ro,rslave", value)
			all = append(all, "--mount=type=bind,src=/,dst=/hostfs,options=rbind:rslave:ro")
		case "--security-opt":
			require.Equal(t, "no-new-privileges", value) // ctr's default
		case "--detach", "--publish":
		default:
			require.Contains(t, flag, "ghcr.io/hotspot-otel/otelcol-hotspot")
			return all
		}
	}
	return nil
}
