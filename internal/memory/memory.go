// Package memory tells how much memory the control groups of a process leave
// it, and whether they stand still for want of it.
package memory

import (
	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// Identifier tells whose a process is; package identity has it.
type Identifier interface {
	Of(sampler.Process) identity.Identity
}
