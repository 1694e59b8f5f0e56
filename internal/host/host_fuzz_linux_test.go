package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzHost: whatever stands in /proc and /sys, a host has a CPU and no time runs
// backwards.
func FuzzHost(f *testing.F) {
	f.Add("0-3,8\n", "MemAvailable: 8 kB\n", "some avg10=0.00 avg60=0.00 avg300=0.00 total=5\n")
	f.Add("0-99999999999999999999", "MemAvailable: 18446744073709551615 kB\n", "some avg10=x total=99999999999999999999\n")
	f.Add("0-9223372036854775807,0-9223372036854775807", "MemAvailable:\n:::\n", "some\nfull\n")
	f.Add("-1--5,,-", "MemAvailable: -8 kB", "\xff")
	f.Fuzz(func(t *testing.T, online, meminfo, pressure string) {
		root := t.TempDir()
		for file, content := range map[string]string{
			"sys/" + cpusOnline: online, "proc/meminfo": meminfo, "proc/pressure/memory": pressure, "proc/pressure/io": pressure,
		} {
			path := filepath.Join(root, file)
			require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
			require.NoError(t, os.WriteFile(path, []byte(content), 0o600))
		}
		h, err := Open(filepath.Join(root, "proc"), filepath.Join(root, "sys"))
		require.NoError(t, err)
		require.Positive(t, h.CPUs())
		h.AvailableMemory()
		h.MemoryStall()
		h.IOStall()
	})
}
