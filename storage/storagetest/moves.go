package storagetest

import (
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

var moveTests = []test{
	{"a moved record is found under its new key only", func(f *fixture) {
		rev := f.create(f.record("a", "1", "stays", "goes"))
		next := f.record("b", "2", "stays", "comes")
		nextRev := f.swap("a", rev, next)
		f.lacks("a")
		f.has(next, nextRev)
		f.finds("stays", "b")
		f.finds("goes")
		f.finds("comes", "b")
	}},
	{"the old key is dead once a record has moved", func(f *fixture) {
		old := f.create(f.record("a", "v", "t"))
		r := f.record("b", "v", "t")
		rev := f.swap("a", old, r)
		for _, stale := range []storage.Revision{old, rev} {
			f.swapFails(storage.ErrConflict, "a", stale, f.record("a", "stale"))
			f.swapFails(storage.ErrConflict, "a", stale, f.record("c", "stale"))
			f.deleteFails(storage.ErrConflict, "a", stale)
		}
		f.swapFails(storage.ErrConflict, "b", old, f.record("b", "stale"))
		f.has(r, rev)
		f.lacks("c")
	}},
	{"a move onto a live record is a conflict", func(f *fixture) {
		a, b := f.record("a", "1", "t"), f.record("b", "2", "t")
		revA, revB := f.create(a), f.create(b)
		f.swapFails(storage.ErrConflict, "a", revA, f.record("b", "3", "u"))
		f.swapFails(storage.ErrConflict, "a", revB, f.record("b", "3", "u"))
		f.has(a, revA)
		f.has(b, revB)
		f.finds("t", "a", "b")
		f.finds("u")
	}},
	{"a move from another revision is a conflict", func(f *fixture) {
		a := f.record("a", "1", "t")
		rev := f.create(a)
		f.swapFails(storage.ErrConflict, "a", rev+1, f.record("b", "2", "u"))
		f.swapFails(storage.ErrConflict, "x", rev, f.record("b", "2", "u"))
		f.has(a, rev)
		f.lacks("b")
		f.finds("u")
	}},
	{"a move onto an expired record takes its place", func(f *fixture) {
		expired := f.record("b", "old", "t", "old")
		expired.Expiry = f.clock.Now().Add(time.Second)
		f.create(expired)
		rev := f.create(f.record("a", "1", "t"))
		f.clock.Advance(time.Second)
		next := f.record("b", "2", "t")
		nextRev := f.swap("a", rev, next)
		f.lacks("a")
		f.has(next, nextRev)
		f.finds("t", "b")
		f.finds("old")
	}},
	{"the key that a record left can be written anew", func(f *fixture) {
		old := f.create(f.record("a", "1", "t"))
		moved := f.record("b", "1", "t")
		movedRev := f.swap("a", old, moved)
		fresh := f.record("a", "2", "t")
		freshRev := f.create(fresh)
		if freshRev == old {
			f.Errorf("key was given revision %d again", old)
		}
		f.has(moved, movedRev)
		f.has(fresh, freshRev)
		f.finds("t", "a", "b")
	}},
	{"a record that moves back is not where it was", func(f *fixture) {
		first := f.create(f.record("a", "v", "t"))
		away := f.swap("a", first, f.record("b", "v", "t"))
		r := f.record("a", "v", "t")
		back := f.swap("b", away, r)
		if back == first {
			f.Errorf("key was given revision %d again", first)
		}
		f.swapFails(storage.ErrConflict, "a", first, f.record("a", "stale"))
		f.has(r, back)
		f.lacks("b")
		f.finds("t", "a")
	}},
	{"a record may move and end at once", func(f *fixture) {
		rev := f.create(f.record("a", "v", "t"))
		ended := f.record("b", "v", "t")
		ended.Expiry = f.clock.Now()
		f.swap("a", rev, ended)
		f.lacks("a")
		f.lacks("b")
		f.finds("t")
	}},
}
