package host

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckRoot(t *testing.T) {
	require.NoError(t, CheckRoot("/"))

	root := t.TempDir()
	require.ErrorContains(t, CheckRoot(root), filepath.Join(root, "proc")+" is no procfs: no such file or directory")

	// What a mount of the root alone shows.
	require.NoError(t, os.Mkdir(filepath.Join(root, "proc"), 0o755))
	require.ErrorContains(t, CheckRoot(root), filepath.Join(root, "proc")+" is no procfs: mount the root of the host there")

	require.NoError(t, os.Remove(filepath.Join(root, "proc")))
	require.NoError(t, os.Symlink("/proc", filepath.Join(root, "proc")))
	require.ErrorContains(t, CheckRoot(root), filepath.Join(root, "sys")+" is no sysfs")
}
