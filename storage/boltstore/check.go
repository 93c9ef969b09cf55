package boltstore

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/caddy-multi-session/gateway/storage"
)

var _ storage.Checker = (*Store)(nil)

// maxFindings bounds what Check returns: who has so many needs a backup rather than a longer list.
const maxFindings = 100

// Check implements storage.Checker. It reads everything there is, in one read transaction, which costs
// what a walk costs: every page is used once or free, and sound; keys are in order; every record can be
// read, and is of a revision that was given; the indexes speak of every record and of nothing else.
// Where pages are damaged, it does not look at the records in them.
func (s *Store) Check(ctx context.Context) error {
	var found findings
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		whole, err := checkPages(ctx, tx, s.file.raw, &found)
		if err != nil || !whole {
			return err
		}
		t, err := tablesOf(tx)
		if err != nil {
			return err
		}
		return t.check(ctx, &found)
	})
	return found.join(err)
}

// findings collects what is wrong.
type findings struct {
	errs []error
	more int
}

func (f *findings) add(format string, args ...any) {
	if len(f.errs) == maxFindings {
		f.more++
		return
	}
	f.errs = append(f.errs, fmt.Errorf(format, args...))
}

func (f *findings) count() int { return len(f.errs) + f.more }

// join returns one error of all there are, and of what ended the search.
func (f *findings) join(end error) error {
	all := f.errs
	if f.more > 0 {
		all = append(all, fmt.Errorf("and %d more", f.more))
	}
	return errors.Join(append(all, end)...)
}

func (t *tables) check(ctx context.Context, found *findings) error {
	last := t.meta.Sequence()
	terms, expiries, unreadable := 0, 0, false
	err := scan(ctx, t.records, func(k, encoded []byte) {
		e, err := decodeNamed(k, encoded)
		if err != nil {
			found.add("%w", err)
			unreadable = true
			return
		}
		key, name := string(k), sha256.Sum256(k)
		if uint64(e.revision) > last {
			found.add("record with key of sha-256 %.8x: revision %d is above the last one, %d", name, e.revision, last)
		}
		for _, term := range e.termList() {
			if t.terms.Get(termEntry(term, key)) == nil {
				found.add("record with key of sha-256 %.8x: is not indexed by a term of its", name)
				continue
			}
			terms++
		}
		if t.expiries.Get(expiryEntry(e.expiry, key)) == nil {
			found.add("record with key of sha-256 %.8x: is not indexed by its expiry", name)
			return
		}
		expiries++
	})
	if err != nil {
		return err
	}
	// What is left when all that speaks for a record is taken away speaks for none.
	err = scan(ctx, t.terms, func(_, _ []byte) { terms-- })
	if err != nil {
		return err
	}
	if terms < 0 && !unreadable { // else nobody knows what is whose
		found.add("index of terms: %d entries speak for no record", -terms)
	}
	err = scan(ctx, t.expiries, func(_, _ []byte) { expiries-- })
	if expiries < 0 && !unreadable {
		found.add("index of expiries: %d entries speak for no record", -expiries)
	}
	return err
}

// scan calls visit with every entry of a table.
func scan(ctx context.Context, table *bbolt.Bucket, visit func(k, v []byte)) error {
	c := table.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		if err := ctx.Err(); err != nil {
			return err
		}
		visit(k, v)
	}
	return nil
}
