package boltstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/caddy-multi-session/gateway/storage"
)

// hold occupies the committer until release is called. Meanwhile writes gather in the queue.
func hold(t *testing.T, s *Store) (release func()) {
	t.Helper()
	held, free, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		_, err := s.submit(t.Context(), func(*tables) (storage.Revision, error) {
			close(held)
			<-free
			return 0, nil
		})
		done <- err
	}()
	<-held
	return func() {
		t.Helper()
		close(free)
		if err := <-done; err != nil {
			t.Errorf("holding the committer: %v", err)
		}
	}
}

// together runs the calls such that the committer finds all of them in the queue at once, in
// order, and returns their errors. It needs a synctest bubble.
func together(t *testing.T, s *Store, calls ...func() error) []error {
	t.Helper()
	release := hold(t, s)
	errs := make([]error, len(calls))
	var wg sync.WaitGroup
	for i, call := range calls {
		wg.Go(func() { errs[i] = call() })
		synctest.Wait()
	}
	release()
	wg.Wait()
	return errs
}

func bubble(t *testing.T, test func(t *testing.T, s *Store)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := newStore(t)
		test(t, s)
		verify(t, s.file.db)
	})
}

func creation(t *testing.T, s *Store, key string) func() error {
	return func() error {
		_, err := s.CompareAndSwap(t.Context(), key, 0, record(key, "t"))
		return err
	}
}

func TestWritersShareACommit(t *testing.T) {
	bubble(t, func(t *testing.T, s *Store) {
		const writers = 100
		var calls []func() error
		for i := range writers {
			calls = append(calls, creation(t, s, fmt.Sprint(i)))
		}
		before := commits(t, s)
		if err := errors.Join(together(t, s, calls...)...); err != nil {
			t.Fatal(err)
		}
		if n := commits(t, s) - before; n != 1 {
			t.Errorf("%d writers that wait together took %d commits, want 1", writers, n)
		}
		for i := range writers {
			has(t, s, fmt.Sprint(i))
		}
	})
}

func TestLoneWriterWaitsForNobody(t *testing.T) {
	// Time stands still in a bubble as long as anybody can run: a delay would show.
	bubble(t, func(t *testing.T, s *Store) {
		start := s.now()
		before := commits(t, s)
		for i := range 10 {
			put(t, s, record(fmt.Sprint(i)))
		}
		if n := commits(t, s) - before; n != 10 {
			t.Errorf("10 writes one after the other took %d commits", n)
		}
		if waited := s.now().Sub(start); waited != 0 {
			t.Errorf("the committer waited for %v", waited)
		}
	})
}

func TestReadersDoNotWaitForTheWriter(t *testing.T) {
	bubble(t, func(t *testing.T, s *Store) {
		put(t, s, record("a", "t"))
		release := hold(t, s) // in the middle of a transaction
		has(t, s, "a")
		if got, err := s.Find(t.Context(), "t", "", 2); err != nil || !slices.Equal(got, []string{"a"}) {
			t.Errorf("Find = %q, %v", got, err)
		}
		release()
	})
}

func TestConflictIsNoConcernOfNeighbours(t *testing.T) {
	bubble(t, func(t *testing.T, s *Store) {
		put(t, s, record("taken"))
		before := commits(t, s)
		errs := together(t, s,
			creation(t, s, "a"),
			creation(t, s, "taken"),
			creation(t, s, "b"),
			func() error { return s.Delete(t.Context(), "absent", 1) },
			creation(t, s, "a"),
		)
		for i, want := range []error{nil, storage.ErrConflict, nil, storage.ErrConflict, storage.ErrConflict} {
			if !errors.Is(errs[i], want) {
				t.Errorf("write %d: %v, want %v", i, errs[i], want)
			}
		}
		has(t, s, "a")
		has(t, s, "b")
		if n := commits(t, s) - before; n != 1 {
			t.Errorf("the batch took %d commits, want 1", n)
		}
	})
}

func TestNothingIsCommittedForConflictsAlone(t *testing.T) {
	bubble(t, func(t *testing.T, s *Store) {
		put(t, s, record("taken"))
		before := commits(t, s)
		if err := creation(t, s, "taken")(); !errors.Is(err, storage.ErrConflict) {
			t.Errorf("err = %v", err)
		}
		if n := commits(t, s) - before; n != 0 {
			t.Errorf("a conflict took %d commits", n)
		}
	})
}

// A write that fails or panics midway leaves no trace of itself and takes nobody with it.
func TestFailureMidwayIsNoConcernOfNeighbours(t *testing.T) {
	errMidway := errors.New("midway")
	broken := func(t *testing.T, s *Store, key string, end func() error) func() error {
		return func() error {
			_, err := s.submit(t.Context(), func(tables *tables) (storage.Revision, error) {
				if _, err := tables.replace(key, nil, newDraft(record(key, "t"))); err != nil {
					return 0, err
				}
				return 0, end()
			})
			return err
		}
	}
	bubble(t, func(t *testing.T, s *Store) {
		errs := together(t, s,
			creation(t, s, "a"),
			broken(t, s, "failed", func() error { return errMidway }),
			creation(t, s, "b"),
			broken(t, s, "panicked", func() error { panic("of the test") }),
			creation(t, s, "a"),
			creation(t, s, "c"),
		)
		for _, i := range []int{0, 2, 5} {
			if errs[i] != nil {
				t.Errorf("neighbour %d: %v", i, errs[i])
			}
		}
		if !errors.Is(errs[1], errMidway) {
			t.Errorf("failed write: %v", errs[1])
		}
		errorSays(t, errs[3], "of the test")
		if !errors.Is(errs[4], storage.ErrConflict) {
			t.Errorf("conflicting write: %v", errs[4])
		}
		got, err := s.Find(t.Context(), "t", "", 10)
		if err != nil || !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("stored are %q, %v", got, err)
		}
		lacks(t, s, "failed")
		lacks(t, s, "panicked")
	})
}

// A panic out of bbolt's commit ends the use of the file, not the process.
func TestPanicInCommit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	s := openStore(t, path, unswept)
	put(t, s, record("before"))
	_, err := s.submit(t.Context(), func(tables *tables) (storage.Revision, error) {
		tables.meta.Tx().OnCommit(func() { panic("of the test") })
		return tables.replace("during", nil, newDraft(record("during")))
	})
	errorSays(t, err, "of the test")
	_, err = s.CompareAndSwap(t.Context(), "after", 0, record("after"))
	errorSays(t, err, "until it is opened again", "of the test")
	_, _, err = s.Get(t.Context(), "before")
	errorSays(t, err, "until it is opened again", "of the test")
	closeStore(t, s)
	if _, _, err := s.Get(t.Context(), "before"); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Get of the closed store = %v", err)
	}

	s = openStore(t, path, unswept)
	has(t, s, "before")
	put(t, s, record("after"))
	verify(t, s.file.db)
}

func TestContextThatEndsInTheQueueDropsTheWrite(t *testing.T) {
	bubble(t, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithCancel(t.Context())
		release := hold(t, s)
		result := make(chan error)
		go func() {
			_, err := s.CompareAndSwap(ctx, "a", 0, record("a"))
			result <- err
		}()
		synctest.Wait()
		cancel()
		// The committer is held still: the writer does not wait for it.
		if err := <-result; !errors.Is(err, context.Canceled) {
			t.Errorf("err = %v, want %v", err, context.Canceled)
		}
		release()
		put(t, s, record("b"))
		lacks(t, s, "a")
	})
}

// The committer looks at the context itself: it may be quicker than the caller it belongs to.
func TestCommitterDropsAWriteWhoseContextHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w := &write{ctx: ctx, done: make(chan struct{}), change: func(*tables) (storage.Revision, error) {
			t.Error("the write was carried out")
			return 0, nil
		}}
		if err := s.queue.push(w); err != nil {
			t.Fatal(err)
		}
		<-w.done
		if !errors.Is(w.err, context.Canceled) {
			t.Errorf("err = %v, want %v", w.err, context.Canceled)
		}
	})
}

func TestContextThatEndsLaterDoesNotHideTheOutcome(t *testing.T) {
	bubble(t, func(t *testing.T, s *Store) {
		ctx, cancel := context.WithCancel(t.Context())
		taken, free := make(chan struct{}), make(chan struct{})
		result := make(chan error)
		go func() {
			_, err := s.submit(ctx, func(tables *tables) (storage.Revision, error) {
				close(taken)
				<-free
				return tables.replace("a", nil, newDraft(record("a")))
			})
			result <- err
		}()
		<-taken
		cancel()
		synctest.Wait()
		select {
		case err := <-result:
			t.Errorf("the writer left with %v before the outcome was known", err)
			close(free)
		default:
			close(free)
			if err := <-result; err != nil {
				t.Errorf("err = %v, but the write was carried out", err)
			}
		}
		has(t, s, "a")
	})
}

// Close does not leave a queued write without an answer, and an answer of nil is kept.
func TestCloseAnswersTheQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "test.db")
		s := openStore(t, path, unswept)
		release := hold(t, s)
		results := make(chan error)
		for i := range 3 {
			go func() { results <- creation(t, s, fmt.Sprint(i))() }()
		}
		synctest.Wait()
		closed := make(chan struct{})
		go func() { closeStore(t, s); close(closed) }()
		synctest.Wait()
		if err := creation(t, s, "late")(); !errors.Is(err, storage.ErrClosed) {
			t.Errorf("a write after Close = %v, want %q", err, storage.ErrClosed)
		}
		release()
		for range 3 {
			if err := <-results; err != nil {
				t.Errorf("queued write: %v", err)
			}
		}
		<-closed

		s = openStore(t, path, unswept)
		for i := range 3 {
			has(t, s, fmt.Sprint(i))
		}
		lacks(t, s, "late")
	})
}
