package boltstore

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"
)

// breakage is what makes a store useless until its file is opened again.
type breakage struct {
	once     sync.Once
	err      error         // set before happened is closed
	happened chan struct{} // closed when the store breaks
}

func newBreakage() *breakage { return &breakage{happened: make(chan struct{})} }

// cause returns why the store is broken, or nil.
func (b *breakage) cause() error {
	select {
	case <-b.happened:
		return b.err
	default:
		return nil
	}
}

// breakDown makes every call fail from now on, those that wait included, and returns the error that
// they fail with.
func (s *Store) breakDown(cause error) error {
	s.broken.once.Do(func() {
		s.broken.err = fmt.Errorf("database is not usable until it is opened again: %w", cause)
		close(s.broken.happened)
		s.log.Error("the database is damaged; nothing is read from it or written to it until a restart",
			zap.String("path", s.file.path), zap.Error(cause))
	})
	return s.broken.err
}

// begin begins a transaction of a store that is not broken.
//
// bbolt's Begin panics if it cannot read the file's headers. It then keeps the lock on the headers,
// so that everybody who calls bbolt afterwards waits for ever. The store is broken from then on, and
// nobody calls bbolt again.
func (s *Store) begin(writable bool) (*bbolt.Tx, error) {
	s.beginning.Lock()
	defer s.beginning.Unlock()
	if err := s.broken.cause(); err != nil {
		return nil, err
	}
	earliest := s.committed.Load()
	tx, err := s.file.begin(writable)
	if errors.Is(err, errStuck) {
		s.logPanic(err)
		return nil, s.breakDown(err)
	}
	if err != nil {
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	// A header that is damaged, or of another file that was copied over this one, has bbolt go on from
	// another state than the last one. Sessions that have ended would live again.
	seen := int64(tx.ID())
	if writable {
		seen--
	}
	if latest := s.committed.Load() + 1; seen < earliest || seen > latest {
		err := s.breakDown(fmt.Errorf("its headers were changed: they tell of transaction %d, not of %d", seen, earliest))
		go tx.Rollback()
		return nil, err
	}
	return tx, nil
}

// patience is how long Close waits for the workers of a broken store, which may wait for bbolt.
const patience = 2 * time.Second

// awaitWorkers waits for the workers to end. It returns false if bbolt cannot be called any more.
func (s *Store) awaitWorkers() (sound bool) {
	ended := make(chan struct{})
	go func() {
		s.workers.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-s.broken.happened:
		timeout := time.NewTimer(patience)
		defer timeout.Stop()
		select {
		case <-ended:
		case <-timeout.C:
		}
	}
	return s.broken.cause() == nil
}
