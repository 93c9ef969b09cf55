package boltstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

func TestCheckFindsNothing(t *testing.T) {
	s := newStore(t)
	if err := s.Check(t.Context()); err != nil {
		t.Errorf("an empty store: %v", err)
	}
	put(t, s, record("a", "t1", "t2"))
	rev := put(t, s, record("b", "t1"))
	expired := record("c", "t1")
	expired.Expiry = time.Now().Add(-time.Hour)
	put(t, s, expired)
	before := commits(t, s)
	if err := s.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if got := commits(t, s); got != before {
		t.Errorf("%d commits by a check", got-before)
	}
	if err := s.Delete(t.Context(), "b", rev); err != nil {
		t.Errorf("a write after the check: %v", err)
	}
}

func TestCheckFinds(t *testing.T) {
	for name, c := range map[string]struct {
		damage func(*tables) error
		says   string
	}{
		"a record that cannot be read": {func(t *tables) error { return t.records.Put([]byte("secret-a"), []byte("junk")) }, "corrupt record"},
		"a term that is not indexed":   {func(t *tables) error { return t.terms.Delete(termEntry("t1", "secret-a")) }, "is not indexed by a term"},
		"an expiry that is not indexed": {func(t *tables) error {
			k, _ := t.expiries.Cursor().First()
			return t.expiries.Delete(bytes.Clone(k))
		}, "is not indexed by its expiry"},
		"a term of no record":    {func(t *tables) error { return t.terms.Put(termEntry("t1", "secret-x"), noValue) }, "index of terms: 1 entries speak for no record"},
		"an expiry of no record": {func(t *tables) error { return t.expiries.Put(expiryEntry(1, "secret-x"), noValue) }, "index of expiries: 1 entries speak for no record"},
		"a revision to come":     {func(t *tables) error { return t.meta.SetSequence(1) }, "revision 2 is above the last one, 1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(t)
			put(t, s, record("secret-a", "t1"))
			put(t, s, record("secret-b", "t1"))
			rawUpdate(t, s, c.damage)
			err := s.Check(t.Context())
			errorSays(t, err, c.says)
			tellsNoSecret(t, err)
		})
	}
}

// endingContext ends when it has been looked at so many times.
type endingContext struct {
	context.Context
	looks int
}

func (c *endingContext) Err() error {
	if c.looks--; c.looks < 0 {
		return context.Canceled
	}
	return nil
}

// However far a check has come, it ends with its context, and tells what it has found by then.
func TestCheckEndsWithItsContext(t *testing.T) {
	s := newStore(t)
	fill(t, s, "key-", 50, time.Now().Add(time.Hour))
	for looks := 0; ; looks++ {
		err := s.Check(&endingContext{t.Context(), looks})
		if err == nil {
			if looks < 50 {
				t.Errorf("a check looked at its context %d times only", looks)
			}
			break
		}
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("after %d looks: %v", looks, err)
		}
	}
	rawUpdate(t, s, func(t *tables) error { return t.records.Put([]byte("key-0"), []byte("junk")) })
	for looks := 0; ; looks++ {
		err := s.Check(&endingContext{t.Context(), looks})
		if err == nil || !errors.Is(err, context.Canceled) {
			t.Fatalf("Check = %v, and never both what was found and why it ended", err)
		}
		if errors.Is(err, errCorrupt) {
			break
		}
	}
}

func TestCheckOfAClosedStore(t *testing.T) {
	s := newStore(t)
	closeStore(t, s)
	if err := s.Check(t.Context()); !errors.Is(err, storage.ErrClosed) {
		t.Errorf("Check = %v, want %q", err, storage.ErrClosed)
	}
}

func TestCheckHasBounds(t *testing.T) {
	s := newStore(t)
	fill(t, s, "key-", 3*maxFindings, time.Now().Add(time.Hour))
	rawUpdate(t, s, func(t *tables) error {
		for i := range 3 * maxFindings {
			if err := t.records.Put(fmt.Appendf(nil, "key-%d", i), []byte("junk")); err != nil {
				return err
			}
		}
		return nil
	})
	err := s.Check(t.Context())
	errorSays(t, err, fmt.Sprintf("and %d more", 2*maxFindings))
	if lines := strings.Count(err.Error(), "\n") + 1; lines != maxFindings+1 {
		t.Errorf("%d lines", lines)
	}
}
