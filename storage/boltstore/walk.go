package boltstore

import (
	"bytes"
	"context"

	"go.etcd.io/bbolt"

	"github.com/caddy-multi-session/gateway/storage"
)

// Walk implements storage.Store, in one read transaction. While it lasts, bbolt uses none of the pages
// again that it may still come to, so that the file grows by all that is written meanwhile. When it
// grows beyond its memory map, the writer waits for the walk to end, and so does everybody who comes
// later, to read as well as to write. Up to mapBytes that does not happen.
func (s *Store) Walk(ctx context.Context, prefix string, visit func(storage.Record) error) error {
	if prefix != "" {
		if err := checkName("prefix", prefix, storage.MaxKeyBytes); err != nil {
			return err
		}
	}
	return s.snapshot(ctx, func(tx *bbolt.Tx) error {
		w := walk{tx: tx, prefix: []byte(prefix)}
		now := s.now()
		for {
			// A panic of visit is not the database's, and is not contained.
			if err := s.reading(w.next); err != nil || w.key == nil {
				return err
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			if w.entry.expired(now) {
				continue
			}
			if err := s.reading(w.copy); err != nil {
				return err
			}
			if err := visit(w.record); err != nil {
				return err
			}
		}
	})
}

// walk is a place among the records whose keys begin with prefix, at first before all of them.
type walk struct {
	tx     *bbolt.Tx
	prefix []byte
	cursor *bbolt.Cursor // nil before the first one

	key    []byte // nil after the last one
	entry  entry
	record storage.Record
}

// next goes on to the next record, expired or not.
func (w *walk) next() (err error) {
	var encoded []byte
	if w.cursor == nil {
		records, err := table(w.tx, recordsBucket)
		if err != nil {
			return err
		}
		w.cursor = records.Cursor()
		w.key, encoded = w.cursor.Seek(w.prefix)
	} else {
		w.key, encoded = w.cursor.Next()
	}
	if w.key == nil || !bytes.HasPrefix(w.key, w.prefix) {
		w.key = nil
		return nil
	}
	w.entry, err = decodeNamed(w.key, encoded)
	return err
}

// copy takes the record out of the transaction.
func (w *walk) copy() error {
	w.record = w.entry.record(string(w.key))
	return nil
}
