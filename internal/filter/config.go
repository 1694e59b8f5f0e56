package filter

import (
	"errors"
	"fmt"
	"math"
	"regexp"
)

// MatchType is how the entries of a block are compared.
type MatchType string

// The match types.
const (
	Strict MatchType = "strict" // equal
	Regexp MatchType = "regexp" // found anywhere, in Go's syntax
)

// Config selects processes. One matches if every kind that has entries matches;
// a kind matches if one of its entries does. Without entries nothing is
// selected.
type Config struct {
	MatchType MatchType `mapstructure:"match_type"`
	// ExecutableNames are compared with the kernel's name, which has at most 15
	// bytes: longer ones are cut like that.
	ExecutableNames []string `mapstructure:"executable_names"`
	// Commands are compared with the command line as it would be exported.
	Commands []string `mapstructure:"commands"`
	// Cgroups are compared with the path that is exported.
	Cgroups []string `mapstructure:"cgroups"`
	// Owners are compared with the name of the effective user, or the id of one
	// without a name.
	Owners []string `mapstructure:"owners"`
	// Pids are compared as numbers whatever the match type.
	Pids []int64 `mapstructure:"pids"`

	// prevent unkeyed literal initialization
	_ struct{}
}

// DefaultConfig returns a block without entries.
func DefaultConfig() Config { return Config{MatchType: Strict} }

// Check returns an error for each bad key of the block called so.
func (c *Config) Check(block string) error {
	var errs []error
	if c.MatchType != Strict && c.MatchType != Regexp {
		errs = append(errs, fmt.Errorf("%s::match_type: must be %s or %s, is %q", block, Strict, Regexp, c.MatchType))
	}
	for _, kind := range c.kinds() {
		for i, entry := range kind.entries {
			key := fmt.Sprintf("%s::%s::%d", block, kind.name, i)
			if entry == "" {
				errs = append(errs, fmt.Errorf("%s: must not be empty", key))
			} else if c.MatchType == Regexp {
				if _, err := regexp.Compile(entry); err != nil {
					errs = append(errs, fmt.Errorf("%s: must be a regular expression of Go's: %w", key, err))
				}
			}
		}
	}
	for i, pid := range c.Pids {
		if pid < 1 || pid > math.MaxInt32 {
			errs = append(errs, fmt.Errorf("%s::pids::%d: must be between 1 and %d, is %d", block, i, math.MaxInt32, pid))
		}
	}
	return errors.Join(errs...)
}

type kind struct {
	name    string
	entries []string
}

func (c *Config) kinds() []kind {
	return []kind{
		{"executable_names", c.ExecutableNames},
		{"commands", c.Commands},
		{"cgroups", c.Cgroups},
		{"owners", c.Owners},
	}
}
