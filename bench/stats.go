package main

import (
	"math"
	"slices"
)

// estimate is a median of rounds, and the interval that holds the true one with a confidence of 95 %.
type estimate struct{ median, low, high float64 }

// estimateRatio compares two series round by round. Both are of the same rounds.
func estimateRatio(of, to []float64) estimate {
	ratios := make([]float64, len(of))
	for i := range of {
		ratios[i] = of[i] / to[i]
	}
	return estimateMedian(ratios)
}

// estimateMedian returns the median of some values, of which there is at least one. The interval
// is by order statistics, which assume nothing of how the values are distributed.
func estimateMedian(values []float64) estimate {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	median := (sorted[(n-1)/2] + sorted[n/2]) / 2
	// The number of values below the true median is binomial, with a deviation of sqrt(n)/2.
	const deviations = 1.96
	k := int(math.Floor(float64(n)/2 - deviations*math.Sqrt(float64(n))/2))
	k = max(k, 0)
	return estimate{median, sorted[k], sorted[n-1-k]}
}
