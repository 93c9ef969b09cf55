package boltstore

import (
	"errors"
	"path/filepath"
	"syscall"
	"testing"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/storage"
)

// replaceHooks changes what a store does on the disk.
func replaceHooks(t *testing.T, s *Store, change func()) {
	t.Helper()
	_, err := s.submit(t.Context(), func(*tables) (storage.Revision, error) { change(); return 0, nil })
	if err != nil {
		t.Fatal(err)
	}
}

// On a full disk nobody can sign in, and everybody can be signed out.
func TestFullDiskTakesWritesThatAddLittle(t *testing.T) {
	core, logs := observer.New(zap.InfoLevel)
	s := openStore(t, filepath.Join(t.TempDir(), "test.db"), Options{SweepInterval: -1, unsynced: true, Logger: zap.New(core)})
	large := record("large", "t")
	large.Value = make([]byte, 2000)
	rev := put(t, s, large)
	gone := record("gone", "t")
	gone.Value = make([]byte, 2000)
	goneRev := put(t, s, gone)

	replaceHooks(t, s, func() {
		s.room = 0
		s.occupy = func(int64, int64) error { return syscall.ENOSPC }
	})
	for range 2 {
		more := record("more", "t")
		more.Value = make([]byte, 2000)
		if _, err := s.CompareAndSwap(t.Context(), "more", 0, more); !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("a large record: %v", err)
		}
	}
	if err := s.Delete(t.Context(), "gone", goneRev); err != nil {
		t.Errorf("Delete: %v", err)
	}
	large.Value = large.Value[:1000]
	if _, err := s.CompareAndSwap(t.Context(), "large", rev, large); err != nil {
		t.Errorf("a record that becomes smaller: %v", err)
	}
	put(t, s, record("note"))
	if n := logs.FilterLevelExact(zap.ErrorLevel).Len(); n != 1 {
		t.Errorf("logged %v, want one error", logs.All())
	}

	replaceHooks(t, s, func() { s.occupy = s.file.occupy })
	more := record("more", "t")
	more.Value = make([]byte, 2000)
	put(t, s, more)
	verify(t, s.file.db)
}

// A session that is ended shares its commit with a sign-in.
func TestFullDiskHoldsUpNoNeighbours(t *testing.T) {
	bubble(t, func(t *testing.T, s *Store) {
		rev := put(t, s, record("gone"))
		replaceHooks(t, s, func() {
			s.room = 0
			s.occupy = func(int64, int64) error { return syscall.ENOSPC }
		})
		release := hold(t, s)
		added, deleted := make(chan error, 1), make(chan error, 1)
		go func() {
			r := record("large")
			r.Value = make([]byte, 2000)
			_, err := s.CompareAndSwap(t.Context(), "large", 0, r)
			added <- err
		}()
		go func() { deleted <- s.Delete(t.Context(), "gone", rev) }()
		release()
		if err := <-added; !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("a large record: %v", err)
		}
		if err := <-deleted; err != nil {
			t.Errorf("Delete: %v", err)
		}
	})
}

// The sync of the header fails when the header is written: readers see the change already. Without a
// second attempt a browser whose jar has moved does not learn its new token.
func TestFailedSyncOfTheHeaderIsMadeGood(t *testing.T) {
	s := newStore(t)
	rev := put(t, s, record("from"))
	failures := 1
	replaceHooks(t, s, func() {
		s.commitTx = func(tx *bbolt.Tx) error {
			err := tx.Commit()
			if failures--; err == nil && failures >= 0 {
				err = syscall.EIO
			}
			return err
		}
	})
	moved, err := s.CompareAndSwap(t.Context(), "from", rev, record("to"))
	if err != nil {
		t.Fatalf("the write is there, and failed: %v", err)
	}
	lacks(t, s, "from")
	has(t, s, "to")
	if err := s.Delete(t.Context(), "to", moved); err != nil {
		t.Errorf("the next write: %v", err)
	}

	// A disk that fails for good.
	replaceHooks(t, s, func() { failures = 1000 })
	if _, err := s.CompareAndSwap(t.Context(), "lost", 0, record("lost")); !errors.Is(err, syscall.EIO) {
		t.Errorf("a write that never came to disk: %v", err)
	}
	has(t, s, "lost") // it may have happened
	replaceHooks(t, s, func() { failures = 0 })
	put(t, s, record("after"))
	verify(t, s.file.db)
}

// Nothing is written of what has waited too long.
func TestWritesDoNotWaitForASlowDiskWithoutEnd(t *testing.T) {
	bubble(t, func(t *testing.T, s *Store) {
		release := hold(t, s)
		if _, err := s.CompareAndSwap(t.Context(), "a", 0, record("a")); !errors.Is(err, errSlow) {
			t.Errorf("err = %v, want %v", err, errSlow)
		}
		release()
		put(t, s, record("b"))
		lacks(t, s, "a")
	})
}
