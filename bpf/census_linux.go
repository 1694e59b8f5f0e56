package bpf

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
)

// The kernel fills an iterator's buffer of 32 KiB and hands out at most that
// much a read, always whole records. A smaller read would cut them.
const readSize = 64 << 10

// Census reads the accounts of every thread of the host. It is not safe for
// concurrent use.
type Census struct {
	program *ebpf.Program
	marks   *ebpf.Map
	minimum *ebpf.Variable
	link    *link.Iter
	buffer  []byte
}

// OpenCensus loads the census program and attaches it. The error names what
// the host or the caller's privileges lack, and how to get it.
func OpenCensus() (*Census, error) {
	if err := checkPidNamespace(); err != nil {
		return nil, err
	}
	c, err := openCensus()
	if err != nil {
		return nil, explain(CensusProgram, err)
	}
	return c, nil
}

func openCensus() (*Census, error) {
	// Kernels before 5.11 charge BPF memory to RLIMIT_MEMLOCK.
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("raise the limit of locked memory: %w", err)
	}
	var objects struct {
		Census   *ebpf.Program  `ebpf:"census"`
		Marks    *ebpf.Map      `ebpf:"marks"`
		MarkWait *ebpf.Variable `ebpf:"mark_wait"`
	}
	if err := loadCensusObjects(&objects, nil); err != nil {
		return nil, fmt.Errorf("load the census program: %w", err)
	}
	c := &Census{
		program: objects.Census,
		marks:   objects.Marks,
		minimum: objects.MarkWait,
		buffer:  make([]byte, readSize),
	}
	var err error
	if c.link, err = link.AttachIter(link.IterOptions{Program: c.program}); err != nil {
		return nil, errors.Join(fmt.Errorf("attach the census program: %w", err), c.close())
	}
	return c, nil
}

// mark lets the census mark the waits in progress that are this long.
func (c *Census) mark(minimum time.Duration) error {
	if err := c.minimum.Set(uint64(minimum)); err != nil {
		return fmt.Errorf("let the census mark waits: %w", err)
	}
	return nil
}

// Read makes one pass over all threads and calls visit with each, in order of
// process id; process is nil for a thread that brings none. Both are good
// during the call only. A pass is not a snapshot: threads go on running, and
// one that exits during the pass may be missing from it. Returns [ErrRecord]
// if the kernel's records could not be decoded to the end.
func (c *Census) Read(visit func(*Thread, *Process)) error {
	pass, err := c.link.Open()
	if err != nil {
		return fmt.Errorf("begin a census pass: %w", err)
	}
	defer pass.Close()

	kept := 0
	for {
		n, err := pass.Read(c.buffer[kept:])
		have := kept + n
		done, derr := decode(c.buffer[:have], visit)
		if derr != nil {
			return derr
		}
		kept = copy(c.buffer, c.buffer[done:have])
		switch {
		case errors.Is(err, io.EOF) && kept > 0:
			return fmt.Errorf("%w: %d bytes left over", ErrRecord, kept)
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read the census: %w", err)
		}
	}
}

// Close detaches and unloads the program.
func (c *Census) Close() error { return errors.Join(c.link.Close(), c.close()) }

func (c *Census) close() error { return errors.Join(c.program.Close(), c.marks.Close()) }
