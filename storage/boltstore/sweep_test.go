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

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/storage"
	"github.com/caddy-multi-session/gateway/storage/storagetest"
)

// advance moves the bubble's clock on. What is due by then has happened when it returns, and no time has passed
// outside.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// fill writes n records, many at once, that share a term and have one each.
func fill(t testing.TB, s *Store, prefix string, n int, expiry time.Time) {
	t.Helper()
	const writers = 64
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < n; i += writers {
				r := record(fmt.Sprint(prefix, i), "shared", fmt.Sprint("own-", i))
				r.Expiry = expiry
				if _, err := s.CompareAndSwap(t.Context(), r.Key, 0, r); err != nil {
					t.Errorf("CompareAndSwap(%q): %v", r.Key, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// In a bubble the minute of the sweeper passes as soon as everybody waits.
func TestExpiredRecordsAreSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, filepath.Join(t.TempDir(), "test.db"), Options{unsynced: true})
		fill(t, s, "short", 600, time.Now().Add(30*time.Second))
		fill(t, s, "long", 10, time.Now().Add(time.Hour))
		synctest.Wait()
		if got, want := sizeOf(t, s), (size{610, 1220, 610}); got != want {
			t.Errorf("before the sweep there are %+v, want %+v", got, want)
		}
		advance(DefaultSweepInterval)
		if got, want := sizeOf(t, s), (size{10, 20, 10}); got != want {
			t.Errorf("after the sweep there are %+v, want %+v", got, want)
		}
		verify(t, s.file.db)
	})
}

func TestExpiredRecordsAreSweptOnOpening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "test.db")
		s := openStore(t, path, unswept)
		fill(t, s, "expired", 10, time.Now())
		fill(t, s, "live", 5, time.Now().Add(time.Nanosecond+time.Hour))
		closeStore(t, s)

		start := time.Now()
		s = openStore(t, path, Options{unsynced: true})
		synctest.Wait()
		if got, want := sizeOf(t, s), (size{5, 10, 5}); got != want {
			t.Errorf("there are %+v, want %+v", got, want)
		}
		if waited := time.Since(start); waited != 0 {
			t.Errorf("the first sweep came after %v", waited)
		}
	})
}

func TestSweepIsDoneInSmallTransactions(t *testing.T) {
	s := newStore(t)
	const n = 3*sweepBatch + 1
	fill(t, s, "expired", n, time.Now())
	before := commits(t, s)
	removed, err := s.sweep(t.Context())
	if removed != n || err != nil {
		t.Errorf("sweep = %d, %v; want %d", removed, err, n)
	}
	if got := commits(t, s) - before; got != 4 {
		t.Errorf("the sweep took %d commits, want 4", got)
	}
	before = commits(t, s)
	if removed, err := s.sweep(t.Context()); removed != 0 || err != nil || commits(t, s) != before {
		t.Errorf("sweep of a clean store = %d, %v, and %d commits", removed, err, commits(t, s)-before)
	}
	verify(t, s.file.db)
}

func TestSweepKeepsToTheMillisecond(t *testing.T) {
	var clock storagetest.Clock
	s := openStore(t, filepath.Join(t.TempDir(), "test.db"), Options{Now: clock.Now, SweepInterval: -1, unsynced: true})
	for key, d := range map[string]time.Duration{"due": time.Second, "not yet": time.Second + time.Millisecond} {
		r := record(key)
		r.Expiry = clock.Now().Add(d)
		put(t, s, r)
	}
	clock.Advance(time.Second)
	if removed, err := s.sweep(t.Context()); removed != 1 || err != nil {
		t.Errorf("sweep = %d, %v; want 1", removed, err)
	}
	has(t, s, "not yet")
}

func TestRecordWrittenAnewSurvivesTheSweep(t *testing.T) {
	s := newStore(t)
	for _, key := range []string{"rewritten", "moved onto", "expired"} {
		r := record(key, "t")
		r.Expiry = time.Now()
		put(t, s, r)
	}
	due, err := s.due(t.Context(), time.Now(), nil)
	if err != nil || len(due) != 3 {
		t.Fatalf("due are %q, %v", due, err)
	}
	put(t, s, record("rewritten", "t"))
	rev := put(t, s, record("other", "t"))
	if _, err := s.CompareAndSwap(t.Context(), "other", rev, record("moved onto", "t")); err != nil {
		t.Fatal(err)
	}

	var removed int
	_, err = s.submit(t.Context(), func(tables *tables) (_ storage.Revision, err error) {
		removed, _, err = tables.removeDue(due)
		return 0, err
	})
	if removed != 1 || err != nil {
		t.Errorf("removed %d, %v; want 1", removed, err)
	}
	has(t, s, "rewritten")
	has(t, s, "moved onto")
	if got, want := sizeOf(t, s), (size{2, 2, 2}); got != want {
		t.Errorf("there are %+v, want %+v", got, want)
	}
	verify(t, s.file.db)
}

func TestSweepWhileServing(t *testing.T) {
	s := newStore(t)
	fill(t, s, "expired", 5*sweepBatch, time.Now())
	var wg sync.WaitGroup
	wg.Go(func() {
		if removed, err := s.sweep(t.Context()); removed != 5*sweepBatch || err != nil {
			t.Errorf("sweep = %d, %v", removed, err)
		}
	})
	fill(t, s, "live", 300, time.Now().Add(time.Hour))
	wg.Wait()
	if got, want := sizeOf(t, s), (size{300, 600, 300}); got != want {
		t.Errorf("there are %+v, want %+v", got, want)
	}
	verify(t, s.file.db)
}

func TestSweepPassesOverACorruptRecord(t *testing.T) {
	s := newStore(t)
	const n = sweepBatch + 1
	fill(t, s, "secret-", n, time.Now())
	rawUpdate(t, s, func(tables *tables) error { return tables.records.Put([]byte("secret-0"), []byte("garbage")) })
	removed, err := s.sweep(t.Context())
	if removed != n-1 || !errors.Is(err, errCorrupt) {
		t.Errorf("sweep = %d, %v; want %d, %q", removed, err, n-1, errCorrupt)
	}
	if err != nil && strings.Contains(err.Error(), "secret") {
		t.Errorf("the error tells the key: %q", err)
	}
	if got := sizeOf(t, s); got.records != 1 {
		t.Errorf("%d records are left, want the corrupt one", got.records)
	}
}

func TestSweepRemovesEntriesThatSpeakForNoRecord(t *testing.T) {
	s := newStore(t)
	r := record("live", "t")
	put(t, s, r)
	rawUpdate(t, s, func(tables *tables) error {
		return errors.Join(
			tables.expiries.Put([]byte("short"), noValue),
			tables.expiries.Put(expiryEntry(1, "absent"), noValue),
			tables.expiries.Put(expiryEntry(1, "live"), noValue),
		)
	})
	if removed, err := s.sweep(t.Context()); removed != 0 || err != nil {
		t.Errorf("sweep = %d, %v", removed, err)
	}
	has(t, s, "live")
	verify(t, s.file.db)
}

func TestFailedSweepIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.InfoLevel)
		s := openStore(t, filepath.Join(t.TempDir(), "test.db"), Options{Logger: zap.New(core), unsynced: true})
		synctest.Wait() // until the sweep on opening has ended
		fill(t, s, "expired", 1, time.Now())
		rawUpdate(t, s, func(tables *tables) error { return tables.records.Put([]byte("expired0"), []byte("garbage")) })
		advance(DefaultSweepInterval)
		if n := logs.FilterMessage("could not remove all expired records").Len(); n != 1 {
			t.Errorf("the failure was logged %d times, want once; logged: %v", n, logs.All())
		}
	})
}
