// Package storagetest is the suite that every implementation of storage.Store passes: what the
// interface's comments promise, sentence by sentence, and what concurrent callers and a long
// random history make of it. A store that is a storage.Replacer, too, is held to that.
//
//	func TestStore(t *testing.T) {
//		storagetest.Run(t, func(t *testing.T, dir string, now func() time.Time) storage.Store {
//			store, err := mystore.Open(filepath.Join(dir, "test.db"), now)
//			if err != nil {
//				t.Fatal(err)
//			}
//			return store
//		})
//	}
package storagetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// Open opens a store whose records expire by the clock now.
//
// The directory dir exists, is the test's own and empty at first. The suite opens the same one
// again, after it has closed the first store, to see what was kept. A store that keeps its
// records elsewhere takes dir as the unique name of the place.
//
// A store with a Close method is closed by the suite, as an io.Closer; anything else that is to
// be released, Open hands to t.Cleanup. Open fails the test when it cannot open the store.
type Open func(t *testing.T, dir string, now func() time.Time) storage.Store

// Run runs the suite, every test on a store of its own.
func Run(t *testing.T, open Open) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Records", recordTests},
		{"Expiry", expiryTests},
		{"Moves", moveTests},
		{"Find", findTests},
		{"Walk", walkTests},
		{"Replace", replaceTests},
		{"Limits", limitTests},
		{"Lifecycle", lifecycleTests},
		{"Concurrency", concurrencyTests},
		{"History", historyTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, test := range group.tests {
				t.Run(test.name, func(t *testing.T) { test.run(newFixture(t, open)) })
			}
		})
	}
}

type test struct {
	name string
	run  func(*fixture)
}

// fixture is an empty store with a clock, and short words for what the tests do with it.
type fixture struct {
	*testing.T
	clock Clock
	store storage.Store
	open  func() storage.Store
}

func newFixture(t *testing.T, open Open) *fixture {
	f := &fixture{T: t}
	dir := t.TempDir()
	f.open = func() storage.Store {
		s := open(t, dir, f.clock.Now)
		if closer, ok := s.(io.Closer); ok {
			t.Cleanup(func() {
				if err := closer.Close(); err != nil {
					t.Errorf("Close: %v", err)
				}
			})
		}
		return s
	}
	f.store = f.open()
	return f
}

// record returns a record that lives for an hour.
func (f *fixture) record(key, value string, terms ...string) storage.Record {
	return storage.Record{Key: key, Value: []byte(value), Expiry: f.clock.Now().Add(time.Hour), Terms: terms}
}

// create writes a record where there must be none.
func (f *fixture) create(r storage.Record) storage.Revision {
	f.Helper()
	return f.swap(r.Key, 0, r)
}

func (f *fixture) swap(key string, rev storage.Revision, next storage.Record) storage.Revision {
	f.Helper()
	got, err := f.store.CompareAndSwap(f.Context(), key, rev, next)
	if err != nil {
		f.Fatalf("CompareAndSwap(%q, %d, %q): %v", key, rev, next.Key, err)
	}
	if got == 0 {
		f.Fatalf("CompareAndSwap(%q) gave the zero revision, which stands for absence", key)
	}
	if got == rev {
		f.Fatalf("CompareAndSwap(%q) gave revision %d again", key, rev)
	}
	return got
}

func (f *fixture) swapFails(want error, key string, rev storage.Revision, next storage.Record) {
	f.Helper()
	if got, err := f.store.CompareAndSwap(f.Context(), key, rev, next); !errors.Is(err, want) {
		f.Errorf("CompareAndSwap(%q, %d, %q) = %d, %v; want error %q", abbreviate(key), rev, abbreviate(next.Key), got, err, want)
	}
}

func (f *fixture) delete(key string, rev storage.Revision) {
	f.Helper()
	if err := f.store.Delete(f.Context(), key, rev); err != nil {
		f.Fatalf("Delete(%q, %d): %v", key, rev, err)
	}
}

func (f *fixture) deleteFails(want error, key string, rev storage.Revision) {
	f.Helper()
	if err := f.store.Delete(f.Context(), key, rev); !errors.Is(err, want) {
		f.Errorf("Delete(%q, %d) = %v; want error %q", abbreviate(key), rev, err, want)
	}
}

// has checks that the record is stored at revision rev, and returns what Get did.
func (f *fixture) has(want storage.Record, rev storage.Revision) storage.Record {
	f.Helper()
	got, gotRev, err := f.store.Get(f.Context(), want.Key)
	if err != nil {
		f.Fatalf("Get(%q): %v", want.Key, err)
	}
	if gotRev != rev {
		f.Errorf("Get(%q) has revision %d, want %d", want.Key, gotRev, rev)
	}
	f.same(got, want)
	return got
}

func (f *fixture) same(got, want storage.Record) {
	f.Helper()
	if got.Key != want.Key {
		f.Errorf("record has key %q, want %q", got.Key, want.Key)
	}
	if !bytes.Equal(got.Value, want.Value) {
		f.Errorf("record %q has value %q, want %q", want.Key, abbreviate(string(got.Value)), abbreviate(string(want.Value)))
	}
	if early := want.Expiry.Sub(got.Expiry); early < 0 || early >= time.Millisecond {
		f.Errorf("record %q has expiry %v, want %v, or less than a millisecond before it", want.Key, got.Expiry, want.Expiry)
	}
	gotTerms, wantTerms := slices.Sorted(slices.Values(got.Terms)), slices.Sorted(slices.Values(want.Terms))
	if !slices.Equal(gotTerms, wantTerms) {
		f.Errorf("record %q has terms %q, want %q", want.Key, gotTerms, wantTerms)
	}
}

func (f *fixture) lacks(key string) {
	f.Helper()
	if got, rev, err := f.store.Get(f.Context(), key); !errors.Is(err, storage.ErrNotFound) {
		f.Errorf("Get(%q) = %+v, %d, %v; want error %q", abbreviate(key), got, rev, err, storage.ErrNotFound)
	}
}

// finds checks which keys carry the term.
func (f *fixture) finds(term string, want ...string) {
	f.Helper()
	f.findsPage(term, "", len(want)+1, want...)
}

func (f *fixture) findsPage(term, after string, limit int, want ...string) {
	f.Helper()
	got, err := f.store.Find(f.Context(), term, after, limit)
	if err != nil {
		f.Fatalf("Find(%q, %q, %d): %v", term, after, limit, err)
	}
	if !slices.Equal(got, want) {
		f.Errorf("Find(%q, %q, %d) = %q, want %q", term, after, limit, got, want)
	}
}

func (f *fixture) findFails(want error, ctx context.Context, term, after string, limit int) {
	f.Helper()
	if got, err := f.store.Find(ctx, term, after, limit); !errors.Is(err, want) {
		f.Errorf("Find(%q, %q, %d) = %q, %v; want error %q", abbreviate(term), abbreviate(after), limit, got, err, want)
	}
}

// abbreviate keeps failures readable when a test is about length.
func abbreviate(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
