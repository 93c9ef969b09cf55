package session

import (
	"context"
	"fmt"

	"github.com/caddy-multi-session/gateway/storage"
)

// Check reads every jar, every note and the roster from the store, calls report for each that is
// damaged, and returns the number of jars and sessions, dead ones included. An error is one of the
// store.
func (j *Jars) Check(ctx context.Context, report func(problem string)) (jars, sessions int, err error) {
	ids := make(map[string]bool)
	var twice []string
	err = j.store.Walk(ctx, jarPrefix, func(record storage.Record) error {
		jars++
		jar, err := decodeJar(record.Value)
		if _, keyErr := parseStoreKey(record.Key); err == nil {
			err = keyErr
		}
		switch {
		case err != nil:
			report(fmt.Sprintf("%s: %v", record.Key, err))
			return nil
		case ids[jar.ID]:
			twice = append(twice, jar.ID)
		}
		ids[jar.ID] = true
		sessions += len(jar.Sessions)
		return nil
	})
	if err != nil {
		return jars, sessions, fmt.Errorf("walk jars: %w", err)
	}
	// A jar that moved during the walk was met under both keys.
	for _, id := range twice {
		keys, err := j.store.Find(ctx, jarTerm(id), "", 2)
		if err != nil {
			return jars, sessions, fmt.Errorf("find jars: %w", err)
		}
		if len(keys) > 1 {
			report(fmt.Sprintf("jar %s: another one has its id", id))
		}
	}
	err = j.store.Walk(ctx, notePrefix, func(record storage.Record) error {
		if err := checkNote(record); err != nil {
			report(fmt.Sprintf("%s: %v", record.Key, err))
		}
		return nil
	})
	if err != nil {
		return jars, sessions, fmt.Errorf("walk notes: %w", err)
	}
	record, known, err := j.Roster(ctx)
	if err != nil {
		return jars, sessions, err
	}
	if known {
		if _, err := decodeRoster(record.Value); err != nil {
			report(fmt.Sprintf("roster: %v", err))
		}
	}
	return jars, sessions, nil
}
