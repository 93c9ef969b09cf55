package tokens

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/seal"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
	"github.com/caddy-multi-session/gateway/storage"
)

// provider rotates refresh tokens: every answer has a new one, each works once, and a second use
// revokes all tokens of the session.
type provider struct {
	id      string
	exposes login.Exposed
	life    time.Duration // of access tokens
	delay   time.Duration // of answers

	mu     sync.Mutex
	calls  int
	next   string // the refresh token that is accepted; empty: none
	before func(ctx context.Context) error
	change func(*login.Granted) // edits the answer
}

func (p *provider) ID() string { return p.id }
func (p *provider) Current(recorded *session.Identity) (*session.Identity, bool) {
	return recorded, true
}
func (p *provider) Label() string          { return p.id }
func (p *provider) Available() bool        { return true }
func (p *provider) RedirectURI() string    { return "" }
func (p *provider) Exposes() login.Exposed { return p.exposes }
func (p *provider) Authorize(context.Context, login.AuthorizationRequest) (string, login.Pending, error) {
	return "", login.Pending{}, errors.New("not here")
}
func (p *provider) Redeem(context.Context, login.Pending, url.Values) (*login.Granted, error) {
	return nil, errors.New("not here")
}

// renewer is a provider that can renew tokens.
type renewer struct{ *provider }

func (p renewer) Renew(ctx context.Context, recorded *session.Identity, tokens login.Tokens) (*login.Granted, error) {
	p.mu.Lock()
	p.calls++
	before, change := p.before, p.change
	p.mu.Unlock()
	if before != nil {
		if err := before(ctx); err != nil {
			return nil, err
		}
	}
	p.mu.Lock()
	if tokens.Refresh != p.next || p.next == "" {
		p.next = ""
		p.mu.Unlock()
		return nil, fmt.Errorf("token endpoint: %w", login.ErrRefused)
	}
	granted := p.issue(recorded)
	p.mu.Unlock()
	select {
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", login.ErrProviderUnavailable, ctx.Err())
	case <-time.After(p.delay):
	}
	if change != nil {
		change(granted)
	}
	return granted, nil
}

// issue makes new tokens. The caller holds the lock.
func (p *provider) issue(id *session.Identity) *login.Granted {
	p.next = fmt.Sprintf("refresh-%d", p.calls)
	same := *id
	return &login.Granted{
		Identity: &same, SID: "sid",
		Tokens: login.Tokens{Access: fmt.Sprintf("access-%d", p.calls), Refresh: p.next, ID: fmt.Sprintf("id-%d", p.calls), Expiry: time.Now().Add(p.life)},
	}
}

func (p *provider) asked() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// memStore keeps records in memory. While broken is set, it writes nothing.
type memStore struct {
	mu       sync.Mutex
	broken   error
	lost     error // returned by writes that succeed all the same
	records  map[string]storage.Record
	revision map[string]storage.Revision
	last     storage.Revision
}

func (s *memStore) setBroken(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = err
}

func (s *memStore) live(key string) (storage.Record, storage.Revision) {
	r, ok := s.records[key]
	if !ok || !time.Now().Before(r.Expiry) {
		return storage.Record{}, 0
	}
	return r, s.revision[key]
}

func (s *memStore) Get(_ context.Context, key string) (storage.Record, storage.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, revision := s.live(key)
	if revision == 0 {
		return r, 0, storage.ErrNotFound
	}
	r.Value = bytes.Clone(r.Value)
	return r, revision, nil
}

func (s *memStore) CompareAndSwap(ctx context.Context, key string, rev storage.Revision, next storage.Record) (storage.Revision, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(ctx.Err(), s.broken); err != nil {
		return 0, err
	}
	_, now := s.live(key)
	if _, taken := s.live(next.Key); now != rev || next.Key != key && taken != 0 {
		return 0, storage.ErrConflict
	}
	delete(s.records, key)
	s.last++
	next.Value = bytes.Clone(next.Value)
	s.records[next.Key], s.revision[next.Key] = next, s.last
	return s.last, s.lost
}

func (s *memStore) Delete(ctx context.Context, key string, rev storage.Revision) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := errors.Join(ctx.Err(), s.broken); err != nil {
		return err
	}
	if _, now := s.live(key); now != rev || rev == 0 {
		return storage.ErrConflict
	}
	delete(s.records, key)
	return s.lost
}

func (s *memStore) Find(_ context.Context, term, after string, limit int) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var keys []string
	for key := range s.records {
		if r, revision := s.live(key); revision != 0 && key > after && slices.Contains(r.Terms, term) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys[:min(len(keys), limit)], nil
}

func (s *memStore) Walk(_ context.Context, prefix string, visit func(storage.Record) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key := range s.records {
		if r, revision := s.live(key); revision != 0 && strings.HasPrefix(key, prefix) {
			if err := visit(r); err != nil {
				return err
			}
		}
	}
	return nil
}

// world is a gateway with a provider where alice has signed in. It must run in a bubble of
// synctest.
type world struct {
	*testing.T
	store    *memStore
	provider *provider
	logins   *login.Methods
	names    *login.Names
	manager  *session.Manager
	log      *observer.ObservedLogs
	underway *Underway
	*Manager

	mu    sync.Mutex
	ended []error // causes

	jars  *session.Jars
	token session.Token
	id    string // of the session
}

const issuer = "https://issuer.example"

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{
		T:        t,
		store:    &memStore{records: make(map[string]storage.Record), revision: make(map[string]storage.Revision)},
		provider: &provider{id: "oidc", life: 10 * time.Minute, exposes: login.Exposed{Access: true, ID: true}},
	}
	w.jars = session.NewJars(w.store)
	users, err := user.Load(t.Context(), w.store, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	w.names = login.NewNames(users)
	w.start()
	w.provider.mu.Lock()
	granted := w.provider.issue(&session.Identity{Account: session.Account{Method: "oidc", Subject: "alice"}, Issuer: issuer, UserName: "alice"})
	w.provider.mu.Unlock()
	w.signIn(granted)
	return w
}

// start makes another session manager and another Manager on the same jars.
func (w *world) start() {
	w.Helper()
	logins, err := login.NewMethods(renewer{w.provider}, &provider{id: "once"})
	if err != nil {
		w.Fatal(err)
	}
	w.logins = logins
	options := session.Options{MaxSessions: 5, Lifetime: 30 * 24 * time.Hour}
	w.manager = session.NewManager(w.jars, logins, options, time.Now)
	w.Cleanup(w.manager.Close)
	w.underway = NewUnderway()
	w.Manager = w.newManager(strings.Repeat("k", 32))
}

func (w *world) newManager(keys ...string) *Manager {
	w.Helper()
	var secrets [][]byte
	for _, key := range keys {
		secrets = append(secrets, []byte(key))
	}
	box, err := seal.NewBox(secrets...)
	if err != nil {
		w.Fatal(err)
	}
	core, log := observer.New(zap.DebugLevel)
	w.log = log
	k := New(Config{
		Manager: w.manager, Logins: w.logins, Names: w.names, Sealer: box.Sealer("grant"), Log: zap.New(core), Now: time.Now,
		Underway: w.underway,
		Ended: func(e session.Ended, cause error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if e.ID != w.id {
				w.Errorf("session %s of %s was told to have ended", e.ID, e.Recorded.UserName)
			}
			w.ended = append(w.ended, cause)
		},
	})
	w.Cleanup(k.Close)
	return k
}

func (w *world) signIn(granted *login.Granted) {
	w.Helper()
	kept, err := w.Seal(granted)
	if err != nil {
		w.Fatal(err)
	}
	if err := w.names.Claim(w.Context(), w.logins, granted.Identity); err != nil {
		w.Fatal(err)
	}
	done, err := w.manager.SignIn(w.Context(), w.token, granted.Identity, kept, session.Client{})
	if err != nil {
		w.Fatal(err)
	}
	w.token, w.id = done.Token, done.Entry.ID
}

// entry returns alice's entry as a request finds it, and false if she is not signed in.
func (w *world) entry() (session.Entry, bool) {
	w.Helper()
	v, err := w.manager.Visit(w.Context(), w.token)
	if err != nil {
		w.Error(err)
	}
	for _, e := range v.Entries() {
		if e.ID == w.id {
			return e, true
		}
	}
	return session.Entry{}, false
}

// must makes a request as alice, and returns her entry and tokens after it.
func (w *world) must() (now session.Entry, tokens login.Tokens) {
	w.Helper()
	e, ok := w.entry()
	if !ok {
		w.Error("alice is not signed in")
		return e, tokens
	}
	now, live := w.Current(w.Context(), e)
	switch {
	case !live:
		w.Error("the session has ended")
		return e, tokens
	case now.ID != w.id || now.Identity.Account != e.Identity.Account || now.Active != e.Active:
		w.Errorf("it was made as %+v", now)
	}
	if tokens, ok = w.Open(now.Session); !ok {
		w.Error("the tokens do not open")
	}
	return now, tokens
}

// causes returns the causes of the sessions that ended.
func (w *world) causes() []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.ended)
}

// took reports an error unless what takes the wanted time, by the bubble's clock.
func (w *world) took(want time.Duration, what func()) {
	w.Helper()
	begun := time.Now()
	what()
	if took := time.Since(begun); took != want {
		w.Errorf("took %s, want %s", took, want)
	}
}
