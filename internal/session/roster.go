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

// rosterVersion is the version of the record, and the only one that is read.
const rosterVersion = 1

// rosterRecord is its stored form, with the sessions that are still to be ended.
type rosterRecord struct {
	Version int      `json:"v"`
	Methods Roster   `json:"methods"`
	Ending  []ending `json:"ending,omitempty"`
}

// ending is sessions that are to end: those of a method's accounts, as far as they were made before
// a time.
type ending struct {
	Method   string    `json:"method"`
	Subjects []string  `json:"subjects,omitempty"` // none stands for all
	Before   time.Time `json:"before"`
}

func (e ending) equal(other ending) bool {
	return e.Method == other.Method && slices.Equal(e.Subjects, other.Subjects) && e.Before.Equal(other.Before)
}

// noExpiry is the expiry of records that are to stay.
var noExpiry = time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)

// NoteRoster stores the roster that is in force from now on, and with it what EndNoted has to do:
// end the sessions of the accounts that were in the roster last time and are not in this one, with
// all of a method that is gone as a whole. Such sessions are refused anyway for as long as their
// account is missing; to end them is to keep them from coming back to life with an account of the
// same name. For the same reason it notes what there is of an account or a method that was not in the
// roster last time and is in this one: the last requests of the configuration before may have left
// sessions that were not there to be ended yet.
//
// It is one write at most. To end sessions takes one each, and in the meantime a roster that has the
// accounts again may come into force, or the process may end.
func (m *Manager) NoteRoster(ctx context.Context, now Roster) error {
	at := m.now()
	return m.changeRoster(ctx, func(record *rosterRecord, known bool) bool {
		var changed []ending
		if known {
			changed = endings(record.Methods, now, at)
			if changed == nil && maps.EqualFunc(record.Methods, now, sameSubjects) {
				return false
			}
		}
		record.Methods = now
		record.Ending = append(record.Ending, changed...)
		return true
	})
}

// EndNoted ends the sessions that were noted to be ended and were not yet, and returns how many. It
// is called before a configuration serves anybody, for what the ones before have left, and again
// once its own roster is noted.
//
// If it fails, the next call does what is left. Jars that are ErrUnreadable are no reason to fail:
// that is the error after all is done.
func (m *Manager) EndNoted(ctx context.Context) (int, error) {
	record, _, err := m.loadRoster(ctx)
	if err != nil || len(record.Ending) == 0 {
		return 0, err
	}
	total := 0
	var unreadable error
	for _, e := range record.Ending {
		ended, err := m.end(ctx, e)
		total += ended
		if err != nil {
			err = fmt.Errorf("end sessions of login %s: %w", e.Method, err)
			if !errors.Is(err, ErrUnreadable) {
				return total, err
			}
			unreadable = err
		}
	}
	err = m.changeRoster(ctx, func(now *rosterRecord, _ bool) bool {
		before := len(now.Ending)
		now.Ending = slices.DeleteFunc(now.Ending, func(e ending) bool {
			return slices.ContainsFunc(record.Ending, e.equal)
		})
		return len(now.Ending) != before
	})
	if err != nil {
		return total, err
	}
	return total, unreadable
}

func (m *Manager) end(ctx context.Context, e ending) (int, error) {
	if e.Subjects == nil {
		ended, err := m.End(ctx, Selection{Method: e.Method}, notBefore(e.Before))
		return len(ended), err
	}
	total := 0
	var unreadable error
	for _, subject := range e.Subjects {
		ended, err := m.EndAccount(ctx, Account{Method: e.Method, Subject: subject}, e.Before)
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

// endings returns what is in only one of two rosters.
func endings(last, now Roster, at time.Time) []ending {
	var all []ending
	for _, method := range methods(last, now) {
		was, before := last[method]
		is, after := now[method]
		switch {
		case before != after:
			all = append(all, ending{Method: method, Before: at})
		case was == nil || is == nil:
			// One of them does not say which accounts there are.
		default:
			if changed := slices.Concat(missing(was, is), missing(is, was)); len(changed) > 0 {
				all = append(all, ending{Method: method, Subjects: changed, Before: at})
			}
		}
	}
	return all
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

// changeRoster applies edit to the roster's record and stores it, unless edit says that it changed
// nothing. Known is false if there is no record yet. If another manager stored the record meanwhile,
// it starts again.
func (m *Manager) changeRoster(ctx context.Context, edit func(record *rosterRecord, known bool) (changed bool)) error {
	for {
		record, revision, err := m.loadRoster(ctx)
		if err != nil {
			return err
		}
		if !edit(&record, revision != 0) {
			return nil
		}
		value, err := json.Marshal(record)
		if err != nil {
			return fmt.Errorf("store roster: %w", err)
		}
		next := storage.Record{Key: rosterKey, Value: value, Expiry: noExpiry}
		_, err = m.jars.store.CompareAndSwap(ctx, rosterKey, revision, next)
		if err == nil {
			return nil
		}
		if !errors.Is(err, storage.ErrConflict) {
			return fmt.Errorf("store roster: %w", err)
		}
	}
}

// loadRoster returns the roster's record and its revision, which is zero where there is none.
func (m *Manager) loadRoster(ctx context.Context) (rosterRecord, storage.Revision, error) {
	record, revision, err := m.jars.store.Get(ctx, rosterKey)
	if errors.Is(err, storage.ErrNotFound) {
		return rosterRecord{Version: rosterVersion}, 0, nil
	}
	if err != nil {
		return rosterRecord{}, 0, fmt.Errorf("load roster: %w", err)
	}
	stored, err := decodeRoster(record.Value)
	if err != nil {
		return rosterRecord{}, 0, fmt.Errorf("load roster: %w", err)
	}
	return stored, revision, nil
}

func decodeRoster(value []byte) (rosterRecord, error) {
	var stored rosterRecord
	if err := json.Unmarshal(value, &stored); err != nil {
		return rosterRecord{}, err
	}
	if stored.Version != rosterVersion {
		return rosterRecord{}, fmt.Errorf("version %d, want %d", stored.Version, rosterVersion)
	}
	return stored, nil
}

// Lasting returns the records that are to stay where all else of the store is replaced: the roster, and
// the notes, for what must not happen twice must not after that either. They are those of about now.
func (j *Jars) Lasting(ctx context.Context) ([]storage.Record, error) {
	var records []storage.Record
	err := j.store.Walk(ctx, notePrefix, func(record storage.Record) error {
		records = append(records, record)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("walk notes: %w", err)
	}
	roster, known, err := j.Roster(ctx)
	if err != nil {
		return nil, err
	}
	if known {
		records = append(records, roster)
	}
	return records, nil
}

// Roster returns the store's record of the roster, and false where there is none.
func (j *Jars) Roster(ctx context.Context) (storage.Record, bool, error) {
	record, _, err := j.store.Get(ctx, rosterKey)
	if errors.Is(err, storage.ErrNotFound) {
		return storage.Record{}, false, nil
	}
	if err != nil {
		return storage.Record{}, false, fmt.Errorf("load roster: %w", err)
	}
	return record, true, nil
}
