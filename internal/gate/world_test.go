package gate

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/gate/identity"
	"github.com/caddy-multi-session/gateway/internal/gate/isolation"
	"github.com/caddy-multi-session/gateway/internal/gate/stream"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/storage/boltstore"
)

// What all tests of the package share: a gate with a real manager of sessions, a web server that is a
// few values in the request's context, and a portal whose answers are its methods' names.

// everybody is a session.Directory: everybody is who they were at sign-in.
type everybody struct{}

func (everybody) Current(recorded *session.Identity) (*session.Identity, bool) { return recorded, true }

// world is a gate and a browser.
type world struct {
	*Gate
	tb      testing.TB
	manager *session.Manager
	portal  *portalStub
	log     *observer.ObservedLogs

	token session.Token
	last  session.Entry // of the last sign-in
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	store, err := boltstore.Open(filepath.Join(tb.TempDir(), "test.db"), boltstore.Options{SweepInterval: -1})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = store.Close() })
	options := session.Options{MaxSessions: 5, Lifetime: time.Hour, IdleTimeout: time.Hour}
	w := &world{tb: tb, portal: new(portalStub), manager: session.NewManager(session.NewJars(store), everybody{}, options, time.Now)}
	tb.Cleanup(w.manager.Close)
	core, log := observer.New(zapcore.InfoLevel)
	w.log = log
	streams := stream.NewRegistry()
	tb.Cleanup(streams.Close)
	w.Gate = New(Config{
		Server:   contextServer{},
		Portal:   w.portal,
		Sessions: w.manager,
		Managed:  identity.NewManaged("X-User", ExpectHeader),
		Streams:  streams,

		TrustedOrigins: []string{"https://trusted.example.com"},
		Log:            zap.New(core),
	})
	streams.SetLookup(w.Lookup)
	return w
}

// signIn signs an account in, which becomes the active one.
func (w *world) signIn(name string) *world {
	w.tb.Helper()
	identity := &session.Identity{Account: session.Account{Method: "password", Subject: name}, UserName: name}
	done, err := w.manager.SignIn(w.tb.Context(), w.token, identity, nil, session.Client{})
	if err != nil {
		w.tb.Fatal(err)
	}
	w.token, w.last = done.Token, done.Entry
	return w
}

// another signs an account in, in another browser, and returns the token of its jar.
func (w *world) another(name string) session.Token {
	w.tb.Helper()
	identity := &session.Identity{Account: session.Account{Method: "password", Subject: name}, UserName: name}
	done, err := w.manager.SignIn(w.tb.Context(), session.Token{}, identity, nil, session.Client{})
	if err != nil {
		w.tb.Fatal(err)
	}
	return done.Token
}

// switchTo makes an account that is signed in the active one.
func (w *world) switchTo(name string) {
	w.tb.Helper()
	visit, err := w.manager.Visit(w.tb.Context(), w.token)
	if err != nil {
		w.tb.Fatal(err)
	}
	for _, entry := range visit.Entries() {
		if entry.Identity.UserName == name {
			if w.last, err = w.manager.SetActive(w.tb.Context(), w.token, entry.Handle); err != nil {
				w.tb.Fatal(err)
			}
			return
		}
	}
	w.tb.Fatalf("%s is not signed in", name)
}

// signOut ends everything that an account has.
func (w *world) signOut(name string) {
	w.tb.Helper()
	ended, err := w.manager.End(w.tb.Context(), session.Selection{Account: session.Account{Method: "password", Subject: name}}, nil)
	if err != nil || len(ended) != 1 {
		w.tb.Fatalf("ended %d sessions, %v", len(ended), err)
	}
}

// jar is the Cookie header of the browser's jar, empty without one.
func (w *world) jar() string {
	if w.token == (session.Token{}) {
		return ""
	}
	return "multi_session=" + w.token.Reveal()
}

// request is one of the browser for a path of http://localhost, with its jar. Further headers are
// name and value in turn; a Cookie is added to the jar's.
func (w *world) request(path string, header ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	r.Host = "localhost"
	if jar := w.jar(); jar != "" {
		r.Header.Set("Cookie", jar)
	}
	for pair := range slices.Chunk(header, 2) {
		if pair[0] == "Cookie" && r.Header.Get("Cookie") != "" {
			pair[1] = r.Header.Get("Cookie") + "; " + pair[1]
		}
		r.Header.Set(pair[0], pair[1])
	}
	return serverContext(r)
}

// confirm has the browser of a request bring what confirms its jar at the request's host.
func (w *world) confirm(r *http.Request) {
	w.tb.Helper()
	visit, err := w.manager.Visit(w.tb.Context(), w.token)
	if err != nil {
		w.tb.Fatal(err)
	}
	https, host := r.TLS != nil, origin.WithoutPort(r.Host)
	spec, err := w.Cookies.For(https, host)
	if err != nil {
		w.tb.Fatal(err)
	}
	h := http.Header{}
	spec.SetConfirmed(h, visit.JarID())
	pair, _, _ := strings.Cut(h.Get("Set-Cookie"), ";")
	r.Header.Set("Cookie", r.Header.Get("Cookie")+"; "+pair)
}

// handler is an upstream behind a gate.
type handler func(http.ResponseWriter, *http.Request) error

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) error { return h(w, r) }

// upstream is a handler that remembers what it was sent.
type upstream struct {
	requests []http.Header
	answer   handler // nil answers 200
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) error {
	u.requests = append(u.requests, r.Header.Clone())
	if u.answer == nil {
		return nil
	}
	return u.answer(w, r)
}

// isolating has everything kept apart, and the preset remote.
func isolating(tb testing.TB) *Options {
	tb.Helper()
	fields, err := identity.Preset("remote")
	if err != nil {
		tb.Fatal(err)
	}
	return &Options{Fields: fields, Cookies: new(isolation.Options), Cache: new(CacheOptions)}
}

// serve sends a request through a gate.
func (w *world) serve(r *http.Request, o *Options, next Handler) *httptest.ResponseRecorder {
	w.tb.Helper()
	answer := httptest.NewRecorder()
	if err := w.Serve(answer, r, o, next); err != nil {
		w.tb.Fatal(err)
	}
	return answer
}

// portalStub answers with the names of its methods.
type portalStub struct {
	visitor  Visitor
	original *http.Request
	policy   session.Policy
	unmet    session.Rule
	foreign  bool
	storage  bool
	redirect string // Location of Serve
	gives    func(http.Header)
	resumes  bool // what ResumeSignIn reports
}

const portalCookie = "multi_session_flow_x=1"

func (p *portalStub) say(w http.ResponseWriter, status int, name string, r *http.Request, v Visitor) {
	p.visitor, p.original = v, r
	w.Header().Add("Set-Cookie", portalCookie)
	w.WriteHeader(status)
	_, _ = io.WriteString(w, name)
}

func (p *portalStub) Owns(path string) bool {
	return path == "/.auth" || strings.HasPrefix(path, "/.auth/")
}
func (p *portalStub) Static(path string) bool { return path == "/.auth/style.css" }

func (p *portalStub) Serve(w http.ResponseWriter, r *http.Request, v Visitor) {
	if p.redirect != "" {
		w.Header().Set("Location", p.redirect)
	}
	if p.gives != nil {
		p.gives(w.Header())
	}
	p.say(w, http.StatusOK, "portal", r, v)
}

func (p *portalStub) ResumeSignIn(w http.ResponseWriter, r *http.Request, v Visitor) bool {
	if p.resumes {
		p.say(w, http.StatusSeeOther, "resume", r, v)
	}
	return p.resumes
}

func (p *portalStub) Challenge(w http.ResponseWriter, r *http.Request, v Visitor) {
	p.say(w, http.StatusUnauthorized, "challenge", r, v)
}

func (p *portalStub) Refuse(w http.ResponseWriter, r *http.Request, v Visitor, policy session.Policy, unmet session.Rule) {
	p.policy, p.unmet = policy, unmet
	p.say(w, http.StatusForbidden, "refuse", r, v)
}

func (p *portalStub) RefuseChanged(w http.ResponseWriter) {
	p.say(w, http.StatusConflict, "changed", nil, Visitor{})
}

func (p *portalStub) RefuseEnded(w http.ResponseWriter) {
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusUnauthorized)
	_, _ = io.WriteString(w, "ended")
}

func (p *portalStub) RefuseEarlyData(w http.ResponseWriter) {
	p.say(w, http.StatusTooEarly, "early", nil, Visitor{})
}

func (p *portalStub) RefuseSpeculation(w http.ResponseWriter) {
	p.say(w, http.StatusServiceUnavailable, "speculation", nil, Visitor{})
}

func (p *portalStub) RefuseUpgrade(w http.ResponseWriter) {
	p.say(w, http.StatusForbidden, "upgrade", nil, Visitor{})
}

func (p *portalStub) RefuseTarget(w http.ResponseWriter, r *http.Request, v Visitor) {
	p.say(w, http.StatusBadRequest, "target", r, v)
}

func (p *portalStub) Insecure(w http.ResponseWriter, r *http.Request, v Visitor) {
	p.say(w, http.StatusForbidden, "insecure", r, v)
}

func (p *portalStub) Unavailable(w http.ResponseWriter, r *http.Request, v Visitor, _ error) {
	p.say(w, http.StatusServiceUnavailable, "unavailable", r, v)
}

func (p *portalStub) Reset(w http.ResponseWriter, v Visitor, foreign, clearStorage bool) {
	p.foreign, p.storage = foreign, clearStorage
	p.say(w, http.StatusOK, "reset", nil, v)
}

// contextServer is a Server whose knowledge is in the request's context.
type contextServer struct{}

type serverKey struct{}

// known is what the server knows of a request.
type known struct {
	request  *Request
	original http.Request
	conn     net.Conn
	user     string
	tokens   Tokens
}

// serverContext prepares a request as a web server does.
func serverContext(r *http.Request) *http.Request {
	original := http.Request{Method: r.Method, RequestURI: r.RequestURI, URL: new(url.URL)}
	*original.URL = *r.URL
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	return r.WithContext(context.WithValue(r.Context(), serverKey{}, &known{original: original, conn: conn}))
}

type connKey struct{}

func of(r *http.Request) *known { return r.Context().Value(serverKey{}).(*known) }

func (contextServer) Load(r *http.Request) *Request     { return of(r).request }
func (contextServer) Store(r *http.Request, q *Request) { of(r).request = q }
func (contextServer) Conn(r *http.Request) net.Conn     { return of(r).conn }

func (contextServer) Original(r *http.Request) (method, requestURI string, u *url.URL) {
	original := &of(r).original
	return original.Method, original.RequestURI, original.URL
}

func (contextServer) Site(r *http.Request) (scheme, host string) {
	if r.TLS != nil {
		return "https", r.Host
	}
	return "http", r.Host
}

func (contextServer) ClientIP(*http.Request) netip.Addr { return netip.MustParseAddr("192.0.2.7") }

func (contextServer) SetUser(r *http.Request, active session.Entry, tokens Tokens) {
	of(r).user, of(r).tokens = active.Identity.UserName, tokens
}

func (contextServer) Expand(r *http.Request, text string) string {
	return strings.ReplaceAll(text, "{user}", of(r).user)
}

// failingSessions knows nothing.
type failingSessions struct{}

var errStore = errors.New("the disk is full")

func (failingSessions) Visit(context.Context, session.Token) (session.Visit, error) {
	return session.Visit{}, errStore
}

func (failingSessions) Follow(_ context.Context, since session.Visit) (session.Visit, error) {
	return since, errStore
}

// tokensStub is a provider that stands by all sessions, or by none.
type tokensStub struct{ ended bool }

func (t tokensStub) Current(_ context.Context, e session.Entry) (session.Entry, bool) {
	return e, !t.ended
}

func (tokensStub) Exposed(*session.Session) login.Tokens { return login.Tokens{} }

func (failingSessions) SlotIsLive(context.Context, string) (bool, error) { return false, errStore }

// mark is the cookie of a browser that has only been used as the account that was signed in last.
func (w *world) mark() string {
	pair, _, _ := strings.Cut(cookie.Spec{Name: cookie.NamePlain}.Mark(w.last.AccountTag(), "", time.Now()), ";")
	return pair
}

// countingSessions counts how often a jar is looked up.
type countingSessions struct {
	Sessions
	visits int
}

func (c *countingSessions) Visit(ctx context.Context, token session.Token) (session.Visit, error) {
	c.visits++
	return c.Sessions.Visit(ctx, token)
}
