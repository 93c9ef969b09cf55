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

// Config is what a Manager works with.
type Config struct {
	Manager *session.Manager
	Logins  *login.Methods
	Names   *login.Names
	Sealer  *seal.Sealer
	Log     *zap.Logger
	Now     func() time.Time

	// Underway is what keepers on one store have under way; nil is this keeper's alone.
	Underway *Underway

	// Ended is told of each session that has ended because its tokens were not renewed, and why:
	// login.ErrRefused, login.ErrNotAllowed, login.ErrNameTaken, a *login.RejectedError, or ErrLost. It
	// may be called concurrently, and while requests wait. It may be nil.
	Ended func(session.Ended, error)
}

// Underway is the sessions whose tokens are being renewed. All keepers on one store share it: while a
// configuration is replaced there are two, and a refresh token that is used twice is taken for stolen by
// providers that rotate them (RFC 9700, section 4.14.2).
type Underway struct {
	mu       sync.Mutex
	sessions map[string]bool // ids
}

// NewUnderway returns one with nothing under way.
func NewUnderway() *Underway { return &Underway{sessions: make(map[string]bool)} }

// begin reports whether nobody else renews the session. Then end is to be called.
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

// Manager keeps the tokens of sessions. There is one for each configuration. Its methods may be called
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
	renewals map[string]*renewal // this keeper's under way, by session id
	setbacks map[string]setback  // of sessions whose last renewal came to nothing, by id
	closed   bool
}

const (
	// waitTimeout bounds the time of a request that waits for new tokens, counted from when the renewal
	// began: somebody sits in front of it.
	waitTimeout = 10 * time.Second

	// closeTimeout bounds how long Close waits, for it may hold up a reload.
	closeTimeout = 10 * time.Second
)

// New returns a keeper. Close ends it.
func New(c Config) *Manager {
	k := &Manager{
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
	}
	if k.underway == nil {
		k.underway = NewUnderway()
	}
	if k.ended == nil {
		k.ended = func(session.Ended, error) {}
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	return k
}

// Current returns a live entry as it is to be used now, and false where its provider has ended it.
//
// Tokens that are to be renewed and have not expired are renewed in the background. Where the access
// token has expired the request waits for the renewal, waitTimeout at most: nobody has vouched for the
// account since. While the provider is not available the session stays and the entry is returned as it
// is; requests from a while later on try again. Else the entry that is returned is of another Session
// than the one that came.
func (k *Manager) Current(ctx context.Context, e session.Entry) (now session.Entry, live bool) {
	if e.Grant == nil || e.Grant.RenewAt.IsZero() {
		return e, true
	}
	at := k.now()
	if at.Before(e.Grant.RenewAt) {
		return e, true
	}
	r := k.renewal(e.Session, at)
	if r == nil {
		return e, true
	}
	if expiry := e.Grant.ExpiresAt; !expiry.IsZero() && !at.Before(expiry) {
		r.wait(ctx)
	}
	outcome, known := r.outcome()
	switch {
	case outcome.over:
		return session.Entry{}, false
	case !known || outcome.session == nil || outcome.session.Grant.Equal(e.Grant):
		return e, true
	}
	return k.entry(outcome.session, e.Active)
}

// entry returns a session's entry, with who its account is now.
func (k *Manager) entry(s *session.Session, active bool) (session.Entry, bool) {
	identity, ok := k.logins.Current(s.Recorded)
	if !ok || identity.Account != s.Recorded.Account {
		return session.Entry{}, false
	}
	return session.Entry{Session: s, Identity: identity, Active: active}, true
}

// renewer returns the provider of an account, if it can be asked again.
func (k *Manager) renewer(account session.Account) (login.Renewer, bool) {
	provider, ok := k.logins.Provider(account.Method)
	if !ok {
		return nil, false
	}
	renewer, ok := provider.(login.Renewer)
	return renewer, ok
}

// renewal returns the renewal of the session that is under way, or begins one. It is nil where none is
// and none is to be begun now.
func (k *Manager) renewal(s *session.Session, now time.Time) *renewal {
	provider, ok := k.renewer(s.Recorded.Account)
	k.mu.Lock()
	defer k.mu.Unlock()
	if r := k.renewals[s.ID]; r != nil {
		return r
	}
	if !ok || k.closed || now.Before(k.setbacks[s.ID].until) || !k.underway.begin(s.ID) {
		return nil
	}
	r := newRenewal(k.ctx)
	k.renewals[s.ID] = r
	id := s.ID
	k.running.Go(func() {
		defer k.underway.end(id)
		k.run(r, id, provider)
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.renewals, id)
	})
	return r
}

// setback is that a session could not be renewed, and when it may be tried again.
type setback struct {
	failures int
	until    time.Time
}

// The time between two tries for a session. The first is short, for what a restart of the provider
// takes; the last is what people wait at most once the provider is back.
const (
	firstSetback = time.Second
	maxSetback   = time.Minute
)

// setBack notes that a session could not be renewed.
func (k *Manager) setBack(id string) {
	now := k.now()
	k.mu.Lock()
	defer k.mu.Unlock()
	for other, s := range k.setbacks {
		if now.Sub(s.until) > time.Hour { // of a session that nobody uses
			delete(k.setbacks, other)
		}
	}
	s := k.setbacks[id]
	pause := min(firstSetback<<min(s.failures, 16), maxSetback)
	k.setbacks[id] = setback{s.failures + 1, now.Add(pause)}
}

// settled forgets what a session's setbacks were.
func (k *Manager) settled(id string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.setbacks, id)
}

// Close waits for the renewals that are under way, closeTimeout at most, and then breaks them off. No
// others are begun; all else goes on working, for requests that are under way when a configuration is
// replaced.
func (k *Manager) Close() {
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	enough := time.AfterFunc(closeTimeout, k.cancel)
	defer enough.Stop()
	k.running.Wait()
	k.cancel()
}
