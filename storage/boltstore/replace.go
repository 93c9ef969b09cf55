package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"iter"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/caddy-multi-session/gateway/storage"
)

var _ storage.Replacer = (*Store)(nil)

// Replace implements storage.Replacer, in a transaction of its own. The records are read to the end
// first, so that a slow source keeps no writer waiting, and are in memory from then on, once, encoded;
// while bbolt commits, its pages are there too. Writers wait for that commit, and readers for nothing.
func (s *Store) Replace(ctx context.Context, records iter.Seq2[storage.Record, error]) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return storage.ErrClosed
	}
	drafts, err := s.draftAll(ctx, records)
	if err != nil {
		return err
	}
	return s.submitAlone(ctx, func(t *tables) (storage.Revision, error) {
		t.wrote = true
		if err := t.empty(); err != nil {
			return 0, err
		}
		return 0, t.fill(drafts)
	})
}

// keyedDraft is a draft without what can be read in it.
type keyedDraft struct {
	key     string
	encoded []byte
}

// draftAll returns the drafts of the live records, in the order of their keys.
func (s *Store) draftAll(ctx context.Context, records iter.Seq2[storage.Record, error]) ([]keyedDraft, error) {
	var drafts []keyedDraft
	seen := make(map[string]struct{})
	for record, err := range records {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return nil, err
		}
		number := len(seen) + 1
		if err := checkSwap(record.Key, 0, record); err != nil {
			return nil, fmt.Errorf("record %d: %w", number, err)
		}
		if _, twice := seen[record.Key]; twice {
			return nil, fmt.Errorf("record %d: its key came before: %w", number, storage.ErrInvalid)
		}
		seen[record.Key] = struct{}{}
		if s.now().Before(record.Expiry) {
			drafts = append(drafts, keyedDraft{record.Key, newDraft(record).encoded})
		}
	}
	slices.SortFunc(drafts, func(a, b keyedDraft) int { return cmp.Compare(a.key, b.key) })
	return drafts, nil
}

// empty makes all tables new ones, but for the last revision that was given: none is given again.
func (t *tables) empty() error {
	tx := t.records.Tx()
	for name, table := range map[string]**bbolt.Bucket{
		string(recordsBucket): &t.records,
		string(termsBucket):   &t.terms,
		string(expiryBucket):  &t.expiries,
	} {
		if err := tx.DeleteBucket([]byte(name)); err != nil {
			return fmt.Errorf("delete table %s: %w", name, err)
		}
		fresh, err := tx.CreateBucket([]byte(name))
		if err != nil {
			return fmt.Errorf("create table %s: %w", name, err)
		}
		*table = fresh
	}
	return nil
}

// fill stores the drafts in empty tables. Each table is written in the order of its keys: until bbolt
// commits, a table that was empty is one list, and to put something in the middle moves half of it.
func (t *tables) fill(drafts []keyedDraft) error {
	last := t.meta.Sequence()
	if err := t.meta.SetSequence(last + uint64(len(drafts))); err != nil {
		return fmt.Errorf("next revisions: %w", err)
	}
	var terms, expiries [][]byte
	t.records.FillPercent = densely
	for i, d := range drafts {
		draft{encoded: d.encoded}.stamp(storage.Revision(last + 1 + uint64(i)))
		e, err := decodeEntry(d.encoded)
		if err != nil {
			return err
		}
		for _, term := range e.termList() {
			terms = append(terms, termEntry(term, d.key))
		}
		expiries = append(expiries, expiryEntry(e.expiry, d.key))
		if err := t.records.Put([]byte(d.key), d.encoded); err != nil {
			return fmt.Errorf("put record: %w", err)
		}
	}
	if err := fillIndex(t.terms, terms); err != nil {
		return fmt.Errorf("put term: %w", err)
	}
	if err := fillIndex(t.expiries, expiries); err != nil {
		return fmt.Errorf("put expiry: %w", err)
	}
	return nil
}

// densely is how full the pages are made. Bbolt's default, half, is for keys that come in no order.
const densely = 0.9

func fillIndex(index *bbolt.Bucket, entries [][]byte) error {
	slices.SortFunc(entries, bytes.Compare)
	index.FillPercent = densely
	for _, entry := range entries {
		if err := index.Put(entry, noValue); err != nil {
			return err
		}
	}
	return nil
}
