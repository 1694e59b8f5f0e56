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

	OOMRisk       OOMRiskConfig       `mapstructure:"oom_risk"`
	MemThrashing  MemThrashingConfig  `mapstructure:"mem_thrashing"`
	Starved       StarvedConfig       `mapstructure:"starved"`
	NoisyNeighbor NoisyNeighborConfig `mapstructure:"noisy_neighbor"`
	CPUThrottled  CPUThrottledConfig  `mapstructure:"cpu_throttled"`
	ForkStorm     ForkStormConfig     `mapstructure:"fork_storm"`
	CPUBound      CPUBoundConfig      `mapstructure:"cpu_bound"`
}

// RuleConfig is what all rules have. What is not set is as for all labels.
type RuleConfig struct {
	Enabled        bool           `mapstructure:"enabled"`
	For            *int           `mapstructure:"for"`
	ClearAfter     *int           `mapstructure:"clear_after"`
	RepeatInterval *time.Duration `mapstructure:"repeat_interval"`
}

// MemThrashingConfig is when a process counts as busy getting back memory it had.
type MemThrashingConfig struct {
	RuleConfig `mapstructure:",squash"`
	// MinMajorFaultsPerSecond and MinMemoryStall, the share of the window some
	// task of its control group stood still for want of memory, 0 to 1: both.
	MinMajorFaultsPerSecond float64 `mapstructure:"min_major_faults_per_second"`
	MinMemoryStall          float64 `mapstructure:"min_memory_stall"`
	// MinRefaultsPerSecond, minor faults that growth does not explain, and
	// MinSystemShare, the share of its CPU time in system mode, 0 to 1: both.
	MinRefaultsPerSecond float64 `mapstructure:"min_refaults_per_second"`
	MinSystemShare       float64 `mapstructure:"min_system_share"`

	// The faults of processes that fork can't be told from others.
	forksUnseen bool
}

// StarvedConfig is when a process counts as kept from the CPU by others.
type StarvedConfig struct {
	RuleConfig `mapstructure:",squash"`
	// MinWaitRatio is the wait behind other processes as a share of the window.
	MinWaitRatio float64 `mapstructure:"min_wait_ratio"`
	// MinWaitPerRun is the wait of the most delayed thread for each time it ran. A
	// task that wakes up waits for the end of another's slice, as anybody does.
	MinWaitPerRun time.Duration `mapstructure:"min_wait_per_run"`
	// MinWaitShare is that wait as a share of the time its threads wanted to run,
	// 0 to 1: that wait, their wait for each other, and their CPU time.
	MinWaitShare float64 `mapstructure:"min_wait_share"`
}

// NoisyNeighborConfig is when a process counts as keeping others from the CPU.
type NoisyNeighborConfig struct {
	RuleConfig `mapstructure:",squash"`
	// MinCores is how many CPUs it uses.
	MinCores float64 `mapstructure:"min_cores"`
	// MinVictimShare is its share of the wait of a starved process, 0 to 1.
	MinVictimShare float64 `mapstructure:"min_victim_share"`
	// MaxOwnWaitShare is its own wait behind other processes as a share of the time
	// its threads wanted to run, 0 to 1. It must be less held up than its victim, too.
	MaxOwnWaitShare float64 `mapstructure:"max_own_wait_share"`
}

// CPUThrottledConfig is when a process counts as held back by a quota.
type CPUThrottledConfig struct {
	RuleConfig `mapstructure:",squash"`
	// MinThrottledRatio is the throttled time as a share of the window.
	MinThrottledRatio float64 `mapstructure:"min_throttled_ratio"`
}

// ForkStormConfig is when a process counts as storming short-lived ones.
type ForkStormConfig struct {
	RuleConfig `mapstructure:",squash"`
	// MinChildrenPerSecond is how many of its children came and went.
	MinChildrenPerSecond float64 `mapstructure:"min_children_per_second"`
	// MinCores is how many CPUs these used.
	MinCores float64 `mapstructure:"min_cores"`
}

// CPUBoundConfig is when a process counts as limited by the CPU.
type CPUBoundConfig struct {
	RuleConfig `mapstructure:",squash"`
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
	RuleConfig `mapstructure:",squash"`
	// Windows is how many windows growth goes by; it must grow in all but one.
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
	enabled := RuleConfig{Enabled: true}
	return Config{
		For:            1,
		ClearAfter:     2,
		RepeatInterval: time.Minute,
		OOMRisk: OOMRiskConfig{
			RuleConfig:         enabled,
			Windows:            3,
			MinGrowth:          10 << 20,
			MinRSS:             500 << 20,
			MinLimitRatio:      0.1,
			MinFaultsPerSecond: 200,
			MaxTimeToLimit:     10 * time.Minute,
		},
		MemThrashing: MemThrashingConfig{
			RuleConfig:              enabled,
			MinMajorFaultsPerSecond: 100,
			MinMemoryStall:          0.1,
			MinRefaultsPerSecond:    10000,
			MinSystemShare:          0.4,
		},
		Starved: StarvedConfig{
			RuleConfig:    enabled,
			MinWaitRatio:  0.2,
			MinWaitPerRun: 5 * time.Millisecond,
			MinWaitShare:  0.7,
		},
		NoisyNeighbor: NoisyNeighborConfig{RuleConfig: enabled, MinCores: 0.3, MinVictimShare: 0.5, MaxOwnWaitShare: 0.5},
		CPUThrottled:  CPUThrottledConfig{RuleConfig: enabled, MinThrottledRatio: 0.1},
		ForkStorm:     ForkStormConfig{RuleConfig: enabled, MinChildrenPerSecond: 100, MinCores: 0.3},
		CPUBound: CPUBoundConfig{
			RuleConfig:           enabled,
			MinThreadUtilization: 0.9,
			MinHostShare:         0.5,
			MaxMemoryStall:       0.1,
		},
	}
}

// WithoutExits returns the configuration for a host whose short-lived processes
// are not seen: there is no fork storm, and minor faults are held against nobody,
// since who forks has many.
func (c Config) WithoutExits() Config {
	c.ForkStorm.Enabled, c.MemThrashing.forksUnseen = false, true
	return c
}

// WithoutWaits returns the configuration for a host of which is not known who
// waits behind whom.
func (c Config) WithoutWaits() Config {
	c.Starved.Enabled, c.NoisyNeighbor.Enabled = false, false
	return c
}

// Check returns an error for each key that is out of its range. The name of the
// block, such as diagnosis, begins each: confmap puts the path before the first
// of several errors only.
func (c *Config) Check(block string) error {
	return errors.Join(
		checkCourse(block, &c.For, &c.ClearAfter, &c.RepeatInterval),
		c.OOMRisk.check(block+"::oom_risk"),
		c.MemThrashing.check(block+"::mem_thrashing"),
		c.Starved.check(block+"::starved"),
		c.NoisyNeighbor.check(block+"::noisy_neighbor"),
		c.CPUThrottled.check(block+"::cpu_throttled"),
		c.ForkStorm.check(block+"::fork_storm"),
		c.CPUBound.check(block+"::cpu_bound"),
	)
}

func (c *RuleConfig) check(block string) error {
	return checkCourse(block, c.For, c.ClearAfter, c.RepeatInterval)
}

// checkCourse checks how a diagnosis starts, ends and is repeated; nil is not
// set.
func checkCourse(block string, matches, clearAfter *int, repeat *time.Duration) error {
	var errs []error
	if matches != nil {
		errs = append(errs, inRange(block+"::for", *matches, 1, 1000))
	}
	if clearAfter != nil {
		errs = append(errs, inRange(block+"::clear_after", *clearAfter, 1, 1000))
	}
	if repeat != nil {
		errs = append(errs, inRange(block+"::repeat_interval", *repeat, 0, 24*time.Hour))
	}
	return errors.Join(errs...)
}

func (c *MemThrashingConfig) check(block string) error {
	return errors.Join(
		c.RuleConfig.check(block),
		inRange(block+"::min_major_faults_per_second", c.MinMajorFaultsPerSecond, 0, 1e9),
		inRange(block+"::min_memory_stall", c.MinMemoryStall, 0, 1),
		inRange(block+"::min_refaults_per_second", c.MinRefaultsPerSecond, 0, 1e9),
		inRange(block+"::min_system_share", c.MinSystemShare, 0, 1),
	)
}

func (c *StarvedConfig) check(block string) error {
	return errors.Join(
		c.RuleConfig.check(block),
		inRange(block+"::min_wait_ratio", c.MinWaitRatio, 0, 1000),
		inRange(block+"::min_wait_per_run", c.MinWaitPerRun, 0, time.Hour),
		inRange(block+"::min_wait_share", c.MinWaitShare, 0, 1),
	)
}

func (c *NoisyNeighborConfig) check(block string) error {
	return errors.Join(
		c.RuleConfig.check(block),
		inRange(block+"::min_cores", c.MinCores, 0, 1e4),
		inRange(block+"::min_victim_share", c.MinVictimShare, 0, 1),
		inRange(block+"::max_own_wait_share", c.MaxOwnWaitShare, 0, 1),
	)
}

func (c *CPUThrottledConfig) check(block string) error {
	return errors.Join(
		c.RuleConfig.check(block),
		inRange(block+"::min_throttled_ratio", c.MinThrottledRatio, 0, 1000),
	)
}

func (c *ForkStormConfig) check(block string) error {
	return errors.Join(
		c.RuleConfig.check(block),
		inRange(block+"::min_children_per_second", c.MinChildrenPerSecond, 0, 1e6),
		inRange(block+"::min_cores", c.MinCores, 0, 1e4),
	)
}

func (c *CPUBoundConfig) check(block string) error {
	return errors.Join(
		c.RuleConfig.check(block),
		inRange(block+"::min_thread_utilization", c.MinThreadUtilization, 0, 1),
		inRange(block+"::min_host_share", c.MinHostShare, 0, 1),
		inRange(block+"::max_memory_stall", c.MaxMemoryStall, 0, 1),
	)
}

func (c *OOMRiskConfig) check(block string) error {
	return errors.Join(
		c.RuleConfig.check(block),
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
