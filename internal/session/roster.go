package session

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// Roster is which accounts there are: for each login method the subjects that it knows, or nil
// where a method does not know all of its own.
type Roster map[string][]string

// rosterKey is the store's record of the roster that was in force last. It is what a method that
// just lost an account, while no process may have been running, is told apart by from one that
// never had it.
const rosterKey = "roster"

// rosterRecord is its stored form.
type rosterRecord struct {
	Version int    `json:"v"`
	Methods Roster `json:"methods"`
}

// noExpiry is the expiry of records that are to stay.
var noExpiry = time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)

// EndMissing ends the sessions of the accounts that were in the roster last time and are not in
// this one, with all of a method that is gone as a whole, and returns how many. Such sessions are
// refused anyway for as long as their account is missing; to end them is to keep them from coming
// back to life with an account of the same name. For the same reason it ends what there is of an
// account or a method that was not in the roster last time and is in this one: the last requests of
// the configuration before may have left sessions that were not there to be ended yet.
//
// If it fails, the next call does what is left. Jars that are ErrUnreadable are no reason to fail:
// that is the error after all is done.
func (m *Manager) EndMissing(ctx context.Context, now Roster) (int, error) {
	at := m.now()
	for total := 0; ; {
		ended, err := m.endMissing(ctx, now, at)
		total += ended
		if !errors.Is(err, storage.ErrConflict) {
			return total, err
		}
		// Another process stored its roster meanwhile.
	}
}

func (m *Manager) endMissing(ctx context.Context, now Roster, at time.Time) (int, error) {
	last, revision, err := m.loadRoster(ctx)
	if err != nil {
		return 0, err
	}
	if revision == 0 {
		return 0, m.storeRoster(ctx, now, revision)
	}
	total := 0
	var unreadable error
	for _, method := range methods(last, now) {
		ended, err := m.endChanged(ctx, method, last, now, at)
		total += ended
		if err != nil {
			err = fmt.Errorf("end sessions of login %s: %w", method, err)
			if !errors.Is(err, ErrUnreadable) {
				return total, err
			}
			unreadable = err
		}
	}
	if !maps.EqualFunc(last, now, sameSubjects) {
		if err := m.storeRoster(ctx, now, revision); err != nil {
			return total, err
		}
	}
	return total, unreadable
}

// endChanged ends the sessions, made before the given time, of one method's accounts that are in
// only one of two rosters.
func (m *Manager) endChanged(ctx context.Context, method string, last, now Roster, at time.Time) (int, error) {
	was, before := last[method]
	is, after := now[method]
	if before != after {
		return m.endWhere(ctx, methodTerm(method), func(s *Session) bool {
			return s.Recorded.Account.Method == method && s.CreatedAt.Before(at)
		})
	}
	if was == nil || is == nil {
		return 0, nil
	}
	total := 0
	var unreadable error
	for _, subject := range slices.Concat(missing(was, is), missing(is, was)) {
		ended, err := m.EndAccount(ctx, Account{Method: method, Subject: subject}, at)
		total += ended
		if err != nil {
			if !errors.Is(err, ErrUnreadable) {
				return total, err
			}
			unreadable = err
		}
	}
	return total, unreadable
}

// methods returns the methods of two rosters, each once.
func methods(a, b Roster) []string {
	all := slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b))
	slices.Sort(all)
	return slices.Compact(all)
}

// missing returns what is in one list and not in the other.
func missing(in, from []string) []string {
	there := make(map[string]bool, len(from))
	for _, subject := range from {
		there[subject] = true
	}
	return slices.DeleteFunc(slices.Clone(in), func(subject string) bool { return there[subject] })
}

// sameSubjects tells nil, which is all that a method does not know, from none.
func sameSubjects(a, b []string) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

func (m *Manager) loadRoster(ctx context.Context) (Roster, storage.Revision, error) {
	record, revision, err := m.jars.store.Get(ctx, rosterKey)
	if errors.Is(err, storage.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, fmt.Errorf("load roster: %w", err)
	}
	var stored rosterRecord
	if err := json.Unmarshal(record.Value, &stored); err != nil {
		return nil, 0, fmt.Errorf("load roster: %w", err)
	}
	if stored.Version != recordVersion {
		return nil, 0, fmt.Errorf("load roster: version %d, want %d", stored.Version, recordVersion)
	}
	return stored.Methods, revision, nil
}

func (m *Manager) storeRoster(ctx context.Context, now Roster, revision storage.Revision) error {
	value, err := json.Marshal(rosterRecord{recordVersion, now})
	if err != nil {
		return fmt.Errorf("store roster: %w", err)
	}
	record := storage.Record{Key: rosterKey, Value: value, Expiry: noExpiry}
	if _, err := m.jars.store.CompareAndSwap(ctx, rosterKey, revision, record); err != nil {
		return fmt.Errorf("store roster: %w", err)
	}
	return nil
}
