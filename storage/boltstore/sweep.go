package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"go.etcd.io/bbolt"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/storage"
)

// sweepBatch is how many expired records one write removes: few enough that the writers who
// share its commit hardly notice.
const sweepBatch = 48

// sweepEvery removes the expired records now and at every interval, until ctx ends.
func (s *Store) sweepEvery(ctx context.Context, interval time.Duration) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		var removed int
		err := s.look(ctx)
		if err == nil {
			err = contain(func() (err error) { removed, err = s.sweep(ctx); return err })
			s.logPanic(err)
		}
		switch {
		case ctx.Err() != nil || errors.Is(err, storage.ErrClosed):
			return
		case err != nil:
			s.log.Warn("could not remove all expired records", zap.Int("removed", removed), zap.Error(err))
		case removed > 0:
			s.log.Debug("removed expired records", zap.Int("removed", removed))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// look has the committer look after the file as it does before each write, for times when nobody
// writes.
func (s *Store) look(ctx context.Context) error {
	_, err := s.submit(ctx, func(*tables) (storage.Revision, error) { return 0, nil })
	return err
}

// sweep removes the records that have expired by now and returns how many they were. A corrupt
// one is passed over and is the error in the end. It leaves the committer to others for half of the
// time, however many records have expired at once.
func (s *Store) sweep(ctx context.Context) (removed int, err error) {
	now := s.now()
	var after []byte
	var corrupt error
	for {
		due, err := s.due(ctx, now, after)
		if err != nil || len(due) == 0 {
			return removed, errors.Join(err, corrupt)
		}
		after = due[len(due)-1]

		var n int
		var passedOver error
		start := time.Now()
		_, err = s.submit(ctx, func(t *tables) (_ storage.Revision, err error) {
			n, passedOver, err = t.removeDue(due)
			return 0, err
		})
		if err != nil {
			return removed, errors.Join(err, corrupt)
		}
		removed += n
		if corrupt == nil {
			corrupt = passedOver
		}
		if len(due) < sweepBatch {
			return removed, corrupt
		}
		rest(ctx, time.Since(start))
	}
}

// rest waits for a time, or until ctx ends.
func rest(ctx context.Context, d time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	<-ctx.Done()
}

// due returns the first entries greater than after in the index of expiries that are not later
// than now. They are collected before anything is deleted, for a cursor skips entries where
// there are deletions under it.
func (s *Store) due(ctx context.Context, now time.Time, after []byte) ([][]byte, error) {
	// The entries of all keys at this millisecond are less than the bare next millisecond.
	end := expiryEntry(now.UnixMilli()+1, "")
	var entries [][]byte
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		expiries, err := table(tx, expiryBucket)
		if err != nil {
			return err
		}
		c := expiries.Cursor()
		k, _ := c.Seek(after)
		if after != nil && bytes.Equal(k, after) {
			k, _ = c.Next()
		}
		for ; k != nil && bytes.Compare(k, end) < 0 && len(entries) < sweepBatch; k, _ = c.Next() {
			entries = append(entries, bytes.Clone(k))
		}
		return nil
	})
	return entries, err
}

// removeDue removes the records that the entries, which are due, still speak for: one that was
// written anew since they were read has another expiry, and stays. An entry that speaks for no
// record goes alone. The first corrupt record is passedOver.
func (t *tables) removeDue(entries [][]byte) (removed int, passedOver, err error) {
	for _, k := range entries {
		expiry, key, ok := parseExpiryEntry(k)
		if ok {
			e, found, err := lookup(t.records, key)
			if err != nil {
				if passedOver == nil {
					passedOver = err
				}
				continue
			}
			if found && e.expiry == expiry {
				if err := t.remove(key, &e); err != nil {
					return removed, passedOver, err
				}
				removed++
				continue
			}
		}
		if t.expiries.Get(k) == nil {
			continue
		}
		t.wrote = true
		if err := t.expiries.Delete(k); err != nil {
			return removed, passedOver, fmt.Errorf("delete expiry: %w", err)
		}
	}
	return removed, passedOver, nil
}
