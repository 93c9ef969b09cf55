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
		"one":                             {[]float64{7}, estimate{7, 7, 7}},
		"two":                             {[]float64{3, 1}, estimate{2, 1, 3}},
		"odd and unsorted":                {[]float64{9, 1, 5}, estimate{5, 1, 9}},
		"an outlier moves nothing":        {[]float64{1, 1, 1, 1, 1000}, estimate{1, 1, 1000}},
		"many narrow the interval":        {ascending(100), estimate{50.5, 41, 60}},
		"fourteen, as in a quick run":     {ascending(14), estimate{7.5, 4, 11}},
		"the interval needs a few rounds": {ascending(4), estimate{2.5, 1, 4}},
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

func TestCutCookie(t *testing.T) {
	for name, c := range map[string]struct{ field, value, rest string }{
		"alone":            {"jar=1", "1", ""},
		"first":            {"jar=1; a=2; b=3", "1", "a=2; b=3"},
		"between":          {"a=2; jar=1; b=3", "1", "a=2; b=3"},
		"last":             {"a=2; b=3; jar=1", "1", "a=2; b=3"},
		"absent":           {"a=2; jars=3", "", "a=2; jars=3"},
		"empty":            {"", "", ""},
		"without a space":  {"a=2;jar=1;b=3", "1", "a=2;b=3"},
		"of two the first": {"jar=1; jar=2", "1", "jar=2"},
	} {
		t.Run(name, func(t *testing.T) {
			if value, rest := cutCookie(c.field, "jar"); value != c.value || rest != c.rest {
				t.Errorf("got %q and %q, want %q and %q", value, rest, c.value, c.rest)
			}
		})
	}
}
