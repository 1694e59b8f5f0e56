// Package hidden tells tests what a host keeps from BPF programs.
//
// Some hosts keep processes from BPF's iterators that /proc shows, their init for
// one, and run no BPF program in the context of its threads, nor in the interrupts
// that these are in: what the kernel happens to free there no program sees.
package hidden

import (
	"os"
	"testing"

	"github.com/prometheus/procfs"
	"github.com/stretchr/testify/require"
)

// Processes returns those that live throughout a pass of the census and are not in
// it. The pass calls visit with the process of each thread.
func Processes(t testing.TB, pass func(visit func(pid uint32)) error) (hidden procfs.Procs) {
	t.Helper()
	before, err := procfs.AllProcs()
	require.NoError(t, err)
	seen := make(map[int]bool)
	require.NoError(t, pass(func(pid uint32) { seen[int(pid)] = true }))
	for _, p := range before {
		if _, err := p.Stat(); err == nil && !seen[p.PID] {
			hidden = append(hidden, p)
		}
	}
	return hidden
}

// Any tells whether there is one, so that a program need not see every exit. In a
// guest of the tests' own there must be none.
func Any(t testing.TB, pass func(visit func(pid uint32)) error) bool {
	t.Helper()
	hidden := Processes(t, pass)
	if len(hidden) == 0 {
		return false
	}
	require.Empty(t, os.Getenv("HOTSPOT_EMULATED"), "hidden in a guest: %v", hidden)
	t.Logf("hidden from BPF programs: %v", hidden)
	return true
}
