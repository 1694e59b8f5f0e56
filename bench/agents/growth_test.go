package agents

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func curve(cost func(threads float64) float64) (g growth) {
	for _, threads := range []int{1_000, 2_000, 5_000, 10_000, 20_000, 50_000} {
		g = append(g, size{threads, []float64{cost(float64(threads))}})
	}
	return g
}

func TestGrowthIsToldFromItsShape(t *testing.T) {
	for name, tt := range map[string]struct {
		cost   func(float64) float64
		linear bool
	}{
		"a line":                    {func(n float64) float64 { return 1e-3 + 800e-9*n }, true},
		"flatter than a line":       {func(n float64) float64 { return math.Sqrt(n) / 1e3 }, true},
		"constant":                  {func(float64) float64 { return 1e-3 }, true},
		"a square":                  {func(n float64) float64 { return n * n / 1e12 }, false},
		"a line and a small square": {func(n float64) float64 { return 1e-3 + 500e-9*n + 3e-11*n*n }, false},
		"each looks at each twice":  {func(n float64) float64 { return 100e-9 * n * math.Pow(n, 0.2) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := curve(tt.cost)
			require.Equal(t, tt.linear, g.linear(), g.verdict())
			require.Equal(t, tt.linear, strings.HasPrefix(g.verdict(), "linear or better"))
		})
	}
}

func TestTheLineGoesThroughWhatLiesOnOne(t *testing.T) {
	fixed, slope := curve(func(n float64) float64 { return 2e-3 + 700e-9*n }).line()
	require.InEpsilon(t, 2e-3, fixed, 1e-6)
	require.InEpsilon(t, 700e-9, slope, 1e-6)
}
