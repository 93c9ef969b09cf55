package storagetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

var walkTests = []test{
	{"records come in ascending byte order of their keys", func(f *fixture) {
		keys := []string{"b", "a", "\xff", "B", "aa", "a\x01", "ä", "\x01", "a\xff"}
		for _, key := range keys {
			f.create(f.record(key, "value of "+key, "t", key))
		}
		f.walks("", slices.Sorted(slices.Values(keys))...)
	}},
	{"a prefix is held to byte by byte", func(f *fixture) {
		for _, key := range []string{"a", "a\xff", "a\xff\xff", "ab", "b", "\xff", "\xff\xff", "\xffa"} {
			f.create(f.record(key, ""))
		}
		f.walks("a", "a", "ab", "a\xff", "a\xff\xff")
		f.walks("a\xff", "a\xff", "a\xff\xff")
		f.walks("\xff", "\xff", "\xffa", "\xff\xff")
		f.walks("\xff\xff", "\xff\xff")
		f.walks("ab", "ab")
		f.walks("abc")
		f.walks("c")
	}},
	{"an empty store has nothing to walk", func(f *fixture) { f.walks("") }},
	{"a record is handed out whole", func(f *fixture) {
		want := f.record("a", "value", "t1", "t2")
		f.create(want)
		for _, got := range f.walk("") {
			slices.Sort(got.Terms)
			if got.Key != want.Key || string(got.Value) != "value" || !slices.Equal(got.Terms, want.Terms) || got.Expiry.UnixMilli() != want.Expiry.UnixMilli() {
				f.Errorf("walked to %+v, want %+v", got, want)
			}
		}
	}},
	{"expired and deleted records are passed over", func(f *fixture) {
		f.create(storage.Record{Key: "short", Expiry: f.clock.Now().Add(time.Second)})
		f.create(f.record("long", ""))
		rev := f.create(f.record("gone", ""))
		if err := f.store.Delete(f.Context(), "gone", rev); err != nil {
			f.Fatal(err)
		}
		f.walks("", "long", "short")
		f.clock.Advance(time.Second)
		f.walks("", "long")
	}},
	{"what is handed out is the caller's own", func(f *fixture) {
		f.create(f.record("a", "value", "t"))
		for _, r := range f.walk("") {
			r.Value[0], r.Terms[0] = 'X', "X"
		}
		for _, r := range f.walk("") {
			if string(r.Value) != "value" || r.Terms[0] != "t" {
				f.Errorf("the store has %+v", r)
			}
		}
	}},
	{"an error ends the walk and comes back", func(f *fixture) {
		f.create(f.record("a", ""))
		f.create(f.record("b", ""))
		enough, n := errors.New("enough"), 0
		err := f.store.Walk(f.Context(), "", func(storage.Record) error { n++; return fmt.Errorf("visit: %w", enough) })
		if !errors.Is(err, enough) || n != 1 {
			f.Errorf("Walk: %v after %d records", err, n)
		}
	}},
	{"a walk ends with its context", func(f *fixture) {
		f.create(f.record("a", ""))
		f.create(f.record("b", ""))
		ctx, cancel := context.WithCancel(f.Context())
		n := 0
		err := f.store.Walk(ctx, "", func(storage.Record) error { n++; cancel(); return nil })
		if !errors.Is(err, context.Canceled) || n != 1 {
			f.Errorf("Walk: %v after %d records", err, n)
		}
	}},
	{"a prefix outside the limits is refused", func(f *fixture) {
		for _, prefix := range []string{strings.Repeat("x", storage.MaxKeyBytes+1), "a\x00"} {
			err := f.store.Walk(f.Context(), prefix, func(storage.Record) error { return nil })
			if !errors.Is(err, storage.ErrInvalid) {
				f.Errorf("%.10q: %v", prefix, err)
			}
		}
	}},
	{"records that stay are met once, whatever happens to others", testWalkAmidWrites},
	{"a visit may call the store", func(f *fixture) {
		const records = 700
		for i := range records {
			f.create(f.record(fmt.Sprintf("a%03d", i), ""))
		}
		met := 0
		err := f.store.Walk(f.Context(), "a", func(r storage.Record) error {
			met++
			_, rev, err := f.store.Get(f.Context(), r.Key)
			if err != nil {
				return err
			}
			return f.store.Delete(f.Context(), r.Key, rev)
		})
		if err != nil || met != records {
			f.Errorf("met %d records, %v; want %d", met, err, records)
		}
		f.walks("a")
	}},
}

// testWalkAmidWrites walks over many records that stay, while those between them come, move and go.
func testWalkAmidWrites(f *fixture) {
	const records = 600
	var stay []string
	for i := range records {
		key := fmt.Sprintf("%03d", i)
		stay = append(stay, key)
		f.create(f.record(key, ""))
	}
	f.whileReading(func() {
		for i := range 200 {
			from, to := fmt.Sprintf("%03d-from", (i*7)%records), fmt.Sprintf("%03d-to", (i*13)%records)
			rev := f.create(f.record(from, ""))
			f.delete(to, f.swap(from, rev, f.record(to, "")))
		}
	}, func() error {
		var met []string
		err := f.store.Walk(f.Context(), "", func(r storage.Record) error {
			if len(r.Key) == 3 {
				met = append(met, r.Key)
			}
			return nil
		})
		if err == nil && !slices.Equal(met, stay) {
			err = fmt.Errorf("met %d of the records that stay, in order: %t", len(met), slices.IsSorted(met))
		}
		return err
	})
}

func (f *fixture) walk(prefix string) []storage.Record {
	f.Helper()
	var met []storage.Record
	err := f.store.Walk(f.Context(), prefix, func(r storage.Record) error { met = append(met, r); return nil })
	if err != nil {
		f.Fatalf("Walk(%q): %v", prefix, err)
	}
	return met
}

func (f *fixture) walks(prefix string, want ...string) {
	f.Helper()
	var got []string
	for _, r := range f.walk(prefix) {
		got = append(got, r.Key)
	}
	if !slices.Equal(got, want) {
		f.Errorf("Walk(%q) met %q, want %q", prefix, got, want)
	}
}
