package storagetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
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
	{"what expires during a walk is still of its instant", func(f *fixture) {
		for i, key := range []string{"a", "b", "c"} {
			r := f.record(key, "")
			r.Expiry = f.clock.Now().Add(time.Duration(i+1) * time.Second)
			f.create(r)
		}
		f.clock.Advance(time.Second)
		met := ""
		err := f.store.Walk(f.Context(), "", func(r storage.Record) error {
			met += r.Key
			f.clock.Advance(time.Minute)
			return nil
		})
		if err != nil || met != "bc" {
			f.Errorf("met %q, %v; want b and c", met, err)
		}
		f.walks("")
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
	{"a walk meets a record that moves once", testWalkOfAMove},
	{"a walk is of one instant", testWalkOfOneInstant},
}

// testWalkOfOneInstant counts many records up, one after the other, in the order of their keys: at any
// instant the first ones are one ahead of the rest. A walk that is a little of before and a little of
// after meets a record that is ahead of an earlier one.
func testWalkOfOneInstant(f *fixture) {
	const records, rounds = 32, 3
	key := func(i int) string { return fmt.Sprintf("%02d", i) }
	revisions := make([]storage.Revision, records)
	for i := range records {
		revisions[i] = f.create(f.record(key(i), "0"))
	}
	f.whileReading(func() {
		for round := range rounds {
			for i := range records {
				revisions[i] = f.swap(key(i), revisions[i], f.record(key(i), fmt.Sprint(round+1)))
			}
		}
	}, func() error {
		var counts []int
		err := f.store.Walk(f.Context(), "", func(r storage.Record) error {
			runtime.Gosched() // the writer goes on
			n, err := strconv.Atoi(string(r.Value))
			counts = append(counts, n)
			return err
		})
		if err != nil {
			return err
		}
		if len(counts) != records || !slices.IsSortedFunc(counts, func(a, b int) int { return b - a }) || counts[0]-counts[records-1] > 1 {
			return fmt.Errorf("a walk met %v, which never was at one instant", counts)
		}
		return nil
	})
}

// testWalkOfAMove moves one record about while it walks.
func testWalkOfAMove(f *fixture) {
	names := []string{"a", "b", "c", "d"}
	rev := f.create(f.record(names[0], ""))
	f.create(f.record("bb", ""))
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			next, err := f.store.CompareAndSwap(f.Context(), names[(i-1)%len(names)], rev, f.record(names[i%len(names)], ""))
			if err != nil {
				f.Error(err)
				return
			}
			rev = next
		}
	})
	for range 200 {
		if met := f.walk(""); len(met) != 2 {
			f.Errorf("met %d records, want 2", len(met))
		}
	}
	close(stop)
	wg.Wait()
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
