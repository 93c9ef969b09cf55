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

// notePrefix marks the store's records that are notes.
const notePrefix = "note:"

// MaxNoteBytes bounds the value of a note.
const MaxNoteBytes = 16 << 10

var (
	// ErrNoted reports that there is a note of the name already.
	ErrNoted = errors.New("noted already")

	// ErrNote reports a note that cannot be: too large, or over before it begins.
	ErrNote = errors.New("note is not valid")
)

// Notes are short-lived records beside the jars: of what has happened and must not happen twice, and
// of what is to be picked up once. Each has a kind, a word of the code, and within it a name, which may
// be any text and a secret: the store knows only its SHA-256. A note that has expired is absent.
//
// Notes are shared by all that use the store. Their methods may be called concurrently. Errors other
// than the sentinels named are the store's.
type Notes struct {
	store storage.Store
	now   func() time.Time
}

// NewNotes returns the notes of a store.
func NewNotes(store storage.Store, now func() time.Time) *Notes { return &Notes{store, now} }

// Put makes a note that is there until the given time. Where there is one of the name already it is
// ErrNoted: of any number of concurrent callers exactly one succeeds. ErrNote comes where the value
// has more than MaxNoteBytes or until is not to come: such a note would keep nothing from happening twice.
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

// Replace makes a note, in place of the one of the name where there is one. It is ErrNote as by Put.
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

// Get returns a note's value, and false where there is none.
func (n *Notes) Get(ctx context.Context, kind, name string) (value []byte, ok bool, err error) {
	record, revision, err := n.load(ctx, noteKey(kind, name))
	return record.Value, revision != 0, err
}

// Take returns a note's value and removes the note: of any number of concurrent callers at most one
// gets it. After an error it may be gone.
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

// load returns a note's record and its revision, which is zero where there is none.
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
	// The store keeps no less than a millisecond.
	if until = until.UTC().Truncate(time.Millisecond); !n.now().Before(until) {
		return storage.Record{}, fmt.Errorf("%w: it is over already", ErrNote)
	}
	return storage.Record{Key: noteKey(kind, name), Value: value, Expiry: until}, nil
}

func noteKey(kind, name string) string { return notePrefix + kind + ":" + digest(name) }

// checkNote reports what is wrong with a record that is under a note's key.
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
