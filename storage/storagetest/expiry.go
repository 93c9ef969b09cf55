package storagetest

import (
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// expiring writes a record with one term that expires after d.
func (f *fixture) expiring(key string, d time.Duration) (storage.Record, storage.Revision) {
	f.Helper()
	r := f.record(key, "of "+key, "t")
	r.Expiry = f.clock.Now().Add(d)
	return r, f.create(r)
}

var expiryTests = []test{
	{"a record lives to the last millisecond and no longer", func(f *fixture) {
		r, rev := f.expiring("a", 10*time.Second)
		f.clock.Advance(10*time.Second - time.Millisecond)
		f.has(r, rev)
		f.finds("t", "a")
		f.clock.Advance(time.Millisecond)
		f.lacks("a")
		f.finds("t")
	}},
	{"a record lives to the last nanosecond of a whole millisecond", func(f *fixture) {
		r, rev := f.expiring("a", time.Millisecond)
		f.clock.Advance(time.Millisecond - 1)
		f.has(r, rev)
		f.clock.Advance(1)
		f.lacks("a")
	}},
	{"an expiry between milliseconds is not rounded up", func(f *fixture) {
		f.expiring("a", time.Second+999*time.Microsecond)
		f.clock.Advance(time.Second - 1)
		f.finds("t", "a")
		f.clock.Advance(1 + 999*time.Microsecond)
		f.lacks("a")
		f.finds("t")
	}},
	{"a record may be written expired", func(f *fixture) {
		for key, d := range map[string]time.Duration{"now": 0, "just": -time.Millisecond, "long": -1000 * time.Hour} {
			f.expiring(key, d)
			f.lacks(key)
		}
		f.finds("t")
	}},
	{"an expiry may be before 1970", func(f *fixture) {
		r := f.record("a", "v", "t")
		r.Expiry = time.Unix(-1, 0)
		f.create(r)
		f.lacks("a")
		f.finds("t")
		live := f.record("a", "w", "t")
		f.has(live, f.create(live))
	}},
	{"a live record can be ended by writing it expired", func(f *fixture) {
		_, rev := f.expiring("a", time.Hour)
		ended := f.record("a", "", "t")
		ended.Expiry = f.clock.Now()
		rev = f.swap("a", rev, ended)
		f.lacks("a")
		f.finds("t")
		f.swapFails(storage.ErrConflict, "a", rev, f.record("a", "back"))
	}},
	{"a swap moves the expiry either way", func(f *fixture) {
		r, rev := f.expiring("a", time.Minute)
		r.Expiry = f.clock.Now().Add(time.Hour)
		rev = f.swap("a", rev, r)
		f.clock.Advance(30 * time.Minute)
		f.has(r, rev)
		r.Expiry = f.clock.Now().Add(time.Second)
		f.swap("a", rev, r)
		f.clock.Advance(time.Second)
		f.lacks("a")
		f.finds("t")
	}},
	{"an expired record cannot be swapped back to life", func(f *fixture) {
		_, rev := f.expiring("a", time.Second)
		f.clock.Advance(time.Second)
		f.swapFails(storage.ErrConflict, "a", rev, f.record("a", "back", "t"))
		f.lacks("a")
		f.finds("t")
	}},
	{"an expired record cannot be moved", func(f *fixture) {
		_, rev := f.expiring("a", time.Second)
		f.clock.Advance(time.Second)
		f.swapFails(storage.ErrConflict, "a", rev, f.record("b", "back", "t"))
		f.lacks("a")
		f.lacks("b")
		f.finds("t")
	}},
	{"an expired record cannot be deleted", func(f *fixture) {
		_, rev := f.expiring("a", time.Second)
		f.clock.Advance(time.Second)
		f.deleteFails(storage.ErrConflict, "a", rev)
	}},
	{"an expired record makes room for a new one", func(f *fixture) {
		r, rev := f.expiring("a", time.Second)
		r.Terms = []string{"t", "old"}
		r.Expiry = f.clock.Now().Add(time.Second)
		rev = f.swap("a", rev, r)
		f.clock.Advance(time.Second)
		next := f.record("a", "new", "t", "new")
		nextRev := f.create(next)
		if nextRev == rev {
			f.Errorf("the revision %d of the expired record was given again", rev)
		}
		f.has(next, nextRev)
		f.finds("t", "a")
		f.finds("new", "a")
		f.finds("old")
		f.swapFails(storage.ErrConflict, "a", rev, f.record("a", "stale"))
		f.deleteFails(storage.ErrConflict, "a", rev)
	}},
	{"expired records take no place on a page", func(f *fixture) {
		f.expiring("a", time.Second)
		f.expiring("b", time.Hour)
		f.expiring("c", time.Second)
		f.expiring("d", time.Hour)
		f.expiring("e", time.Second)
		f.clock.Advance(time.Second)
		f.findsPage("t", "", 1, "b")
		f.findsPage("t", "a", 2, "b", "d")
		f.findsPage("t", "b", 5, "d")
		f.findsPage("t", "d", 5)
	}},
	{"a record may outlive everybody", func(f *fixture) {
		r := f.record("a", "v", "t")
		r.Expiry = time.Date(9999, time.December, 31, 23, 59, 59, 0, time.UTC)
		rev := f.create(r)
		f.clock.Advance(100 * 365 * 24 * time.Hour)
		f.has(r, rev)
	}},
	{"an expiry in another time zone is the same instant", func(f *fixture) {
		r, rev := f.expiring("a", time.Hour)
		r.Expiry = f.clock.Now().Add(time.Second).In(time.FixedZone("far east", 14*60*60))
		rev = f.swap("a", rev, r)
		f.has(r, rev)
		f.clock.Advance(time.Second)
		f.lacks("a")
	}},
}
