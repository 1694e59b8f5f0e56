package hotspotreceiver

import (
	"time"

	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// leftOut sums the processes that are not exported, so that what is sums up to
// the host. CPU time counts in the window in which it was used: a process that
// is exported later has it in its own sum as well, as what it had used before
// the series began.
type leftOut struct {
	cpu    time.Duration // since the first window
	memory uint64        // resident at the end of this window, bytes
}

// begin opens the next window.
func (l *leftOut) begin() { l.memory = 0 }

func (l *leftOut) add(w *sampler.Window) {
	l.cpu += w.Used.CPU()
	l.memory += w.RSS
}
