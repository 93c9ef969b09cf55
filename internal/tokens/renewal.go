package tokens

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

const (
	// askTimeout bounds how long a provider may take to answer. It is longer than requests wait:
	// the answer may be the only copy of a new refresh token.
	askTimeout = 20 * time.Second

	// storeTimeout bounds one write. A failed write is repeated until it succeeds: first after
	// firstRetry, then with pauses that double up to maxRetry.
	storeTimeout = 10 * time.Second
	firstRetry   = 100 * time.Millisecond
	maxRetry     = 5 * time.Second
)

// renewal is a running renewal of a session's tokens. It lasts until its outcome is stored.
type renewal struct {
	login    string        // id of the login whose provider is asked
	known    chan struct{} // closed when result is set
	result   outcome
	patience context.Context // ends when requests stop waiting
	cancel   context.CancelFunc
}

// outcome is the state of a session after a renewal. The zero outcome says nothing about it.
type outcome struct {
	session *session.Session // its current state
	ended   bool             // the session has ended
}

func newRenewal(ctx context.Context, loginID string) *renewal {
	r := &renewal{login: loginID, known: make(chan struct{})}
	r.patience, r.cancel = context.WithTimeout(ctx, waitTimeout)
	return r
}

// wait waits for the outcome, until requests stop waiting or ctx ends.
func (r *renewal) wait(ctx context.Context) {
	select {
	case <-r.known:
	case <-r.patience.Done():
	case <-ctx.Done():
	}
}

// outcome returns the outcome, and false while it is not known.
func (r *renewal) outcome() (outcome, bool) {
	select {
	case <-r.known:
		return r.result, true
	default:
		return outcome{}, false
	}
}

// publish sets the outcome and wakes everybody who waits for it.
func (r *renewal) publish(o outcome) {
	r.result = o
	close(r.known)
	r.cancel()
}

// containPanic keeps a panic in a renewal from ending Caddy with all its sites. Requests that wait for
// the renewal go on without an outcome when they stop waiting.
func (m *Manager) containPanic(id string) {
	if p := recover(); p != nil {
		m.log.Error("contained a panic in a renewal", zap.String("session", id), zap.Any("panic", p), zap.Stack("stack"))
	}
}

// run renews the tokens of the session with the id. It publishes the outcome after the first
// attempt to store it. While the store fails, requests continue with what the provider answered.
func (m *Manager) run(r *renewal, id string, provider login.Renewer) {
	defer m.containPanic(id)
	expected, store := m.renew(id, provider)
	if store == nil {
		r.publish(expected)
		return
	}
	stored, err := m.try(store)
	if err == nil {
		r.publish(stored)
		return
	}
	r.publish(expected)
	log := m.log.With(zap.String("session", id))
	log.Error("outcome of a renewal is not stored, trying again", zap.Error(err))
	for pause := firstRetry; err != nil; pause = min(2*pause, maxRetry) {
		select {
		case <-m.ctx.Done():
			log.Error("outcome of a renewal is lost", zap.Error(err))
			return
		case <-time.After(pause):
		}
		_, err = m.try(store)
	}
	log.Info("outcome of a renewal is stored")
}

// storeFunc stores the outcome of a renewal and returns the state of the session. After an error it
// can be called again.
type storeFunc func(context.Context) (outcome, error)

// try calls store with a time limit.
func (m *Manager) try(store storeFunc) (outcome, error) {
	ctx, cancel := context.WithTimeout(m.ctx, storeTimeout)
	defer cancel()
	return store(ctx)
}

// renew asks the provider if the renewal is still needed. It returns the expected outcome and a
// function that stores it, nil if there is nothing to store.
func (m *Manager) renew(id string, provider login.Renewer) (outcome, storeFunc) {
	found, err := m.try(func(ctx context.Context) (outcome, error) { return m.load(ctx, id) })
	if err != nil {
		m.recordFailure(id, err)
		return outcome{}, nil
	}
	// Another request may have replaced the tokens since this one saw them. A refresh token must
	// not be used twice.
	if found.ended || !m.due(found.session) {
		m.clearSetback(id)
		return found, nil
	}
	s := found.session
	tokens, ok := m.Open(s)
	if !ok || tokens.Refresh == "" {
		return m.endSession(s, ErrLost)
	}
	granted, err := m.ask(provider, s.Recorded, tokens)
	if isFinal(err) {
		return m.endSession(s, err)
	}
	if err != nil {
		m.recordFailure(id, err)
		return found, nil
	}
	identity, grant, err := m.accept(s, tokens, granted)
	if err != nil {
		return m.endSession(s, err)
	}
	m.clearSetback(id)
	return m.applyRenewal(s, identity, grant)
}

// load returns the current state of the session with the id.
func (m *Manager) load(ctx context.Context, id string) (outcome, error) {
	found, err := m.manager.Sessions(ctx, session.Selection{Session: id})
	switch {
	case len(found) > 0:
		return outcome{session: found[0].Session}, nil
	case err != nil && !errors.Is(err, session.ErrUnreadable):
		return outcome{}, err
	}
	return outcome{ended: true}, nil
}

// due reports whether a session's tokens are due for renewal.
func (m *Manager) due(s *session.Session) bool {
	return s.Grant != nil && !s.Grant.RenewAt.IsZero() && !m.now().Before(s.Grant.RenewAt)
}

// recordFailure records and logs that a session could not be renewed for now.
func (m *Manager) recordFailure(id string, err error) {
	m.setBack(id)
	m.log.Warn("tokens are not renewed", zap.String("session", id), zap.Error(err))
}

// ask asks the provider for new tokens. It turns a panic into an error: the provider's answer comes
// from a stranger, and a panic in this goroutine would end the process.
func (m *Manager) ask(provider login.Renewer, recorded *session.Identity, tokens login.Tokens) (granted *login.Granted, err error) {
	defer func() {
		if p := recover(); p != nil {
			m.log.Error("panic during a renewal of tokens", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			granted, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(m.ctx, askTimeout)
	defer cancel()
	loginID, asked := recorded.Account.Method, m.now()
	slow := time.AfterFunc(waitTimeout, func() {
		m.recordOutage(loginID, asked, fmt.Errorf("no answer within %s", waitTimeout))
	})
	defer slow.Stop()
	granted, err = provider.Renew(ctx, recorded, tokens)
	switch inTime := slow.Stop(); {
	case errors.Is(err, login.ErrProviderUnavailable):
		if m.ctx.Err() == nil {
			m.recordOutage(loginID, asked, err)
		}
	case err != nil && !isFinal(err):
	case inTime:
		m.endOutage(loginID)
	default:
		m.retryOutage(loginID)
	}
	if err == nil && granted == nil {
		err = errors.New("provider gave no answer")
	}
	return granted, err
}

// isFinal reports whether an error of a provider ends the session.
func isFinal(err error) bool {
	var rejected *login.RejectedError
	return errors.Is(err, login.ErrRefused) || errors.Is(err, login.ErrNotAllowed) || errors.As(err, &rejected)
}

// accept returns the identity and the grant of a session after the provider's answer. It returns a
// *login.RejectedError if the answer is about another account or cannot be stored.
func (m *Manager) accept(s *session.Session, was login.Tokens, granted *login.Granted) (*session.Identity, *session.Grant, error) {
	identity := cmp.Or(granted.Identity, s.Recorded)
	switch {
	case identity.Account != s.Recorded.Account:
		return nil, nil, &login.RejectedError{Reason: "sub", Err: errors.New("the tokens belong to another account")}
	case identity.Issuer != s.Recorded.Issuer:
		return nil, nil, &login.RejectedError{Reason: "iss", Err: errors.New("the tokens come from another issuer")}
	}
	if err := cmp.Or(identity.Validate(), identity.Fits()); err != nil {
		return nil, nil, &login.RejectedError{Reason: "identity", Err: err}
	}
	// The SID stays that of the sign-in: renewed tokens are issued without the browser. Tokens that
	// the answer lacks stay valid (RFC 6749, section 6).
	tokens := granted.Tokens
	tokens.Refresh = cmp.Or(tokens.Refresh, was.Refresh)
	tokens.ID = cmp.Or(tokens.ID, was.ID)
	grant, err := m.Seal(&login.Granted{Identity: identity, Tokens: tokens, SID: cmp.Or(s.Grant.SID, granted.SID)})
	if err != nil {
		return nil, nil, &login.RejectedError{Reason: "grant", Err: err}
	}
	return identity, grant, nil
}

// applyRenewal returns the outcome of a renewal by the provider. The identity may have changed, and
// with it the user name, which the session may use only if the name belongs to the account: see
// login.Names.
func (m *Manager) applyRenewal(s *session.Session, identity *session.Identity, grant *session.Grant) (outcome, storeFunc) {
	expected := outcome{ended: true} // until the store says whose name it is
	if identity.UserName == s.Recorded.UserName {
		recorded := *identity
		recorded.CreatedAt = cmp.Or(recorded.CreatedAt, s.Recorded.CreatedAt)
		recorded.UpdatedAt = cmp.Or(recorded.UpdatedAt, s.Recorded.UpdatedAt)
		now := *s
		now.Recorded, now.Grant = &recorded, grant
		expected = outcome{session: &now}
	}
	return expected, func(ctx context.Context) (outcome, error) {
		err := m.names.Claim(ctx, m.logins, identity)
		if errors.Is(err, login.ErrNameTaken) {
			return m.end(ctx, s, err)
		}
		if err != nil {
			return outcome{}, err
		}
		stored, err := m.manager.Renew(ctx, s.ID, s.Grant, identity, grant)
		switch {
		case err == nil:
			return outcome{session: &stored}, nil
		case errors.Is(err, session.ErrUnknownHandle), errors.Is(err, session.ErrUnreadable):
			return outcome{ended: true}, nil
		case errors.Is(err, session.ErrRenewed):
			return m.load(ctx, s.ID)
		}
		return outcome{}, err
	}
}

// endSession returns the outcome of a session that has ended.
func (m *Manager) endSession(s *session.Session, cause error) (outcome, storeFunc) {
	return outcome{ended: true}, func(ctx context.Context) (outcome, error) { return m.end(ctx, s, cause) }
}

// end ends a session, unless its tokens were renewed meanwhile: then the provider refused old
// tokens, not those of the session.
func (m *Manager) end(ctx context.Context, s *session.Session, cause error) (outcome, error) {
	keep := func(now *session.Session) bool { return !now.Grant.Equal(s.Grant) }
	ended, err := m.manager.End(ctx, session.Selection{Session: s.ID}, keep)
	for _, e := range ended {
		m.ended(e, cause)
	}
	switch {
	case len(ended) > 0:
		return outcome{ended: true}, nil
	case err != nil && !errors.Is(err, session.ErrUnreadable):
		return outcome{}, err
	}
	return m.load(ctx, s.ID)
}
