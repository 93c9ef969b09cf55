package session

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Selection says which sessions are meant, of all that the store has. What it names must all apply.
// The zero Selection means none.
type Selection struct {
	Session string  // the session with the id
	Jar     string  // those of the jar with the id
	Account Account // those of the account
	Method  string  // those of the accounts of a login method

	// SID means those that belong to the provider's session of that name. It is the word of one
	// provider, whose Method, or Account, has to be named beside it.
	SID string

	// Everybody means all sessions there are, where nothing else is named. It has to be said: nobody
	// is to be signed out because a name was empty.
	Everybody bool
}

// ErrNothingSelected reports a Selection that names nothing, or a SID of no provider.
var ErrNothingSelected = errors.New("no sessions are selected")

// provider is the login method whose SID is meant.
func (sel Selection) provider() string { return cmp.Or(sel.Method, sel.Account.Method) }

// nothing reports whether no session can be meant.
func (sel Selection) nothing() bool {
	return sel == Selection{} || sel.SID != "" && sel.provider() == ""
}

// has reports whether a session of the jar is meant.
func (sel Selection) has(jar *Jar, s *Session) bool {
	switch {
	case sel.nothing(),
		sel.Session != "" && s.ID != sel.Session,
		sel.Jar != "" && jar.ID != sel.Jar,
		sel.Account != (Account{}) && s.Recorded.Account != sel.Account,
		sel.Method != "" && s.Recorded.Account.Method != sel.Method,
		sel.SID != "" && (s.Grant == nil || s.Grant.SID != sel.SID):
		return false
	}
	return true
}

// jarsOf calls visit with the key of every jar that may have sessions which are meant. It looks for
// the term that the fewest jars carry.
func (m *Manager) jarsOf(ctx context.Context, sel Selection, visit func(Key) error) error {
	switch {
	case sel.nothing():
		return ErrNothingSelected
	case sel.Session != "":
		return m.jars.find(ctx, sessionTerm(sel.Session), visit)
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

// Found is a session seen from outside of its browser.
type Found struct {
	Entry
	JarID string // public

	// Sites are those at which the account was chosen, and of which the zero Site stands for all where
	// none was. The entry is active if there are any. Without them it is, or is not, at all sites alike.
	Sites []Site
}

// EachSession calls visit with every live session that is meant, in no order. It may do so twice with
// one whose jar moves meanwhile. Where a jar is ErrUnreadable, that is the error after all others are
// visited.
func (m *Manager) EachSession(ctx context.Context, sel Selection, visit func(Found)) error {
	return m.untilSettled(func(missed func(Key)) (again bool, unreadable, err error) {
		err = m.jarsOf(ctx, sel, func(key Key) error {
			jar, err := m.jars.load(ctx, key)
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
			v := Visit{manager: m, key: key, jar: jar.Jar, at: m.now()}
			for _, e := range v.Entries() {
				if sel.has(jar.Jar, e.Session) {
					visit(v.found(e))
				}
			}
			return nil
		})
		return false, unreadable, err
	})
}

// found is an entry of a visit to no site, as seen from outside.
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

// Sessions returns the live sessions that are meant, those signed in last first. Where a jar is
// ErrUnreadable, that is the error, with all others returned.
func (m *Manager) Sessions(ctx context.Context, sel Selection) ([]Found, error) {
	found := make(map[string]Found) // by session id
	err := m.EachSession(ctx, sel, func(f Found) { found[f.ID] = f })
	list := make([]Found, 0, len(found))
	for _, f := range found {
		list = append(list, f)
	}
	slices.SortFunc(list, func(a, b Found) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return list, err
}

// Ended is a live session that was ended from outside of its browser.
type Ended struct {
	Session
	JarID string // public
}

// End ends the sessions that are meant, in every jar, but for those that spare picks out; nil spares
// none. It returns those that were live. Nobody takes the place of an active one that ends this way.
// Where a jar is ErrUnreadable, that is the error after all others are done.
func (m *Manager) End(ctx context.Context, sel Selection, spare func(*Session) bool) ([]Ended, error) {
	var all []Ended
	err := m.untilSettled(func(missed func(Key)) (again bool, unreadable, err error) {
		err = m.jarsOf(ctx, sel, func(key Key) error {
			var removed int
			var ended []Ended
			err := m.changeKey(ctx, key, func(jar *Jar, at time.Time) (bool, error) {
				// Not pruned before: sessions whose account is gone are dead already, and must be
				// taken out all the same, or they live again with the account.
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
		})
		return again, unreadable, err
	})
	return all, err
}

// EndAccount ends the account's sessions in every jar, as far as they were made before the given
// time, and returns how many. It is End otherwise.
func (m *Manager) EndAccount(ctx context.Context, account Account, before time.Time) (int, error) {
	ended, err := m.End(ctx, Selection{Account: account}, notBefore(before))
	return len(ended), err
}

// notBefore spares the sessions that were not made before a time.
func notBefore(before time.Time) func(*Session) bool {
	return func(s *Session) bool { return !s.CreatedAt.Before(before) }
}

// untilSettled searches until there was nothing left to do. A sign-in may move a jar, after it was
// found and before it is looked at, to where the search has been already; search tells of such jars
// by missed, which has it searched again unless the jar was missed before. Jars that are
// ErrUnreadable do not stop it, and are the error after all is done.
func (m *Manager) untilSettled(search func(missed func(Key)) (again bool, unreadable, err error)) error {
	known := make(map[Key]bool) // keys that had no jar any more; moved jars are under new ones
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
			if unreadable != nil {
				return fmt.Errorf("not all jars can be read: %w", unreadable)
			}
			return nil
		}
	}
}
