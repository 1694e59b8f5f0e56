package bpf

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
)

// Exits reads the final accounts of processes that are gone, and of the threads
// that are gone of those that live on. It is not safe for concurrent use.
type Exits struct {
	objects struct {
		Exiting *ebpf.Program  `ebpf:"exiting"`
		Exited  *ebpf.Program  `ebpf:"exited"`
		Exits   *ebpf.Map      `ebpf:"exits"`
		Dead    *ebpf.Map      `ebpf:"dead_threads"`
		Losses  *ebpf.Variable `ebpf:"exit_losses"`
	}
	links  []link.Link
	reader *ringbuf.Reader
	dead   batch[Group, Dead]

	batches chan exitBatch
	taken   chan struct{} // the batch has been used
	closing chan struct{}
	over    chan struct{} // nothing is gathered any more
}

// exitBatch is what was gathered from the ring, in pieces, so that none is copied
// when there are many; last is said of one that reaches up to a flush.
type exitBatch struct {
	pieces [][]Exit
	last   bool
	err    error
}

// How many exits are kept until they are read, beside those in the ring: 20 000 a
// second for 5 s and a quarter more, 18 MB; and in how large pieces.
const (
	maxGathered = 128 * exitPiece
	exitPiece   = 1 << 10
)

func (b *exitBatch) add(e Exit) {
	if n := len(b.pieces); n == 0 || len(b.pieces[n-1]) == exitPiece {
		b.pieces = append(b.pieces, make([]Exit, 0, exitPiece))
	}
	last := &b.pieces[len(b.pieces)-1]
	*last = append(*last, e)
}

func (b *exitBatch) full() bool {
	return len(b.pieces) == maxGathered/exitPiece && len(b.pieces[len(b.pieces)-1]) == exitPiece
}

// emptied returns a batch with the memory of the first piece.
func (b *exitBatch) emptied() exitBatch {
	if len(b.pieces) == 0 {
		return exitBatch{}
	}
	return exitBatch{pieces: [][]Exit{b.pieces[0][:0]}}
}

// OpenExits loads the program and attaches it.
func OpenExits() (*Exits, error) {
	spec, err := loadExits()
	if err != nil {
		return nil, err
	}
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count the CPUs: %w", err)
	}
	return openExits(spec, max(roomForDead, deadPerCPU*uint32(cpus)))
}

// How many processes of which threads have exited are kept: about 1 MB, or so many a
// CPU. pid_max would be 4 million on most hosts.
const roomForDead, deadPerCPU = 8192, 256

func openExits(spec *ebpf.CollectionSpec, dead uint32) (*Exits, error) {
	spec.Maps["dead_threads"].MaxEntries = dead
	x := &Exits{
		batches: make(chan exitBatch),
		taken:   make(chan struct{}),
		closing: make(chan struct{}),
		over:    make(chan struct{}),
	}
	err := loadAndAssign(spec, &x.objects)
	if err != nil {
		return nil, fmt.Errorf("load the exits program: %w", err)
	}
	if x.reader, err = ringbuf.NewReader(x.objects.Exits); err != nil {
		return nil, errors.Join(fmt.Errorf("open the ring of exits: %w", err), x.close())
	}
	// In this order: what is freed has been counted, but for what exits meanwhile.
	for _, p := range []*ebpf.Program{x.objects.Exiting, x.objects.Exited} {
		l, err := link.AttachTracing(link.TracingOptions{Program: p, AttachType: ebpf.AttachTraceRawTp})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("attach the exits program: %w", err), x.detach(), x.reader.Close(), x.close())
		}
		x.links = append(x.links, l)
	}
	go x.gather()
	return x, nil
}

// gather empties the ring whenever it begins to fill up, so that it can be small,
// and when it is flushed. What finds no more room here remains there.
func (x *Exits) gather() {
	defer close(x.over)
	var batch exitBatch
	var record ringbuf.Record
	for {
		err := x.reader.ReadInto(&record)
		switch {
		case err == nil:
			batch.add(decodeExit(record.RawSample))
		case errors.Is(err, ringbuf.ErrFlushed):
			batch.last = true
		case errors.Is(err, ringbuf.ErrClosed):
			return
		default:
			batch.last, batch.err = true, fmt.Errorf("read the ring of exits: %w", err)
		}
		if !batch.last && !batch.full() {
			continue
		}
		if !x.hand(batch) {
			return
		}
		batch = batch.emptied()
	}
}

// hand waits until the batch has been used; false if it never will be.
func (x *Exits) hand(batch exitBatch) bool {
	select {
	case x.batches <- batch:
		<-x.taken
		return true
	case <-x.closing:
		return false
	}
}

// decodeExit copies a record.
func decodeExit(raw []byte) (e Exit) {
	copy(unsafe.Slice((*byte)(unsafe.Pointer(&e)), unsafe.Sizeof(e)), raw)
	return e
}

// Read calls visit with every exit since the last call, in their order, and
// does not wait for more. The record is good during the call only.
func (x *Exits) Read(visit func(*Exit)) error {
	if err := x.reader.Flush(); err != nil {
		return fmt.Errorf("flush the ring of exits: %w", err)
	}
	for {
		batch := <-x.batches
		for _, exits := range batch.pieces {
			for i := range exits {
				visit(&exits[i])
			}
		}
		x.taken <- struct{}{}
		if batch.last {
			return batch.err
		}
	}
}

// Dead calls visit with every process of which a thread is gone and the kernel
// keeps the sums: those that live, and those whose exit said that threads are due.
// All sums go on.
func (x *Exits) Dead(visit func(Group, Dead)) error {
	groups, dead, err := x.dead.read(x.objects.Dead)
	if err != nil {
		return fmt.Errorf("read the sums of dead threads: %w", err)
	}
	for i, g := range groups {
		visit(g, dead[i])
	}
	return nil
}

// Forget removes the sums of a process that is gone.
func (x *Exits) Forget(g Group) {
	// Not there is as good as removed.
	_ = x.objects.Dead.Delete(g)
}

// Lost returns what found no room so far. A kernel that lets a program be preempted
// (a real-time one, and others of late) does not run it a second time on that CPU
// meanwhile: what is missed so is taken for processes.
func (x *Exits) Lost() (ExitLoss, error) {
	var l ExitLoss
	if err := x.objects.Losses.Get(&l); err != nil {
		return l, fmt.Errorf("read the losses: %w", err)
	}
	missed, err := x.objects.Exited.Stats()
	if err != nil {
		return l, fmt.Errorf("read how often the program did not run: %w", err)
	}
	l.Processes += missed.RecursionMisses // 0 before 5.12
	return l, nil
}

// Close detaches and unloads the program.
func (x *Exits) Close() error {
	close(x.closing)
	err := errors.Join(x.detach(), x.reader.Close())
	<-x.over
	return errors.Join(err, x.close())
}

func (x *Exits) detach() (err error) {
	for _, l := range x.links {
		err = errors.Join(err, l.Close())
	}
	return err
}

func (x *Exits) close() error {
	o := &x.objects
	return errors.Join(o.Exiting.Close(), o.Exited.Close(), o.Exits.Close(), o.Dead.Close())
}
