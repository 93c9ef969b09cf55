package session

import (
	"context"
	"errors"
)

// Follow returns what has become of the jar that a visit found, wherever its sign-ins have moved it since,
// by the rules of this manager; the visit may be another's. The zero Visit says that the jar is gone, or
// can be read no more, and with it every session that it had. With an error nothing is known.
//
// A visit that was followed before is found at once, for as long as its jar is not moved again.
func (m *Manager) Follow(ctx context.Context, was Visit) (Visit, error) {
	if was.jar == nil {
		return Visit{}, nil
	}
	jar, err := m.jars.load(ctx, was.key)
	if errors.Is(err, errNoJar) {
		return m.find(ctx, was)
	}
	return m.followed(was, was.key, jar, err)
}

// find looks for the jar of a visit that is not where it was.
func (m *Manager) find(ctx context.Context, was Visit) (now Visit, err error) {
	err = m.untilSettled(func(missed func(Key)) (again bool, unreadable, err error) {
		now = Visit{}
		err = m.jars.find(ctx, jarTerm(was.jar.ID), func(key Key) error {
			jar, err := m.jars.load(ctx, key)
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

// followed is a visit as it is after its jar was loaded from a key. What else a visit may know stays.
func (m *Manager) followed(was Visit, key Key, jar storedJar, err error) (Visit, error) {
	if errors.Is(err, ErrUnreadable) {
		return Visit{}, nil // to its browser it is none: see Manager.Visit
	}
	if err != nil {
		return Visit{}, err
	}
	was.manager, was.key, was.jar, was.at = m, key, jar.Jar, m.now()
	return was, nil
}

// Live returns the session of the jar that has the id, and false where it has ended.
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
