package hotspotreceiver

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOtherPlatformsAreRefused(t *testing.T) {
	require.NoError(t, checkPlatform("linux"))
	require.EqualError(t, checkPlatform("darwin"), "the hotspot receiver works only on Linux, not on darwin")
	require.EqualError(t, checkPlatform("windows"), "the hotspot receiver works only on Linux, not on windows")
}
