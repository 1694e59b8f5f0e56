package packaging

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

const unit = "otelcol-hotspot.service"

// What is left is what the collector is for: it loads BPF programs, sees every
// process and talks to a backend.
const maxExposure = "19" // of 100

func TestTheUnitIsHardened(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		skip(t, "there is no systemd-analyze (Debian: apt-get install systemd)")
	}
	output, err := exec.Command("systemd-analyze", "security", "--offline=true", "--threshold="+maxExposure, unit).CombinedOutput()
	require.NoError(t, err, "%s", output)
}
