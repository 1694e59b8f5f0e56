package diagnosis

import (
	"errors"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"
)

// Config is the diagnosis: block of the receiver.
type Config struct {
	// For is how many windows in a row must match before a diagnosis starts.
	For int `mapstructure:"for"`
	// ClearAfter is how many windows in a row must not match before it ends.
	ClearAfter int `mapstructure:"clear_after"`
	// RepeatInterval is how often a diagnosis that lasts is said again; 0 is
	// never.
	RepeatInterval time.Duration `mapstructure:"repeat_interval"`

	CPUBound CPUBoundConfig `mapstructure:"cpu_bound"`
	OOMRisk  OOMRiskConfig  `mapstructure:"oom_risk"`
}

// CPUBoundConfig is when a process counts as limited by the CPU.
type CPUBoundConfig struct {
	Enabled bool `mapstructure:"enabled"`
	// MinThreadUtilization is the share of the window, 0 to 1, that the busiest
	// thread ran or waited to run.
	MinThreadUtilization float64 `mapstructure:"min_thread_utilization"`
	// MinHostShare is the share of all online CPUs, 0 to 1, the process used. One
	// of the two is enough.
	MinHostShare float64 `mapstructure:"min_host_share"`
	// MaxMemoryStall is the share of the window, 0 to 1, in which the host stood
	// still for want of memory, up to which the CPU is to blame.
	MaxMemoryStall float64 `mapstructure:"max_memory_stall"`
}

// OOMRiskConfig is when a process counts as on its way out of memory.
type OOMRiskConfig struct {
	Enabled bool `mapstructure:"enabled"`
	// Windows is how many readings of the resident set growth goes by.
	Windows int `mapstructure:"windows"`
	// MinGrowth is how much it must have grown over these, going by the robust
	// slope.
	MinGrowth Bytes `mapstructure:"min_growth"`
	// MinRSS and MinLimitRatio make a process large: one of the two is enough.
	// The ratio is that of RSS to the effective limit, 0 to 1.
	MinRSS        Bytes   `mapstructure:"min_rss"`
	MinLimitRatio float64 `mapstructure:"min_limit_ratio"`
	// MinFaultsPerSecond and MaxTimeToLimit make growth a danger: one of the two
	// is enough.
	MinFaultsPerSecond float64       `mapstructure:"min_faults_per_second"`
	MaxTimeToLimit     time.Duration `mapstructure:"max_time_to_limit"`
}

// DefaultConfig returns the configuration of an empty diagnosis: block.
func DefaultConfig() Config {
	return Config{
		For:            1,
		ClearAfter:     2,
		RepeatInterval: time.Minute,
		CPUBound: CPUBoundConfig{
			Enabled:              true,
			MinThreadUtilization: 0.9,
			MinHostShare:         0.5,
			MaxMemoryStall:       0.1,
		},
		OOMRisk: OOMRiskConfig{
			Enabled:            true,
			Windows:            3,
			MinGrowth:          10 << 20,
			MinRSS:             500 << 20,
			MinLimitRatio:      0.1,
			MinFaultsPerSecond: 200,
			MaxTimeToLimit:     10 * time.Minute,
		},
	}
}

// Check returns an error for each key that is out of its range. The name of the
// block, such as diagnosis, begins each: confmap puts the path before the first
// of several errors only.
func (c *Config) Check(block string) error {
	return errors.Join(
		inRange(block+"::for", c.For, 1, 1000),
		inRange(block+"::clear_after", c.ClearAfter, 1, 1000),
		inRange(block+"::repeat_interval", c.RepeatInterval, 0, 24*time.Hour),
		c.CPUBound.check(block+"::cpu_bound"),
		c.OOMRisk.check(block+"::oom_risk"),
	)
}

func (c *CPUBoundConfig) check(block string) error {
	return errors.Join(
		inRange(block+"::min_thread_utilization", c.MinThreadUtilization, 0, 1),
		inRange(block+"::min_host_share", c.MinHostShare, 0, 1),
		inRange(block+"::max_memory_stall", c.MaxMemoryStall, 0, 1),
	)
}

func (c *OOMRiskConfig) check(block string) error {
	return errors.Join(
		inRange(block+"::windows", c.Windows, 2, 60),
		inRange(block+"::min_growth", c.MinGrowth, 1, 1<<50),
		inRange(block+"::min_rss", c.MinRSS, 0, 1<<50),
		inRange(block+"::min_limit_ratio", c.MinLimitRatio, 0, 1),
		inRange(block+"::min_faults_per_second", c.MinFaultsPerSecond, 0, 1e9),
		inRange(block+"::max_time_to_limit", c.MaxTimeToLimit, 0, 24*time.Hour),
	)
}

func inRange[T int | float64 | time.Duration | Bytes](key string, v, low, high T) error {
	// Written so that NaN is out of range.
	if v >= low && v <= high {
		return nil
	}
	return fmt.Errorf("%s: must be between %v and %v, is %v", key, low, high, v)
}

// Bytes is a size in bytes. Configuration may give it a unit: 10 MiB, 10 MB.
type Bytes uint64

// UnmarshalText parses a size such as 500 MiB.
func (b *Bytes) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a size such as 500 MiB", text)
	}
	*b = Bytes(n)
	return nil
}

// MarshalText writes the size with its unit.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String writes the size with its unit.
func (b Bytes) String() string { return humanize.IBytes(uint64(b)) }
