package bpf

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
)

// Exits reads the final accounts of threads and processes that are gone. It is
// not safe for concurrent use.
type Exits struct {
	objects struct {
		Exited *ebpf.Program  `ebpf:"exited"`
		Exits  *ebpf.Map      `ebpf:"exits"`
		Losses *ebpf.Variable `ebpf:"exit_losses"`
	}
	link   link.Link
	reader *ringbuf.Reader

	batches chan exitBatch
	taken   chan struct{} // the batch has been used
	closing chan struct{}
	over    chan struct{} // nothing is gathered any more
}

// exitBatch is what was gathered from the ring; last is said of one that reaches
// up to a flush.
type exitBatch struct {
	exits []Exit
	last  bool
	err   error
}

// How many exits are kept until they are read, beside those in the ring; and the
// number whose memory is kept for the next.
const (
	maxGathered  = 48 << 10
	keptGathered = 1 << 10
)

// OpenExits loads the program and attaches it.
func OpenExits() (*Exits, error) {
	spec, err := loadExits()
	if err != nil {
		return nil, err
	}
	return openExits(spec)
}

func openExits(spec *ebpf.CollectionSpec) (*Exits, error) {
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
	x.link, err = link.AttachTracing(link.TracingOptions{Program: x.objects.Exited, AttachType: ebpf.AttachTraceRawTp})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("attach the exits program: %w", err), x.reader.Close(), x.close())
	}
	go x.gather()
	return x, nil
}

// gather empties the ring whenever it is half full, so that it can be small, and
// when it is flushed. What finds no more room here remains there.
func (x *Exits) gather() {
	defer close(x.over)
	var batch exitBatch
	var record ringbuf.Record
	for {
		err := x.reader.ReadInto(&record)
		switch {
		case err == nil:
			batch.exits = append(batch.exits, decodeExit(record.RawSample))
		case errors.Is(err, ringbuf.ErrFlushed):
			batch.last = true
		case errors.Is(err, ringbuf.ErrClosed):
			return
		default:
			batch.last, batch.err = true, fmt.Errorf("read the ring of exits: %w", err)
		}
		if !batch.last && len(batch.exits) < maxGathered {
			continue
		}
		if !x.hand(batch) {
			return
		}
		batch = exitBatch{exits: batch.exits[:0]}
		if cap(batch.exits) > keptGathered {
			batch.exits = nil
		}
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

// decodeExit copies a record. A thread that was no leader has only the first part.
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
		for i := range batch.exits {
			visit(&batch.exits[i])
		}
		x.taken <- struct{}{}
		if batch.last {
			return batch.err
		}
	}
}

// Lost returns what the ring had no room for so far.
func (x *Exits) Lost() (ExitLoss, error) {
	var l ExitLoss
	if err := x.objects.Losses.Get(&l); err != nil {
		return l, fmt.Errorf("read the losses: %w", err)
	}
	return l, nil
}

// Close detaches and unloads the program.
func (x *Exits) Close() error {
	close(x.closing)
	err := errors.Join(x.link.Close(), x.reader.Close())
	<-x.over
	return errors.Join(err, x.close())
}

func (x *Exits) close() error { return errors.Join(x.objects.Exited.Close(), x.objects.Exits.Close()) }
