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

// Epochs are the epochs of a roster's accounts, by login method and subject, as far as a method has some
// where no change of an account is stored. See Identity.Epoch.
type Epochs map[string]map[string]uint64

// rosterKey is the key of the last roster in force. It distinguishes a method that just lost an
// account, perhaps while no process was running, from one that never had it.
const rosterKey = "roster"

// Versions of the record. Version 1 cannot say that everybody's sessions have ended. A record that
// does not say so is written as version 1, so that earlier releases can read it.
const (
	rosterVersion          = 2
	rosterVersionOfMethods = 1
)

// rosterRecord is the stored form, with the sessions that have ended and must still be removed.
type rosterRecord struct {
	Version int      `json:"v"`
	Methods Roster   `json:"methods"`
	Epochs  Epochs   `json:"epochs,omitempty"` // of none in records of earlier releases
	Ending  []ending `json:"ending,omitempty"`
}

func (e ending) equal(other ending) bool {
	return e.Method == other.Method && slices.Equal(e.Subjects, other.Subjects) && e.Before.Equal(other.Before)
}

func (r *rosterRecord) setVersion() {
	r.Version = rosterVersionOfMethods
	if slices.ContainsFunc(r.Ending, ending.everybody) {
		r.Version = rosterVersion
	}
}

// drop removes an ending, and reports whether there was one.
func (r *rosterRecord) drop(e ending) bool {
	before := len(r.Ending)
	r.Ending = slices.DeleteFunc(r.Ending, e.equal)
	return len(r.Ending) != before
}

// noExpiry is the expiry of records that stay.
var noExpiry = time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)

// NoteRoster stores the roster that is in force from now on, and ends the sessions of accounts that
// were in the previous roster and are not in this one, and all sessions of a removed method. Such
// sessions are refused while their account is missing. Ending them prevents that they revive with a
// new account of the same name. For the same reason it ends those of accounts and methods that are
// new in this roster: the last requests of the previous configuration may have left sessions of them.
// Accounts with another epoch than in the previous roster are treated as new: sessions of releases that
// recorded no epoch are not refused.
//
// NoteRoster writes once at most. The sessions are dead when it returns. EndNoted removes them, which
// takes a write for each jar.
func (m *Manager) NoteRoster(ctx context.Context, now Roster, epochs Epochs) error {
	at := m.now()
	return m.jars.changeRoster(ctx, func(record *rosterRecord, known bool) bool {
		if known {
			over := changed(record, now, epochs, at)
			if over == nil && maps.EqualFunc(record.Methods, now, sameSubjects) && maps.EqualFunc(record.Epochs, epochs, maps.Equal) {
				return false
			}
			record.Ending = append(record.Ending, over...)
		}
		record.Methods, record.Epochs = now, epochs
		return true
	})
}

// changed returns what only one of two rosters has, or both with another epoch.
func changed(last *rosterRecord, now Roster, epochs Epochs, at time.Time) []ending {
	var all []ending
	for _, method := range methods(last.Methods, now) {
		was, before := last.Methods[method]
		is, after := now[method]
		switch {
		case before != after:
			all = append(all, ending{Method: method, Before: at})
		case was == nil || is == nil:
			// One of them does not list its accounts.
		default:
			changed := slices.Concat(missing(was, is), missing(is, was), moved(last.Epochs[method], epochs[method]))
			if len(changed) > 0 {
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

// moved returns the subjects that have two different epochs.
func moved(was, is map[string]uint64) []string {
	var all []string
	for subject, epoch := range is {
		if before, known := was[subject]; known && before != epoch {
			all = append(all, subject)
		}
	}
	slices.Sort(all)
	return all
}

// sameSubjects compares two lists. nil, the accounts of a method that does not know them, differs
// from an empty list.
func sameSubjects(a, b []string) bool { return (a == nil) == (b == nil) && slices.Equal(a, b) }

// changeRoster applies edit to the roster's record and stores it, unless edit says that it changed
// nothing. Known is false if there is no record yet. What the record then says of endings is in force
// when changeRoster returns.
func (j *Jars) changeRoster(ctx context.Context, edit func(record *rosterRecord, known bool) (changed bool)) error {
	for {
		record, revision, err := j.loadRoster(ctx)
		if err != nil {
			return err
		}
		if !edit(&record, revision != 0) {
			return nil
		}
		record.setVersion()
		value, err := json.Marshal(record)
		if err != nil {
			return fmt.Errorf("store roster: %w", err)
		}
		next := storage.Record{Key: rosterKey, Value: value, Expiry: noExpiry}
		_, err = j.store.CompareAndSwap(ctx, rosterKey, revision, next)
		if err == nil {
			return j.LoadEndings(ctx) // rather than those of the record, which may be an older one by now
		}
		if !errors.Is(err, storage.ErrConflict) {
			return fmt.Errorf("store roster: %w", err)
		}
	}
}

// loadRoster returns the roster's record and its revision, zero if there is none.
func (j *Jars) loadRoster(ctx context.Context) (rosterRecord, storage.Revision, error) {
	record, revision, err := j.store.Get(ctx, rosterKey)
	if errors.Is(err, storage.ErrNotFound) {
		return rosterRecord{}, 0, nil
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
	if stored.Version < rosterVersionOfMethods || stored.Version > rosterVersion {
		return rosterRecord{}, fmt.Errorf("version %d, want %d to %d", stored.Version, rosterVersionOfMethods, rosterVersion)
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
