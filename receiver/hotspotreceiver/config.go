package hotspotreceiver

import (
	"errors"
	"fmt"
	"path"
	"time"

	"go.opentelemetry.io/collector/component"

	"github.com/hotspot-otel/hotspot/internal/diagnosis"
	"github.com/hotspot-otel/hotspot/internal/filter"
	"github.com/hotspot-otel/hotspot/internal/selection"
	"github.com/hotspot-otel/hotspot/receiver/hotspotreceiver/internal/metadata"
)

const (
	minInterval    = 100 * time.Millisecond
	maxInterval    = time.Hour
	minMinWait     = 10 * time.Microsecond
	maxMinWait     = time.Second
	minExpireAfter = 10 * time.Second
	maxExpireAfter = 24 * time.Hour
	maxCgroups     = 10_000
	// kernelPairs and kernelVictims are how many pairs, and processes that wait, the
	// kernel keeps.
	kernelPairs   = 16384
	kernelVictims = 16384
)

// Config is the hotspot: block of the collector's configuration.
type Config struct {
	// CollectionInterval is how often the kernel is read: the length of a window.
	CollectionInterval time.Duration `mapstructure:"collection_interval"`
	// InitialDelay is how long after the start the first reading is taken. The
	// first window ends one interval later.
	InitialDelay time.Duration `mapstructure:"initial_delay"`
	// ErrorMode is what happens when the kernel cannot be watched.
	ErrorMode ErrorMode `mapstructure:"error_mode"`
	// RootPath is where the root of the host is mounted, if that is not the root of
	// the collector: /proc, /sys and /etc are read under it.
	RootPath string `mapstructure:"root_path"`
	// KernelThreads exports the kernel's own threads as well. They are diagnosed
	// in any case, and exported while they are.
	KernelThreads bool `mapstructure:"kernel_threads"`
	// Include and Exclude say which processes are exported; exclude wins. All are
	// diagnosed, and in the evidence of others.
	Include filter.Config `mapstructure:"include"`
	Exclude filter.Config `mapstructure:"exclude"`
	// Selection is how many processes are exported.
	Selection selection.Config `mapstructure:",squash"`
	// Contention is about who waits behind whom.
	Contention ContentionConfig `mapstructure:"contention"`
	// Cgroups is the view by control group.
	Cgroups CgroupsConfig `mapstructure:"cgroups"`
	// Diagnosis has the numbers of every rule.
	Diagnosis diagnosis.Config `mapstructure:"diagnosis"`

	metadata.MetricsBuilderConfig `mapstructure:",squash"`
	metadata.LogsBuilderConfig    `mapstructure:",squash"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ContentionConfig is about who waits behind whom.
type ContentionConfig struct {
	Enabled bool `mapstructure:"enabled"`
	// MinWait is the shortest wait for a CPU of which every one is looked into;
	// shorter ones are sampled in proportion to their length.
	MinWait time.Duration `mapstructure:"min_wait"`
	// MaxPairs is how many pairs of victim and aggressor are exported: of those
	// whose victim is exported, those that waited longest.
	MaxPairs int `mapstructure:"max_pairs"`
	// ExpireAfter is how long a pair may be idle before its series ends.
	ExpireAfter time.Duration `mapstructure:"expire_after"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// CgroupsConfig is the view by control group.
type CgroupsConfig struct {
	Enabled bool `mapstructure:"enabled"`
	// Max is how many groups have a resource of their own.
	Max int `mapstructure:"max"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// ErrorMode is what happens when the kernel cannot be watched.
type ErrorMode string

// The error modes.
const (
	// PropagateErrors fails the start of the collector.
	PropagateErrors ErrorMode = "propagate"
	// IgnoreErrors keeps the collector running without the receiver, whose status
	// is PermanentError.
	IgnoreErrors ErrorMode = "ignore"
)

func createDefaultConfig() component.Config {
	return &Config{
		CollectionInterval: 5 * time.Second,
		InitialDelay:       time.Second,
		ErrorMode:          PropagateErrors,
		Include:            filter.DefaultConfig(),
		Exclude:            filter.DefaultConfig(),
		Selection:          selection.DefaultConfig(),
		Contention: ContentionConfig{
			Enabled: true, MinWait: 100 * time.Microsecond, MaxPairs: 50, ExpireAfter: 5 * time.Minute,
		},
		Cgroups:              CgroupsConfig{Max: 500},
		Diagnosis:            diagnosis.DefaultConfig(),
		MetricsBuilderConfig: metadata.NewDefaultMetricsBuilderConfig(),
		LogsBuilderConfig:    metadata.DefaultLogsBuilderConfig(),
	}
}

// Validate returns an error for each key that is out of its range.
func (c *Config) Validate() error {
	var errs []error
	if c.CollectionInterval < minInterval || c.CollectionInterval > maxInterval {
		errs = append(errs, fmt.Errorf("collection_interval: must be between %v and %v, is %v",
			minInterval, maxInterval, c.CollectionInterval))
	}
	if c.InitialDelay < 0 || c.InitialDelay > maxInterval {
		errs = append(errs, fmt.Errorf("initial_delay: must be between 0s and %v, is %v", maxInterval, c.InitialDelay))
	}
	if c.ErrorMode != PropagateErrors && c.ErrorMode != IgnoreErrors {
		errs = append(errs, fmt.Errorf("error_mode: must be %s or %s, is %q", PropagateErrors, IgnoreErrors, c.ErrorMode))
	}
	if c.RootPath != "" && !path.IsAbs(c.RootPath) {
		errs = append(errs, fmt.Errorf("root_path: must be an absolute path, is %q", c.RootPath))
	}
	errs = append(errs, c.Include.Check("include"), c.Exclude.Check("exclude"))
	errs = append(errs, c.Selection.Check())
	if w := c.Contention.MinWait; w < minMinWait || w > maxMinWait {
		errs = append(errs, fmt.Errorf("contention::min_wait: must be between %v and %v, is %v", minMinWait, maxMinWait, w))
	}
	if n := c.Contention.MaxPairs; n < 0 || n > kernelPairs {
		errs = append(errs, fmt.Errorf("contention::max_pairs: must be between 0 and %d, is %d", kernelPairs, n))
	}
	if d := c.Contention.ExpireAfter; d < minExpireAfter || d > maxExpireAfter {
		errs = append(errs, fmt.Errorf("contention::expire_after: must be between %v and %v, is %v", minExpireAfter, maxExpireAfter, d))
	}
	if n := c.Cgroups.Max; n < 1 || n > maxCgroups {
		errs = append(errs, fmt.Errorf("cgroups::max: must be between 1 and %d, is %d", maxCgroups, n))
	}
	errs = append(errs, c.Diagnosis.Check("diagnosis"))
	return errors.Join(errs...)
}
