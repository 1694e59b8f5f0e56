package workload

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// AllowManyTasks raises the limit on process ids until the test ends: the default
// of small machines, 32768, is less than the largest hosts have.
func AllowManyTasks(t testing.TB) {
	t.Helper()
	const file, enough = "/proc/sys/kernel/pid_max", 131_072
	before, err := os.ReadFile(file)
	require.NoError(t, err)
	limit, err := strconv.Atoi(strings.TrimSpace(string(before)))
	require.NoError(t, err)
	if limit >= enough {
		return
	}
	require.NoError(t, os.WriteFile(file, []byte(strconv.Itoa(enough)), 0o644))
	t.Cleanup(func() { require.NoError(t, os.WriteFile(file, before, 0o644)) })
}
