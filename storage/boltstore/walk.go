package boltstore

import (
	"bytes"
	"context"
	"time"

	"go.etcd.io/bbolt"

	"github.com/caddy-multi-session/gateway/storage"
)

// Limits of what one step of a walk reads. A read transaction that lasts keeps bbolt from using free
// pages again, and from growing its memory map.
const (
	walkRecords = 256
	walkBytes   = 1 << 20
)

// Walk implements storage.Store, with a read transaction for each step.
func (s *Store) Walk(ctx context.Context, prefix string, visit func(storage.Record) error) error {
	if prefix != "" {
		if err := checkName("prefix", prefix, storage.MaxKeyBytes); err != nil {
			return err
		}
	}
	w := walk{prefix: []byte(prefix), next: []byte(prefix)}
	for w.next != nil {
		now := s.now()
		failed := s.view(ctx, func(tx *bbolt.Tx) error { return w.step(tx, now) })
		for _, record := range w.records {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := visit(record); err != nil {
				return err
			}
		}
		if failed != nil {
			return failed
		}
	}
	return ctx.Err()
}

// walk is a place among the records whose keys begin with prefix.
type walk struct {
	prefix  []byte
	next    []byte // where the next step begins; nil after the last one
	records []storage.Record
}

// step reads the next records. After an error, records has those before it.
func (w *walk) step(tx *bbolt.Tx, now time.Time) error {
	w.records = nil
	records, err := table(tx, recordsBucket)
	if err != nil {
		return err
	}
	cursor := records.Cursor()
	size, seen := 0, 0
	for key, encoded := cursor.Seek(w.next); key != nil && bytes.HasPrefix(key, w.prefix); key, encoded = cursor.Next() {
		if seen == walkRecords || size >= walkBytes {
			w.next = bytes.Clone(key)
			return nil
		}
		e, err := decodeNamed(key, encoded)
		if err != nil {
			return err
		}
		seen++
		if !e.expired(now) {
			w.records = append(w.records, e.record(string(key)))
			size += len(encoded)
		}
	}
	w.next = nil
	return nil
}
