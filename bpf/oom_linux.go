package bpf

import (
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/cilium/ebpf/link"
	"github.com/cilium/ebpf/ringbuf"
)

// OOM reads which processes the kernel killed for want of memory. It is not
// safe for concurrent use.
type OOM struct {
	program *ebpf.Program
	kills   *ebpf.Map
	lost    *ebpf.Variable
	link    link.Link
	reader  *ringbuf.Reader
	record  ringbuf.Record
}

// OpenOOM loads the program that fits this kernel and attaches it.
func OpenOOM() (*OOM, error) {
	spec, err := loadOom()
	if err != nil {
		return nil, err
	}
	fits := "oom_pid"
	if passesTask("mark_victim") {
		fits = "oom_task"
	}
	for name := range spec.Programs {
		if name != fits {
			delete(spec.Programs, name)
		}
	}
	loaded, err := newCollection(spec, ebpf.CollectionOptions{})
	if err != nil {
		return nil, fmt.Errorf("load the OOM program: %w", err)
	}
	defer loaded.Close()
	o := &OOM{
		program: loaded.DetachProgram(fits),
		kills:   loaded.DetachMap("kills"),
		lost:    loaded.Variables["kills_lost"],
	}
	if o.reader, err = ringbuf.NewReader(o.kills); err != nil {
		return nil, errors.Join(fmt.Errorf("open the ring of OOM kills: %w", err), o.close())
	}
	o.link, err = link.AttachTracing(link.TracingOptions{Program: o.program, AttachType: ebpf.AttachTraceRawTp})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("attach the OOM program: %w", err), o.reader.Close(), o.close())
	}
	return o, nil
}

// passesTask tells whether the first argument of a tracepoint is a pointer, as
// to a task, and not a number.
func passesTask(tracepoint string) bool {
	spec, err := btf.LoadKernelSpec()
	if err != nil {
		return false
	}
	var def *btf.Typedef
	if err := spec.TypeByName("btf_trace_"+tracepoint, &def); err != nil {
		return false
	}
	pointer, ok := def.Type.(*btf.Pointer)
	if !ok {
		return false
	}
	proto, ok := pointer.Target.(*btf.FuncProto)
	if !ok || len(proto.Params) < 2 { // the first is the tracer's own
		return false
	}
	_, ok = btf.UnderlyingType(proto.Params[1].Type).(*btf.Pointer)
	return ok
}

// Read calls visit with every kill since the last call and does not wait for
// more. The record is good during the call only.
func (o *OOM) Read(visit func(*OOMKill)) error {
	return drain(o.reader, &o.record, func(raw []byte) {
		if len(raw) >= int(unsafe.Sizeof(OOMKill{})) {
			visit((*OOMKill)(unsafe.Pointer(&raw[0])))
		}
	})
}

// Lost returns how many kills the ring had no room for.
func (o *OOM) Lost() (uint64, error) {
	var n uint64
	if err := o.lost.Get(&n); err != nil {
		return 0, fmt.Errorf("read the losses: %w", err)
	}
	return n, nil
}

// Close detaches and unloads the program.
func (o *OOM) Close() error { return errors.Join(o.link.Close(), o.reader.Close(), o.close()) }

func (o *OOM) close() error { return errors.Join(o.program.Close(), o.kills.Close()) }

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
