package identity

import (
	"os"
	"path"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// FuzzDescribe: whatever stands in the files of a process, all that leaves is
// text of one line that moves no cursor, and what is read is known to be below
// the hierarchies.
func FuzzDescribe(f *testing.F) {
	for _, path := range []string{
		"/", "", "/a\x1b[2J", "/a\r", "/\xff\xfe", "/user.slice/[x]\u202e", "/../../etc", "/.." + podA + "/" + containerA,
		"/machine.slice/machine-\\x1b\\x5b2J\\x0a.scope", "/docker-" + containerA + ".scope (deleted)", strings.Repeat("/a", 2048),
	} {
		f.Add("0::"+path+"\n", "Name:\ta\\nb\nUid:\t0\t112\t0\t0\n", passwd, "a\x00b\x00")
		f.Add("4:memory:"+path+"\n3:cpu,cpuacct:"+path+"\n0::/\n", "Uid:\t\xff\n", "a\x1bb:x:112:\n:::::\n", "\x00\x00")
	}
	f.Add("::::\n-1:cpu:x\n99999999999999999999::/\n", "Uid:\t1\nUid:\n", "x:y:-1\n", "")
	f.Fuzz(func(t *testing.T, groups, status, users, line string) {
		h := newHost(t)
		h.file("cgroup", groups)
		h.file("status", status)
		h.file("cmdline", line)
		h.write("etc/passwd", users)
		if program, _, _ := strings.Cut(line, "\x00"); program != "" {
			require.NoError(t, os.MkdirAll(h.root, 0o755))
			h.program(program)
		}
		id := h.open(Details{ExecutablePath: true, CommandLine: true, Owner: true}).Describe(h.process())
		for _, text := range []string{id.Cgroup, id.ContainerID, id.PodUID, id.ExecutablePath, id.CommandLine, id.Owner} {
			requirePrintable(t, text)
		}
	})
}

// FuzzPlaceOf: whatever a control group is called, a container is a whole name of
// its path, and a pod has a UID.
func FuzzPlaceOf(f *testing.F) {
	for _, path := range []string{
		podA + "/" + containerA, "/docker/" + containerA, "/a:cri-containerd:" + containerA, "/machine.slice/machine-\\x2d.scope",
		"/libpod_parent/" + containerA, "/machine-a.scope/supervisor", "/systemd-nspawn@\\x.service/payload", "/a-conmon-" + containerA,
		"/" + containerA[1:] + "ä", "\\x\\x0\\xzz", "/kubepods-pod3f1a7c52_0d4e_4b77_9f8e_6a5b4c3d2e1f.slice",
	} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		p := placeOf(path)
		require.Equal(t, p.container == "", p.depth == 0)
		if isID(p.container) {
			require.Contains(t, path, p.container)
		} else if p.container != "" {
			require.Regexp(t, `machine-|systemd-nspawn@`, path)
		}
		if p.pod != "" {
			require.Regexp(t, `^[0-9a-f-]{32,36}$`, p.pod)
		}
	})
}

// FuzzAbsolute: a path the kernel shows relative to a namespace does not lead out
// of the hierarchy.
func FuzzAbsolute(f *testing.F) {
	f.Add("/..")
	f.Add("/../../../../etc")
	f.Add("//.././x/../..")
	f.Fuzz(func(t *testing.T, shown string) {
		if strings.ContainsAny(shown, "\n\r") || len(shown) > 4096 { // the kernel takes no such name
			return
		}
		id := lookFrom(t, podA, "/").of(shown)
		for _, p := range []string{id.MemoryCgroup, id.UnifiedCgroup} {
			require.Equal(t, path.Clean("/"+p), p)
		}
	})
}

func requirePrintable(t *testing.T, text string) {
	t.Helper()
	require.True(t, utf8.ValidString(text), "%q", text)
	for _, r := range text {
		require.True(t, unicode.IsPrint(r), "%q", text)
	}
}
