// Package boltstore keeps records in a single bbolt file, for a gateway that runs on one machine.
//
// An acknowledged write is on disk: it survives the end of the process and of the machine.
// Writers that wait at the same time share one commit, so that throughput grows with
// concurrency while a lone writer waits for nothing but its own. Readers see the last commit
// and never wait for a writer's disk.
//
// The file belongs to one process at a time; a lock of the operating system sees to that. A file
// that is damaged, of another program or of a newer version of this one is refused as it is,
// never repaired, replaced or written to.
//
// A file that is damaged while it is open ends nothing but the calls that need it. Damage to a page
// fails the calls that read the page. After damage to the file as a whole every call fails until the
// file is opened again. Writes fail as long as the path names another file, or none.
package boltstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/storage"
)

// Defaults of Options.
const (
	DefaultLockTimeout   = time.Second
	DefaultSweepInterval = time.Minute
)

// Options are the settings of a Store. The zero value is ready to use.
type Options struct {
	// Now is the clock that records expire by; nil means time.Now. It is called concurrently.
	Now func() time.Time

	// LockTimeout is how long Open waits for another process to release the file; zero means
	// DefaultLockTimeout, a negative one that Open does not wait.
	LockTimeout time.Duration

	// SweepInterval is the time between two removals of the expired records, the first of which
	// follows the opening; zero means DefaultSweepInterval. With a negative one there is none:
	// expired records are absent to callers all the same, but keep their room in the file.
	SweepInterval time.Duration

	// ReadOnly opens a file that is there already, and writes nothing to it: every write is
	// storage.ErrReadOnly. Others may read it at the same time, and nobody write.
	ReadOnly bool

	// Logger hears of what no caller is told: a failed sweep, a file mode that was tightened,
	// where a panic came from. Nil means silence.
	Logger *zap.Logger

	// unsynced leaves it to the operating system when a commit reaches the disk. Tests that cut no
	// power set it: a sync is what takes most of their time.
	unsynced bool
}

func (o Options) withDefaults() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.LockTimeout == 0 {
		o.LockTimeout = DefaultLockTimeout
	}
	if o.SweepInterval == 0 {
		o.SweepInterval = DefaultSweepInterval
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	return o
}

// Store is a storage.Store in a bbolt file. All methods may be called concurrently.
type Store struct {
	file  file
	now   func() time.Time
	log   *zap.Logger
	queue *queue

	broken    *breakage
	beginning sync.Mutex   // held while a transaction begins
	committed atomic.Int64 // id of the last transaction that was committed

	// Of the committer alone.
	doubt  bool  // the last commit failed, and may have happened all the same
	adrift bool  // the last look found another file at the path, or none
	room   int64 // up to where the file has room on the disk for certain; see keepReserve
	full   bool  // the last attempt to keep a reserve failed

	// What tests replace.
	commitTx func(*bbolt.Tx) error
	occupy   func(from, to int64) error

	workers   sync.WaitGroup // the committer and the sweeper
	stopSweep context.CancelFunc
	closed    atomic.Bool
	shutDown  func() error
}

var _ storage.Store = (*Store)(nil)

// Open opens the database file at path, or creates it, and the directories above it, where
// there is none. Whatever mode it had, the file is then its owner's alone to read and write.
//
// An existing file that is empty, truncated, damaged, another program's or written by a newer
// version is refused and left as it is; so is one that another process has open, once
// LockTimeout has passed. The error names the file. Damage deeper inside than Open looks is an
// error of the call that meets it.
func Open(path string, opts Options) (*Store, error) {
	opts = opts.withDefaults()
	f, err := open(path, opts)
	if err != nil {
		return nil, fmt.Errorf("database %s: %w", path, err)
	}

	sweeping, stop := context.WithCancel(context.Background())
	s := &Store{file: f, now: opts.Now, log: opts.Logger, queue: newQueue(), stopSweep: stop, broken: newBreakage(), commitTx: (*bbolt.Tx).Commit, occupy: f.occupy}
	s.committed.Store(int64(f.opened))
	s.shutDown = sync.OnceValue(s.shutDownOnce)
	if opts.ReadOnly {
		s.queue.shut(storage.ErrReadOnly)
		return s, nil
	}
	s.workers.Go(s.commitQueued)
	if opts.SweepInterval > 0 {
		s.workers.Go(func() { s.sweepEvery(sweeping, opts.SweepInterval) })
	}
	return s, nil
}

// Close commits the writes that are queued, waits for the calls in flight and releases the
// file. Later calls get storage.ErrClosed. To close again is no error: it waits for, and
// returns the result of, the first Close.
func (s *Store) Close() error { return s.shutDown() }

func (s *Store) shutDownOnce() error {
	s.closed.Store(true)
	s.queue.shut(storage.ErrClosed)
	s.stopSweep()
	release := s.file.close
	if !s.awaitWorkers() {
		release = s.file.abandon
	} else if err := s.file.syncFreeList(); err != nil {
		// The next Open makes the list again.
		s.log.Warn("could not write the list of free pages", zap.String("path", s.file.path), zap.Error(err))
		if _, panicked := errors.AsType[*panicError](err); panicked {
			release = s.file.abandon
		}
	}
	if err := release(); err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

// Get implements storage.Store.
func (s *Store) Get(ctx context.Context, key string) (storage.Record, storage.Revision, error) {
	var (
		record   storage.Record
		revision storage.Revision
	)
	if err := checkKey(key); err != nil {
		return record, revision, err
	}
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		records, err := table(tx, recordsBucket)
		if err != nil {
			return err
		}
		e, found, err := lookup(records, key)
		if err != nil {
			return err
		}
		if !found || e.expired(s.now()) {
			return storage.ErrNotFound
		}
		record, revision = e.record(key), e.revision
		return nil
	})
	return record, revision, err
}

// Find implements storage.Store.
func (s *Store) Find(ctx context.Context, term, after string, limit int) ([]string, error) {
	if err := checkFind(term, after, limit); err != nil {
		return nil, err
	}
	var keys []string
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		terms, err := table(tx, termsBucket)
		if err != nil {
			return err
		}
		records, err := table(tx, recordsBucket)
		if err != nil {
			return err
		}
		now := s.now()
		for key := range keysWith(terms, term, after) {
			e, found, err := lookup(records, key)
			if err != nil {
				return err
			}
			if !found || e.expired(now) {
				continue
			}
			if keys = append(keys, key); len(keys) == limit {
				break
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return keys, nil
}

// CompareAndSwap implements storage.Store.
func (s *Store) CompareAndSwap(ctx context.Context, key string, rev storage.Revision, next storage.Record) (storage.Revision, error) {
	if err := checkSwap(key, rev, next); err != nil {
		return 0, err
	}
	// Encoded here, the committer neither does the work nor holds the caller's memory.
	d := newDraft(next)
	return s.submit(ctx, func(t *tables) (storage.Revision, error) {
		now := s.now()
		old, err := t.expect(key, rev, now)
		if err != nil {
			return 0, err
		}
		if next.Key == key {
			return t.replace(key, old, d)
		}
		// The place that the record moves to is free, but for what may be left of an expired one.
		displaced, err := t.expect(next.Key, 0, now)
		if err != nil {
			return 0, err
		}
		if err := t.remove(key, old); err != nil {
			return 0, err
		}
		return t.replace(next.Key, displaced, d)
	})
}

// Delete implements storage.Store.
func (s *Store) Delete(ctx context.Context, key string, rev storage.Revision) error {
	if err := checkKey(key); err != nil {
		return err
	}
	_, err := s.submit(ctx, func(t *tables) (storage.Revision, error) {
		if rev == 0 {
			return 0, storage.ErrConflict
		}
		old, err := t.expect(key, rev, s.now())
		if err != nil {
			return 0, err
		}
		return 0, t.remove(key, old)
	})
	return err
}

// view runs fn on what was last committed. The memory that fn reads is the file's, and changes
// or is gone once fn has returned: what it keeps, it copies.
func (s *Store) view(ctx context.Context, fn func(*bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return storage.ErrClosed
	}
	tx, err := s.begin(false)
	if errors.Is(err, bbolterrors.ErrDatabaseNotOpen) {
		return storage.ErrClosed
	}
	if err != nil {
		return err
	}
	// Rollback waits for a lock that another call's Begin may keep for ever; see begin. This call
	// must not wait with it.
	defer func() { go tx.Rollback() }()
	err = contain(func() error { return fn(tx) })
	s.logPanic(err)
	return err
}
