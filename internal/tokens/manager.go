package tokens

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/seal"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Config is the configuration of a Manager. Only Underway and Ended may be nil.
type Config struct {
	Manager *session.Manager
	Logins  *login.Methods
	Names   *login.Names
	Sealer  *seal.Sealer
	Log     *zap.Logger
	Now     func() time.Time

	// Underway has the renewals of all Managers on one store. If it is nil, this Manager is the
	// only one.
	Underway *Underway

	// Ended is called for each session that a failed renewal has ended, with the cause:
	// login.ErrRefused, login.ErrNotAllowed, login.ErrNameTaken, a *login.RejectedError, or
	// ErrLost. It may be called concurrently, and while requests wait.
	Ended func(session.Ended, error)
}

// Underway is the set of sessions whose tokens are being renewed. All Managers on one store share
// it: during a reload there are two, and a provider that rotates refresh tokens treats one that is
// used twice as stolen (RFC 9700, section 4.14.2).
type Underway struct {
	mu       sync.Mutex
	sessions map[string]bool // ids
}

// NewUnderway returns an empty set.
func NewUnderway() *Underway { return &Underway{sessions: make(map[string]bool)} }

// begin adds a session and returns true, unless the session is in the set. The caller must call
// end.
func (u *Underway) begin(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.sessions[id] {
		return false
	}
	u.sessions[id] = true
	return true
}

func (u *Underway) end(id string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	delete(u.sessions, id)
}

// Manager keeps the tokens of sessions. Each configuration has one. Its methods may be called
// concurrently.
type Manager struct {
	manager *session.Manager
	logins  *login.Methods
	names   *login.Names
	sealer  *seal.Sealer
	log     *zap.Logger
	now     func() time.Time
	ended   func(session.Ended, error)

	underway *Underway

	ctx     context.Context // ends when Close has waited long enough
	cancel  context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	renewals map[string]*renewal // renewals of this Manager, by session id
	setbacks map[string]setback  // sessions whose last renewal failed, by id
	outages  map[string]*outage  // providers that do not answer, by the id of the login
	closed   bool
}

const (
	// waitTimeout bounds how long requests wait for a renewal, counted from its start. A person
	// waits for each of them.
	waitTimeout = 10 * time.Second

	// closeTimeout bounds how long Close waits. It delays a reload.
	closeTimeout = 10 * time.Second
)

// New returns a Manager. Close ends it.
func New(c Config) *Manager {
	m := &Manager{
		manager:  c.Manager,
		logins:   c.Logins,
		names:    c.Names,
		sealer:   c.Sealer,
		log:      c.Log,
		now:      c.Now,
		ended:    c.Ended,
		underway: c.Underway,
		renewals: make(map[string]*renewal),
		setbacks: make(map[string]setback),
		outages:  make(map[string]*outage),
	}
	if m.underway == nil {
		m.underway = NewUnderway()
	}
	if m.ended == nil {
		m.ended = func(session.Ended, error) {}
	}
	m.ctx, m.cancel = context.WithCancel(context.Background())
	return m
}

// Current returns the current state of a live entry, and false if its provider has ended the
// session.
//
// Tokens that are due for renewal are renewed in the background. If the access token has expired,
// the request waits for the renewal, for waitTimeout at most: since then nobody has vouched for the
// account. While the provider is not available, the session stays, the entry is returned unchanged
// without waiting, and a later request tries again. After a renewal the returned entry has a new
// Session.
func (m *Manager) Current(ctx context.Context, e session.Entry) (now session.Entry, live bool) {
	if e.Grant == nil || e.Grant.RenewAt.IsZero() {
		return e, true
	}
	at := m.now()
	if at.Before(e.Grant.RenewAt) {
		return e, true
	}
	r := m.renewal(e.Session, at)
	if r == nil {
		return e, true
	}
	if expiry := e.Grant.ExpiresAt; !expiry.IsZero() && !at.Before(expiry) {
		r.wait(ctx)
	}
	outcome, known := r.outcome()
	switch {
	case outcome.ended:
		return session.Entry{}, false
	case !known || outcome.session == nil || outcome.session.Grant.Equal(e.Grant):
		return e, true
	}
	return m.entry(outcome.session, e)
}

// entry returns the entry of a session that was renewed, with the current identity of its account,
// and false if the account is gone.
func (m *Manager) entry(s *session.Session, was session.Entry) (session.Entry, bool) {
	identity, ok := m.logins.Current(s.Recorded)
	if !ok || identity.Account != s.Recorded.Account {
		return session.Entry{}, false
	}
	return session.Entry{Session: s, Identity: identity, Active: was.Active, Ends: was.Ends}, true
}

// renewer returns the provider of an account, if it can renew tokens.
func (m *Manager) renewer(account session.Account) (login.Renewer, bool) {
	provider, ok := m.logins.Provider(account.Method)
	if !ok {
		return nil, false
	}
	renewer, ok := provider.(login.Renewer)
	return renewer, ok
}

// renewal returns the running renewal of a session, or starts one. It returns nil if none runs and
// none may start now.
func (m *Manager) renewal(s *session.Session, now time.Time) *renewal {
	loginID := s.Recorded.Account.Method
	provider, ok := m.renewer(s.Recorded.Account)
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.renewals[s.ID]; r != nil {
		return r
	}
	if !ok || m.closed || now.Before(m.setbacks[s.ID].until) || !m.underway.begin(s.ID) {
		return nil
	}
	if !m.admits(loginID, now) {
		m.underway.end(s.ID)
		return nil
	}
	r := newRenewal(m.ctx, loginID)
	if m.outages[loginID] != nil {
		r.cancel() // nobody waits
	}
	m.renewals[s.ID] = r
	id := s.ID
	m.running.Go(func() {
		defer m.underway.end(id)
		m.run(r, id, provider)
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.renewals, id)
	})
	return r
}

// setback counts the failed renewals of a session, and says when the next one may start.
type setback struct {
	failures int
	until    time.Time
}

// Pauses between two renewals of a session, and between two questions to a provider in an outage. The first is as short as a restart of a provider. The
// longest is how long sessions stay unrenewed after a provider is back.
const (
	firstSetback = time.Second
	maxSetback   = time.Minute
)

// setBack records that a renewal of a session failed.
func (m *Manager) setBack(id string) {
	now := m.now()
	m.mu.Lock()
	defer m.mu.Unlock()
	for other, s := range m.setbacks {
		if now.Sub(s.until) > time.Hour { // nobody uses the session
			delete(m.setbacks, other)
		}
	}
	s := m.setbacks[id]
	m.setbacks[id] = setback{s.failures + 1, now.Add(pauseAfter(s.failures))}
}

// clearSetback forgets the failed renewals of a session.
func (m *Manager) clearSetback(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.setbacks, id)
}

// Close waits for running renewals, for closeTimeout at most, and then cancels them. No renewal
// starts after it. All other methods keep working, for requests that are still served during a
// reload.
func (m *Manager) Close() {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	enough := time.AfterFunc(closeTimeout, m.cancel)
	defer enough.Stop()
	m.running.Wait()
	m.cancel()
}
