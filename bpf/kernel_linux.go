package bpf

import "errors"

// Kernel is all programs, loaded and attached. Only the census is always there;
// of the others those that failed are nil.
type Kernel struct {
	Census     *Census
	Exits      *Exits
	Contention *Contention
	OOM        *OOM
	// Programs has those that were asked for: nil is attached, an error says why
	// not.
	Programs map[Program]error
}

// Open loads and attaches all programs; the contention programs only if their
// options are given. It fails only if the census does: the error names what the
// host or the caller's privileges lack, and how to get it.
func Open(contention *ContentionOptions) (*Kernel, error) {
	census, err := OpenCensus()
	if err != nil {
		return nil, err
	}
	k := &Kernel{Census: census, Programs: map[Program]error{CensusProgram: nil}}
	k.Exits, err = OpenExits()
	k.opened(ExitsProgram, err)
	if contention != nil {
		k.Contention, err = OpenContention(census, *contention)
		k.opened(ContentionProgram, err)
		if err == nil {
			err = k.Contention.unmoved
		}
		k.opened(MigrationProgram, err)
	}
	k.OOM, err = OpenOOM()
	k.opened(OOMProgram, err)
	return k, nil
}

func (k *Kernel) opened(p Program, err error) {
	if err != nil {
		err = explain(p, err)
	}
	k.Programs[p] = err
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
