package portal

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/seal"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/tokens"
	"github.com/caddy-multi-session/gateway/internal/user"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

// gateway is a portal with everything behind it except Caddy.
type gateway struct {
	*Portal
	t        *testing.T
	manager  *session.Manager
	accounts *accounts
	users    *user.Users // nil without sign-up
	clock    *clock
	log      *observer.ObservedLogs
	cookies  cookie.Options
	perHost  bool
}

type setup struct {
	options        session.Options
	origins        []string
	cookieDomain   string
	perHost        bool // each host of the cookieDomain has an active account of its own
	noPasswords    bool
	skipSignInPage bool
	moreMethods    []login.Method
	signUp         *password.SignUp // if set, stored users take the place of accounts
}

func newGateway(t *testing.T, adjust ...func(*setup)) *gateway {
	t.Helper()
	s := setup{options: session.Options{
		MaxSessions: session.DefaultMaxSessions,
		Lifetime:    session.DefaultLifetime,
		IdleTimeout: session.DefaultIdleTimeout,
	}}
	for _, f := range adjust {
		f(&s)
	}
	clock := &clock{now: time.Date(2026, 11, 23, 11, 38, 47, 288_999_000, time.UTC)}
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "test.db"), boltstore.Options{Now: clock.Now, SweepInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })

	notes := session.NewNotes(store, clock.Now)
	people := newAccounts()
	methods := s.moreMethods
	users, err := user.Load(t.Context(), store, clock.Now)
	if err != nil {
		t.Fatal(err)
	}
	names := login.NewNames(users)
	if s.signUp != nil {
		s.noPasswords = true
		kept, err := password.New(password.Config{ID: "password", SignUp: s.signUp}, login.NewThrottle(clock.Now), password.NewBudget(password.DefaultMemory))
		if err != nil {
			t.Fatal(err)
		}
		methods = append(methods, kept.With(users))
	}
	if !s.noPasswords {
		methods = append([]login.Method{people}, methods...)
	}
	logins, err := login.NewMethods(methods...)
	if err != nil {
		t.Fatal(err)
	}
	manager := session.NewManager(session.NewJars(store), logins, s.options, clock.Now)
	t.Cleanup(manager.Close)
	core, log := observer.New(zapcore.DebugLevel)
	box, err := seal.NewBox([]byte("a key of thirty-two bytes or more"))
	if err != nil {
		t.Fatal(err)
	}
	keeper := tokens.New(tokens.Config{Manager: manager, Logins: logins, Sealer: box.Sealer("grant"), Names: names, Log: zap.NewNop(), Now: clock.Now})
	t.Cleanup(keeper.Close)
	portal, err := New(Config{
		Prefix:         "/.auth",
		Manager:        manager,
		Logins:         logins,
		Box:            box,
		Notes:          notes,
		Names:          names,
		Grants:         keeper,
		TrustedOrigins: s.origins,
		SkipSignInPage: s.skipSignInPage,
		Now:            clock.Now,
		Log:            zap.New(core),
	})
	if err != nil {
		t.Fatal(err)
	}
	return &gateway{portal, t, manager, people, users, clock, log, cookie.Options{Domain: s.cookieDomain, PerHost: s.perHost}, s.perHost}
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// accounts is a login method with the accounts alice, bob, carol and so on. A password is the name
// followed by "-password", unless passwords has another one.
type accounts struct {
	passwords  map[string]string
	identities map[string]*session.Identity
	gone       map[string]bool
	err        error // what Authenticate returns instead of an account
	asked      []login.Credentials
}

func newAccounts() *accounts {
	a := &accounts{passwords: make(map[string]string), identities: make(map[string]*session.Identity), gone: make(map[string]bool)}
	for _, name := range []string{"alice", "bob", "carol", "dave", "erin", "frank"} {
		a.identities[name] = &session.Identity{
			Account:       session.Account{Method: "password", Subject: name},
			UserName:      name,
			Name:          strings.ToUpper(name[:1]) + name[1:] + " Example",
			Email:         name + "@example.com",
			EmailVerified: true,
			Groups:        []string{"dev"},
		}
	}
	a.identities["alice"].Groups = []string{"admin", "dev"}
	a.identities["bob"].Email = ""
	a.identities["bob"].EmailVerified = false
	return a
}

func (a *accounts) ID() string                 { return "password" }
func (a *accounts) UserNameLength() (int, int) { return 3, 30 }

func (a *accounts) Current(recorded *session.Identity) (*session.Identity, bool) {
	id, ok := a.identities[recorded.Account.Subject]
	return id, ok && !a.gone[recorded.Account.Subject]
}

func (a *accounts) Authenticate(_ context.Context, c login.Credentials) (*session.Identity, error) {
	a.asked = append(a.asked, c)
	if a.err != nil {
		return nil, a.err
	}
	for name, id := range a.identities {
		if named := c.Identifier.UserName == name || c.Identifier.Email != "" && c.Identifier.Email == id.Email; named && c.Password == cmp.Or(a.passwords[name], name+"-password") {
			return id, nil
		}
	}
	return nil, login.ErrBadCredentials
}

// otherMethod is a login method without passwords.
type otherMethod string

func (m otherMethod) ID() string { return string(m) }
func (m otherMethod) Current(recorded *session.Identity) (*session.Identity, bool) {
	return recorded, true
}

// browser is a browser at a site of the gateway. It keeps the gateway's cookies and sends Origin
// and Fetch Metadata as browsers do.
type browser struct {
	*gateway
	scheme, host string
	cookie       string            // value of the jar's cookie; empty for none
	views        map[string]string // values of the view's cookies, by the site that has them
	flows        map[string]string // cookies of sign-ins under way
	run          string            // value of the cookie that names the browser's run
	forgets      bool              // the jar's cookie is forgotten when the browser closes
	ofHosts      map[string]string // further cookies of single hosts, by host and name
	confirms     bool              // the gate uses the jar only at hosts where it is confirmed
}

func (g *gateway) browser() *browser {
	return &browser{gateway: g, scheme: "https", host: "app.example.com"}
}

// request returns a request with what a browser adds. Headers are names and values in turn; an
// empty value leaves the header out.
func (b *browser) request(method, target, body string, headers ...string) *http.Request {
	b.t.Helper()
	r := httptest.NewRequest(method, b.scheme+"://"+b.host+target, strings.NewReader(body))
	r.RequestURI = target
	r.Header.Set("User-Agent", "Test/1.0")
	var cookies []string
	if b.cookie != "" {
		cookies = append(cookies, b.jar().Name+"="+b.cookie)
	}
	if view := b.views[b.viewAt(b.jar())]; view != "" {
		h := http.Header{}
		b.jar().SetView(h, view)
		pair, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
		cookies = append(cookies, pair)
	}
	if b.run != "" {
		cookies = append(cookies, b.jar().Name+"_run="+b.run)
	}
	for _, name := range slices.Sorted(maps.Keys(b.flows)) {
		cookies = append(cookies, name+"="+b.flows[name])
	}
	for _, key := range slices.Sorted(maps.Keys(b.ofHosts)) {
		if name, ok := strings.CutPrefix(key, b.host+" "); ok {
			cookies = append(cookies, name+"="+b.ofHosts[key])
		}
	}
	if len(cookies) > 0 {
		r.Header.Set("Cookie", strings.Join(cookies, "; "))
	}
	if method == http.MethodPost {
		r.Header.Set("Origin", b.scheme+"://"+b.host)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	for pair := range slices.Chunk(headers, 2) {
		if pair[1] == "" {
			r.Header.Del(pair[0])
			continue
		}
		r.Header.Set(pair[0], pair[1])
	}
	return r
}

func (b *browser) jar() cookie.Spec {
	b.t.Helper()
	host, _, _ := strings.Cut(b.host, ":")
	jar, err := b.cookies.For(b.scheme == "https", host)
	if err != nil {
		b.t.Fatal(err)
	}
	return jar
}

// visitor returns what the gate makes of a request.
func (b *browser) visitor(r *http.Request) Visitor {
	b.t.Helper()
	v := Visitor{Scheme: b.scheme, Host: b.host, ClientIP: netip.MustParseAddr("192.0.2.7"), Cookie: b.jar()}
	v.Cookies = v.Cookie.Parse(r.Header)
	v.Token = v.Cookies.Token()
	visit, err := b.manager.Visit(b.t.Context(), v.Token)
	if err != nil {
		b.t.Fatal(err)
	}
	visit = visit.InRun(v.Cookies.ReadRun())
	v.Visit = visit
	if b.perHost && v.Cookie.Domain != "" {
		host, _, _ := strings.Cut(b.host, ":")
		site, err := session.ParseSite(host)
		if err != nil {
			b.t.Fatal(err)
		}
		v.Visit = visit.At(site)
	}
	if b.confirms && !v.Cookie.Confirms(&v.Cookies, v.Visit.JarID()) {
		v.Visit = v.Visit.Unconfirmed()
	}
	return v
}

// send lets the portal answer a request, and keeps the cookies of the answer.
func (b *browser) send(r *http.Request) *httptest.ResponseRecorder {
	b.t.Helper()
	w := httptest.NewRecorder()
	b.ServeHTTP(w, r, b.visitor(r))
	checkHeaders(b.t, w)
	if set := b.setCookie(w); set != nil {
		b.cookie, b.forgets = set.Value, set.MaxAge == 0
	}
	return w
}

func checkHeaders(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	for name, want := range map[string]string{
		"Cache-Control":                "no-store",
		"X-Content-Type-Options":       "nosniff",
		"Referrer-Policy":              "same-origin",
		"Cross-Origin-Resource-Policy": "same-origin",
	} {
		if got := w.Header().Values(name); len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

// viewAt returns the key of the view's cookie.
func (b *browser) viewAt(jar cookie.Spec) string {
	if jar.Domain == "" || jar.PerHost {
		return b.host
	}
	return jar.Domain
}

// setCookie returns the jar's cookie as the answer sets or clears it, or nil.
func (b *browser) setCookie(w *httptest.ResponseRecorder) *http.Cookie {
	b.t.Helper()
	var found *http.Cookie
	for _, c := range w.Result().Cookies() {
		if strings.HasPrefix(c.Name, b.jar().Name+"_flow_") {
			if b.flows == nil {
				b.flows = make(map[string]string)
			}
			if b.flows[c.Name] = c.Value; c.MaxAge < 0 {
				delete(b.flows, c.Name)
			}
			continue
		}
		if strings.HasSuffix(c.Name, "_view") {
			if b.views == nil {
				b.views = make(map[string]string)
			}
			b.views[b.viewAt(b.jar())] = c.Value
			continue
		}
		if c.Name == b.jar().Name+"_run" {
			if c.MaxAge != 0 || !c.Expires.IsZero() {
				b.t.Errorf("the browser's run would outlast it: %s", c)
			}
			b.run = c.Value
			continue
		}
		if strings.HasSuffix(c.Name, "_confirmed") || strings.HasSuffix(c.Name, "_started") {
			if c.Domain != "" {
				b.t.Errorf("a cookie of one host is set for %s: %s", c.Domain, c)
			}
			if b.ofHosts == nil {
				b.ofHosts = make(map[string]string)
			}
			if b.ofHosts[b.host+" "+c.Name] = c.Value; c.MaxAge < 0 {
				delete(b.ofHosts, b.host+" "+c.Name)
			}
			continue
		}
		if c.Name != b.jar().Name || found != nil && found.MaxAge >= 0 {
			b.t.Fatalf("unexpected Set-Cookie: %s", c)
		}
		found = c
	}
	return found
}

func (b *browser) get(target string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.send(b.request(http.MethodGet, target, "", headers...))
}

// post sends JSON.
func (b *browser) post(target, body string, headers ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.send(b.request(http.MethodPost, target, body, append([]string{"Content-Type", "application/json", "Sec-Fetch-Mode", "cors"}, headers...)...))
}

// submit sends a form. Fields are names and values in turn.
func (b *browser) submit(target string, fields ...string) *httptest.ResponseRecorder {
	b.t.Helper()
	form := url.Values{}
	for pair := range slices.Chunk(fields, 2) {
		form.Set(pair[0], pair[1])
	}
	return b.send(b.request(http.MethodPost, target, form.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Mode", "navigate"))
}

// signInAs signs in an account through the API and returns its handle.
func (b *browser) signInAs(name string) string {
	b.t.Helper()
	w := b.post("/.auth/sign-in/username", fmt.Sprintf(`{"username":%q,"password":%q}`, name, name+"-password"))
	if w.Code != http.StatusOK {
		b.t.Fatalf("sign-in of %s: %d %s", name, w.Code, w.Body)
	}
	// The next sign-in and use are later, so that their order is certain.
	b.clock.advance(time.Second)
	return decode[wireIn](b.t, w).Token
}

// names returns the browser's accounts, with the active one marked.
func (b *browser) names() string {
	b.t.Helper()
	var names []string
	for _, e := range b.visitor(b.request(http.MethodGet, "/", "")).Visit.Entries() {
		name := e.Identity.UserName
		if e.Active {
			name = "*" + name
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// The shapes of the API as a client would declare them.
type (
	userIn struct {
		ID, Name, Email, Username, DisplayUsername string
		EmailVerified                              bool
		Image                                      *string
		CreatedAt, UpdatedAt                       string
	}
	sessionIn struct {
		ID, Token, UserID               string
		ExpiresAt, CreatedAt, UpdatedAt string
		IPAddress, UserAgent            *string
	}
	entryIn struct {
		Session sessionIn
		User    userIn
	}
	wireIn struct {
		Redirect bool
		URL      *string
		Token    string
		User     userIn
	}
	problemIn struct{ Code, Message string }
)

func decode[T any](t *testing.T, w *httptest.ResponseRecorder) T {
	t.Helper()
	var value T
	if got := w.Header().Get("Content-Type"); got != "application/json" {
		t.Fatalf("%d with Content-Type %q: %s", w.Code, got, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &value); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return value
}

func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	if got := decode[problemIn](t, w); w.Code != status || got.Code != code || got.Message == "" {
		t.Errorf("got %d %s, want %d %s", w.Code, w.Body, status, code)
	}
}

func wantPage(t *testing.T, w *httptest.ResponseRecorder, status int, texts ...string) {
	t.Helper()
	if w.Code != status || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("got %d %s, want %d and a page", w.Code, w.Header().Get("Content-Type"), status)
	}
	if w.Header().Get("Content-Security-Policy") == "" {
		t.Error("page without Content-Security-Policy")
	}
	for _, text := range texts {
		if !strings.Contains(w.Body.String(), text) {
			t.Errorf("page does not say %q:\n%s", text, w.Body)
		}
	}
}

func wantRedirect(t *testing.T, w *httptest.ResponseRecorder, location string) {
	t.Helper()
	if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || got != location {
		t.Errorf("got %d to %q, want 303 to %q", w.Code, got, location)
	}
}

func TestNewRefuses(t *testing.T) {
	valid := func() Config {
		return Config{Prefix: "/.auth", Manager: new(session.Manager), Logins: new(login.Methods), Now: time.Now, Log: zap.NewNop()}
	}
	tests := map[string]func(*Config){
		"no manager":         func(c *Config) { c.Manager = nil },
		"no logins":          func(c *Config) { c.Logins = nil },
		"no log":             func(c *Config) { c.Log = nil },
		"no clock":           func(c *Config) { c.Now = nil },
		"provider, no box":   func(c *Config) { c.Logins, _ = login.NewMethods(newIDP("idp")) },
		"origin with path":   func(c *Config) { c.TrustedOrigins = []string{"https://spa.example.com/"} },
		"origin wildcard":    func(c *Config) { c.TrustedOrigins = []string{"https://*.example.com"} },
		"no prefix":          func(c *Config) { c.Prefix = "" },
		"root":               func(c *Config) { c.Prefix = "/" },
		"slash at the end":   func(c *Config) { c.Prefix = "/auth/" },
		"no slash in front":  func(c *Config) { c.Prefix = "auth" },
		"two slashes":        func(c *Config) { c.Prefix = "/a//b" },
		"dot segment":        func(c *Config) { c.Prefix = "/a/.." },
		"odd letters":        func(c *Config) { c.Prefix = "/a b" },
		"encoded":            func(c *Config) { c.Prefix = "/%2e" },
		"query":              func(c *Config) { c.Prefix = "/auth?x" },
		"backslash":          func(c *Config) { c.Prefix = `/auth\x` },
		"placeholder braces": func(c *Config) { c.Prefix = "/{http.request.host}" },
	}
	if _, err := New(valid()); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			c := valid()
			spoil(&c)
			if _, err := New(c); err == nil {
				t.Error("accepted")
			}
		})
	}
}
