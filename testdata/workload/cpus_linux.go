package workload

import (
	"fmt"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// allowed returns the CPUs this process may run on.
func allowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("find the CPUs: %w", err)
	}
	var cpus []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// StartOnEachCPU starts a workload on each CPU this process may run on, pinned to
// it.
func StartOnEachCPU(t testing.TB, name string, args ...string) (started []*Process) {
	t.Helper()
	cpus, err := allowed()
	require.NoError(t, err)
	for _, cpu := range cpus {
		started = append(started, Start(t, name, append([]string{"-cpu=" + strconv.Itoa(cpu)}, args...)...))
	}
	return started
}
