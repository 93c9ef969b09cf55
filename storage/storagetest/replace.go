package storagetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// What a store promises that is a storage.Replacer.
var replaceTests = []test{
	{"everything is replaced", replacing(func(f *fixture, replace replaceFunc) {
		f.create(f.record("old", "", "t"))
		f.create(f.record("both", "old", "t"))
		f.must(replace(f.record("both", "new", "u"), f.record("new", "", "t")))
		f.walks("", "both", "new")
		f.finds("t", "new")
		f.finds("u", "both")
		if r, _, err := f.store.Get(f.Context(), "both"); err != nil || string(r.Value) != "new" {
			f.Errorf("Get: %+v, %v", r, err)
		}
	})},
	{"by nothing", replacing(func(f *fixture, replace replaceFunc) {
		f.create(f.record("old", "", "t"))
		f.must(replace())
		f.walks("")
		f.finds("t")
		f.create(f.record("old", ""))
	})},
	{"no revision comes again", replacing(func(f *fixture, replace replaceFunc) {
		seen := map[storage.Revision]bool{f.create(f.record("a", "")): true}
		old := f.create(f.record("b", ""))
		seen[old] = true
		f.must(replace(f.record("a", ""), f.record("b", "")))
		f.swapFails(storage.ErrConflict, "b", old, f.record("b", "by the old revision"))
		for _, key := range []string{"a", "b"} {
			_, rev, err := f.store.Get(f.Context(), key)
			if err != nil || seen[rev] {
				f.Errorf("%s has revision %d again, %v", key, rev, err)
			}
			seen[rev] = true
			f.swap(key, rev, f.record(key, "by the new revision"))
		}
	})},
	{"what has expired is dropped", replacing(func(f *fixture, replace replaceFunc) {
		expired := f.record("a", "", "t")
		expired.Expiry = f.clock.Now()
		f.must(replace(expired, storage.Record{Key: "b", Expiry: f.clock.Now().Add(time.Second)}))
		f.walks("", "b")
		f.clock.Advance(time.Second)
		f.walks("")
	})},
	{"a refused content changes nothing", replacing(func(f *fixture, replace replaceFunc) {
		rev := f.create(f.record("old", "", "t"))
		for name, bad := range map[string][]storage.Record{
			"a key twice":         {f.record("a", ""), f.record("b", ""), f.record("a", "")},
			"an empty key":        {f.record("a", ""), f.record("", "")},
			"a term twice":        {f.record("a", "", "t", "t")},
			"no expiry":           {{Key: "a"}},
			"a value that is big": {f.record("a", strings.Repeat("x", storage.MaxValueBytes+1))},
		} {
			if err := replace(bad...); !errors.Is(err, storage.ErrInvalid) {
				f.Errorf("%s: %v", name, err)
			}
		}
		f.walks("", "old")
		f.swap("old", rev, f.record("old", ""))
	})},
	{"a source that fails changes nothing", func(f *fixture) {
		replacer := f.replacer()
		rev := f.create(f.record("old", "", "t"))
		broken := errors.New("the source is broken")
		err := replacer.Replace(f.Context(), func(yield func(storage.Record, error) bool) {
			_ = yield(f.record("a", ""), nil) && yield(storage.Record{}, broken)
		})
		if !errors.Is(err, broken) {
			f.Errorf("Replace: %v", err)
		}
		f.walks("", "old")
		f.has(f.record("old", "", "t"), rev)
	}},
	{"a replacement ends with its context and changes nothing", func(f *fixture) {
		replacer := f.replacer()
		f.create(f.record("old", ""))
		ctx, cancel := context.WithCancel(f.Context())
		err := replacer.Replace(ctx, func(yield func(storage.Record, error) bool) {
			_ = yield(f.record("a", ""), nil)
			cancel()
			_ = yield(f.record("b", ""), nil)
		})
		if !errors.Is(err, context.Canceled) {
			f.Errorf("Replace = %v, want error %q", err, context.Canceled)
		}
		f.walks("", "old")
	}},
	{"what was handed in is the caller's own", replacing(func(f *fixture, replace replaceFunc) {
		want, given := f.record("a", "value", "t1", "t2"), f.record("a", "value", "t1", "t2")
		f.must(replace(given))
		given.Value[0], given.Terms[0] = 'X', "X"
		for _, got := range f.walk("") {
			f.same(got, want)
		}
		f.finds("t1", "a")
		f.finds("X")
	})},
	{"many records in no order", replacing(func(f *fixture, replace replaceFunc) {
		const many = 3000
		var records []storage.Record
		var keys []string
		for i := range many {
			keys = append(keys, fmt.Sprintf("%04d", i*7919%many))
			records = append(records, f.record(keys[i], "of "+keys[i], "all", fmt.Sprint("own-", i%10)))
		}
		f.create(f.record("0007", "old", "all", "old"))
		f.must(replace(records...))
		slices.Sort(keys)
		f.walks("", keys...)
		f.equalKeys(f.findAll("all", 100), keys)
		f.finds("old")
		revisions := map[storage.Revision]bool{}
		for _, r := range records {
			got, rev, err := f.store.Get(f.Context(), r.Key)
			if err != nil || revisions[rev] {
				f.Fatalf("Get(%q): revision %d, %v", r.Key, rev, err)
			}
			f.same(got, r)
			revisions[rev] = true
		}
	})},
	{"what is replaced is kept", replacing(func(f *fixture, replace replaceFunc) {
		f.create(f.record("old", ""))
		f.must(replace(f.record("new", "value", "t")))
		f.reopen()
		f.walks("", "new")
		f.finds("t", "new")
	})},
	{"readers see all of the old or all of the new", replacing(testReplaceIsAtomic)},
}

type replaceFunc func(...storage.Record) error

// replacing makes a test of one for stores that are a storage.Replacer.
func replacing(run func(*fixture, replaceFunc)) func(*fixture) {
	return func(f *fixture) {
		replacer := f.replacer()
		run(f, func(records ...storage.Record) error { return replacer.Replace(f.Context(), sequence(records)) })
	}
}

// replacer is the store as one that can be replaced; a test of another store is skipped.
func (f *fixture) replacer() storage.Replacer {
	f.Helper()
	replacer, ok := f.store.(storage.Replacer)
	if !ok {
		f.Skip("the store is no storage.Replacer")
	}
	return replacer
}

func sequence(records []storage.Record) iter.Seq2[storage.Record, error] {
	return func(yield func(storage.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (f *fixture) must(err error) {
	f.Helper()
	if err != nil {
		f.Fatal(err)
	}
}

func testReplaceIsAtomic(f *fixture, replace replaceFunc) {
	const records = 20
	generation := func(n int) []storage.Record {
		var all []storage.Record
		for i := range records {
			all = append(all, f.record(fmt.Sprintf("%02d", i), fmt.Sprint(n), "all"))
		}
		return all
	}
	f.must(replace(generation(0)...))
	ctx, stop := context.WithCancel(f.Context())
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for ctx.Err() == nil {
				var values []string
				err := f.store.Walk(f.Context(), "", func(r storage.Record) error { values = append(values, string(r.Value)); return nil })
				if err != nil || len(values) != records || len(slices.Compact(values)) != 1 {
					f.Errorf("walked to %v, %v", values, err)
					return
				}
				if keys, err := f.store.Find(f.Context(), "all", "", 2*records); err != nil || len(keys) != records {
					f.Errorf("found %d records, %v", len(keys), err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		for ctx.Err() == nil {
			// Conflicts whenever it is too late, and else is one of a whole generation's.
			r, rev, err := f.store.Get(f.Context(), "07")
			if err == nil {
				_, err = f.store.CompareAndSwap(f.Context(), "07", rev, r)
			}
			if err != nil && !errors.Is(err, storage.ErrConflict) {
				f.Error(err)
				return
			}
		}
	})
	for n := range 20 {
		if err := replace(generation(n)...); err != nil {
			f.Error(err)
		}
	}
	stop()
	wg.Wait()
}
