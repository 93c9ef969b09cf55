package boltstore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/caddy-multi-session/gateway/storage"
)

// During a walk the file grows by every write, for no page is used again. The map is large enough for
// that: neither the writer nor a reader waits for the end of the walk.
func TestWalkHoldsNobodyUp(t *testing.T) {
	if mapBytes == 0 {
		t.Skip("the memory map is as small as the file here")
	}
	s := newStore(t)
	put(t, s, record("a"))
	walked := 0
	err := s.Walk(t.Context(), "", func(storage.Record) error {
		walked++
		// A caller must not do this: here it would not come back if anything had to wait.
		for i := range 8 {
			r := record(fmt.Sprint("large-", i))
			r.Value = make([]byte, 1<<20)
			put(t, s, r)
		}
		has(t, s, "large-7")
		return nil
	})
	if err != nil || walked != 1 {
		t.Errorf("walked to %d records, %v; want the one from before", walked, err)
	}
}

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
