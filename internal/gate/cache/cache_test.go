package cache

import (
	"net/http"
	"slices"
	"testing"
)

// header makes a header of names and values in turn.
func header(pairs ...string) http.Header {
	h := make(http.Header)
	for pair := range slices.Chunk(pairs, 2) {
		h.Add(pair[0], pair[1])
	}
	return h
}

func checkHeader(t *testing.T, got, want http.Header) {
	t.Helper()
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("%s: %q, want none", name, got[name])
		}
	}
	for name := range want {
		if !slices.Equal(got[name], want[name]) {
			t.Errorf("%s: %q, want %q", name, got[name], want[name])
		}
	}
}

var alice, bob, nobody = NewView("A"), NewView("B"), View{}

const (
	stamp  = "Sat, 28 Nov 2026 10:00:00 GMT"
	stampA = `W/"ms~A~dtp7ig0"` // stamp under the view A
)
