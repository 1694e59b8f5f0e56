package hotspottopexporter

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/collector/confmap"
)

func TestEveryKeyIsRead(t *testing.T) {
	c := createDefaultConfig().(*Config)
	require.NoError(t, c.Validate())
	require.NoError(t, confmap.NewFromStringMap(map[string]any{
		"refresh_interval": "1s", "forget_after": "1m", "plain": true, "rows": 3,
	}).Unmarshal(c))
	require.Equal(t, &Config{RefreshInterval: time.Second, ForgetAfter: time.Minute, Plain: true, Rows: 3}, c)
}

func TestWhatIsOutOfRangeIsRefused(t *testing.T) {
	c := &Config{RefreshInterval: time.Millisecond, ForgetAfter: time.Second, Rows: -1}
	err := c.Validate()
	require.ErrorContains(t, err, "refresh_interval: must be between 50ms and 1h0m0s, is 1ms")
	require.ErrorContains(t, err, "forget_after: must be between 10s and 24h0m0s, is 1s")
	require.ErrorContains(t, err, "rows: must be between 0 and 10000, is -1")
}
