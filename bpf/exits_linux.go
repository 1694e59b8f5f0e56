package bpf

import (
	"errors"
	"fmt"
	"os"
	"time"
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
	record ringbuf.Record
}

// OpenExits loads the program and attaches it.
func OpenExits() (*Exits, error) {
	spec, err := loadExits()
	if err != nil {
		return nil, err
	}
	return openExits(spec)
}

func openExits(spec *ebpf.CollectionSpec) (*Exits, error) {
	x := new(Exits)
	err := spec.LoadAndAssign(&x.objects, nil)
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
	return x, nil
}

// Read calls visit with every exit since the last call, in their order, and
// does not wait for more. The record is good during the call only.
func (x *Exits) Read(visit func(*Exit)) error {
	return drain(x.reader, &x.record, func(raw []byte) {
		// A thread that was no leader has only the first part.
		var e Exit
		copy(unsafe.Slice((*byte)(unsafe.Pointer(&e)), unsafe.Sizeof(e)), raw)
		visit(&e)
	})
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
func (x *Exits) Close() error { return errors.Join(x.link.Close(), x.reader.Close(), x.close()) }

func (x *Exits) close() error { return errors.Join(x.objects.Exited.Close(), x.objects.Exits.Close()) }

// drain calls visit with every record in the ring. The programs wake nobody, so
// there is nothing to wait for.
func drain(r *ringbuf.Reader, record *ringbuf.Record, visit func([]byte)) error {
	r.SetDeadline(time.Unix(1, 0))
	for {
		switch err := r.ReadInto(record); {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil
		case err != nil:
			return fmt.Errorf("read a ring: %w", err)
		}
		visit(record.RawSample)
	}
}
