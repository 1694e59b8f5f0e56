package bpf

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// The kernel fills an iterator's buffer of 32 KiB and hands out at most that
// much a read, always whole records. A smaller read would cut them.
const readSize = 64 << 10

// Census reads the accounts of every thread of the host. It is not safe for
// concurrent use.
type Census struct {
	program *ebpf.Program
	marks   *ebpf.Map
	moments *ebpf.Map
	minimum *ebpf.Variable
	this    *ebpf.Variable
	link    *link.Iter
	buffer  []byte
	passes  uint64

	left  batch[uint32, censusMark]
	swept map[uint32]censusMark // as of the last sweep

	// The next pass is to bring the activity of every thread: it was asked for, or
	// the last one did not come to its end.
	whole, unfinished bool
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
	spec, err := loadCensus()
	if err != nil {
		return nil, err
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count the CPUs: %w", err)
	}
	spec.Maps["moments"].MaxEntries = uint32(cpus)
	var objects struct {
		Census   *ebpf.Program  `ebpf:"census"`
		Marks    *ebpf.Map      `ebpf:"marks"`
		Moments  *ebpf.Map      `ebpf:"moments"`
		MarkWait *ebpf.Variable `ebpf:"mark_wait"`
		ThisPass *ebpf.Variable `ebpf:"this_pass"`
	}
	if err := loadAndAssign(spec, &objects); err != nil {
		return nil, fmt.Errorf("load the census program: %w", err)
	}
	c := &Census{
		program: objects.Census,
		marks:   objects.Marks,
		moments: objects.Moments,
		minimum: objects.MarkWait,
		this:    objects.ThisPass,
		buffer:  make([]byte, readSize),
	}
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

// Whole lets the next pass bring the activity of every thread. A visit may call it.
func (c *Census) Whole() { c.whole = true }

// Read makes one pass over all threads and calls visit with each, in order of
// thread id. The activity is nil if the thread has slept since before the last
// pass, which said the same of it; the first pass, and one after a pass that
// failed, have all of them. The process is nil for a thread that brings none. All
// are good during the call only. A pass is not a snapshot: threads go on running,
// and one that exits during the pass may be missing from it. How long it takes
// nobody knows, since the caller may lose its CPU at any moment of it: each activity
// says when it was read, and what comes without one was read no earlier than what
// came before it. Returns [ErrRecord]
// if the kernel's records could not be decoded to the end.
func (c *Census) Read(visit func(*Thread, *Activity, *Process)) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read the clock: %w", err)
	}
	this := censusPass{Number: c.passes + 1, Began: uint64(now.Nano())}
	if c.passes == 0 || c.whole || c.unfinished {
		this.Whole = 1
	}
	if err := c.this.Set(this); err != nil {
		return fmt.Errorf("begin a census pass: %w", err)
	}
	c.passes, c.whole, c.unfinished = this.Number, false, true
	if c.passes%sweepEvery == 0 {
		if err := c.sweep(); err != nil {
			return err
		}
	}
	if err := c.read(visit); err != nil {
		return err
	}
	c.unfinished = false
	return nil
}

// Every so many passes the marks are swept.
const sweepEvery = 64

// sweep removes the marks that have not moved since the last sweep: of waits that
// ended where nobody looked back, as of a thread that was moved and is gone. The mark
// of a wait that goes on moves with every pass.
func (c *Census) sweep() error {
	tids, marks, err := c.left.read(c.marks)
	if err != nil {
		return fmt.Errorf("read the marks: %w", err)
	}
	last := c.swept
	c.swept = make(map[uint32]censusMark, len(tids))
	for i, tid := range tids {
		if last[tid] == marks[i] {
			_ = c.marks.Delete(tid) // not there is as good as removed
			continue
		}
		c.swept[tid] = marks[i]
	}
	return nil
}

func (c *Census) read(visit func(*Thread, *Activity, *Process)) error {
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

func (c *Census) close() error {
	return errors.Join(c.program.Close(), c.marks.Close(), c.moments.Close())
}
