package frame

import (
	"math"

	"go.opentelemetry.io/collector/pdata/pcommon"
)

// counter is a cumulative sum, of which the growth since its last point is
// wanted.
type counter struct {
	at    pcommon.Timestamp // of the last point, 0 before the first
	value float64
	since pcommon.Timestamp // from when on it has grown; 0 is not known
	grown float64
}

// observe takes the point of a window that began at opened, which is 0 if that
// is not known.
func (c *counter) observe(start, at pcommon.Timestamp, value float64, opened pcommon.Timestamp) {
	switch {
	case at <= c.at:
		return // late, or seen before
	case c.at > start && value >= c.value:
		c.since, c.grown = c.at, value-c.value
	case c.at != 0:
		// It began anew. Some do without a new start.
		c.since, c.grown = max(c.at, start), value
	case opened != 0 && start >= opened:
		// All of it is of this window.
		c.since, c.grown = opened, value
	default:
		c.since, c.grown = 0, 0
	}
	c.at, c.value = at, value
}

// rate returns the growth by second up to the window that ends at, NaN if it is
// not known.
func (c *counter) rate(at pcommon.Timestamp) float64 {
	if c.since == 0 || c.at != at || c.at <= c.since {
		return math.NaN()
	}
	return c.grown / seconds(c.since, c.at)
}

func seconds(from, to pcommon.Timestamp) float64 { return float64(to-from) / 1e9 }
