package bpf

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"
)

// ErrRequirement says that the host or the caller's privileges lack something
// the programs need; the message names it and how to get it.
var ErrRequirement = errors.New("cannot watch this host")

// The inode number of the first pid namespace: PROC_PID_INIT_INO, fixed since
// Linux 3.8.
const hostPidNamespace = "pid:[4026531836]"

// checkPidNamespace refuses a pid namespace other than the host's: there the
// census would show this container's own processes and pass them off as all.
func checkPidNamespace() error {
	own, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return fmt.Errorf("find the pid namespace (is /proc mounted?): %w", err)
	}
	if own != hostPidNamespace {
		return fmt.Errorf("%w: runs in a pid namespace of its own, so it would see its own container's processes only:"+
			" give it the host's (Kubernetes: hostPID: true; Docker: --pid=host)", ErrRequirement)
	}
	return nil
}

// explain adds to the error of a program what the host or the privileges lack.
func explain(p Program, err error) error {
	if errors.Is(err, errFields) {
		return fmt.Errorf("kernel %s has changed what the program reads; please report this: %w", kernelRelease(), err)
	}
	f := facts{btf: haveBTF(), release: kernelRelease()}
	f.unsupported = p == CensusProgram && errors.Is(err, ebpf.ErrNotSupported)
	f.capabilities, f.capabilitiesErr = capabilities()
	reasons := f.reasons()
	if len(reasons) > 0 {
		return fmt.Errorf("%w: %s: %w", ErrRequirement, strings.Join(reasons, "; "), err)
	}
	var verifier *ebpf.VerifierError
	if errors.As(err, &verifier) {
		return fmt.Errorf("the kernel's verifier refused the program; please report this with kernel %s: %w\n%s",
			f.release, err, strings.Join(verifier.Log, "\n"))
	}
	return err
}

// facts is what explains a failed load.
type facts struct {
	btf             bool
	release         string
	unsupported     bool   // the kernel said that it does not know task iterators
	capabilities    uint64 // effective, one bit each
	capabilitiesErr error
}

// reasons returns what lacks, each with the remedy.
func (f facts) reasons() []string {
	var rs []string
	if missing := f.missingCapabilities(); len(missing) > 0 {
		rs = append(rs, fmt.Sprintf("missing %s: run as root, or grant CAP_BPF and CAP_PERFMON"+
			" (systemd: AmbientCapabilities=; containers: capabilities.add)", strings.Join(missing, " and ")))
	}
	if !f.btf {
		rs = append(rs, "no type information at /sys/kernel/btf/vmlinux: needs a kernel built with CONFIG_DEBUG_INFO_BTF=y"+
			" (those of Debian 11 and later are), and /sys mounted")
	}
	if f.unsupported && f.btf {
		rs = append(rs, fmt.Sprintf("kernel %s does not support task iterators: needs Linux 5.10 or later", f.release))
	}
	return rs
}

// missingCapabilities names those of CAP_BPF and CAP_PERFMON that are not
// effective; CAP_SYS_ADMIN stands for both.
func (f facts) missingCapabilities() []string {
	has := func(c int) bool { return f.capabilities&(1<<c) != 0 }
	if f.capabilitiesErr != nil || has(unix.CAP_SYS_ADMIN) {
		return nil
	}
	names := []string{}
	if !has(unix.CAP_BPF) {
		names = append(names, "CAP_BPF")
	}
	if !has(unix.CAP_PERFMON) {
		names = append(names, "CAP_PERFMON")
	}
	return slices.Clip(names)
}

func capabilities() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("read the process's capabilities: %w", err)
	}
	return uint64(data[1].Effective)<<32 | uint64(data[0].Effective), nil
}

func haveBTF() bool {
	_, err := btf.LoadKernelSpec()
	return err == nil
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "of unknown release"
	}
	return unix.ByteSliceToString(u.Release[:])
}
