package hotspotreceiver

import (
	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/host"
	"github.com/hotspot-otel/hotspot/internal/identity"
)

// openHost opens the host this process runs on.
func openHost() (*eyes, error) {
	h, err := host.Open("/proc", "/sys")
	if err != nil {
		return nil, err
	}
	whose, err := identity.Open("/proc")
	if err != nil {
		return nil, err
	}
	census, err := bpf.OpenCensus()
	if err != nil {
		return nil, err
	}
	return &eyes{kernel: census, host: h, whose: whose, close: census.Close}, nil
}
