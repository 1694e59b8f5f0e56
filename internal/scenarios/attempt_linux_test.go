package scenarios

import (
	"fmt"
	"testing"
)

// attempt is a test that does not fail: what it found is kept, so that it can be
// made again if other load on this host is to blame.
type attempt struct {
	*testing.T
	failures []string
	over     bool
}

// gaveUp is what a run ends with that cannot go on.
type gaveUp struct{}

// try returns what was found wrong.
func try(t *testing.T, run func(*attempt)) (failures []string) {
	a := &attempt{T: t}
	defer func() {
		a.over = true
		if r := recover(); r != nil && r != (gaveUp{}) {
			panic(r)
		}
		failures = a.failures
	}()
	run(a)
	return nil
}

func (a *attempt) Errorf(format string, args ...any) {
	a.Helper()
	if a.over {
		a.T.Errorf(format, args...)
		return
	}
	a.failures = append(a.failures, fmt.Sprintf(format, args...))
}

func (a *attempt) FailNow() {
	if a.over {
		a.T.FailNow()
	}
	panic(gaveUp{})
}
