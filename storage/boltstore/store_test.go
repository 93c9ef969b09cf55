package boltstore

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/bbolt"

	"github.com/caddy-multi-session/gateway/storage"
	"github.com/caddy-multi-session/gateway/storage/storagetest"
)

func TestStore(t *testing.T) {
	storagetest.Run(t, func(t *testing.T, dir string, now func() time.Time) storage.Store {
		path := filepath.Join(dir, "test.db")
		s, err := Open(path, Options{Now: now, unsynced: true})
		if err != nil {
			t.Fatal(err)
		}
		// Of the functions given to Cleanup the last runs first: the suite has closed s by then.
		t.Cleanup(func() { verifyFile(t, path) })
		return s
	})
}

func TestCorruptRecordIsAnErrorThatTellsNoSecret(t *testing.T) {
	s := newStore(t)
	const secret = "a key that is a secret"
	put(t, s, record(secret, "t"))
	put(t, s, record("neighbour", "u"))
	rawUpdate(t, s, func(tables *tables) error { return tables.records.Put([]byte(secret), []byte("garbage")) })

	check := func(call string, err error) {
		t.Helper()
		if !errors.Is(err, errCorrupt) {
			t.Errorf("%s = %v, want %q", call, err, errCorrupt)
		}
		if err != nil && (strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "sha-256 ")) {
			t.Errorf("%s names the record by more or less than its hash: %q", call, err)
		}
	}
	_, _, err := s.Get(t.Context(), secret)
	check("Get", err)
	_, err = s.CompareAndSwap(t.Context(), secret, 0, record(secret))
	check("CompareAndSwap", err)
	check("Delete", s.Delete(t.Context(), secret, 1))
	_, err = s.Find(t.Context(), "t", "", 1)
	check("Find", err)

	has(t, s, "neighbour")
	put(t, s, record("another"))
}

// Taken as int64 milliseconds, these would wrap around: the far future would have expired.
func TestExpiryOutOfRangeIsInvalid(t *testing.T) {
	s := newStore(t)
	for _, expiry := range []time.Time{time.Unix(1<<62, 0), time.Unix(-1<<62, 0), time.UnixMilli(1<<63 - 1).Add(time.Millisecond)} {
		r := record("a")
		r.Expiry = expiry
		if _, err := s.CompareAndSwap(t.Context(), "a", 0, r); !errors.Is(err, storage.ErrInvalid) {
			t.Errorf("expiry %v: %v, want %q", expiry.Unix(), err, storage.ErrInvalid)
		}
	}
	r := record("a")
	r.Expiry = time.UnixMilli(1<<63 - 1)
	put(t, s, r)
	has(t, s, "a")
}

// A panic in what a reader does is the reader's error; the store serves on.
func TestPanicWhileReadingIsAnError(t *testing.T) {
	s := newStore(t)
	put(t, s, record("a"))
	err := s.view(t.Context(), func(*bbolt.Tx) error { panic("of the test") })
	errorSays(t, err, "of the test")
	has(t, s, "a")
	put(t, s, record("b"))
}

// The goroutines of a store are in the bubble: one that outlives Close fails the test.
func TestCloseLeavesNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := Open(filepath.Join(t.TempDir(), "test.db"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		put(t, s, record("a"))
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() { closeStore(t, s) })
		}
		wg.Wait()
	})
}

func TestCloseUnderLoad(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openStore(t, path, Options{SweepInterval: time.Millisecond, unsynced: true})
	const goroutines = 32
	var wg sync.WaitGroup
	var warm sync.WaitGroup
	warm.Add(goroutines)
	for g := range goroutines {
		wg.Go(func() {
			warmed := sync.OnceFunc(warm.Done)
			defer warmed()
			key := fmt.Sprint(g)
			for i := 0; ; i++ {
				r := record(key, "t")
				if g%2 == 0 {
					r.Expiry = time.Now() // work for the sweeper
				}
				_, rev, err := s.Get(t.Context(), key)
				if err == nil || errors.Is(err, storage.ErrNotFound) {
					_, err = s.CompareAndSwap(t.Context(), key, rev, r)
				}
				if err == nil {
					_, err = s.Find(t.Context(), "t", "", 5)
				}
				if errors.Is(err, storage.ErrClosed) {
					return
				}
				if err != nil {
					t.Errorf("goroutine %d: %v", g, err)
					return
				}
				if i == 3 {
					warmed()
				}
			}
		})
	}
	warm.Wait()
	closeStore(t, s)
	wg.Wait()
	verifyFile(t, path)
}
