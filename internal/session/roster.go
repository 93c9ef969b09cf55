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

// Roster is the accounts that exist: for each login method its subjects, or nil if the method does
// not know all of them.
type Roster map[string][]string

// rosterKey is the key of the last roster in force. It distinguishes a method that just lost an
// account, perhaps while no process was running, from one that never had it.
const rosterKey = "roster"

// rosterVersion is the version of the record, and the only one that is read.
const rosterVersion = 1

// rosterRecord is the stored form, with the sessions that must still be ended.
type rosterRecord struct {
	Version int      `json:"v"`
	Methods Roster   `json:"methods"`
	Ending  []ending `json:"ending,omitempty"`
}

// ending names sessions to end: those of a method's accounts that were created before a time.
type ending struct {
	Method   string    `json:"method"`
	Subjects []string  `json:"subjects,omitempty"` // empty: all
	Before   time.Time `json:"before"`
}

func (e ending) equal(other ending) bool {
	return e.Method == other.Method && slices.Equal(e.Subjects, other.Subjects) && e.Before.Equal(other.Before)
}

// noExpiry is the expiry of records that stay.
var noExpiry = time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)

// NoteRoster stores the roster that is in force from now on, and what EndNoted must do: end the
// sessions of accounts that were in the previous roster and are not in this one, and all sessions
// of a removed method. Such sessions are refused while their account is missing. Ending them
// prevents that they revive with a new account of the same name. For the same reason it notes
// accounts and methods that are new in this roster: the last requests of the previous configuration
// may have left sessions of them.
//
// NoteRoster writes once at most. Ending sessions takes a write for each jar, and meanwhile a
// roster with the accounts may come into force, or the process may end.
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

// EndNoted ends the noted sessions that still exist and returns their number. It is called before a
// configuration serves requests, for what earlier ones left, and again after its own roster is
// noted.
//
// If it fails, the next call does the rest. Jars that are ErrUnreadable do not stop it: that error
// is returned at the end.
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

// endings returns what only one of two rosters has.
func endings(last, now Roster, at time.Time) []ending {
	var all []ending
	for _, method := range methods(last, now) {
		was, before := last[method]
		is, after := now[method]
		switch {
		case before != after:
			all = append(all, ending{Method: method, Before: at})
		case was == nil || is == nil:
			// One of them does not list its accounts.
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

// missing returns the elements of one list that the other lacks.
func missing(in, from []string) []string {
	there := make(map[string]bool, len(from))
	for _, subject := range from {
		there[subject] = true
	}
	return slices.DeleteFunc(slices.Clone(in), func(subject string) bool { return there[subject] })
}

// sameSubjects compares two lists. nil, the accounts of a method that does not know them, differs
// from an empty list.
func sameSubjects(a, b []string) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

// changeRoster applies edit to the roster's record and stores it, unless edit says that it changed
// nothing. Known is false if there is no record yet. If another manager stored the record
// meanwhile, it starts again.
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

// loadRoster returns the roster's record and its revision, zero if there is none.
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

// Lasting returns the records that survive a replacement of the whole store: the roster and the
// notes, because what must not happen twice must not happen after it either. They are read at about
// the present time.
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

// Roster returns the stored roster's record, and false if there is none.
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
