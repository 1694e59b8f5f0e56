package selection

import (
	"errors"
	"fmt"
)

// Config is how many processes are exported.
type Config struct {
	// TopK is how many processes are in the top by each signal; none with 0, so
	// that those are exported that are diagnosed.
	TopK int `mapstructure:"top_k"`
	// Hold is for how many further windows a process that was in the top stays
	// exported.
	Hold int `mapstructure:"top_k_hold"`
	// Max is how many processes are exported in one window at most.
	Max int `mapstructure:"max_processes"`

	// prevent unkeyed literal initialization
	_ struct{}
}

const (
	// allProcesses is as many as there can be: PID_MAX_LIMIT of the kernel.
	allProcesses = 1 << 22
	maxHold      = 1000
)

// DefaultConfig returns the defaults of the documentation.
func DefaultConfig() Config { return Config{TopK: 10, Hold: 3, Max: 200} }

// Check returns an error for each key that is out of its range.
func (c Config) Check() error {
	return errors.Join(
		check("top_k", c.TopK, 0, allProcesses),
		check("top_k_hold", c.Hold, 0, maxHold),
		check("max_processes", c.Max, 1, allProcesses),
	)
}

func check(key string, n, low, high int) error {
	if n < low || n > high {
		return fmt.Errorf("%s: must be between %d and %d, is %d", key, low, high, n)
	}
	return nil
}
