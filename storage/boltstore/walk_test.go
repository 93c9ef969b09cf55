package boltstore

import (
	"errors"
	"testing"

	"github.com/caddy-multi-session/gateway/storage"
)

func TestWalkDoesNotPassOverACorruptRecord(t *testing.T) {
	s := newStore(t)
	put(t, s, record("secret-a"))
	put(t, s, record("secret-b"))
	rawUpdate(t, s, func(tables *tables) error { return tables.records.Put([]byte("secret-b"), []byte("garbage")) })
	walked := 0
	err := s.Walk(t.Context(), "", func(storage.Record) error { walked++; return nil })
	if !errors.Is(err, errCorrupt) || walked != 1 {
		t.Errorf("Walk = %v after %d records", err, walked)
	}
	tellsNoSecret(t, err)
}

// A panic of the caller's code is the caller's, and the store serves on.
func TestPanicOfAVisitIsNotContained(t *testing.T) {
	s := newStore(t)
	put(t, s, record("a"))
	func() {
		defer func() {
			if p := recover(); p != "of the test" {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = s.Walk(t.Context(), "", func(storage.Record) error { panic("of the test") })
	}()
	put(t, s, record("b"))
	closeStore(t, s) // waits for what is still reading
}
