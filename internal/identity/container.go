package identity

import (
	"regexp"
	"strconv"
	"strings"
)

// place is what the path of a control group tells; a field is empty where it
// tells nothing.
type place struct {
	container string
	pod       string
	depth     int // how many containers it is in, one in the other
}

// podUID is what the kubelet names the group of a pod by: with dashes under
// cgroupfs, with underscores in a slice, and for a static pod 32 digits.
var podUID = regexp.MustCompile(`(?:^|-)pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?$`)

// placeOf goes down the path. Where containers are in containers the innermost
// is the answer.
func placeOf(path string) place {
	var p, outside place // outside: of the machine that was just entered
	parent := ""
	for group := range strings.SplitSeq(path, "/") {
		if group == "supervisor" && isMachine(parent) {
			p = outside // systemd-nspawn itself, not what it runs
		}
		outside = p
		// containerd without a systemd to ask makes slice:cri-containerd:id one
		// name.
		for part := range strings.SplitSeq(group, ":") {
			if id := containerOf(part, parent); id != "" {
				p.container = id
				p.depth++
			}
			if uid := podUID.FindStringSubmatch(part); uid != nil {
				p.pod = strings.ReplaceAll(uid[1], "_", "-")
			}
		}
		parent = group
	}
	return p
}

// containerOf returns the id of the container whose group has this name: 64
// hexadecimal digits, alone or behind the runtime's prefix (docker-, crio-,
// cri-containerd-, libpod-), or the name of an nspawn machine. A service is none:
// podman's health checks are named by the container and run outside.
func containerOf(group, parent string) string {
	if name, ok := machine(group); ok {
		return name
	}
	name := strings.TrimSuffix(group, ".scope")
	if len(name) < idLength {
		return ""
	}
	prefix, id := name[:len(name)-idLength], name[len(name)-idLength:]
	if !isID(id) {
		return ""
	}
	switch {
	case prefix == "":
		if parent == "libpod_parent" { // podman without systemd: a pod
			return ""
		}
	case !strings.HasSuffix(prefix, "-"):
		return ""
	case prefix == "conmon-" || strings.HasSuffix(prefix, "-conmon-"): // watches it from outside
		return ""
	}
	return id
}

const idLength = 64

func isID(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return len(s) == idLength
}

func isMachine(group string) bool {
	_, ok := machine(group)
	return ok
}

// virtualMachine is how libvirt names those it registers.
var virtualMachine = regexp.MustCompile(`^qemu-[0-9]+-`)

// machine returns the name of the container that systemd keeps in this group,
// which is the only id it has. A virtual machine is none.
func machine(group string) (string, bool) {
	for _, unit := range []struct{ before, after string }{
		{"machine-", ".scope"},
		{"systemd-nspawn@", ".service"},
	} {
		rest, begins := strings.CutPrefix(group, unit.before)
		rest, ends := strings.CutSuffix(rest, unit.after)
		if !begins || !ends {
			continue
		}
		name := unescape(rest)
		return name, name != "" && !virtualMachine.MatchString(name)
	}
	return "", false
}

// unescape undoes what systemd does to names of units: \x2d is a dash.
func unescape(name string) string {
	var b strings.Builder
	for {
		before, after, found := strings.Cut(name, `\x`)
		b.WriteString(before)
		if !found {
			return b.String()
		}
		if len(after) >= 2 {
			if c, err := strconv.ParseUint(after[:2], 16, 8); err == nil {
				b.WriteByte(byte(c))
				name = after[2:]
				continue
			}
		}
		b.WriteString(`\x`)
		name = after
	}
}
