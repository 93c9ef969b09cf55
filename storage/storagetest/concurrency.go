package storagetest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/caddy-multi-session/gateway/storage"
)

var concurrencyTests = []test{
	{"concurrent increments lose none", testIncrements},
	{"of many that create a record one does", func(f *fixture) {
		f.oneWins(func(i int) error {
			return f.swapWith(f.Context(), "a", 0, f.record("a", fmt.Sprint(i), fmt.Sprint("by ", i)))
		}, func(winner int) {
			got, rev, err := f.store.Get(f.Context(), "a")
			if err != nil {
				f.Fatal(err)
			}
			f.same(got, f.record("a", fmt.Sprint(winner), fmt.Sprint("by ", winner)))
			f.finds(fmt.Sprint("by ", winner), "a")
			f.delete("a", rev)
		})
	}},
	{"of many that delete a record one does", func(f *fixture) {
		rev := f.create(f.record("a", "v", "t"))
		f.oneWins(func(int) error {
			return f.store.Delete(f.Context(), "a", rev)
		}, func(int) {
			f.lacks("a")
			f.finds("t")
		})
	}},
	{"of many that move a record one does", func(f *fixture) {
		rev := f.create(f.record("a", "v", "t"))
		key := func(i int) string { return fmt.Sprint("b", i) }
		f.oneWins(func(i int) error {
			return f.swapWith(f.Context(), "a", rev, f.record(key(i), "v", "t"))
		}, func(winner int) {
			f.lacks("a")
			f.finds("t", key(winner))
		})
	}},
	{"of many that move to one key one does", func(f *fixture) {
		key := func(i int) string { return fmt.Sprintf("a%02d", i) }
		var revisions []storage.Revision
		for i := range contenders {
			revisions = append(revisions, f.create(f.record(key(i), "v", "t")))
		}
		f.oneWins(func(i int) error {
			return f.swapWith(f.Context(), key(i), revisions[i], f.record("b", "v", "t"))
		}, func(winner int) {
			want := []string{"b"}
			for i := range contenders {
				if i != winner {
					want = append(want, key(i))
				}
			}
			f.finds("t", slices.Sorted(slices.Values(want))...)
		})
	}},
	{"of a move and a delete one happens", func(f *fixture) {
		for range 20 {
			rev := f.create(f.record("a", "v", "t"))
			f.oneWins(func(i int) error {
				if i%2 == 0 {
					return f.store.Delete(f.Context(), "a", rev)
				}
				return f.swapWith(f.Context(), "a", rev, f.record("b", "v", "t"))
			}, func(winner int) {
				f.lacks("a")
				if winner%2 == 0 {
					f.lacks("b")
					f.finds("t")
					return
				}
				f.finds("t", "b")
				_, rev, err := f.store.Get(f.Context(), "b")
				if err != nil {
					f.Fatal(err)
				}
				f.delete("b", rev)
			})
		}
	}},
	{"no reader sees half a write", testTornReads},
	{"no reader sees half a move", testHalfMoves},
}

const contenders = 32

// oneWins checks that one of the concurrent calls succeeds and all others find a conflict, and
// has the result checked.
func (f *fixture) oneWins(call func(i int) error, check func(winner int)) {
	f.Helper()
	var wg sync.WaitGroup
	start := make(chan struct{})
	errs := make([]error, contenders)
	for i := range contenders {
		wg.Go(func() {
			<-start
			errs[i] = call(i)
		})
	}
	close(start)
	wg.Wait()
	winner := -1
	for i, err := range errs {
		switch {
		case err == nil && winner < 0:
			winner = i
		case err == nil:
			f.Fatalf("both %d and %d succeeded", winner, i)
		case !errors.Is(err, storage.ErrConflict):
			f.Errorf("%d failed with %v, want %q", i, err, storage.ErrConflict)
		}
	}
	if winner < 0 {
		f.Fatalf("none succeeded")
	}
	check(winner)
}

func testIncrements(f *fixture) {
	const counters, goroutines, increments = 8, 64, 8
	count := func(key string) (uint64, storage.Revision, error) {
		r, rev, err := f.store.Get(f.Context(), key)
		if errors.Is(err, storage.ErrNotFound) {
			return 0, 0, nil
		}
		if err != nil {
			return 0, 0, err
		}
		return binary.BigEndian.Uint64(r.Value), rev, nil
	}
	increment := func(key string) error {
		for {
			n, rev, err := count(key)
			if err != nil {
				return err
			}
			next := f.record(key, "", "counter")
			next.Value = binary.BigEndian.AppendUint64(nil, n+1)
			if err := f.swapWith(f.Context(), key, rev, next); !errors.Is(err, storage.ErrConflict) {
				return err
			}
		}
	}

	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for range increments {
				if err := increment(fmt.Sprint(g % counters)); err != nil {
					f.Errorf("increment: %v", err)
					return
				}
			}
		})
	}
	wg.Wait()

	for i := range counters {
		n, _, err := count(fmt.Sprint(i))
		if want := uint64(increments * goroutines / counters); err != nil || n != want {
			f.Errorf("counter %d stands at %d, %v; want %d", i, n, err, want)
		}
	}
}

// whileReading runs write and, at least until it has ended, some readers over and over. One that
// finds a fault stops.
func (f *fixture) whileReading(write func(), read func() error) {
	var done atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for {
				last := done.Load()
				if err := read(); err != nil {
					f.Error(err)
					return
				}
				if last {
					return
				}
			}
		})
	}
	defer wg.Wait()
	defer done.Store(true)
	write()
}

func testTornReads(f *fixture) {
	const writes, size = 100, 20_000 // more than a page of any database
	version := func(i int) storage.Record {
		r := f.record("a", "", fmt.Sprint("odd-", i%2), fmt.Sprint("version-", i))
		r.Value = bytes.Repeat([]byte{byte(i)}, size+i)
		return r
	}
	rev := f.create(version(0))
	f.whileReading(func() {
		for i := 1; i <= writes; i++ {
			rev = f.swap("a", rev, version(i))
		}
	}, func() error {
		r, _, err := f.store.Get(f.Context(), "a")
		if err != nil {
			return err
		}
		i := len(r.Value) - size
		if i < 0 || i > writes {
			return fmt.Errorf("read a value of %d bytes", len(r.Value))
		}
		want := version(i)
		slices.Sort(r.Terms)
		if !bytes.Equal(r.Value, want.Value) || !slices.Equal(r.Terms, want.Terms) {
			return fmt.Errorf("read a record of two versions: %d bytes, terms %q", len(r.Value), r.Terms)
		}
		return nil
	})
}

func testHalfMoves(f *fixture) {
	const moves = 100
	keys := []string{"a", "z"}
	f.create(f.record("m", "", "t"))
	rev := f.create(f.record(keys[0], "", "t"))
	f.whileReading(func() {
		for i := range moves {
			rev = f.swap(keys[i%2], rev, f.record(keys[(i+1)%2], "", "t"))
		}
	}, func() error {
		got, err := f.store.Find(f.Context(), "t", "", 9)
		if err != nil {
			return err
		}
		if len(got) != 2 {
			return fmt.Errorf("found %q, want m and one of %q", got, keys)
		}
		return nil
	})
}
