package boltstore

import (
	"bytes"
	"context"

	"go.etcd.io/bbolt"

	"github.com/caddy-multi-session/gateway/storage"
)

// Walk implements storage.Store. It is one read transaction: while it lasts bbolt reuses no page that
// is freed, and a write that needs a larger file waits for it to end.
func (s *Store) Walk(ctx context.Context, prefix string, visit func(storage.Record) error) error {
	if prefix != "" {
		if err := checkKey(prefix); err != nil {
			return err
		}
	}
	return s.view(ctx, func(tx *bbolt.Tx) error {
		records, err := table(tx, recordsBucket)
		if err != nil {
			return err
		}
		now := s.now()
		c := records.Cursor()
		for k, encoded := c.Seek([]byte(prefix)); bytes.HasPrefix(k, []byte(prefix)) && k != nil; k, encoded = c.Next() {
			if err := ctx.Err(); err != nil {
				return err
			}
			e, err := decodeNamed(k, encoded)
			if err != nil {
				return err
			}
			if e.expired(now) {
				continue
			}
			if err := visit(e.record(string(k))); err != nil {
				return err
			}
		}
		return nil
	})
}
