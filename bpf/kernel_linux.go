package bpf

import (
	"errors"
	"fmt"
)

// Kernel is all programs, loaded and attached. Only the census is always there;
// of the others those that failed are nil, and Missing says why.
type Kernel struct {
	Census     *Census
	Exits      *Exits
	Contention *Contention
	OOM        *OOM
	Missing    []error
}

// Open loads and attaches all programs; the contention program only if its
// options are given. It fails only if the census does: the error names what the
// host or the caller's privileges lack, and how to get it.
func Open(contention *ContentionOptions) (*Kernel, error) {
	k := new(Kernel)
	var err error
	if k.Census, err = OpenCensus(); err != nil {
		return nil, err
	}
	if k.Exits, err = OpenExits(); err != nil {
		k.missing("processes that come and go between two readings are not seen", err)
	}
	if contention != nil {
		if k.Contention, err = OpenContention(k.Census, *contention); err != nil {
			k.missing("waits are not attributed to who ran meanwhile", err)
		}
	}
	if k.OOM, err = OpenOOM(); err != nil {
		k.missing("OOM kills are not heard of", err)
	}
	return k, nil
}

func (k *Kernel) missing(what string, err error) {
	k.Missing = append(k.Missing, fmt.Errorf("%s: %w", what, explain(err)))
}

// Close detaches and unloads all programs.
func (k *Kernel) Close() error {
	var errs []error
	if k.OOM != nil {
		errs = append(errs, k.OOM.Close())
	}
	if k.Contention != nil {
		errs = append(errs, k.Contention.Close())
	}
	if k.Exits != nil {
		errs = append(errs, k.Exits.Close())
	}
	return errors.Join(append(errs, k.Census.Close())...)
}
