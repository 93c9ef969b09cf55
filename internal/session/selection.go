package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// Selection selects sessions of the whole store. All fields that are set must match. The zero
// Selection selects none.
type Selection struct {
	Session string  // the session with this id
	Jar     string  // sessions of the jar with this id
	Beside  string  // sessions of the jar that has the session with this id
	Account Account // sessions of the account
	Method  string  // sessions of the accounts of a login method

	// SID selects the sessions that belong to the provider's session of that name. Only one
	// provider's word counts, so Method or Account must be set with it.
	SID string

	// Everybody selects all sessions, if nothing else is set. It is explicit so that an empty name
	// cannot sign out everybody.
	Everybody bool
}

// ErrNothingSelected reports a Selection that names nothing, or a SID without a provider.
var ErrNothingSelected = errors.New("no sessions are selected")

// provider returns the login method whose SID is meant.
func (sel Selection) provider() string { return cmp.Or(sel.Method, sel.Account.Method) }

// nothing reports whether no session can be selected.
func (sel Selection) nothing() bool {
	return sel == Selection{} || sel.SID != "" && sel.provider() == ""
}

// has reports whether a session of the jar is selected.
func (sel Selection) has(jar *Jar, s *Session) bool {
	switch {
	case sel.nothing(),
		sel.Session != "" && s.ID != sel.Session,
		sel.Jar != "" && jar.ID != sel.Jar,
		sel.Beside != "" && jar.byID(sel.Beside) == nil,
		sel.Account != (Account{}) && s.Recorded.Account != sel.Account,
		sel.Method != "" && s.Recorded.Account.Method != sel.Method,
		sel.SID != "" && (s.Grant == nil || s.Grant.SID != sel.SID):
		return false
	}
	return true
}

// jarsOf calls visit with the key of every jar that may have selected sessions. It searches by the
// term that the fewest jars have.
func (m *Manager) jarsOf(ctx context.Context, sel Selection, visit func(Key) error) error {
	switch {
	case sel.nothing():
		return ErrNothingSelected
	case sel.Session != "":
		return m.jars.find(ctx, sessionTerm(sel.Session), visit)
	case sel.Beside != "":
		return m.jars.find(ctx, sessionTerm(sel.Beside), visit)
	case sel.Jar != "":
		return m.jars.find(ctx, jarTerm(sel.Jar), visit)
	case sel.SID != "":
		return m.jars.find(ctx, sidTerm(sel.provider(), sel.SID), visit)
	case sel.Account != (Account{}):
		return m.jars.find(ctx, accountTerm(sel.Account), visit)
	case sel.Method != "":
		return m.jars.find(ctx, methodTerm(sel.Method), visit)
	case sel.Everybody:
		return m.jars.all(ctx, visit)
	}
	return ErrNothingSelected
}

// Found is a session as seen from outside its browser.
type Found struct {
	Entry
	JarID string // public

	// Sites are the sites where the account was chosen. The zero Site stands for all sites where
	// none was chosen. The entry is active if there are any. Without sites, it is active at all
	// sites or at none.
	Sites []Site
}

// EachSession calls visit with every selected live session, in no order, and perhaps twice if its
// jar moves meanwhile. If everybody is selected, those of a jar that moves meanwhile may be missed. If
// a jar is ErrUnreadable, that error is returned after all others are visited.
func (m *Manager) EachSession(ctx context.Context, sel Selection, visit func(Found)) error {
	return m.eachSession(ctx, sel, func([]byte) bool { return false }, visit)
}

// eachSession is EachSession. If everybody is selected, it leaves out jars for whose record skip
// returns true, because to decode a million jars takes long.
func (m *Manager) eachSession(ctx context.Context, sel Selection, skip func(record []byte) bool, visit func(Found)) error {
	inJar := func(key Key, jar *Jar) {
		v := Visit{manager: m, key: key, jar: jar, at: m.now()}
		for _, e := range v.Entries() {
			if sel.has(jar, e.Session) {
				visit(v.found(e))
			}
		}
	}
	if sel == (Selection{Everybody: true}) {
		var unreadable error
		err := m.jars.walk(ctx, func(key Key, record storage.Record) error {
			if skip(record.Value) {
				return nil
			}
			jar, err := decodeJarOf(key, record.Value)
			if err != nil {
				unreadable = err
				return nil
			}
			inJar(key, jar)
			return nil
		})
		return cmp.Or(err, notAllRead(unreadable))
	}
	return m.untilSettled(func(missed func(Key)) (again bool, unreadable, err error) {
		err = m.jarsOf(ctx, sel, func(key Key) error {
			jar, err := m.jars.load(ctx, key, m.now())
			switch {
			case errors.Is(err, errNoJar):
				missed(key)
				return nil
			case errors.Is(err, ErrUnreadable):
				unreadable = err
				return nil
			case err != nil:
				return err
			}
			inJar(key, jar.Jar)
			return nil
		})
		return false, unreadable, err
	})
}

// notAllRead returns the error of a search that came by jars that are ErrUnreadable, nil if there were
// none.
func notAllRead(unreadable error) error {
	if unreadable == nil {
		return nil
	}
	return fmt.Errorf("not all jars can be read: %w", unreadable)
}

// found returns an entry of a visit to no site as seen from outside.
func (v Visit) found(e Entry) Found {
	f := Found{Entry: e, JarID: v.jar.ID}
	sites, elsewhere := v.Places(e)
	if elsewhere {
		f.Sites = append(f.Sites, "")
	}
	f.Sites = append(f.Sites, sites...)
	f.Active = e.Active || len(f.Sites) > 0
	return f
}

// Sessions returns the selected live sessions, latest sign-in first. If a jar is ErrUnreadable, it
// returns that error with all other sessions.
func (m *Manager) Sessions(ctx context.Context, sel Selection) ([]Found, error) {
	found, _, err := m.LatestSessions(ctx, sel, 0)
	return found, err
}

// LatestSessions returns those of the selected live sessions that are of the latest sign-ins, at most
// limit of them, and whether there are more. A limit of zero is none. Otherwise it is like Sessions.
func (m *Manager) LatestSessions(ctx context.Context, sel Selection, limit int) (found []Found, more bool, err error) {
	latest := latest{limit: limit, byID: make(map[string]Found)}
	err = m.eachSession(ctx, sel, latest.without, latest.add)
	return latest.list(), latest.more, err
}

// latest collects sessions. With a limit, it keeps those of the latest sign-ins.
type latest struct {
	limit int // zero: none
	byID  map[string]Found
	more  bool
	since time.Time // sign-ins before it are not among the latest; zero until there are enough
}

func (l *latest) add(f Found) {
	l.byID[f.ID] = f
	if l.limit > 0 && len(l.byID) > 2*l.limit { // rarely, because it sorts
		l.list()
	}
}

// without reports whether the list is the same without the sessions of a jar's record.
func (l *latest) without(record []byte) bool { return l.more && !signedInSince(record, l.since) }

// list returns the sessions in order, and keeps no others.
func (l *latest) list() []Found {
	all := slices.AppendSeq(make([]Found, 0, len(l.byID)), maps.Values(l.byID))
	slices.SortFunc(all, func(a, b Found) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	if l.limit > 0 && len(all) > l.limit {
		for _, f := range all[l.limit:] {
			delete(l.byID, f.ID)
		}
		all = all[:l.limit]
		l.more, l.since = true, all[l.limit-1].CreatedAt
	}
	return all
}

// Ended is a live session that was ended from outside its browser.
type Ended struct {
	Session
	JarID string // public
}

// End ends the selected sessions in every jar, except those for which spare returns true; spare may
// be nil. It returns those that were live. No other session becomes active in place of one that
// ends this way. If a jar is ErrUnreadable, that error is returned after all others are done.
func (m *Manager) End(ctx context.Context, sel Selection, spare func(*Session) bool) ([]Ended, error) {
	if sel == (Selection{Everybody: true}) && spare == nil {
		return m.endEverybody(ctx)
	}
	return m.remove(ctx, sel, spare)
}

// remove removes the selected sessions from their jars, except those for which spare returns true.
func (m *Manager) remove(ctx context.Context, sel Selection, spare func(*Session) bool) ([]Ended, error) {
	var all []Ended
	err := m.untilSettled(func(missed func(Key)) (again bool, unreadable, err error) {
		var mu sync.Mutex // of the results
		jars := batch{ctx: ctx, change: func(key Key) error {
			removed, ended, err := m.removeFrom(ctx, key, sel, spare)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.Is(err, errNoJar):
				missed(key)
			case errors.Is(err, ErrUnreadable):
				unreadable = err
			case err != nil:
				return err
			default:
				again = again || removed > 0
				all = append(all, ended...)
			}
			return nil
		}}
		if err = m.jarsOf(ctx, sel, jars.add); err == nil {
			err = jars.run()
		}
		return again, unreadable, err
	})
	return all, err
}

// removeFrom removes the selected sessions from a jar, and returns how many there were, and those
// that were live.
func (m *Manager) removeFrom(ctx context.Context, key Key, sel Selection, spare func(*Session) bool) (removed int, ended []Ended, err error) {
	err = m.changeKey(ctx, key, func(jar *Jar, at time.Time) (bool, error) {
		// The jar is not pruned before: sessions whose account is gone are already dead, but must be
		// removed, or they would revive with the account.
		removed, ended = 0, nil
		gone := jar.remove(func(s *Session) bool { return sel.has(jar, s) && (spare == nil || !spare(s)) })
		for _, s := range gone {
			removed++
			if at.Before(m.options.expiry(&s)) {
				ended = append(ended, Ended{s, jar.ID})
			}
		}
		m.prune(jar, at)
		return removed > 0, nil
	})
	return removed, ended, err
}

// notBefore spares the sessions that were not created before a time.
func notBefore(before time.Time) func(*Session) bool {
	return func(s *Session) bool { return !s.CreatedAt.Before(before) }
}

// untilSettled repeats a search until it has missed nothing. A sign-in may move a jar, after it was
// found and before it is read, to a key that the search has passed. The search reports such a jar
// by missed, and runs again unless the jar was missed before. Jars that are ErrUnreadable do not
// stop it: that error is returned at the end.
func (m *Manager) untilSettled(search func(missed func(Key)) (again bool, unreadable, err error)) error {
	known := make(map[Key]bool) // keys whose jar is gone; a moved jar has a new key
	for {
		moved := false
		again, unreadable, err := search(func(key Key) {
			moved = moved || !known[key]
			known[key] = true
		})
		if err != nil {
			return err
		}
		if !again && !moved {
			return notAllRead(unreadable)
		}
	}
}
