package session

import (
	"context"
	"errors"
)

// Follow returns the current state of the jar that a visit found, even if sign-ins have moved it,
// by the rules of this manager. The visit may come from another manager. The zero Visit says that
// the jar is gone or unreadable, and with it every session that it had. After an error nothing is
// known.
//
// A visit returned by Follow is found at once while its jar does not move again.
func (m *Manager) Follow(ctx context.Context, was Visit) (Visit, error) {
	if was.jar == nil {
		return Visit{}, nil
	}
	jar, err := m.jars.load(ctx, was.key, m.now())
	if errors.Is(err, errNoJar) {
		return m.find(ctx, was)
	}
	return m.followed(was, was.key, jar, err)
}

// find searches the jar of a visit that is no longer under its key.
func (m *Manager) find(ctx context.Context, was Visit) (now Visit, err error) {
	err = m.untilSettled(func(missed func(Key)) (again bool, unreadable, err error) {
		now = Visit{}
		err = m.jars.find(ctx, jarTerm(was.jar.ID), func(key Key) error {
			jar, err := m.jars.load(ctx, key, m.now())
			if errors.Is(err, errNoJar) {
				missed(key)
				return nil
			}
			now, err = m.followed(was, key, jar, err)
			return err
		})
		return false, nil, err
	})
	if err != nil {
		return Visit{}, err
	}
	return now, nil
}

// followed returns a visit after its jar was loaded from a key. Everything else in the visit stays.
func (m *Manager) followed(was Visit, key Key, jar storedJar, err error) (Visit, error) {
	if errors.Is(err, ErrUnreadable) {
		return Visit{}, nil // its browser has no jar either: see Manager.Visit
	}
	if err != nil {
		return Visit{}, err
	}
	was.manager, was.key, was.jar, was.at = m, key, jar.Jar, m.now()
	return was, nil
}

// Live returns the session of the jar with the id, and false if it has ended.
func (v Visit) Live(id string) (Entry, bool) {
	if v.jar == nil {
		return Entry{}, false
	}
	for i := range v.jar.Sessions {
		if s := &v.jar.Sessions[i]; s.ID == id {
			return v.entry(s, s == v.active())
		}
	}
	return Entry{}, false
}
