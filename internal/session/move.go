package session

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// repeatTime is how long after a sign-in the same account's sign-in can be repeated with the
	// replaced token: as long as people wait for an answer before they send a form again.
	repeatTime = 30 * time.Second

	// overlapTime is how long after a sign-in another account's sign-in can still join. Both have
	// begun at about the same time.
	overlapTime = 5 * time.Second
)

// Move says how a jar came to its token: a sign-in replaced the one before. The package doc says
// what the replaced token is still good for. A Move does not change, except that it is presented.
type Move struct {
	From  Key       // of the replaced token
	Salt  [32]byte  // makes the jar's token of the replaced one; see Token.next
	At    time.Time // of the sign-in
	Added []string  // ids of the sessions that this sign-in and those that joined it have added

	presented *atomic.Bool // the jar's token has come back from the browser
}

// newMove returns the move of a jar away from a key.
func newMove(from Key, at time.Time) *Move {
	m := &Move{From: from, At: at, presented: new(atomic.Bool)}
	rand.Read(m.Salt[:]) // never fails: crypto/rand ends the process instead
	return m
}

// with returns the move with a further session. Of the others it keeps those that the jar has.
func (m *Move) with(id string, jar *Jar) *Move {
	next := *m
	next.Added = nil
	for _, added := range m.Added {
		if jar.byID(added) != nil {
			next.Added = append(next.Added, added)
		}
	}
	next.Added = append(next.Added, id)
	return &next
}

// recent reports whether the move is less than a time ago.
func (m *Move) recent(within time.Duration, at time.Time) bool { return at.Before(m.At.Add(within)) }

// JarOf returns the id of the jar that a token names. If a sign-in has just replaced the token, it
// returns the id of the moved jar, until the new token is presented. The id is empty if there is no
// jar. It proves nothing to clients that have no such token.
//
// A sign-in calls it when its request has arrived in full, before it proves the account, and hands
// the id to SignIn. So what happens to the jar meanwhile does not turn the account out of it.
func (m *Manager) JarOf(ctx context.Context, token Token) (id string, err error) {
	if token.IsZero() {
		return "", nil
	}
	key := token.Key()
	jar, err := m.jars.load(ctx, key, m.now())
	if errors.Is(err, errNoJar) {
		jar, err = m.justMoved(ctx, key)
	}
	switch {
	case errors.Is(err, ErrUnreadable):
		return "", nil
	case err != nil:
		return "", err
	case jar.Jar == nil:
		return "", nil
	}
	return jar.ID, nil
}

// justMoved returns the jar that a sign-in has just moved away from a key, until its new token is
// presented. It is zero if there is none.
func (m *Manager) justMoved(ctx context.Context, key Key) (storedJar, error) {
	_, jar, err := m.jars.first(ctx, movedTerm(key), m.now())
	switch {
	case errors.Is(err, errNoJar) || errors.Is(err, ErrUnreadable):
		return storedJar{}, nil
	case err != nil:
		return storedJar{}, err
	case jar.Move == nil || jar.Move.From != key || jar.Move.presented.Load() || !jar.Move.recent(repeatTime, m.now()):
		return storedJar{}, nil
	}
	return jar, nil
}

// joins reports whether a sign-in with a replaced token may join the jar that has moved away from
// its key.
func (j *Jar) joins(key Key, account Account, client Client, at time.Time) bool {
	if j.Move == nil || j.Move.From != key || !j.Move.recent(repeatTime, at) {
		return false
	}
	return slices.ContainsFunc(j.Move.Added, func(id string) bool {
		s := j.byID(id)
		switch {
		case s == nil:
			return false
		case s.Recorded.Account == account:
			return true
		}
		return client.Confirmed && j.Move.recent(overlapTime, at) && client.sameAs(s)
	})
}

// sameAs reports whether the client has the address and the browser that a session began with.
func (c Client) sameAs(s *Session) bool {
	return c.IP != "" && c.UserAgent != "" && s.IP == c.IP && s.UserAgent == recordedUserAgent(c.UserAgent)
}

// present notes that the token of a jar has come from the browser: the token that it replaced is
// worthless from now on. The store learns it in the background.
func (m *Manager) present(key Key, jar *Jar, at time.Time) {
	if jar.Move == nil || jar.Move.presented.Load() {
		return
	}
	if jar.Move.recent(repeatTime, at) && jar.Move.presented.CompareAndSwap(false, true) {
		m.toucher.touch(use{key: key, at: at})
	}
}
