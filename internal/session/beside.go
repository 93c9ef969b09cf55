package session

import (
	"context"
	"errors"
	"time"
)

// An app behind the gateway never sees the cookie of a browser's jar. It knows the id of the session
// that a request is made as, and acts for that browser by it: on the sessions beside it.

// SetActiveBeside makes the live session with an id the active one of its jar, and returns it. The
// jar must be the one that has the live session beside; otherwise, and if there is no such session, it
// returns ErrUnknownHandle and writes nothing.
func (m *Manager) SetActiveBeside(ctx context.Context, beside, id string) (Found, error) {
	var active Found
	err := m.changeJarOf(ctx, beside, func(jar *Jar, at time.Time) (changed bool, err error) {
		entry, changed, err := m.activate(jar, jar.indexOf(id), at)
		if err == nil {
			active = Visit{manager: m, jar: jar, at: at}.found(entry)
		}
		return changed, err
	})
	if err != nil {
		return Found{}, err
	}
	return active, nil
}

// RevokeBeside ends the live session with an id as Manager.Revoke does. Otherwise it is like
// SetActiveBeside. The session may be the one that it is beside.
func (m *Manager) RevokeBeside(ctx context.Context, beside, id string) (done Revoked, jarID string, err error) {
	err = m.changeJarOf(ctx, beside, func(jar *Jar, _ time.Time) (changed bool, err error) {
		done, err = m.revoke(jar, jar.indexOf(id))
		jarID = jar.ID
		return err == nil, err
	})
	if err != nil {
		return Revoked{}, "", err
	}
	return done, jarID, nil
}

// changeJarOf applies edit to the jar that has the live session with an id, even if the jar moves
// meanwhile. Edit sees no dead sessions; it may run several times and must not depend on earlier
// runs. If there is no such session, changeJarOf returns ErrUnknownHandle.
func (m *Manager) changeJarOf(ctx context.Context, id string, edit func(*Jar, time.Time) (changed bool, err error)) error {
	done := false
	err := m.untilSettled(func(missed func(Key)) (again bool, unreadable, err error) {
		if done {
			return false, nil, nil
		}
		err = m.jars.find(ctx, sessionTerm(id), func(key Key) error {
			found := false
			err := m.changeKey(ctx, key, func(jar *Jar, at time.Time) (changed bool, err error) {
				m.prune(jar, at)
				if found = jar.byID(id) != nil; !found {
					return false, nil
				}
				return edit(jar, at)
			})
			switch {
			case err == nil:
				done = done || found
			case errors.Is(err, errNoJar):
				missed(key)
			case errors.Is(err, ErrUnreadable):
				unreadable = err
			default:
				return err
			}
			return nil
		})
		return false, unreadable, err
	})
	if err == nil && !done {
		err = ErrUnknownHandle
	}
	return err
}
