package hotspotreceiver

import (
	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/cgroup"
	"github.com/hotspot-otel/hotspot/internal/host"
	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/memory"
	"github.com/hotspot-otel/hotspot/internal/sampler"
)

// openHost opens the host this process runs on.
func openHost(config *Config) (*eyes, error) {
	h, err := host.Open("/proc", "/sys")
	if err != nil {
		return nil, err
	}
	mounts, err := cgroup.Find("/")
	if err != nil {
		return nil, err
	}
	whose, err := identity.Open("/", mounts)
	if err != nil {
		return nil, err
	}
	var contention *bpf.ContentionOptions
	if config.Contention.Enabled {
		contention = &bpf.ContentionOptions{MinWait: config.Contention.MinWait, MaxPairs: kernelPairs}
	}
	kernel, err := bpf.Open(contention)
	if err != nil {
		return nil, err
	}
	from := sampler.Sources{Census: kernel.Census, Host: h}
	// A nil pointer in an interface is not nil.
	if kernel.Exits != nil {
		from.Exits = kernel.Exits
	}
	if kernel.Contention != nil {
		from.Contention = kernel.Contention
	}
	if kernel.OOM != nil {
		from.OOM = kernel.OOM
	}
	return &eyes{from: from, missing: kernel.Missing, whose: whose, memory: memory.New(mounts), close: kernel.Close}, nil
}
