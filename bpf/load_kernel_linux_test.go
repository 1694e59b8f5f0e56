package bpf

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Open tells of all but the census in one list; here each stands for itself, by
// the name that self-telemetry gives it.
func TestEveryProgramLoadsAndAttaches(t *testing.T) {
	census := open(t)
	for name, load := range map[string]func() (io.Closer, error){
		"census": func() (io.Closer, error) { return OpenCensus() },
		"exits":  func() (io.Closer, error) { return OpenExits() },
		"contention": func() (io.Closer, error) {
			return OpenContention(census, ContentionOptions{MinWait: time.Millisecond, MaxPairs: 64, MaxVictims: 16384})
		},
		"oom": func() (io.Closer, error) { return OpenOOM() },
	} {
		t.Run(name, func(t *testing.T) {
			program, err := load()
			require.NoError(t, err)
			require.NoError(t, program.Close())
		})
	}
}
