package boltstore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/caddy-multi-session/gateway/storage"
)

// The buckets of the file. The two indexes hold their facts in the key and have empty values.
var (
	metaBucket    = []byte("meta")     // what the file is; its sequence is the last revision given
	recordsBucket = []byte("records")  // key -> encoded record
	termsBucket   = []byte("terms")    // term, NUL, key: neither has a NUL in it
	expiryBucket  = []byte("expiries") // expiry as 8 bytes that sort by time, key
)

// noValue is the value of an index entry. Nil would not do: Get returns that for absence.
var noValue = []byte{}

// tables are what a write changes, in one bbolt transaction.
type tables struct {
	meta, records, terms, expiries *bbolt.Bucket

	// wrote is set by the first change. A write that fails before it has left no trace.
	wrote bool

	added int // bytes of records since it was set to zero; negative where more were removed
}

func tablesOf(tx *bbolt.Tx) (*tables, error) {
	meta, err1 := table(tx, metaBucket)
	records, err2 := table(tx, recordsBucket)
	terms, err3 := table(tx, termsBucket)
	expiries, err4 := table(tx, expiryBucket)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	return &tables{meta: meta, records: records, terms: terms, expiries: expiries}, nil
}

// table returns one table of a transaction, for readers who need no more.
func table(tx *bbolt.Tx, name []byte) (*bbolt.Bucket, error) {
	b := tx.Bucket(name)
	if b == nil {
		return nil, fmt.Errorf("table %s is missing", name)
	}
	return b, nil
}

// lookup returns what is stored under key, expired or not.
func lookup(records *bbolt.Bucket, key string) (e entry, found bool, err error) {
	encoded := records.Get([]byte(key))
	if encoded == nil {
		return entry{}, false, nil
	}
	if e, err = decodeNamed(key, encoded); err != nil {
		return entry{}, false, err
	}
	return e, true, nil
}

// expect returns what is stored under key, provided that it is at revision rev: zero for no
// live record. Then what is returned is nil or the remains of an expired one.
func (t *tables) expect(key string, rev storage.Revision, now time.Time) (*entry, error) {
	e, found, err := lookup(t.records, key)
	if err != nil {
		return nil, err
	}
	var current storage.Revision
	if found && !e.expired(now) {
		current = e.revision
	}
	if current != rev {
		return nil, storage.ErrConflict
	}
	if !found {
		return nil, nil
	}
	return &e, nil
}

// replace stores d under key, in place of old unless that is nil, and returns its revision.
func (t *tables) replace(key string, old *entry, d draft) (storage.Revision, error) {
	// What the indexes say already stays untouched: most writes change the value alone.
	var stale []string
	fresh := d.terms
	sameExpiry := false
	if old != nil {
		was := old.termList()
		stale, fresh = without(was, d.terms), without(d.terms, was)
		sameExpiry = old.expiry == d.expiry
	}

	t.wrote = true
	t.added += len(d.encoded)
	if old != nil {
		t.added -= old.size
	}
	revision, err := t.meta.NextSequence()
	if err != nil {
		return 0, fmt.Errorf("next revision: %w", err)
	}
	d.stamp(storage.Revision(revision))
	if old != nil && !sameExpiry {
		if err := t.expiries.Delete(expiryEntry(old.expiry, key)); err != nil {
			return 0, fmt.Errorf("delete expiry: %w", err)
		}
	}
	if !sameExpiry {
		if err := t.expiries.Put(expiryEntry(d.expiry, key), noValue); err != nil {
			return 0, fmt.Errorf("put expiry: %w", err)
		}
	}
	for _, term := range stale {
		if err := t.terms.Delete(termEntry(term, key)); err != nil {
			return 0, fmt.Errorf("delete term: %w", err)
		}
	}
	for _, term := range fresh {
		if err := t.terms.Put(termEntry(term, key), noValue); err != nil {
			return 0, fmt.Errorf("put term: %w", err)
		}
	}
	if err := t.records.Put([]byte(key), d.encoded); err != nil {
		return 0, fmt.Errorf("put record: %w", err)
	}
	return storage.Revision(revision), nil
}

// remove deletes the entry that is stored under key, from the indexes too.
func (t *tables) remove(key string, e *entry) error {
	terms := e.termList()
	t.wrote = true
	t.added -= e.size
	for _, term := range terms {
		if err := t.terms.Delete(termEntry(term, key)); err != nil {
			return fmt.Errorf("delete term: %w", err)
		}
	}
	if err := t.expiries.Delete(expiryEntry(e.expiry, key)); err != nil {
		return fmt.Errorf("delete expiry: %w", err)
	}
	if err := t.records.Delete([]byte(key)); err != nil {
		return fmt.Errorf("delete record: %w", err)
	}
	return nil
}

// keysWith yields the keys greater than after that are indexed under term, ascending.
func keysWith(terms *bbolt.Bucket, term, after string) iter.Seq[string] {
	return func(yield func(string) bool) {
		prefix := termEntry(term, "")
		start := termEntry(term, after)
		c := terms.Cursor()
		k, _ := c.Seek(start)
		if after != "" && bytes.Equal(k, start) {
			k, _ = c.Next()
		}
		for ; bytes.HasPrefix(k, prefix); k, _ = c.Next() {
			if !yield(string(k[len(prefix):])) {
				return
			}
		}
	}
}

func termEntry(term, key string) []byte {
	b := make([]byte, 0, len(term)+1+len(key))
	b = append(b, term...)
	b = append(b, 0)
	return append(b, key...)
}

const expiryBytes = 8

// expiryEntry turns the sign bit over: bytes are compared unsigned, and instants before 1970
// are to come first.
func expiryEntry(expiry int64, key string) []byte {
	b := make([]byte, 0, expiryBytes+len(key))
	b = binary.BigEndian.AppendUint64(b, uint64(expiry)^(1<<63))
	return append(b, key...)
}

func parseExpiryEntry(b []byte) (expiry int64, key string, ok bool) {
	if len(b) <= expiryBytes {
		return 0, "", false
	}
	return int64(binary.BigEndian.Uint64(b) ^ (1 << 63)), string(b[expiryBytes:]), true
}

// without returns the elements of a that are not in b; both ascend.
func without(a, b []string) []string {
	var out []string
	for _, s := range a {
		if _, found := slices.BinarySearch(b, s); !found {
			out = append(out, s)
		}
	}
	return out
}
