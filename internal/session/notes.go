package session

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// notePrefix is the key prefix of notes in the store.
const notePrefix = "note:"

// MaxNoteBytes bounds the value of a note.
const MaxNoteBytes = 16 << 10

var (
	// ErrNoted reports that a note of the name exists.
	ErrNoted = errors.New("noted already")

	// ErrNote reports an invalid note: too large, or already expired.
	ErrNote = errors.New("note is not valid")
)

// Notes are short-lived records beside the jars. They record what must not happen twice, or what is
// picked up once. A note has a kind, a constant of the code, and a name within the kind. The name
// may be any text, also a secret: the store only has its SHA-256. An expired note is absent.
//
// All users of the store share its notes. The methods may be called concurrently. Errors other than
// the documented sentinels are those of the store.
type Notes struct {
	store storage.Store
	now   func() time.Time
}

// NewNotes returns the notes of a store.
func NewNotes(store storage.Store, now func() time.Time) *Notes { return &Notes{store, now} }

// Put creates a note that expires at the given time. It returns ErrNoted if one of the name exists:
// of any number of concurrent callers exactly one succeeds. It returns ErrNote if the value has
// more than MaxNoteBytes or the time is past, since such a note would prevent nothing.
func (n *Notes) Put(ctx context.Context, kind, name string, value []byte, until time.Time) error {
	record, err := n.record(kind, name, value, until)
	if err != nil {
		return err
	}
	_, err = n.store.CompareAndSwap(ctx, record.Key, 0, record)
	if errors.Is(err, storage.ErrConflict) {
		return ErrNoted
	}
	if err != nil {
		return fmt.Errorf("store note: %w", err)
	}
	return nil
}

// Replace creates a note, or replaces the one of the name. It returns ErrNote like Put.
func (n *Notes) Replace(ctx context.Context, kind, name string, value []byte, until time.Time) error {
	record, err := n.record(kind, name, value, until)
	if err != nil {
		return err
	}
	for {
		_, revision, err := n.load(ctx, record.Key)
		if err != nil {
			return err
		}
		_, err = n.store.CompareAndSwap(ctx, record.Key, revision, record)
		if err == nil {
			return nil
		}
		if !errors.Is(err, storage.ErrConflict) {
			return fmt.Errorf("store note: %w", err)
		}
	}
}

// Get returns the value of a note, and false if there is none.
func (n *Notes) Get(ctx context.Context, kind, name string) (value []byte, ok bool, err error) {
	record, revision, err := n.load(ctx, noteKey(kind, name))
	return record.Value, revision != 0, err
}

// Take removes a note and returns its value, and false if there is none. Of any number of
// concurrent callers at most one gets it. After an error the note may be gone.
func (n *Notes) Take(ctx context.Context, kind, name string) (value []byte, ok bool, err error) {
	key := noteKey(kind, name)
	for {
		record, revision, err := n.load(ctx, key)
		if err != nil || revision == 0 {
			return nil, false, err
		}
		err = n.store.Delete(ctx, key, revision)
		if err == nil {
			return record.Value, true, nil
		}
		if !errors.Is(err, storage.ErrConflict) {
			return nil, false, fmt.Errorf("take note: %w", err)
		}
	}
}

// load returns the record and the revision of a note. The revision is zero if there is none.
func (n *Notes) load(ctx context.Context, key string) (storage.Record, storage.Revision, error) {
	record, revision, err := n.store.Get(ctx, key)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.Record{}, 0, nil
	}
	if err != nil {
		return storage.Record{}, 0, fmt.Errorf("load note: %w", err)
	}
	return record, revision, nil
}

func (n *Notes) record(kind, name string, value []byte, until time.Time) (storage.Record, error) {
	if len(value) > MaxNoteBytes {
		return storage.Record{}, fmt.Errorf("%w: its value has %d bytes, more than %d", ErrNote, len(value), MaxNoteBytes)
	}
	// Stores keep milliseconds at least.
	if until = until.UTC().Truncate(time.Millisecond); !n.now().Before(until) {
		return storage.Record{}, fmt.Errorf("%w: it is over already", ErrNote)
	}
	return storage.Record{Key: noteKey(kind, name), Value: value, Expiry: until}, nil
}

// NoteKeys returns what the keys of all notes of a kind begin with in the store. What follows is the
// SHA-256 of the name in unpadded base64url (RFC 4648, section 5).
func NoteKeys(kind string) string { return notePrefix + kind + ":" }

func noteKey(kind, name string) string { return notePrefix + kind + ":" + digest(name) }

// checkNote returns what is wrong with a record under a note's key.
func checkNote(record storage.Record) error {
	kind, name, _ := strings.Cut(strings.TrimPrefix(record.Key, notePrefix), ":")
	sum, err := base64.RawURLEncoding.DecodeString(name)
	switch {
	case kind == "" || err != nil || len(sum) != len(Key{}):
		return errors.New("a note is not under the key of one")
	case len(record.Terms) > 0:
		return errors.New("a note has index terms")
	case len(record.Value) > MaxNoteBytes:
		return fmt.Errorf("a note has %d bytes, more than %d", len(record.Value), MaxNoteBytes)
	}
	return nil
}
