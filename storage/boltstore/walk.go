package boltstore

import (
	"context"
	"github.com/caddy-multi-session/gateway/storage"
	"go.etcd.io/bbolt"
	"strings"
)

func (s *Store) Walk(ctx context.Context, prefix string, visit func(storage.Record) error) error {
	return s.view(ctx, func(tx *bbolt.Tx) error {
		r, err := table(tx, recordsBucket)
		if err != nil {
			return err
		}
		c := r.Cursor()
		for k, v := c.Seek([]byte(prefix)); k != nil && strings.HasPrefix(string(k), prefix); k, v = c.Next() {
			e, err := decodeEntry(v)
			if err != nil {
				return err
			}
			if e.expired(s.now()) {
				continue
			}
			if err := visit(e.record(string(k))); err != nil {
				return err
			}
		}
		return nil
	})
}
