package workload

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

const readyLine = "ready\n"

// patience is how long to wait for what must come: long enough for an emulated
// machine under load.
const patience = 60 * time.Second

// Process is a running workload.
type Process struct {
	t      testing.TB
	cmd    *exec.Cmd
	output *os.File
	reaped bool
}

// Start runs a workload of this name with its options and arguments, as in
//
//	workload.Start(t, "busy", "-cpu=0", "-nice=19")
//
// and returns once it does what it is for. It is killed at the end of the test.
func Start(t testing.TB, name string, args ...string) *Process {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	r, w, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.Command(self, args...)
	// One goroutine at a time, never interrupted: a loop is one thread's.
	cmd.Env = append(os.Environ(), variable+"="+name, "GOMAXPROCS=1", "GOGC=off", "GODEBUG=asyncpreemptoff=1")
	cmd.Stdout, cmd.Stderr = w, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	err = cmd.Start()
	require.NoError(t, errors.Join(err, w.Close()))

	p := &Process{t: t, cmd: cmd, output: r}
	t.Cleanup(p.Stop)
	require.NoError(t, r.SetReadDeadline(time.Now().Add(patience)))
	line, err := bufio.NewReaderSize(r, len(readyLine)).ReadString('\n')
	require.NoError(t, err, "workload %s did not get ready", name)
	require.Equal(t, readyLine, line)
	return p
}

// Pid returns the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Path returns the path of one of its files in /proc.
func (p *Process) Path(name string) string {
	return filepath.Join("/proc", strconv.Itoa(p.Pid()), name)
}

// Children returns the process ids of its children.
func (p *Process) Children() []int {
	p.t.Helper()
	all, err := procfs.AllProcs()
	require.NoError(p.t, err)
	var children []int
	for _, one := range all {
		// One that cannot be read is gone.
		if stat, err := one.Stat(); err == nil && stat.PPID == p.Pid() {
			children = append(children, one.PID)
		}
	}
	return children
}

// Freeze stops a process of any parent, such as a child of a workload, and
// returns once no thread of it is on a run queue.
func Freeze(t testing.TB, pid int) {
	t.Helper()
	require.NoError(t, unix.Kill(pid, unix.SIGSTOP))
	// Stopped it is on no run queue; but so it is while it sleeps in a call.
	require.Eventually(t, func() bool {
		process, err := procfs.NewProc(pid)
		require.NoError(t, err)
		stat, err := process.Stat()
		require.NoError(t, err)
		return stat.State == "T" && resting(pid)
	}, patience, time.Millisecond, "process %d does not stop", pid)
}

// Signal sends the process a signal.
func (p *Process) Signal(s syscall.Signal) {
	p.t.Helper()
	require.NoError(p.t, unix.Kill(p.Pid(), s))
}

// WaitStopped waits until every thread is stopped and off its CPU, so that none
// of the kernel's counters moves any more. It returns what the process has used,
// its reaped children included.
func (p *Process) WaitStopped() unix.Rusage {
	p.t.Helper()
	return p.wait(unix.WSTOPPED, cldStopped)
}

// WaitExited waits until the process has exited and left its CPU for good, and
// leaves it unreaped. It returns what the process has used.
func (p *Process) WaitExited() unix.Rusage {
	p.t.Helper()
	return p.wait(0, cldExited)
}

// Reap collects the process, which must have exited, and returns what it has
// used.
func (p *Process) Reap() unix.Rusage {
	p.t.Helper()
	require.False(p.t, p.reaped)
	var usage unix.Rusage
	require.NoError(p.t, retry(func() error {
		_, err := unix.Wait4(p.Pid(), nil, 0, &usage)
		return err
	}))
	p.reaped = true
	return usage
}

// Stop kills the process and returns when it and its children are gone.
func (p *Process) Stop() {
	p.t.Helper()
	if p.output == nil {
		return
	}
	if !p.reaped {
		p.Signal(unix.SIGKILL)
		p.Reap()
	}
	_ = p.cmd.Process.Release()
	// Children hold the other end of the pipe as long as they live.
	require.NoError(p.t, p.output.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.Copy(io.Discard, p.output)
	require.NoError(p.t, errors.Join(err, p.output.Close()))
	p.output = nil
}

// Codes of a siginfo of SIGCHLD.
const (
	cldExited  = 1
	cldStopped = 5
)

// wait waits for the process to stop or exit in the given way.
func (p *Process) wait(options int, code int32) unix.Rusage {
	p.t.Helper()
	usage := func() (u unix.Rusage) {
		p.t.Helper()
		var info unix.Siginfo
		require.NoError(p.t, retry(func() error {
			return unix.Waitid(unix.P_PID, p.Pid(), &info, options|unix.WEXITED|unix.WNOWAIT, &u)
		}))
		require.Equal(p.t, code, info.Code, "unexpected end of the workload")
		return u
	}
	usage()
	require.Eventually(p.t, func() bool { return resting(p.Pid()) }, patience, time.Millisecond, "some thread does not leave its CPU")
	return usage()
}

// resting tells whether no thread of a process is on a run queue. The kernel answers a read
// of "syscall" for a thread that sleeps only after that has left its CPU: a
// state of T or Z alone says that it is about to.
func resting(pid int) bool {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", pid))
	if err != nil || len(files) == 0 {
		return false
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil || string(text) == "running\n" {
			return false
		}
	}
	return true
}

func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
