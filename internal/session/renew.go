package session

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// ErrRenewed reports that a session's grant is not the expected one: another renewal was faster.
var ErrRenewed = errors.New("grant was renewed meanwhile")

// Renew replaces the grant and the recorded identity of the live session with the id, even if its
// jar has moved. Nothing else of the session changes. identity must be of the same account and
// issuer. Renew returns the renewed session and is idempotent.
//
// Errors are ErrUnknownHandle if the session has ended, ErrRenewed if its grant is not was, a
// refusal of the identity or the grant as in SignIn, and those of the store.
func (m *Manager) Renew(ctx context.Context, sessionID string, was *Grant, identity *Identity, grant *Grant) (Session, error) {
	grant, err := toStore(identity, grant)
	if err != nil {
		return Session{}, err
	}
	var renewed *Session
	err = m.changeJarOf(ctx, sessionID, func(jar *Jar, at time.Time) (changed bool, err error) {
		renewed = jar.byID(sessionID)
		return renewed.renew(was, identity, grant, at)
	})
	switch {
	case errors.Is(err, ErrUnknownHandle):
		return Session{}, err
	case err != nil:
		return Session{}, fmt.Errorf("renew session: %w", err)
	}
	return *renewed, nil // a copy: the jar's must not change any more
}

// renew applies Manager.Renew to a jar, unless that is already done.
func (s *Session) renew(was *Grant, identity *Identity, grant *Grant, at time.Time) (changed bool, err error) {
	switch {
	case identity.Account != s.Recorded.Account || identity.Issuer != s.Recorded.Issuer:
		return false, errors.New("the identity is of another account")
	case grant.Equal(s.Grant):
		return false, nil
	case !was.Equal(s.Grant):
		return false, ErrRenewed
	}
	s.Grant, s.Recorded = grant, s.Recorded.renewed(identity, at)
	return true, nil
}

// renewed returns the identity to record after a renewal: the method's, with the recorded times if
// the method has none and nothing else has changed.
func (id *Identity) renewed(now *Identity, at time.Time) *Identity {
	next := *now
	if next.CreatedAt.IsZero() {
		next.CreatedAt = id.CreatedAt
	}
	if next.UpdatedAt.IsZero() {
		next.UpdatedAt = id.UpdatedAt
		if !reflect.DeepEqual(&next, id) {
			next.UpdatedAt = at
		}
	}
	return &next
}
