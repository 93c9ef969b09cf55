package boltstore

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/caddy-multi-session/gateway/storage"
)

func sequence(records ...storage.Record) iter.Seq2[storage.Record, error] {
	return func(yield func(storage.Record, error) bool) {
		for _, r := range records {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// A replacement that waits among other writes has a transaction of its own, between theirs.
func TestReplaceSharesNoCommit(t *testing.T) {
	bubble(t, func(t *testing.T, s *Store) {
		replacement := func(keys ...string) func() error {
			var records []storage.Record
			for _, key := range keys {
				records = append(records, record(key, "t"))
			}
			return func() error { return s.Replace(t.Context(), sequence(records...)) }
		}
		before := commits(t, s)
		errs := together(t, s,
			creation(t, s, "gone 1"),
			creation(t, s, "gone 2"),
			replacement("gone 3"),
			replacement("b", "a"),
			creation(t, s, "c"),
			creation(t, s, "d"),
			creation(t, s, "a"),
		)
		if err := errors.Join(errs[:6]...); err != nil {
			t.Error(err)
		}
		if !errors.Is(errs[6], storage.ErrConflict) {
			t.Errorf("creating what the replacement had brought: %v", errs[6])
		}
		if n := commits(t, s) - before; n != 4 {
			t.Errorf("two replacements among writes took %d commits, want 4", n)
		}
		if got, err := s.Find(t.Context(), "t", "", 10); err != nil || !slices.Equal(got, []string{"a", "b", "c", "d"}) {
			t.Errorf("stored are %q, %v", got, err)
		}
	})
}

// The records are read before the committer is asked: a source that takes its time, or reads and
// writes the store itself, stops nobody.
func TestSourceOfAReplacementMayUseTheStore(t *testing.T) {
	s := newStore(t)
	put(t, s, record("old"))
	err := s.Replace(t.Context(), func(yield func(storage.Record, error) bool) {
		for i := range 3 {
			put(t, s, record(fmt.Sprint("meanwhile ", i)))
			has(t, s, "old")
			if !yield(record(fmt.Sprint("new ", i)), nil) {
				return
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := sizeOf(t, s), (size{3, 0, 3}); got != want {
		t.Errorf("there are %+v, want %+v", got, want)
	}
	verify(t, s.file.db)
}

// What a replacement needs in the file is used again by the next one.
func TestReplacementsDoNotGrowTheFileForEver(t *testing.T) {
	s := newStore(t)
	var records []storage.Record
	for i := range 2000 {
		records = append(records, record(fmt.Sprint("key-", i), "t"))
	}
	var sizes []int
	for range 6 {
		if err := s.Replace(t.Context(), sequence(records...)); err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, pagesOf(t, s))
	}
	if sizes[5] > sizes[2] {
		t.Errorf("the database has %d pages after one replacement after the other", sizes)
	}
	verify(t, s.file.db)
}
