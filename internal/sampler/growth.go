package sampler

import (
	"slices"
	"time"
)

// slope returns the Theil-Sen estimator of the readings: the median of the
// slopes between all pairs, in units of y per second. Up to 29 % of the
// readings may be arbitrarily wrong, such as one taken just after a garbage
// collection, without moving it far (Sen 1968). Readings taken at the same time
// are passed over. scratch is reused if it is large enough.
func slope(at []time.Duration, y []uint64, scratch []float64) (float64, []float64) {
	slopes := scratch[:0]
	if len(y) == 0 || slices.Max(y) == slices.Min(y) {
		return 0, slopes // as of most processes
	}
	for i := range y {
		for j := i + 1; j < len(y); j++ {
			if at[j] > at[i] {
				slopes = append(slopes, (float64(y[j])-float64(y[i]))/(at[j]-at[i]).Seconds())
			}
		}
	}
	if len(slopes) == 0 {
		return 0, slopes
	}
	slices.Sort(slopes)
	middle := len(slopes) / 2
	if len(slopes)%2 == 1 {
		return slopes[middle], slopes
	}
	return (slopes[middle-1] + slopes[middle]) / 2, slopes
}

// rises returns how many readings are higher than the one before.
func rises(y []uint64) int {
	n := 0
	for i := 1; i < len(y); i++ {
		if y[i] > y[i-1] {
			n++
		}
	}
	return n
}
