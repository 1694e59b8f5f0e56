package hotspottopexporter

import (
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/collector/component"
)

const (
	minRefresh = 50 * time.Millisecond
	maxRefresh = time.Hour
	minForget  = 10 * time.Second
	maxForget  = 24 * time.Hour
	maxRows    = 10_000
)

// Config is the hotspottop: block of the collector's configuration.
type Config struct {
	// RefreshInterval is how often is drawn at most, and how long data that came
	// wait for what comes with them.
	RefreshInterval time.Duration `mapstructure:"refresh_interval"`
	// ForgetAfter is how long a host or a diagnosis is shown of which nothing comes.
	ForgetAfter time.Duration `mapstructure:"forget_after"`
	// Plain is text in place of a screen on a terminal too.
	Plain bool `mapstructure:"plain"`
	// Rows is how many of each table plain text has.
	Rows int `mapstructure:"rows"`

	// prevent unkeyed literal initialization
	_ struct{}
}

func createDefaultConfig() component.Config {
	return &Config{RefreshInterval: 250 * time.Millisecond, ForgetAfter: 5 * time.Minute, Rows: 10}
}

// Validate returns an error for each key that is out of its range.
func (c *Config) Validate() error {
	var errs []error
	if d := c.RefreshInterval; d < minRefresh || d > maxRefresh {
		errs = append(errs, fmt.Errorf("refresh_interval: must be between %v and %v, is %v", minRefresh, maxRefresh, d))
	}
	if d := c.ForgetAfter; d < minForget || d > maxForget {
		errs = append(errs, fmt.Errorf("forget_after: must be between %v and %v, is %v", minForget, maxForget, d))
	}
	if n := c.Rows; n < 0 || n > maxRows {
		errs = append(errs, fmt.Errorf("rows: must be between 0 and %d, is %d", maxRows, n))
	}
	return errors.Join(errs...)
}
