package session

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ending names sessions that have ended all at once: those of a method's accounts, or of everybody,
// that were created before a time. It is noted in the store first. From then on the sessions are
// dead, however many they are; they are removed from their jars in the background.
type ending struct {
	Method   string    `json:"method,omitempty"`   // empty: everybody
	Subjects []string  `json:"subjects,omitempty"` // empty: all of the method
	Before   time.Time `json:"before"`
}

// everybody reports whether the sessions of all accounts have ended.
func (e ending) everybody() bool { return e.Method == "" }

// endings tell whether a session has ended with others, without a look at the store. They are
// immutable.
type endings struct {
	everybody time.Time
	methods   map[string]time.Time
	accounts  map[Account]time.Time
}

// newEndings returns nil if there are none.
func newEndings(noted []ending) *endings {
	if len(noted) == 0 {
		return nil
	}
	e := &endings{methods: make(map[string]time.Time), accounts: make(map[Account]time.Time)}
	for _, n := range noted {
		switch {
		case n.everybody():
			e.everybody = later(e.everybody, n.Before)
		case n.Subjects == nil:
			e.methods[n.Method] = later(e.methods[n.Method], n.Before)
		}
		for _, subject := range n.Subjects {
			account := Account{Method: n.Method, Subject: subject}
			e.accounts[account] = later(e.accounts[account], n.Before)
		}
	}
	return e
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// has reports whether a session has ended.
func (e *endings) has(s *Session) bool {
	if e == nil {
		return false
	}
	account := s.Recorded.Account
	return s.CreatedAt.Before(e.everybody) ||
		s.CreatedAt.Before(e.methods[account.Method]) ||
		s.CreatedAt.Before(e.accounts[account])
}

// LoadEndings reads which sessions have ended and are not removed yet. It is called before anybody is
// served. From then on the memory follows the store.
func (j *Jars) LoadEndings(ctx context.Context) error {
	j.reading.Lock()
	defer j.reading.Unlock()
	record, _, err := j.loadRoster(ctx)
	if err != nil {
		return err
	}
	j.endings.Store(newEndings(record.Ending))
	return nil
}

// EndNoted removes the sessions that have ended all at once from their jars, and returns how many
// there were. It is called after LoadEndings, for what earlier processes left, and after each change
// of the roster.
//
// If it fails, the next call does the rest. Jars that are ErrUnreadable do not stop it: that error
// is returned at the end.
func (m *Manager) EndNoted(ctx context.Context) (int, error) {
	record, _, err := m.jars.loadRoster(ctx)
	if err != nil || len(record.Ending) == 0 {
		return 0, err
	}
	total := 0
	var unreadable error
	for _, e := range record.Ending {
		removed, err := m.removeNoted(ctx, e, notBefore(e.Before))
		total += len(removed)
		if err != nil {
			if !errors.Is(err, ErrUnreadable) {
				return total, err
			}
			unreadable = err
		}
	}
	return total, unreadable
}

// endEverybody ends all sessions, from one moment to the next, and returns those that were live. If
// it fails after the moment, EndNoted removes the rest.
func (m *Manager) endEverybody(ctx context.Context) ([]Ended, error) {
	e := ending{Before: m.now()}
	err := m.jars.changeRoster(ctx, func(record *rosterRecord, _ bool) bool {
		record.Ending = append(record.Ending, e)
		return true
	})
	if err != nil {
		return nil, err
	}
	// Sessions of the same millisecond are removed too, although they live until then.
	return m.removeNoted(ctx, e, func(s *Session) bool { return s.CreatedAt.After(e.Before) })
}

// removeNoted removes the sessions of an ending, and then its note.
func (m *Manager) removeNoted(ctx context.Context, e ending, spare func(*Session) bool) (removed []Ended, err error) {
	// A change that has read its jar before the ending was noted may still store sessions that have
	// ended, in a place that the removal has passed.
	m.jars.awaitChanges()

	selections := []Selection{{Method: e.Method, Everybody: e.everybody()}}
	if e.Subjects != nil {
		selections = selections[:0]
		for _, subject := range e.Subjects {
			selections = append(selections, Selection{Account: Account{Method: e.Method, Subject: subject}})
		}
	}
	var unreadable error
	for _, sel := range selections {
		ended, err := m.remove(ctx, sel, spare)
		removed = append(removed, ended...)
		if errors.Is(err, ErrUnreadable) {
			unreadable = err
		} else if err != nil {
			return removed, err
		}
	}
	err = m.jars.changeRoster(ctx, func(record *rosterRecord, _ bool) bool { return record.drop(e) })
	if err != nil {
		return removed, err
	}
	return removed, unreadable
}

// change is held for reading from the reading of a jar to the write that follows from it.
func (j *Jars) change() (end func()) {
	j.changes.RLock()
	return j.changes.RUnlock
}

// awaitChanges waits until all changes have ended that began before the call.
func (j *Jars) awaitChanges() {
	j.changes.Lock()
	//lint:ignore SA2001 to get the lock is to have waited
	j.changes.Unlock()
}

// batchSize is how many jars are changed at once, so that their writes share a commit of the store.
const batchSize = 48

// batch calls change with the keys, many at once. Between two batches it rests as long as the last one
// took, so that the store is not busy with them alone.
type batch struct {
	ctx    context.Context
	change func(Key) error
	keys   []Key
}

func (b *batch) add(key Key) error {
	b.keys = append(b.keys, key)
	if len(b.keys) < batchSize {
		return nil
	}
	start := time.Now()
	if err := b.run(); err != nil {
		return err
	}
	rest, cancel := context.WithTimeout(b.ctx, time.Since(start))
	defer cancel()
	<-rest.Done()
	return b.ctx.Err()
}

// run changes the jars that are left.
func (b *batch) run() error {
	var running sync.WaitGroup
	errs := make([]error, len(b.keys))
	for i, key := range b.keys {
		running.Go(func() { errs[i] = b.change(key) })
	}
	running.Wait()
	b.keys = b.keys[:0]
	return errors.Join(errs...)
}
