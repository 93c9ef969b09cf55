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
	// askTimeout bounds what a provider is given to answer in. It is longer than anybody waits, because
	// an answer that nobody hears may be the only copy of a new refresh token.
	askTimeout = 20 * time.Second

	// storeTimeout bounds one write. What was not written is tried again, first soon and then every few
	// seconds, for as long as it takes.
	storeTimeout = 10 * time.Second
	firstRetry   = 100 * time.Millisecond
	maxRetry     = 5 * time.Second
)

// renewal is one of a session's tokens that is under way. It lasts until its outcome is stored.
type renewal struct {
	known    chan struct{} // closed when result is set
	result   outcome
	patience context.Context // ends when nobody is to wait any more
	cancel   context.CancelFunc
}

// outcome is what has become of a session. The zero outcome is nothing.
type outcome struct {
	session *session.Session // as it is now
	over    bool             // it has ended
}

func newRenewal(ctx context.Context) *renewal {
	r := &renewal{known: make(chan struct{})}
	r.patience, r.cancel = context.WithTimeout(ctx, waitTimeout)
	return r
}

// wait waits for the outcome, until nobody is to wait any more or ctx ends.
func (r *renewal) wait(ctx context.Context) {
	select {
	case <-r.known:
	case <-r.patience.Done():
	case <-ctx.Done():
	}
}

// outcome returns the outcome, and false as long as it is not known.
func (r *renewal) outcome() (outcome, bool) {
	select {
	case <-r.known:
		return r.result, true
	default:
		return outcome{}, false
	}
}

// tell sets the outcome.
func (r *renewal) tell(o outcome) {
	r.result = o
	close(r.known)
	r.cancel()
}

// run renews the tokens of the session with the id. The outcome is told once it was tried to store it:
// while the store fails, requests go on with what the provider said.
func (k *Manager) run(r *renewal, id string, provider login.Renewer) {
	expected, store := k.renew(id, provider)
	if store == nil {
		r.tell(expected)
		return
	}
	stored, err := k.try(store)
	if err == nil {
		r.tell(stored)
		return
	}
	r.tell(expected)
	log := k.log.With(zap.String("session", id))
	log.Error("outcome of a renewal is not stored, trying again", zap.Error(err))
	for pause := firstRetry; err != nil; pause = min(2*pause, maxRetry) {
		select {
		case <-k.ctx.Done():
			log.Error("outcome of a renewal is lost", zap.Error(err))
			return
		case <-time.After(pause):
		}
		_, err = k.try(store)
	}
	log.Info("outcome of a renewal is stored")
}

// storing stores what a renewal has come to, and returns what has become of the session. It can be done
// again after an error.
type storing func(context.Context) (outcome, error)

func (k *Manager) try(store storing) (outcome, error) {
	ctx, cancel := context.WithTimeout(k.ctx, storeTimeout)
	defer cancel()
	return store(ctx)
}

// renew asks the provider, if that is still to be done, and returns what the session is to be then and
// what stores it; the latter is nil where there is nothing to store.
func (k *Manager) renew(id string, provider login.Renewer) (outcome, storing) {
	found, err := k.try(func(ctx context.Context) (outcome, error) { return k.load(ctx, id) })
	if err != nil {
		k.failed(id, err)
		return outcome{}, nil
	}
	// Another request may have replaced the tokens since this one saw them. A refresh token must not be
	// used twice.
	if found.over || !k.due(found.session) {
		k.settled(id)
		return found, nil
	}
	s := found.session
	tokens, ok := k.Open(s)
	if !ok || tokens.Refresh == "" {
		return k.over(s, ErrLost)
	}
	granted, err := k.ask(provider, s.Recorded, tokens)
	if final(err) {
		return k.over(s, err)
	}
	if err != nil {
		k.failed(id, err)
		return found, nil
	}
	identity, grant, err := k.accept(s, tokens, granted)
	if err != nil {
		return k.over(s, err)
	}
	k.settled(id)
	return k.renewed(s, identity, grant)
}

// load returns the session with the id as it is now.
func (k *Manager) load(ctx context.Context, id string) (outcome, error) {
	found, err := k.manager.Sessions(ctx, session.Selection{Session: id})
	switch {
	case len(found) > 0:
		return outcome{session: found[0].Session}, nil
	case err != nil && !errors.Is(err, session.ErrUnreadable):
		return outcome{}, err
	}
	return outcome{over: true}, nil
}

// due reports whether a session's tokens are to be renewed.
func (k *Manager) due(s *session.Session) bool {
	return s.Grant != nil && !s.Grant.RenewAt.IsZero() && !k.now().Before(s.Grant.RenewAt)
}

// failed notes that a session could not be renewed for now.
func (k *Manager) failed(id string, err error) {
	k.setBack(id)
	k.log.Warn("tokens are not renewed", zap.String("session", id), zap.Error(err))
}

// ask asks the provider. It has to do with what strangers wrote, and a panic would end the process
// here, where no server stands above that takes it for one request's.
func (k *Manager) ask(provider login.Renewer, recorded *session.Identity, tokens login.Tokens) (granted *login.Granted, err error) {
	defer func() {
		if p := recover(); p != nil {
			k.log.Error("panic while tokens were renewed", zap.Any("panic", p), zap.ByteString("stack", debug.Stack()))
			granted, err = nil, fmt.Errorf("panic: %v", p)
		}
	}()
	ctx, cancel := context.WithTimeout(k.ctx, askTimeout)
	defer cancel()
	granted, err = provider.Renew(ctx, recorded, tokens)
	if err == nil && granted == nil {
		err = errors.New("provider gave no answer")
	}
	return granted, err
}

// final reports whether an error of a provider means that the session is over.
func final(err error) bool {
	var rejected *login.RejectedError
	return errors.Is(err, login.ErrRefused) || errors.Is(err, login.ErrNotAllowed) || errors.As(err, &rejected)
}

// accept returns what a session is to have of the provider's answer. An answer that is about somebody
// else, or cannot be stored, is a *login.RejectedError.
func (k *Manager) accept(s *session.Session, was login.Tokens, granted *login.Granted) (*session.Identity, *session.Grant, error) {
	identity := cmp.Or(granted.Identity, s.Recorded)
	switch {
	case identity.Account != s.Recorded.Account:
		return nil, nil, &login.RejectedError{Reason: "sub", Err: errors.New("the tokens are of another account")}
	case identity.Issuer != s.Recorded.Issuer:
		return nil, nil, &login.RejectedError{Reason: "iss", Err: errors.New("the tokens are of another issuer")}
	}
	if err := cmp.Or(identity.Validate(), identity.Fits()); err != nil {
		return nil, nil, &login.RejectedError{Reason: "identity", Err: err}
	}
	// The provider's session is the one that the browser signed in with, whatever a token says that was
	// issued without the browser. What was not renewed is as it was (RFC 6749, section 6).
	tokens := granted.Tokens
	tokens.Refresh = cmp.Or(tokens.Refresh, was.Refresh)
	tokens.ID = cmp.Or(tokens.ID, was.ID)
	grant, err := k.Seal(&login.Granted{Identity: identity, Tokens: tokens, SID: cmp.Or(s.Grant.SID, granted.SID)})
	if err != nil {
		return nil, nil, &login.RejectedError{Reason: "grant", Err: err}
	}
	return identity, grant, nil
}

// renewed is the outcome that the provider has renewed a session. Who its account is can have changed,
// and its user name with it, which it may be called by only if it is the account's: see login.Names.
func (k *Manager) renewed(s *session.Session, identity *session.Identity, grant *session.Grant) (outcome, storing) {
	expected := outcome{over: true} // for as long as it cannot be told whose name it is
	if identity.UserName == s.Recorded.UserName {
		recorded := *identity
		recorded.CreatedAt = cmp.Or(recorded.CreatedAt, s.Recorded.CreatedAt)
		recorded.UpdatedAt = cmp.Or(recorded.UpdatedAt, s.Recorded.UpdatedAt)
		now := *s
		now.Recorded, now.Grant = &recorded, grant
		expected = outcome{session: &now}
	}
	return expected, func(ctx context.Context) (outcome, error) {
		err := k.names.Claim(ctx, k.logins, identity)
		if errors.Is(err, login.ErrNameTaken) {
			return k.end(ctx, s, err)
		}
		if err != nil {
			return outcome{}, err
		}
		stored, err := k.manager.Renew(ctx, s.ID, s.Grant, identity, grant)
		switch {
		case err == nil:
			return outcome{session: &stored}, nil
		case errors.Is(err, session.ErrUnknownHandle), errors.Is(err, session.ErrUnreadable):
			return outcome{over: true}, nil
		case errors.Is(err, session.ErrRenewed):
			return k.load(ctx, s.ID)
		}
		return outcome{}, err
	}
}

// over is the outcome that a session has ended.
func (k *Manager) over(s *session.Session, cause error) (outcome, storing) {
	return outcome{over: true}, func(ctx context.Context) (outcome, error) { return k.end(ctx, s, cause) }
}

// end ends a session, unless its tokens were renewed elsewhere meanwhile: what was refused then is
// tokens that are not its own any more.
func (k *Manager) end(ctx context.Context, s *session.Session, cause error) (outcome, error) {
	elsewhere := func(now *session.Session) bool { return !now.Grant.Equal(s.Grant) }
	ended, err := k.manager.End(ctx, session.Selection{Session: s.ID}, elsewhere)
	for _, e := range ended {
		k.ended(e, cause)
	}
	switch {
	case len(ended) > 0:
		return outcome{over: true}, nil
	case err != nil && !errors.Is(err, session.ErrUnreadable):
		return outcome{}, err
	}
	return k.load(ctx, s.ID)
}
