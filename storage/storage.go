// Package storage is the contract between the gateway and the databases it keeps records in.
//
// A store knows nothing of sessions. It keeps records: opaque bytes under a key, with the
// instant they expire at and the index terms they can be found by. The package depends on the
// standard library alone; boltstore is the embedded implementation and storagetest is the
// suite that every implementation passes.
//
// Store is small, and every implementation has all of it. What only some can do is an interface of its
// own beside it, which callers assert for: Replacer exchanges all that is stored, as to restore a
// backup, and Checker looks for damage.
package storage

import (
	"context"
	"errors"
	"iter"
	"time"
)

var (
	// ErrNotFound reports that no live record has the key. A record that has expired is not
	// found, whether or not the store has already removed it.
	ErrNotFound = errors.New("record not found")

	// ErrConflict reports that the record is not at the revision that the caller named: it was
	// changed, moved, deleted or has expired since, or there is one where none was expected.
	// Nothing was written. The caller reads again and decides anew.
	ErrConflict = errors.New("record is not at the expected revision")

	// ErrInvalid reports a key, prefix, term, value or expiry outside the limits below, or a key that
	// comes twice where it may come once. Nothing was written.
	ErrInvalid = errors.New("record is not valid")

	// ErrReadOnly reports a write to a store that was opened to be read only. Nothing was written.
	ErrReadOnly = errors.New("store is read-only")

	// ErrClosed reports that the store was closed.
	ErrClosed = errors.New("store is closed")
)

// Limits that every store enforces with ErrInvalid, so that what one accepts, all accept.
const (
	MaxKeyBytes   = 512     // of a key; at least 1
	MaxTermBytes  = 512     // of an index term; at least 1, no NUL byte
	MaxTerms      = 256     // of one record; no two alike
	MaxValueBytes = 4 << 20 // of a value; may be empty
)

// Record is what a store keeps.
type Record struct {
	// Key names the record. Any bytes but NUL.
	Key string

	// Value is opaque to the store.
	Value []byte

	// Expiry is the instant from which on the record is absent. It is required, and kept to
	// the millisecond at least, never rounded up. A record may be written already expired; it
	// is then absent at once.
	Expiry time.Time

	// Terms are what Find finds the record by. Their order means nothing.
	Terms []string
}

// Revision names one stored state of a record. Every successful write gives the record a
// revision that it never had before, also when a key is deleted and written again. The zero
// Revision stands for absence; no stored record has it.
type Revision uint64

// Store keeps records. All methods may be called concurrently, and each is atomic: readers see
// a record as it was before a write or after it, never between. A write that returned nil is
// durable (as durable as the implementation promises) and visible to every later call.
//
// A write that returned an error other than the sentinels of this package may or may not have
// happened, as when a connection broke while waiting for the answer.
//
// Errors wrap the sentinels of this package where one applies; any other error is a technical
// failure. When ctx ends before the work began, its error is returned and nothing is written.
type Store interface {
	// Get returns the live record under key and its revision, or ErrNotFound. Value and Terms
	// are the caller's own: changing them changes nothing in the store, and they stay valid
	// after later writes.
	Get(ctx context.Context, key string) (Record, Revision, error)

	// CompareAndSwap replaces the record under key, which must be at revision rev, with next,
	// and returns the new revision. Where rev is zero there must be no live record under key.
	//
	// next.Key may differ from key: the record moves, and from one instant to the next it is
	// found under the new key only, by Get as by Find. A live record already under next.Key is
	// a conflict. With rev zero a move makes no sense, and next.Key must equal key.
	//
	// The store keeps no reference to next.Value or next.Terms after it returns.
	CompareAndSwap(ctx context.Context, key string, rev Revision, next Record) (Revision, error)

	// Delete removes the record under key, which must be at revision rev. A record that is
	// absent already is a conflict, as is a zero rev.
	Delete(ctx context.Context, key string, rev Revision) error

	// Find returns, in ascending byte order, the keys of at most limit live records that carry
	// the term and whose key is greater than after. An empty after starts at the beginning; a
	// result shorter than limit is the end. Limit must be positive. A page shows records as they
	// were at one instant; records written between two pages may or may not be seen.
	Find(ctx context.Context, term, after string, limit int) ([]string, error)

	// Walk calls visit with every live record whose key begins with prefix, in ascending byte order
	// of the keys. An empty prefix is every key's; one that is longer than a key, or has a NUL byte,
	// is ErrInvalid. Value and Terms are the caller's own. An error of visit ends the walk and is
	// returned as it is, as is ctx's when it ends between two records.
	//
	// A walk reads in short steps, so that one of any length holds nobody up. Each record is as it was
	// at some instant of the walk. Records that are written or deleted meanwhile may or may not be
	// met; one that moves may be met under both keys or under none. Visit may call the store, and
	// take its time.
	Walk(ctx context.Context, prefix string, visit func(Record) error) error
}

// Replacer is a Store whose content can be exchanged as a whole.
type Replacer interface {
	// Replace replaces everything in the store by the records, in one atomic step: readers see all of
	// the old ones or all of the new. Every record gets a revision that no record had before. Those
	// that have expired are dropped.
	//
	// The records are taken in before anything is written, so that a source that is slow holds nobody
	// up and may use the store itself; from then on they are in memory. An error that comes from them
	// is returned as it is. It leaves the store as it was, and so do a record outside the limits
	// (ErrInvalid), a key that comes twice (ErrInvalid), and ctx when it ends before the work began.
	//
	// Whoever keeps records in memory beside the store forgets them after it, also after an error.
	Replace(ctx context.Context, records iter.Seq2[Record, error]) error
}

// Checker is a Store that can look for damage.
type Checker interface {
	// Check reads everything as it is at one instant and returns an error for each thing that is wrong
	// with it, joined, or nil. It writes nothing, and the store serves meanwhile. No error quotes a
	// key, a term or a value. Many may be left out. Ctx's error is among them when it ended too soon.
	Check(ctx context.Context) error
}
