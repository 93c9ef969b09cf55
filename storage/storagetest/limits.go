package storagetest

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// badNames are what neither a key nor a term may be: both have the same limit.
var badNames = map[string]string{
	"empty":          "",
	"too long":       strings.Repeat("k", storage.MaxKeyBytes+1),
	"NUL":            "\x00",
	"NUL at the end": "k\x00",
	"NUL inside":     "k\x00k",
}

var limitTests = []test{
	{"everything at its limit at once", func(f *fixture) {
		r := f.record(strings.Repeat("k", storage.MaxKeyBytes), strings.Repeat("v", storage.MaxValueBytes))
		for i := range storage.MaxTerms {
			r.Terms = append(r.Terms, fmt.Sprintf("%0*d", storage.MaxTermBytes, i))
		}
		rev := f.create(r)
		f.has(r, rev)
		f.finds(r.Terms[0], r.Key)
		f.finds(r.Terms[storage.MaxTerms-1], r.Key)
		next := f.record(strings.Repeat("l", storage.MaxKeyBytes), "", r.Terms[0])
		f.has(next, f.swap(r.Key, rev, next))
		f.finds(r.Terms[0], next.Key)
		f.finds(r.Terms[1])
	}},
	{"a bad key is invalid everywhere", func(f *fixture) {
		rev := f.create(f.record("a", "v"))
		for name, key := range badNames {
			if _, _, err := f.store.Get(f.Context(), key); !errors.Is(err, storage.ErrInvalid) {
				f.Errorf("%s: Get = %v, want error %q", name, err, storage.ErrInvalid)
			}
			f.swapFails(storage.ErrInvalid, key, 0, f.record(key, "v"))
			f.swapFails(storage.ErrInvalid, key, 1, f.record("b", "v"))
			f.swapFails(storage.ErrInvalid, "a", rev, f.record(key, "v"))
			f.deleteFails(storage.ErrInvalid, key, 1)
			if key != "" {
				f.findFails(storage.ErrInvalid, f.Context(), "t", key, 1)
			}
		}
		f.has(f.record("a", "v"), rev)
	}},
	{"a bad term is invalid everywhere", func(f *fixture) {
		r := f.record("a", "v", "t")
		rev := f.create(r)
		for _, term := range badNames {
			f.findFails(storage.ErrInvalid, f.Context(), term, "", 1)
			f.swapFails(storage.ErrInvalid, "a", rev, f.record("a", "w", "u", term))
			f.swapFails(storage.ErrInvalid, "b", 0, f.record("b", "w", "u", term))
		}
		f.has(r, rev)
		f.lacks("b")
		f.finds("u")
	}},
	{"no term twice", func(f *fixture) {
		f.swapFails(storage.ErrInvalid, "a", 0, f.record("a", "v", "t", "u", "t"))
		f.lacks("a")
		f.finds("t")
	}},
	{"no more terms than the limit", func(f *fixture) {
		r := f.record("a", "v")
		for i := range storage.MaxTerms + 1 {
			r.Terms = append(r.Terms, fmt.Sprint(i))
		}
		f.swapFails(storage.ErrInvalid, "a", 0, r)
		f.lacks("a")
		f.finds("0")
	}},
	{"no larger value than the limit", func(f *fixture) {
		f.swapFails(storage.ErrInvalid, "a", 0, f.record("a", strings.Repeat("v", storage.MaxValueBytes+1)))
		f.lacks("a")
	}},
	{"the expiry is required", func(f *fixture) {
		f.swapFails(storage.ErrInvalid, "a", 0, storage.Record{Key: "a"})
		f.swapFails(storage.ErrInvalid, "a", 0, storage.Record{Key: "a", Expiry: time.Time{}.In(time.FixedZone("", 60))})
		f.lacks("a")
	}},
	{"absence cannot move", func(f *fixture) {
		f.swapFails(storage.ErrInvalid, "a", 0, f.record("b", "v"))
		f.lacks("a")
		f.lacks("b")
	}},
	{"a page holds at least one key", func(f *fixture) {
		f.create(f.record("a", "", "t"))
		f.findFails(storage.ErrInvalid, f.Context(), "t", "", 0)
		f.findFails(storage.ErrInvalid, f.Context(), "t", "", -1)
	}},
}
