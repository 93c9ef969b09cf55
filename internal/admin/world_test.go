package admin

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
	"github.com/caddy-multi-session/gateway/storage"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

// cheapHash is a hash of no password that costs next to nothing to make and to check.
const cheapHash = "$argon2id$v=19$m=8,t=1,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// world is everything that is administered. The configuration has the users Alice and bob.
type world struct {
	testing.TB
	clock     *clock
	store     *boltstore.Store
	users     *user.Users
	jars      *session.Jars
	manager   *session.Manager
	names     *login.Names
	passwords *password.Method
	logged    *observer.ObservedLogs
	config    Config
	handler   http.Handler
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{TB: t, clock: &clock{t: time.Date(2026, time.November, 23, 11, 38, 47, 288e6, time.UTC)}}
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "test.db"), boltstore.Options{Now: w.clock.now, SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	w.store = store
	if w.users, err = user.Load(t.Context(), store, w.clock.now); err != nil {
		t.Fatal(err)
	}
	w.jars = session.NewJars(store)
	budget := password.NewBudget(password.DefaultMemory)
	configured, err := password.New(password.Config{ID: "local", Users: []password.User{
		{Name: "Alice", Email: "alice@example.com", Hash: cheapHash, DisplayName: "Alice A.", Groups: []string{"admin"}},
		{Name: "bob", Hash: cheapHash},
	}}, login.NewThrottle(w.clock.now), budget)
	if err != nil {
		t.Fatal(err)
	}
	w.names = login.NewNames(w.users)
	w.passwords = configured.With(w.users)
	logins, err := login.NewMethods(w.passwords, elsewhere{})
	if err != nil {
		t.Fatal(err)
	}
	w.manager = session.NewManager(w.jars, logins, session.Options{
		MaxSessions: session.DefaultMaxSessions, Lifetime: session.DefaultLifetime, IdleTimeout: session.DefaultIdleTimeout,
	}, w.clock.now)
	t.Cleanup(w.manager.Close)
	core, logged := observer.New(zapcore.InfoLevel)
	w.logged = logged
	w.config = Config{
		Users: w.users, Jars: w.jars, Manager: w.manager, Names: w.names, Store: store, Budget: budget,
		Passwords: w.passwords, Prefix: "/.auth",
		Sites: []string{"https://app.example.com", "https://*.example.com", "http://localhost:8080"}, Log: zap.New(core), Now: w.clock.now,
	}
	w.handler = New(w.config)
	return w
}

// elsewhere is a login method whose accounts are everybody.
type elsewhere struct{}

func (elsewhere) ID() string { return "google" }

func (elsewhere) Current(recorded *session.Identity) (*session.Identity, bool) { return recorded, true }

// reply is an answer.
type reply struct {
	status int
	header http.Header
	body   string
}

func (w *world) send(method, path, contentType string, body io.Reader) reply {
	w.Helper()
	r := httptest.NewRequest(method, Root+path, body)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return reply{rec.Code, rec.Header(), rec.Body.String()}
}

// do sends a request whose body is JSON, if there is one.
func (w *world) do(method, path, body string) reply {
	w.Helper()
	if body == "" {
		return w.send(method, path, "", nil)
	}
	return w.send(method, path, "application/json", strings.NewReader(body))
}

// ok is do for what must succeed, and reads the answer into a T.
func ok[T any](w *world, method, path, body string) T {
	w.Helper()
	var answer T
	got := w.do(method, path, body)
	if got.status >= 300 {
		w.Fatalf("%s %s: %d %s", method, path, got.status, got.body)
	}
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
		w.Fatalf("%s %s: %v in %s", method, path, err, got.body)
	}
	return answer
}

// fails is do for what must be refused with a status, and words that the error has in it.
func (w *world) fails(method, path, body string, status int, words string) {
	w.Helper()
	got := w.do(method, path, body)
	got.refused(w, status, words)
}

func (got reply) refused(t testing.TB, status int, words string) {
	t.Helper()
	var answer Error
	if err := json.Unmarshal([]byte(got.body), &answer); err != nil {
		t.Fatalf("the answer %q is no JSON: %v", got.body, err)
	}
	if got.status != status || !strings.Contains(answer.Error, words) {
		t.Errorf("answered %d %q, want %d with %q", got.status, answer.Error, status, words)
	}
}

// create makes a stored user by name, with an address at example.org.
func (w *world) create(name string) User {
	w.Helper()
	return ok[User](w, http.MethodPost, "/users",
		`{"username":"`+name+`","email":"`+name+`@example.org","password_hash":"`+cheapHash+`"}`)
}

// identity is who a stored user is now.
func (w *world) identity(id string) *session.Identity {
	w.Helper()
	u, ok := w.users.ByID(id)
	if !ok {
		w.Fatalf("there is no user %s", id)
	}
	return u.Identity(w.passwords.ID())
}

// configured is who a user of the configuration is.
func (w *world) configured(name string) *session.Identity {
	w.Helper()
	i := slices.IndexFunc(w.passwords.Configured(), func(id *session.Identity) bool { return id.UserName == name })
	return w.passwords.Configured()[i]
}

func (w *world) signIn(token session.Token, identity *session.Identity) session.Token {
	w.Helper()
	done, err := w.manager.SignIn(w.Context(), token, identity, nil, session.Client{IP: "192.0.2.1", UserAgent: "test"})
	if err != nil {
		w.Fatalf("sign in: %v", err)
	}
	return done.Token
}

// live returns the ids of the accounts that are signed in in a browser, in order.
func (w *world) live(token session.Token) []string {
	w.Helper()
	v, err := w.manager.Visit(w.Context(), token)
	if err != nil {
		w.Fatal(err)
	}
	ids := []string{}
	for _, e := range v.Entries() {
		ids = append(ids, e.Identity.Account.ID())
	}
	slices.Sort(ids)
	return ids
}

func (w *world) wantLive(token session.Token, want ...string) {
	w.Helper()
	slices.Sort(want)
	if got := w.live(token); !slices.Equal(got, want) {
		w.Errorf("signed in are %v, want %v", got, want)
	}
}

// stored is every record of the store, as text.
func (w *world) stored() string {
	w.Helper()
	var all strings.Builder
	err := w.store.Walk(w.Context(), "", func(r storage.Record) error {
		line, err := json.Marshal(r)
		all.Write(append(line, '\n'))
		return err
	})
	if err != nil {
		w.Fatal(err)
	}
	return all.String()
}

// audited is the lines of the audit, each its action and the values of the fields named.
func (w *world) audited(fields ...string) []string {
	var lines []string
	for _, entry := range w.logged.FilterLoggerName("audit").All() {
		context := entry.ContextMap()
		line := []string{context["action"].(string)}
		for _, f := range fields {
			text, _ := context[f].(string)
			line = append(line, text)
		}
		lines = append(lines, strings.Join(line, " "))
	}
	return lines
}

func passwordOf(name, typed string) login.Credentials {
	return login.Credentials{
		Identifier: login.Identifier{UserName: name}, Password: typed, ClientIP: netip.MustParseAddr("192.0.2.1"),
	}
}
