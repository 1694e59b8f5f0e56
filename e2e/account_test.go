package e2e

import (
	"slices"
	"testing"

	"go.opentelemetry.io/collector/pdata/pcommon"
	"go.opentelemetry.io/collector/pdata/pmetric"
)

// account is one of the kernel's, read again and again. Of readings that are the
// same the first is kept: what is written down at the end of a wait grows from
// the end of one to that of the next.
type account struct {
	at    []pcommon.Timestamp
	value []float64
}

func (a *account) read(t *testing.T, value func() float64) {
	t.Helper()
	before, v, after := now(), value(), now()
	if n := len(a.value); n > 0 && a.value[n-1] == v {
		return
	}
	a.at, a.value = append(a.at, before+(after-before)/2), append(a.value, v)
}

// since tells whether it was read before the batch's window ended, covers
// whether after.
func (a *account) since(b pmetric.Metrics) bool  { return a.at[0] < endOf(b) }
func (a *account) covers(b pmetric.Metrics) bool { return a.at[len(a.at)-1] > endOf(b) }

// growth returns how far it went from the end of one window to that of another.
func (a *account) growth(first, last pmetric.Metrics) float64 {
	return a.when(endOf(last)) - a.when(endOf(first))
}

// when interpolates between two readings.
func (a *account) when(at pcommon.Timestamp) float64 {
	i, _ := slices.BinarySearch(a.at, at)
	i = min(max(i, 1), len(a.at)-1)
	part := float64(at-a.at[i-1]) / float64(a.at[i]-a.at[i-1])
	return a.value[i-1] + part*(a.value[i]-a.value[i-1])
}
