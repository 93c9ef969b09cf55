package storagetest

import (
	"slices"

	"github.com/caddy-multi-session/gateway/storage"
)

var recordTests = []test{
	{"a key that was never written is not found", func(f *fixture) {
		f.lacks("a")
		f.finds("t")
	}},
	{"what was written is read back", func(f *fixture) {
		r := f.record("a", "value", "t2", "t1")
		f.has(r, f.create(r))
	}},
	{"an empty value and no terms are a record too", func(f *fixture) {
		r := f.record("a", "")
		f.has(r, f.create(r))
	}},
	{"keys, values and terms are bytes, not text", func(f *fixture) {
		r := f.record("\xff\xfe\x01\n\xc3", "\x00\xff\x00", "\xff", "\x01", "*?[a]{b}:\r\n")
		f.has(r, f.create(r))
		f.finds("\xff", r.Key)
		f.finds("*?[a]{b}:\r\n", r.Key)
		f.lacks("\xff\xfe\x01\n")
	}},
	{"keys differ by every byte", func(f *fixture) {
		keys := []string{"a", "A", "a ", " a", "a\x01", "aa", "ä", "a\u0308"}
		revisions := map[string]storage.Revision{}
		for _, key := range keys {
			revisions[key] = f.create(f.record(key, "of "+key))
		}
		for _, key := range keys {
			f.has(f.record(key, "of "+key), revisions[key])
		}
	}},
	{"a swap replaces value, expiry and terms", func(f *fixture) {
		rev := f.create(f.record("a", "old", "t1", "t2"))
		f.clock.Advance(1)
		next := f.record("a", "new", "t2", "t3")
		f.has(next, f.swap("a", rev, next))
	}},
	{"creating over a live record is a conflict", func(f *fixture) {
		r := f.record("a", "first")
		rev := f.create(r)
		f.swapFails(storage.ErrConflict, "a", 0, f.record("a", "second", "t"))
		f.has(r, rev)
		f.finds("t")
	}},
	{"a swap of an absent record is a conflict", func(f *fixture) {
		f.swapFails(storage.ErrConflict, "a", 1, f.record("a", "v", "t"))
		f.lacks("a")
		f.finds("t")
	}},
	{"a swap from an older revision is a conflict", func(f *fixture) {
		old := f.create(f.record("a", "1"))
		r := f.record("a", "2", "t2")
		rev := f.swap("a", old, r)
		f.swapFails(storage.ErrConflict, "a", old, f.record("a", "3", "t3"))
		f.swapFails(storage.ErrConflict, "a", rev+1, f.record("a", "3", "t3"))
		f.has(r, rev)
		f.finds("t2", "a")
		f.finds("t3")
	}},
	{"a revision of one record does not open another", func(f *fixture) {
		a, b := f.record("a", "v", "t"), f.record("b", "v", "t")
		revA, revB := f.create(a), f.create(b)
		if revA == revB {
			f.Skip("the store numbers every record by itself")
		}
		f.swapFails(storage.ErrConflict, "a", revB, f.record("a", "w"))
		f.deleteFails(storage.ErrConflict, "b", revA)
		f.has(a, revA)
		f.has(b, revB)
	}},
	{"a deleted record is gone", func(f *fixture) {
		rev := f.create(f.record("a", "v", "t"))
		f.create(f.record("b", "v", "t"))
		f.delete("a", rev)
		f.lacks("a")
		f.finds("t", "b")
	}},
	{"a delete at another revision is a conflict", func(f *fixture) {
		old := f.create(f.record("a", "1", "t"))
		r := f.record("a", "2", "t")
		rev := f.swap("a", old, r)
		f.deleteFails(storage.ErrConflict, "a", old)
		f.deleteFails(storage.ErrConflict, "a", 0)
		f.has(r, rev)
		f.finds("t", "a")
	}},
	{"a delete of an absent record is a conflict", func(f *fixture) {
		f.deleteFails(storage.ErrConflict, "a", 0)
		f.deleteFails(storage.ErrConflict, "a", 1)
		rev := f.create(f.record("a", "v"))
		f.delete("a", rev)
		f.deleteFails(storage.ErrConflict, "a", rev)
	}},
	{"the same content written again is a new revision", func(f *fixture) {
		r := f.record("a", "v", "t")
		rev := f.create(r)
		next := f.swap("a", rev, r)
		f.swapFails(storage.ErrConflict, "a", rev, r)
		f.has(r, next)
	}},
	{"a revision from before a delete is dead for ever", func(f *fixture) {
		seen := map[storage.Revision]bool{}
		for range 20 {
			rev := f.create(f.record("a", "v"))
			if seen[rev] {
				f.Fatalf("revision %d was given twice", rev)
			}
			for old := range seen {
				f.swapFails(storage.ErrConflict, "a", old, f.record("a", "stale"))
				f.deleteFails(storage.ErrConflict, "a", old)
			}
			seen[rev] = true
			f.delete("a", rev)
		}
	}},
	{"what the caller wrote from is the caller's", func(f *fixture) {
		r := f.record("a", "value", "t1", "t2")
		want := r
		want.Value, want.Terms = slices.Clone(r.Value), slices.Clone(r.Terms)
		rev := f.create(r)
		copy(r.Value, "XXXXX")
		r.Terms[0], r.Terms[1] = "x", "y"
		f.has(want, rev)
		f.finds("t1", "a")
		f.finds("x")
	}},
	{"writing does not disturb the caller's record", func(f *fixture) {
		r := f.record("a", "value", "t3", "t1", "t2")
		f.create(r)
		if string(r.Value) != "value" || !slices.Equal(r.Terms, []string{"t3", "t1", "t2"}) {
			f.Errorf("the caller's record became %q, %q", r.Value, r.Terms)
		}
	}},
	{"what was read is the caller's", func(f *fixture) {
		want := f.record("a", "value", "t1", "t2")
		rev := f.create(want)
		got := f.has(want, rev)
		copy(got.Value, "XXXXX")
		got.Terms[0], got.Terms[1] = "x", "y"
		_ = append(got.Value, "more"...)
		_ = append(got.Terms, "more")
		f.has(want, rev)
	}},
	{"what was read stays as it was after later writes", func(f *fixture) {
		want := f.record("a", "value", "t1", "t2")
		rev := f.create(want)
		got := f.has(want, rev)
		rev = f.swap("a", rev, f.record("a", "other", "t3"))
		f.delete("a", rev)
		for i := range 50 {
			f.create(f.record(string(rune('b'+i)), "filler", "t1"))
		}
		f.same(got, want)
	}},
}
