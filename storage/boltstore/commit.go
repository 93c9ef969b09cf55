package boltstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/storage"
)

// change is the work of one write inside a transaction that it shares with others. It may run
// more than once; only what its last run did counts.
type change func(*tables) (storage.Revision, error)

// write is a change on its way through the queue.
type write struct {
	ctx    context.Context
	change change
	alone  bool // shares its transaction with no other write

	// claimed is set once: by the committer, which then owes a result, or by the caller, who
	// then needs none.
	claimed atomic.Bool

	done     chan struct{} // closed when the result below is there
	revision storage.Revision
	err      error
}

// maxQueueTime is how long a write waits for the committer, which a slow disk holds up. Whoever waits
// for the write would not wait longer.
const maxQueueTime = 10 * time.Second

// errSlow reports a write that the committer has not taken in time. Nothing was written.
var errSlow = errors.New("the disk is too slow for what is to be written")

// submit queues a change and waits until it is on disk. When ctx ends, or maxQueueTime, before the
// committer has taken the change, nothing is written.
func (s *Store) submit(ctx context.Context, c change) (storage.Revision, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, maxQueueTime, errSlow)
	defer cancel()
	revision, err := s.await(&write{ctx: ctx, change: c, done: make(chan struct{})})
	if err != nil && errors.Is(err, context.DeadlineExceeded) && errors.Is(context.Cause(ctx), errSlow) {
		err = errSlow
	}
	return revision, err
}

// submitAlone is submit for a change that is large: no other is made to wait for the same commit, or
// is run again because this one failed.
func (s *Store) submitAlone(ctx context.Context, c change) error {
	_, err := s.await(&write{ctx: ctx, change: c, alone: true, done: make(chan struct{})})
	return err
}

func (s *Store) await(w *write) (storage.Revision, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if err := s.queue.push(w); err != nil {
		return 0, err
	}
	select {
	case <-w.done:
		return w.revision, w.err
	case <-w.ctx.Done():
		if w.claimed.CompareAndSwap(false, true) {
			return 0, w.ctx.Err()
		}
	case <-s.broken.happened:
	}
	select {
	case <-w.done:
		return w.revision, w.err
	case <-s.broken.happened:
		return 0, s.broken.cause() // the committer may never come back; the write may have happened
	}
}

// queue is where writes wait for the committer.
type queue struct {
	mu       sync.Mutex
	changed  *sync.Cond
	waiting  []*write
	shutWith error // why nothing more is taken in; nil while open
}

func newQueue() *queue {
	q := &queue{}
	q.changed = sync.NewCond(&q.mu)
	return q
}

func (q *queue) push(w *write) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.shutWith != nil {
		return q.shutWith
	}
	q.waiting = append(q.waiting, w)
	q.changed.Signal()
	return nil
}

// take waits for writes and returns, in the order they came, those that share the next transaction;
// none once the queue is shut and empty.
func (q *queue) take() []*write {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 && q.shutWith == nil {
		q.changed.Wait()
	}
	n := slices.IndexFunc(q.waiting, func(w *write) bool { return w.alone })
	switch n {
	case -1:
		all := q.waiting
		q.waiting = nil
		return all
	case 0:
		n = 1
	}
	batch := slices.Clone(q.waiting[:n])
	q.waiting = slices.Delete(q.waiting, 0, n)
	return batch
}

// shut makes push return err from now on, unless the queue was shut before.
func (q *queue) shut(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.shutWith == nil {
		q.shutWith = err
	}
	q.changed.Signal()
}

// commitQueued is the committer. While one commit is being synced, the writes for the next
// gather in the queue: the busier the store, the more of them share a sync.
func (s *Store) commitQueued() {
	for {
		batch := s.queue.take()
		if batch == nil {
			return
		}
		if err := contain(func() error { s.commit(batch); return nil }); err != nil {
			s.logPanic(err)
			s.breakDown(err)
		}
	}
}

// commit carries out a batch and hands every write its result.
func (s *Store) commit(batch []*write) {
	taken := batch[:0]
	for _, w := range batch {
		if !w.claimed.CompareAndSwap(false, true) {
			continue
		}
		if err := w.ctx.Err(); err != nil {
			w.err = err
			close(w.done)
			continue
		}
		taken = append(taken, w)
	}
	if len(taken) == 0 {
		return
	}

	if s.transact(taken) && len(taken) > 1 {
		for i := range taken {
			s.transact(taken[i : i+1])
		}
	}
	for _, w := range taken {
		close(w.done)
	}
}

// transact runs the writes in one transaction, commits it and sets their results. A write that
// fails before it has changed anything, as for a conflict, is no concern of its neighbours. One
// that fails midway takes the whole transaction back: it is then spoilt, and no result holds
// but that of a write that was alone in it.
func (s *Store) transact(writes []*write) (spoilt bool) {
	tx, err := s.begin(true)
	if err == nil {
		if err = s.ready(tx); err != nil {
			_ = tx.Rollback()
		}
	}
	if err != nil {
		failAll(writes, err)
		return false
	}

	var t *tables
	err = contain(func() (err error) { t, err = tablesOf(tx); return err })
	if err != nil {
		s.logPanic(err)
		_ = tx.Rollback()
		failAll(writes, err)
		return false
	}
	changed := false
	for _, w := range writes {
		t.wrote, t.added = false, 0
		w.err = contain(func() (err error) { w.revision, err = w.change(t); return err })
		if w.err != nil {
			w.revision = 0
			s.logPanic(w.err)
			if t.wrote {
				_ = tx.Rollback()
				return true
			}
		}
		if t.added > maxUnreserved && w.err == nil {
			if w.err = s.keepReserve(tx); w.err != nil {
				w.revision = 0
				_ = tx.Rollback()
				return true
			}
		}
		changed = changed || t.wrote
	}
	if !changed {
		_ = tx.Rollback() // what there is to commit would cost a sync and say nothing
		return false
	}

	id := int64(tx.ID())
	s.chooseFreeListSync()
	err = contain(func() error { return s.commitTx(tx) })
	if err == nil || s.repeat(id, err) {
		s.committed.Store(max(id, s.committed.Load()))
		return false
	}
	if _, panicked := errors.AsType[*panicError](err); panicked {
		// bbolt's locks and its list of free pages are as the panic left them. The file is as sound
		// as it was, for a commit takes effect with its last page; to go on writing by that list
		// could ruin it.
		s.logPanic(err)
		err = s.breakDown(err)
	}
	s.doubt = true
	failAll(writes, fmt.Errorf("commit: %w", err))
	return false
}

// repeat reports whether a commit that failed is on disk after all. A sync of the header can fail when
// readers see what was written already. The callers would be told of a failure, and a browser whose
// jar has moved would not learn its new token. One more commit, of nothing, brings the header to disk.
func (s *Store) repeat(id int64, failure error) bool {
	if _, panicked := errors.AsType[*panicError](failure); panicked {
		return false
	}
	s.doubt = true
	tx, err := s.begin(true)
	if err != nil {
		return false
	}
	next := int64(tx.ID())
	if next != id+1 {
		_ = tx.Rollback()
		return false
	}
	s.committed.Store(id) // that is what readers see
	if err := contain(func() error { return s.commitTx(tx) }); err != nil {
		if _, panicked := errors.AsType[*panicError](err); panicked {
			s.logPanic(err)
			s.breakDown(err)
		}
		return false
	}
	s.committed.Store(next)
	s.doubt = false
	s.log.Warn("a commit was on disk at the second attempt only", zap.String("path", s.file.path), zap.Error(failure))
	return true
}

// ready reports why nothing can be written in a transaction that has just begun.
func (s *Store) ready(tx *bbolt.Tx) error {
	last := s.committed.Load()
	if seen := int64(tx.ID()) - 1; seen != last {
		if !s.doubt {
			return s.breakDown(fmt.Errorf("its headers were changed: they tell of transaction %d, not of %d", seen, last))
		}
		s.committed.Store(seen) // the commit that failed had come as far as the header
	}
	s.doubt = false
	err := s.file.inPlace()
	if (err != nil) != s.adrift {
		s.adrift = err != nil
		if err != nil {
			s.log.Error("the database takes no writes: what is written would be lost", zap.String("path", s.file.path), zap.Error(err))
		} else {
			s.log.Info("the database is in its place again, and takes writes", zap.String("path", s.file.path))
		}
	}
	if err != nil {
		return fmt.Errorf("database %w", err)
	}
	if err := s.file.whole(tx); err != nil {
		return s.breakDown(err)
	}
	return nil
}

// failAll makes err the result of every write that has no error of its own.
func failAll(writes []*write, err error) {
	for _, w := range writes {
		if w.err == nil {
			w.revision, w.err = 0, err
		}
	}
}
