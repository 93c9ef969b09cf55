package main

import "testing"

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
