package gateway

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/internal/admin"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/storage"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

// storeStub is a bbolt store that counts how often it is closed.
type storeStub struct {
	*boltstore.Store
	closed int
}

func (s *storeStub) Close() error {
	s.closed++
	return s.Store.Close()
}

func newStore(t *testing.T) *storeStub {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "test.db"), boltstore.Options{SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	return &storeStub{Store: store}
}

const hash = "$2a$04$AqTiFTywa04anej1aaKN4.VF5TWAsoaRFo0AdbWAkmIVMDmQwNKcK" // of alice-example

// configured is a configuration with a password login that has these users, and what it logs.
func configured(t *testing.T, users ...string) (Config, *observer.ObservedLogs) {
	t.Helper()
	hashes := make(map[string]string)
	for _, name := range users {
		hashes[name] = hash
	}
	return configuredWith(t, hashes)
}

// configuredWith is configured with the hashes of users' passwords.
func configuredWith(t *testing.T, hashes map[string]string) (Config, *observer.ObservedLogs) {
	t.Helper()
	config := password.Config{ID: "password"}
	for name, hash := range hashes {
		config.Users = append(config.Users, password.User{Name: name, Hash: hash})
	}
	budget := password.NewBudget(password.DefaultMemory)
	method, err := password.New(config, login.NewThrottle(time.Now), budget)
	if err != nil {
		t.Fatal(err)
	}
	logins, err := login.NewMethods(method)
	if err != nil {
		t.Fatal(err)
	}
	core, log := observer.New(zapcore.InfoLevel)
	return Config{
		Prefix:     "/.auth",
		Sessions:   session.Options{MaxSessions: 5, Lifetime: time.Hour, IdleTimeout: time.Hour},
		Logins:     logins,
		HashBudget: budget,
		Log:        zap.New(core),
	}, log
}

// signIn signs a user in, and returns the jar's token.
func signIn(t *testing.T, g *Gateway, name string) session.Token {
	t.Helper()
	identity, ok := g.logins.Current(&session.Identity{Account: session.Account{Method: "password", Subject: name}})
	if !ok {
		t.Fatalf("there is no %s", name)
	}
	done, err := g.Sessions.SignIn(t.Context(), session.Token{}, identity, nil, session.Client{})
	if err != nil {
		t.Fatal(err)
	}
	return done.Token
}

// start starts a gateway, which the test closes.
func start(t *testing.T, db *Database, c Config) *Gateway {
	t.Helper()
	g, err := Start(t.Context(), db, c)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// TestRemovedAccount: the sessions of an account that a configuration does not have any more end for
// good, if that configuration was in force.
func TestRemovedAccount(t *testing.T) {
	for name, test := range map[string]struct {
		takesOver bool
		signedIn  bool // with the account in the configuration again
	}{
		"the configuration was in force": {true, false},
		"it was refused":                 {false, true},
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t)
			db, err := Load(store)
			if err != nil {
				t.Fatal(err)
			}
			both, _ := configured(t, "alice", "bob")
			first := start(t, db, both)
			first.TakeOver()
			token := signIn(t, first, "alice")
			first.Close()

			without, _ := configured(t, "bob")
			second := start(t, db, without)
			if test.takesOver {
				second.TakeOver()
			}
			second.Close()

			again := start(t, db, both)
			defer again.Close()
			visit, err := again.Sessions.Visit(t.Context(), token)
			if _, active := visit.Active(); err != nil || active != test.signedIn {
				t.Errorf("alice is signed in %t, %v; want %t", active, err, test.signedIn)
			}
			if store.closed != 0 {
				t.Error("closing a gateway closes the store")
			}
			if err := db.Close(); err != nil || store.closed != 1 {
				t.Errorf("closing the database closes the store %d times, %v", store.closed, err)
			}
		})
	}
}

// slowStore is a store whose deletions wait.
type slowStore struct {
	*storeStub
	mayDelete chan struct{}
}

func (s *slowStore) Delete(ctx context.Context, key string, rev storage.Revision) error {
	<-s.mayDelete
	return s.storeStub.Delete(ctx, key, rev)
}

// TestStartWaitsForNoRemovals: a configuration has an account again, of which there may be hundreds of
// thousands of sessions still to be removed.
func TestStartWaitsForNoRemovals(t *testing.T) {
	store := &slowStore{newStore(t), make(chan struct{})}
	db, err := Load(store)
	if err != nil {
		t.Fatal(err)
	}
	both, _ := configured(t, "alice", "bob")
	first := start(t, db, both)
	first.TakeOver()
	token := signIn(t, first, "alice")
	first.Close()
	without, _ := configured(t, "bob")
	second := start(t, db, without)
	second.TakeOver()
	again := start(t, db, both)
	again.TakeOver()
	visit, err := again.Sessions.Visit(t.Context(), token)
	if _, active := visit.Active(); err != nil || active {
		t.Errorf("alice is signed in %t, %v", active, err)
	}
	close(store.mayDelete)
	second.Close()
	again.Close()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestChangedHash: with another hash in the configuration a user's sessions are over, of whoever knew the
// old password, and others go on.
func TestChangedHash(t *testing.T) {
	const another = "$2a$04$.wTUBxKsephr2r/5WLznUOXJjUNpKgkPeMtPdIShG07m45J3iYZg."
	store := newStore(t)
	db, err := Load(store)
	if err != nil {
		t.Fatal(err)
	}
	signedIn := func(g *Gateway, token session.Token) bool {
		t.Helper()
		visit, err := g.Sessions.Visit(t.Context(), token)
		if err != nil {
			t.Fatal(err)
		}
		_, active := visit.Active()
		return active
	}
	before, _ := configured(t, "alice", "bob")
	first := start(t, db, before)
	alice, bob := signIn(t, first, "alice"), signIn(t, first, "bob")
	first.Close() // it never took over, so the roster does not help

	after, _ := configuredWith(t, map[string]string{"alice": another, "bob": hash})
	second := start(t, db, after)
	if signedIn(second, alice) || !signedIn(second, bob) {
		t.Errorf("alice is signed in: %t, bob: %t", signedIn(second, alice), signedIn(second, bob))
	}
	if fresh := signIn(t, second, "alice"); !signedIn(second, fresh) {
		t.Error("alice cannot sign in again")
	}
	second.Close()
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// TestChangedHashAfterAnUpgrade: sessions of a release that knew no epochs of configured users go on after
// the upgrade, and end when the hash changes.
func TestChangedHashAfterAnUpgrade(t *testing.T) {
	const another = "$2a$04$.wTUBxKsephr2r/5WLznUOXJjUNpKgkPeMtPdIShG07m45J3iYZg."
	store := newStore(t)
	db, err := Load(store)
	if err != nil {
		t.Fatal(err)
	}
	before, _ := configured(t, "alice")
	old := session.NewManager(db.Jars, before.Logins, before.Sessions, time.Now)
	recorded := &session.Identity{Account: session.Account{Method: "password", Subject: "alice"}, UserName: "alice"}
	done, err := old.SignIn(t.Context(), session.Token{}, recorded, nil, session.Client{})
	if err != nil {
		t.Fatal(err)
	}
	if err := old.NoteRoster(t.Context(), session.Roster{"password": {"alice"}}, nil); err != nil {
		t.Fatal(err)
	}
	old.Close()
	after, _ := configuredWith(t, map[string]string{"alice": another})
	for i, tc := range []struct {
		config   Config
		signedIn bool
	}{{before, true}, {before, true}, {after, false}, {before, false}} {
		g := start(t, db, tc.config)
		if i == 2 { // until it takes over, nothing is known of an earlier hash
			g.TakeOver()
			g.Close()
			g = start(t, db, tc.config)
		}
		visit, err := g.Sessions.Visit(t.Context(), done.Token)
		if _, active := visit.Active(); err != nil || active != tc.signedIn {
			t.Errorf("configuration %d: alice is signed in %t, %v; want %t", i, active, err, tc.signedIn)
		}
		g.TakeOver()
		g.Close()
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}

// everybody is a directory of all accounts.
type everybody struct{}

func (everybody) Current(recorded *session.Identity) (*session.Identity, bool) { return recorded, true }

// TestAdminister: the directory decides which sessions there are, and without one the configuration.
func TestAdminister(t *testing.T) {
	for name, test := range map[string]struct {
		directory session.Directory
		sessions  int
	}{
		"the configuration's accounts": {nil, 0},
		"all accounts":                 {everybody{}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			store := newStore(t)
			db, err := Load(store)
			if err != nil {
				t.Fatal(err)
			}
			with, _ := configured(t, "alice")
			g := start(t, db, with)
			signIn(t, g, "alice")
			g.Close()

			without, _ := configured(t, "bob")
			api, closeAll, err := Administer(db, without, test.directory)
			if err != nil {
				t.Fatal(err)
			}
			answer := httptest.NewRecorder()
			api.ServeHTTP(answer, httptest.NewRequest(http.MethodGet, admin.Root+"/sessions", nil))
			if got := strings.Count(answer.Body.String(), `"user_agent"`); answer.Code != http.StatusOK || got != test.sessions {
				t.Errorf("%d %s", answer.Code, answer.Body)
			}
			if err := closeAll(); err != nil || store.closed != 1 {
				t.Errorf("%v, closed %d times", err, store.closed)
			}
		})
	}
}

// providerStub is a login at a provider.
type providerStub struct{ login.Provider }

func (providerStub) ID() string   { return "corp" }
func (providerStub) Name() string { return "Corp" }

// TestSecretKeys: they are asked for only if there is something to encrypt, and without them nothing
// starts.
func TestSecretKeys(t *testing.T) {
	errNoKey := errors.New("there is no key")
	asked := 0
	keys := func() ([][]byte, error) {
		asked++
		return nil, errNoKey
	}
	db, err := Load(newStore(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, _ := configured(t, "alice")
	c.SecretKeys = keys
	start(t, db, c).Close()
	if asked != 0 {
		t.Error("a key is asked for that nobody needs")
	}
	if c.Logins, err = login.NewMethods(providerStub{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Start(t.Context(), db, c); !errors.Is(err, errNoKey) || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}

// TestShadowedUserIsLogged: an operator learns of a stored user whose name the configuration has.
func TestShadowedUserIsLogged(t *testing.T) {
	db, err := Load(newStore(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	c, _ := configured(t)
	g := start(t, db, c)
	answer := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, admin.Root+"/users", strings.NewReader(`{"username":"alice","password":"a long enough password"}`))
	r.Header.Set("Content-Type", "application/json")
	g.Admin.ServeHTTP(answer, r)
	g.Close()
	if answer.Code/100 != 2 {
		t.Fatalf("%d %s", answer.Code, answer.Body)
	}
	with, log := configured(t, "alice")
	start(t, db, with).Close()
	if found := log.FilterMessageSnippet("a stored user cannot sign in").All(); len(found) != 1 {
		t.Errorf("logged is %v", log.All())
	}
}

// panicking is a login method whose work besides the requests panics.
type panicking struct{ login.Method }

func (panicking) Run(context.Context) { panic("of the test") }

// TestPanicBesidesTheRequestsEndsNothing: the server contains those of requests alone.
func TestPanicBesidesTheRequestsEndsNothing(t *testing.T) {
	config, log := configured(t, "alice")
	logins, err := login.NewMethods(panicking{config.Logins.All()[0]})
	if err != nil {
		t.Fatal(err)
	}
	config.Logins = logins
	db, err := Load(newStore(t))
	if err != nil {
		t.Fatal(err)
	}
	g := start(t, db, config)
	g.Close() // waits for what the login does
	if n := log.FilterMessage("contained a panic").Len(); n != 1 {
		t.Errorf("the panic was logged %d times, want once", n)
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
}
