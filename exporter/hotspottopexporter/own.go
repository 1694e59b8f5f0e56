package hotspottopexporter

import (
	"math"
	"os"
	"time"

	"github.com/hotspot-otel/hotspot/exporter/hotspottopexporter/internal/screen"
)

// How long the collector's own use of the CPU is averaged over at least.
const ownWindow = 2 * time.Second

// own measures what the collector uses itself.
type own struct {
	host  string
	since time.Time
	used  time.Duration
	cores float64
}

func newOwn() *own {
	host, _ := os.Hostname()
	used, _ := cpuTime()
	return &own{host: host, since: time.Now(), used: used, cores: math.NaN()}
}

func (o *own) at(now time.Time) screen.Own {
	if passed := now.Sub(o.since); passed >= ownWindow {
		if used, ok := cpuTime(); ok {
			o.cores = (used - o.used).Seconds() / passed.Seconds()
			o.since, o.used = now, used
		}
	}
	return screen.Own{Host: o.host, Cores: o.cores}
}
