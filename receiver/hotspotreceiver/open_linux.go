package hotspotreceiver

import (
	"cmp"
	"fmt"
	"path/filepath"

	"github.com/hotspot-otel/hotspot/bpf"
	"github.com/hotspot-otel/hotspot/internal/cgroup"
	"github.com/hotspot-otel/hotspot/internal/filter"
	"github.com/hotspot-otel/hotspot/internal/host"
	"github.com/hotspot-otel/hotspot/internal/identity"
	"github.com/hotspot-otel/hotspot/internal/memory"
	"github.com/hotspot-otel/hotspot/internal/sampler"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

// openHost opens the host whose root is at root_path.
func openHost(config *Config) (*eyes, error) {
	root := filepath.Clean(cmp.Or(config.RootPath, "/"))
	if err := host.CheckRoot(root); err != nil {
		return nil, fmt.Errorf("root_path: %w", err)
	}
	h, err := host.Open(filepath.Join(root, "proc"), filepath.Join(root, "sys"))
	if err != nil {
		return nil, err
	}
	mounts, noGroups := cgroup.Find(root)
	if noGroups == nil {
		noGroups = mounts.Check()
	}
	whose, err := identity.Open(root, mounts, details(config))
	if err != nil {
		return nil, err
	}
	chosen, err := filter.New(config.Include, config.Exclude, whose)
	if err != nil {
		return nil, err
	}
	var contention *bpf.ContentionOptions
	if config.Contention.Enabled {
		contention = &bpf.ContentionOptions{MinWait: config.Contention.MinWait, MaxPairs: kernelPairs, MaxVictims: kernelVictims}
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
	return &eyes{
		from:     from,
		programs: kernel.Programs,
		noGroups: noGroups,
		whose:    whose,
		chosen:   chosen,
		memory:   memory.New(mounts),
		close:    kernel.Close,
	}, nil
}

// details returns what the resources of processes are to have.
func details(config *Config) identity.Details {
	var all identity.Details
	for _, a := range []metadata.ResourceAttributesConfig{
		config.MetricsBuilderConfig.ResourceAttributes,
		config.LogsBuilderConfig.ResourceAttributes,
	} {
		all.ExecutablePath = all.ExecutablePath || a.ProcessExecutablePath.Enabled
		all.CommandLine = all.CommandLine || a.ProcessCommandLine.Enabled
		all.Owner = all.Owner || a.ProcessOwner.Enabled
	}
	return all
}
