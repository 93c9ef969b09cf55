package storagetest

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/caddy-multi-session/gateway/storage"
)

var findTests = []test{
	{"keys come in ascending byte order", func(f *fixture) {
		keys := []string{"b", "a", "\xff", "B", "aa", "a\x01", "ä", "10", "9", "\x01", "a\xff"}
		for _, key := range keys {
			f.create(f.record(key, "", "t"))
		}
		f.finds("t", slices.Sorted(slices.Values(keys))...)
	}},
	{"a page holds at most limit keys, all greater than after", func(f *fixture) {
		for _, key := range []string{"a", "b", "c", "d", "e"} {
			f.create(f.record(key, "", "t"))
		}
		f.findsPage("t", "", 1, "a")
		f.findsPage("t", "", 4, "a", "b", "c", "d")
		f.findsPage("t", "", 5, "a", "b", "c", "d", "e")
		f.findsPage("t", "", 6, "a", "b", "c", "d", "e")
		f.findsPage("t", "b", 2, "c", "d")
		f.findsPage("t", "d", 2, "e")
		f.findsPage("t", "e", 2)
		f.findsPage("t", "z", 2)
	}},
	{"after need not be a key", func(f *fixture) {
		for _, key := range []string{"a", "aa", "ab", "b"} {
			f.create(f.record(key, "", "t"))
		}
		f.findsPage("t", "A", 9, "a", "aa", "ab", "b")
		f.findsPage("t", "a", 9, "aa", "ab", "b")
		f.findsPage("t", "a\x01", 9, "aa", "ab", "b")
		f.findsPage("t", "aaa", 9, "ab", "b")
		f.findsPage("t", "\xff", 9)
	}},
	{"a record is found by each of its terms", func(f *fixture) {
		f.create(f.record("a", "", "t1", "t2", "t3"))
		f.create(f.record("b", "", "t2"))
		f.create(f.record("c", ""))
		f.finds("t1", "a")
		f.finds("t2", "a", "b")
		f.finds("t3", "a")
	}},
	{"a swap changes what a record is found by", func(f *fixture) {
		rev := f.create(f.record("a", "", "t1", "t2"))
		rev = f.swap("a", rev, f.record("a", "", "t2", "t3"))
		f.finds("t1")
		f.finds("t2", "a")
		f.finds("t3", "a")
		rev = f.swap("a", rev, f.record("a", ""))
		f.finds("t2")
		f.finds("t3")
		f.swap("a", rev, f.record("a", "", "t1"))
		f.finds("t1", "a")
	}},
	{"no term reaches into another", func(f *fixture) {
		// An index that joins term and key with a byte that either may have, or with none, takes
		// the record for one that carries "a", and the bait, which is there, for what it found.
		for i, separator := range []string{"", "\x01", "\xff", " ", ":", "/", "|", "*"} {
			key := fmt.Sprint("key-", i)
			bait := "b" + separator + key
			f.create(f.record(bait, ""))
			f.create(f.record(key, "", "a"+separator+"b"))
			f.finds("a"+separator+"b", key)
		}
		f.finds("a")
		f.finds("*")
		f.finds("a*")
	}},
	{"a term is not a key", func(f *fixture) {
		f.create(f.record("a", "", "b"))
		f.lacks("b")
		f.finds("a")
	}},
	{"a huge limit costs nothing", func(f *fixture) {
		f.create(f.record("a", "", "t"))
		f.findsPage("t", "", math.MaxInt, "a")
	}},
	{"what Find returns is the caller's", func(f *fixture) {
		f.create(f.record("a", "", "t"))
		got, err := f.store.Find(f.Context(), "t", "", 9)
		if err != nil || len(got) != 1 {
			f.Fatalf("Find = %q, %v", got, err)
		}
		got[0] = "x"
		f.finds("t", "a")
	}},
	{"many records share a term", testManySharers},
}

func testManySharers(f *fixture) {
	const records, writers, page = 600, 50, 64
	var keys []string
	var wg sync.WaitGroup
	for i := range records {
		keys = append(keys, fmt.Sprintf("key-%04d", i))
	}
	for w := range writers {
		wg.Go(func() {
			for i := w; i < records; i += writers {
				r := f.record(keys[i], "", "shared", fmt.Sprintf("own-%d", i%10))
				if _, err := f.store.CompareAndSwap(f.Context(), keys[i], 0, r); err != nil {
					f.Errorf("CompareAndSwap(%q): %v", keys[i], err)
				}
			}
		})
	}
	wg.Wait()

	f.equalKeys(f.findAll("shared", page), keys)
	var sevens []string
	for i := 7; i < records; i += 10 {
		sevens = append(sevens, keys[i])
	}
	f.equalKeys(f.findAll("own-7", page), sevens)
}

// findAll pages through all keys that carry the term.
func (f *fixture) findAll(term string, limit int) []string {
	f.Helper()
	all, err := findAll(f.Context(), f.store, term, limit)
	if err != nil {
		f.Fatalf("Find(%q): %v", term, err)
	}
	return all
}

func (f *fixture) equalKeys(got, want []string) {
	f.Helper()
	if !slices.Equal(got, want) {
		f.Errorf("found %d keys %q, want %d %q", len(got), got, len(want), want)
	}
}

func findAll(ctx context.Context, s storage.Store, term string, limit int) ([]string, error) {
	var all []string
	for after := ""; ; after = all[len(all)-1] {
		page, err := s.Find(ctx, term, after, limit)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if len(page) < limit {
			return all, nil
		}
	}
}
