package hotspotreceiver

import (
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"
)

// refusal is a BPF program the kernel does not take.
type refusal struct {
	program string // what its name begins with
	command uint32 // what is refused: unix.BPF_PROG_LOAD or unix.BPF_LINK_CREATE
}

// of tells whether a call of bpf(2) with these attributes, in this process, is
// about the program.
func (r refusal) of(attributes uint64) bool {
	var attr [64]byte
	local := []unix.Iovec{{Base: &attr[0], Len: uint64(len(attr))}}
	remote := []unix.RemoteIovec{{Base: uintptr(attributes), Len: len(attr)}}
	if n, err := unix.ProcessVMReadv(unix.Getpid(), local, remote, 0); err != nil || n != len(attr) {
		return false
	}
	if r.command == unix.BPF_PROG_LOAD {
		return strings.HasPrefix(string(attr[48:]), r.program) // prog_name
	}
	fd, err := unix.Dup(int(binary.NativeEndian.Uint32(attr[:]))) // prog_fd
	if err != nil {
		return false
	}
	program, err := ebpf.NewProgramFromFD(fd)
	if err != nil {
		return false
	}
	defer program.Close()
	info, err := program.Info()
	return err == nil && strings.HasPrefix(info.Name, r.program)
}

// during runs f in a thread in which the kernel refuses the program: bpf(2) asks
// this process, which knows whom the call is about. What f starts in other
// goroutines is not concerned.
func (r refusal) during(t *testing.T, f func()) {
	t.Helper()
	var both sync.WaitGroup
	both.Go(func() {
		runtime.LockOSThread() // until the goroutine ends, and the thread with it
		asked, err := r.install()
		if !assert.NoError(t, err) {
			return
		}
		done := make(chan struct{})
		defer close(done)
		both.Go(func() {
			defer unix.Close(asked)
			assert.NoError(t, r.answer(asked, done))
		})
		f()
	})
	both.Wait()
}

// install makes the kernel ask before the calling thread has its command run.
func (r refusal) install() (int, error) {
	const number, command = 0, 16 // in struct seccomp_data: nr, and the low half of args[0]
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: number},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: unix.SYS_BPF, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: command},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: r.command, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	fd, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER,
		uintptr(unsafe.Pointer(&program)))
	if errno != 0 {
		return 0, errno
	}
	return int(fd), nil
}

// answer answers the kernel until it is done. The main thread does not end with
// its goroutine, so that is no sign.
func (r refusal) answer(asked int, done <-chan struct{}) error {
	for {
		ready := []unix.PollFd{{Fd: int32(asked), Events: unix.POLLIN}}
		n, err := unix.Poll(ready, int(minInterval.Milliseconds()))
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n <= 0 {
			select {
			case <-done:
				return nil
			default:
				continue
			}
		}
		if ready[0].Revents&unix.POLLIN == 0 {
			return nil // the thread has ended
		}
		var question struct { // struct seccomp_notif
			id          uint64
			pid, flags  uint32
			nr          int32
			arch        uint32
			instruction uint64
			args        [6]uint64
		}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(asked), unix.SECCOMP_IOCTL_NOTIF_RECV, uintptr(unsafe.Pointer(&question))); errno != 0 {
			return errno
		}
		answer := struct { // struct seccomp_notif_resp
			id    uint64
			val   int64
			error int32
			flags uint32
		}{id: question.id, flags: unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE}
		if r.of(question.args[1]) {
			answer.error, answer.flags = -int32(unix.EACCES), 0
		}
		if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(asked), unix.SECCOMP_IOCTL_NOTIF_SEND, uintptr(unsafe.Pointer(&answer))); errno != 0 {
			return errno
		}
	}
}
