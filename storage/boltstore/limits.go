package boltstore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// The checks below hold a call to the limits of package storage. No error quotes a key, a term
// or a value: what they carry is the caller's secret.

func checkKey(key string) error {
	return checkName("key", key, storage.MaxKeyBytes)
}

// checkName refuses what the index entries cannot hold: they join term and key with a NUL.
func checkName(what, name string, limit int) error {
	switch {
	case name == "":
		return fmt.Errorf("%s is empty: %w", what, storage.ErrInvalid)
	case len(name) > limit:
		return fmt.Errorf("%s has %d bytes, more than %d: %w", what, len(name), limit, storage.ErrInvalid)
	case strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%s has a NUL byte: %w", what, storage.ErrInvalid)
	}
	return nil
}

func checkFind(term, after string, limit int) error {
	if err := checkName("term", term, storage.MaxTermBytes); err != nil {
		return err
	}
	if limit <= 0 {
		return fmt.Errorf("limit of %d keys: %w", limit, storage.ErrInvalid)
	}
	if after == "" {
		return nil
	}
	return checkKey(after)
}

func checkSwap(key string, rev storage.Revision, next storage.Record) error {
	if err := checkKey(key); err != nil {
		return err
	}
	if err := checkKey(next.Key); err != nil {
		return err
	}
	if rev == 0 && next.Key != key {
		return fmt.Errorf("an absent record cannot move: %w", storage.ErrInvalid)
	}
	if n := len(next.Value); n > storage.MaxValueBytes {
		return fmt.Errorf("value has %d bytes, more than %d: %w", n, storage.MaxValueBytes, storage.ErrInvalid)
	}
	if err := checkExpiry(next.Expiry); err != nil {
		return err
	}
	return checkTerms(next.Terms)
}

// checkExpiry refuses an instant that int64 milliseconds cannot tell: wrapped around, a record
// of the far future would be one of the past.
func checkExpiry(expiry time.Time) error {
	if expiry.IsZero() {
		return fmt.Errorf("expiry is missing: %w", storage.ErrInvalid)
	}
	if lost := expiry.Sub(time.UnixMilli(expiry.UnixMilli())); lost < 0 || lost >= time.Millisecond {
		return fmt.Errorf("expiry is out of range: %w", storage.ErrInvalid)
	}
	return nil
}

func checkTerms(terms []string) error {
	if n := len(terms); n > storage.MaxTerms {
		return fmt.Errorf("%d terms, more than %d: %w", n, storage.MaxTerms, storage.ErrInvalid)
	}
	for _, term := range terms {
		if err := checkName("term", term, storage.MaxTermBytes); err != nil {
			return err
		}
	}
	if sorted := slices.Sorted(slices.Values(terms)); len(slices.Compact(sorted)) != len(terms) {
		return fmt.Errorf("a term is named twice: %w", storage.ErrInvalid)
	}
	return nil
}
