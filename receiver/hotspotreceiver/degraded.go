package hotspotreceiver

import (
	"errors"
	"fmt"

	"go.opentelemetry.io/collector/component/componentstatus"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/diagnosis"
)

// deficit is something the receiver does without.
type deficit struct {
	off     string
	because error
}

// optional is what is off without each of the programs, in the order in which it
// is said.
var optional = []struct {
	program bpf.Program
	off     string
}{
	{bpf.ContentionProgram, "who waits for a CPU behind whom: hotspot.process.wait.time, hotspot.process.wait.caused," +
		" hotspot.cgroup.wait.time, and the diagnoses starved and noisy_neighbor"},
	{bpf.MigrationProgram, "whom a wait is behind that ends with a move to another CPU"},
	{bpf.ExitsProgram, "processes that come and go between two readings: hotspot.host.short_lived.cpu.time," +
		" the diagnosis fork_storm, and mem_thrashing by minor faults"},
	{bpf.OOMProgram, "OOM kills: hotspot.oom_kill"},
}

// deficits returns all the receiver does without, but for what was not asked for.
func (e *eyes) deficits() (all []deficit) {
	if e.noGroups != nil {
		all = append(all, deficit{"memory limits and stalls of control groups", e.noGroups})
	}
	for _, o := range optional {
		// Both programs of waits fail as one; that is said once.
		if err := e.programs[o.program]; err != nil && !(o.program == bpf.MigrationProgram && e.from.Contention == nil) {
			all = append(all, deficit{o.off, err})
		}
	}
	return all
}

// status is that of a watch that goes on: an error that can be recovered from
// names what is off. A permanent one would let Kubernetes start the collector
// again and again.
func (e *eyes) status() *componentstatus.Event {
	var errs []error
	for _, d := range e.deficits() {
		errs = append(errs, fmt.Errorf("off: %s: %w", d.off, d.because))
	}
	if len(errs) == 0 {
		return componentstatus.NewEvent(componentstatus.StatusOK)
	}
	return componentstatus.NewRecoverableErrorEvent(errors.Join(errs...))
}

// able returns the configuration without the diagnoses that take a program which
// is not there.
func (e *eyes) able(c diagnosis.Config) diagnosis.Config {
	if e.from.Exits == nil {
		c = c.WithoutExits()
	}
	if e.from.Contention == nil {
		c = c.WithoutWaits()
	}
	return c
}
