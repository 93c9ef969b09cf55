package main

import "testing"

func TestEstimateMedian(t *testing.T) {
	ascending := func(n int) []float64 {
		var values []float64
		for i := range n {
			values = append(values, float64(i+1))
		}
		return values
	}
	for name, c := range map[string]struct {
		values []float64
		want   estimate
	}{
		"one":                          {[]float64{7}, estimate{7, 7, 7}},
		"two":                          {[]float64{3, 1}, estimate{2, 1, 3}},
		"odd and unsorted":             {[]float64{9, 1, 5}, estimate{5, 1, 9}},
		"an outlier leaves the median": {[]float64{1, 1, 1, 1, 1000}, estimate{1, 1, 1000}},
		"many narrow the interval":     {ascending(100), estimate{50.5, 41, 60}},
		"fourteen, as in a quick run":  {ascending(14), estimate{7.5, 4, 11}},
		"four are all of the interval": {ascending(4), estimate{2.5, 1, 4}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := estimateMedian(c.values); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

// TestEstimateRatio: the machine is three times as slow in the second round, and the ratio is the same.
func TestEstimateRatio(t *testing.T) {
	got := estimateRatio([]float64{110, 330, 110}, []float64{100, 300, 100})
	if want := (estimate{1.1, 1.1, 1.1}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
}
