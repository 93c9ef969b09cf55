package boltstore

import (
	"context"
	"fmt"
	"iter"

	"github.com/caddy-multi-session/gateway/storage"
)

var _ storage.Replacer = (*Store)(nil)

// Replace implements storage.Replacer. All of it is in memory until it is written, encoded, and the
// writers that come meanwhile wait for the one transaction.
func (s *Store) Replace(ctx context.Context, records iter.Seq2[storage.Record, error]) error {
	var drafts []keyedDraft
	seen := make(map[string]bool)
	for record, err := range records {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if err := checkSwap(record.Key, 0, record); err != nil {
			return fmt.Errorf("record %d: %w", len(seen)+1, err)
		}
		if seen[record.Key] {
			return fmt.Errorf("record %d: its key came before: %w", len(seen)+1, storage.ErrInvalid)
		}
		seen[record.Key] = true
		if s.now().Before(record.Expiry) {
			drafts = append(drafts, keyedDraft{record.Key, newDraft(record)})
		}
	}
	_, err := s.submit(ctx, func(t *tables) (storage.Revision, error) {
		if err := t.empty(); err != nil {
			return 0, err
		}
		for _, d := range drafts {
			if _, err := t.replace(d.key, nil, d.draft); err != nil {
				return 0, err
			}
		}
		return 0, nil
	})
	return err
}

type keyedDraft struct {
	key string
	draft
}

// empty removes every record. The last revision that was given stays, so that none is given again.
func (t *tables) empty() error {
	t.wrote = true
	tx := t.records.Tx()
	for _, name := range [][]byte{recordsBucket, termsBucket, expiryBucket} {
		if err := tx.DeleteBucket(name); err != nil {
			return fmt.Errorf("empty table %s: %w", name, err)
		}
		if _, err := tx.CreateBucket(name); err != nil {
			return fmt.Errorf("empty table %s: %w", name, err)
		}
	}
	// Later writes of the same transaction go on with the new tables.
	fresh, err := tablesOf(tx)
	if err != nil {
		return err
	}
	t.meta, t.records, t.terms, t.expiries = fresh.meta, fresh.records, fresh.terms, fresh.expiries
	return nil
}
