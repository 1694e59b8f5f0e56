package hotspotreceiver

import "github.com/hotspot-otel/hotspot/internal/sampler"

// selector tells which processes are exported; package filter has it.
type selector interface {
	Exported(sampler.Process) bool
	EndPass()
}

// everyProcess leaves nobody out.
type everyProcess struct{}

func (everyProcess) Exported(sampler.Process) bool { return true }

func (everyProcess) EndPass() {}
