// Package gate is the way of a request. It decides whether a request reaches an upstream and as
// whom, tells the upstream who that is, and keeps everything of a browser's other accounts away
// from it. Serve reads as the list of the steps; each step is a file:
//
//	request.go     find the jar, strip forged headers, renew the provider's tokens
//	early.go       requests that can be replayed
//	confirm.go     is the jar one that this browser has used at this host
//	speculation.go pages that browsers fetch ahead of a visit
//	expect.go      Multi-Session-Expect
//	target.go      paths that servers read in different ways
//	admit.go       the decision: forward, send to sign in, refuse
//	reset.go       the page before the first page after a switch
//	upgrade.go     connections of other protocols, and the pages that may open them
//	revalidate.go  conditions of requests and validators of answers, a set for each view
//	cookies.go     cookies of apps, a slot for each session
//	forward.go     hand the request on, and end it when its session ends
//	response.go    what an upstream's answer passes on its way back
//
// The package knows net/http and no web server: what a server knows beyond that, it provides as a
// Server. So every step can be tested without one.
//
// # Phases
//
// One HTTP request can come to several gates, inside of one another and again in error routes. All
// of them share one Request, which is in exactly one phase:
//
//	received    The gateway has the request, and has not forwarded it.
//	forwarding  Handlers behind a gate have it. Its answer passes the filters of response.go.
//	returned    They gave it back, with an error perhaps. Error routes may be run with it next.
//	answered    The gateway answers it itself. The answer passes as it is.
//
// Only forward changes to forwarding and then to returned, and only answer changes to answered. If
// another handler drops an answer of the gateway and lets a gate decide once more, begin takes the
// request back to the phase in which it was answered.
//
// The steps between the decision and forward prepare a request once, in received. So the first gate
// that forwards it decides what is kept apart, and no later one changes that. In forwarding these
// steps have nothing to do. In returned isolateCookies gives error routes the same cookies again.
package gate

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync/atomic"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/gate/identity"
	"github.com/caddy-multi-session/gateway/internal/gate/isolation"
	"github.com/caddy-multi-session/gateway/internal/gate/stream"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Handler is what comes behind a gate. An error is the server's to answer.
type Handler interface {
	ServeHTTP(http.ResponseWriter, *http.Request) error
}

// Server is what a gate asks the web server that it runs in. Its methods may be called concurrently
// for different requests.
type Server interface {
	// Load returns the Request that Store has kept for an HTTP request, or nil.
	Load(*http.Request) *Request

	// Store keeps a Request for as long as the server works on the HTTP request.
	Store(*http.Request, *Request)

	// Original returns method, request target and URL as the client has sent them, before the site
	// rewrote any of them. The URL must not change later.
	Original(*http.Request) (method, requestURI string, u *url.URL)

	// Site returns the scheme, "http" or "https", and the host with its port in lower case, as the
	// browser sees them.
	Site(*http.Request) (scheme, host string)

	// ClientIP returns the client's address, or the zero Addr if it is not known.
	ClientIP(*http.Request) netip.Addr

	// Conn returns the connection that an HTTP/1 request came on, or nil if it is not known.
	Conn(*http.Request) net.Conn

	// SetUser tells the handlers behind the gate, and the access log, who the active account is.
	// Tokens may be nil.
	SetUser(r *http.Request, active session.Entry, tokens Tokens)

	// Expand replaces the server's placeholders in the value of a configured header.
	Expand(r *http.Request, text string) string
}

// Sessions finds jars. *session.Manager implements it.
type Sessions interface {
	Visit(context.Context, session.Token) (session.Visit, error)
	Follow(context.Context, session.Visit) (session.Visit, error)
	SlotIsLive(ctx context.Context, tag string) (bool, error)
}

// Tokens keeps the tokens that providers have issued for sessions.
type Tokens interface {
	// Current returns an entry with its tokens renewed where they were due. If live is false, the
	// provider has ended the session.
	Current(context.Context, session.Entry) (now session.Entry, live bool)

	// Exposed returns the tokens of a session that upstreams may be given. The others are empty.
	Exposed(*session.Session) login.Tokens
}

// Portal answers instead of an upstream.
type Portal interface {
	// Owns reports whether the portal answers the requests for a path.
	Owns(path string) bool

	// Static reports whether a path that the portal owns has the same answer for everybody.
	Static(path string) bool

	// Serve answers a request for a path that the portal owns.
	Serve(http.ResponseWriter, *http.Request, Visitor)

	// ResumeSignIn reports whether a sign-in that the browser began at this host has led to the jar,
	// which is not confirmed here. Then it has confirmed the jar and answered the request.
	ResumeSignIn(http.ResponseWriter, *http.Request, Visitor) bool

	// Challenge answers a request for which nobody is active.
	Challenge(http.ResponseWriter, *http.Request, Visitor)

	// Refuse answers a request whose active account does not meet the rule unmet. The policy has the
	// rules of all gates that the request has come to.
	Refuse(w http.ResponseWriter, r *http.Request, v Visitor, policy session.Policy, unmet session.Rule)

	// RefuseChanged answers a request that was meant for another session than the active one.
	RefuseChanged(http.ResponseWriter)

	// RefuseEnded answers a request whose session has ended before the upstream answered.
	RefuseEnded(http.ResponseWriter)

	// RefuseEarlyData answers a request that came before the TLS handshake was complete.
	RefuseEarlyData(http.ResponseWriter)

	// RefuseSpeculation answers a request for a page that a browser fetches ahead of a visit.
	RefuseSpeculation(http.ResponseWriter)

	// RefuseUpgrade answers a page that may not open a connection of another protocol.
	RefuseUpgrade(http.ResponseWriter)

	// RefuseTarget answers a request whose path servers read in different ways.
	RefuseTarget(http.ResponseWriter, *http.Request, Visitor)

	// Insecure answers a request over plain HTTP from where the gateway does not allow that.
	Insecure(http.ResponseWriter, *http.Request, Visitor)

	// Unavailable answers a request whose jar could not be read, and logs the error.
	Unavailable(http.ResponseWriter, *http.Request, Visitor, error)

	// Reset answers with the page that has the browser forget what it holds of this host, and
	// load the same address again. Foreign means that a page of another site has led here.
	Reset(w http.ResponseWriter, v Visitor, foreign, clearStorage bool)
}

// Visitor is the browser behind a request.
type Visitor struct {
	Scheme   string        // "https" or "http", as the browser sees the site
	Host     string        // host with its port as the browser names it, lower case
	ClientIP netip.Addr    // the zero Addr if it is not known
	Cookie   cookie.Spec   // the jar's cookie on this site
	Token    session.Token // from the cookie; zero if there is none, or doubt
	Visit    session.Visit // the jar of the token
	Cookies  cookie.Cookies
	Load     cookie.Load // zero if the gate keeps no cookies apart
}

// Origin returns the site's origin (RFC 6454) as the browser sees it.
func (v *Visitor) Origin() string { return v.Scheme + "://" + v.Host }

// Header is a header field to set for the upstream.
type Header struct {
	Name  string
	Value string // with placeholders; if it expands to nothing, the field is absent
}

// Options are how one gate treats the requests that come to it. They must not change while a gate
// uses them.
type Options struct {
	// Applies reports whether the gate is for a request. Requests that it is not for pass without an
	// identity. Nil: the gate is for all.
	Applies func(*http.Request) (bool, error)

	// Optional lets requests pass without an identity if nobody is signed in.
	Optional bool

	// Require has the rules that the active account must meet.
	Require session.Policy

	// Fields and Headers tell the upstream who the active account is. Encoding is how they carry text
	// beyond ASCII.
	Fields   []identity.Field
	Headers  []Header
	Encoding identity.Encoding

	// Cookies keeps the cookies of apps apart by session. Nil: they pass as they are.
	Cookies *isolation.Options

	// Cache keeps stored answers apart by view. Nil: they pass as they are.
	Cache *CacheOptions

	// UpgradeOrigins are origins, in canonical form, whose pages may open connections of other
	// protocols as the active account, beside this site's and the trusted ones.
	UpgradeOrigins []string

	// StripAuthorization deletes the Authorization field of the requests that the gate is for.
	StripAuthorization bool

	// EndStreamsOnSwitch ends requests under way when another account becomes the active one, and
	// not only when their session ends.
	EndStreamsOnSwitch bool

	// ClearStorageOnSwitch has the reset page clear what scripts have stored at the host.
	ClearStorageOnSwitch bool

	// RefuseAmbiguousPaths refuses requests whose path the upstream may read otherwise than whatever
	// has decided by the path that the request comes to this gate, or what the gate does with it.
	RefuseAmbiguousPaths bool

	// ErrorRoute marks the options of error routes. A request that comes there before any gate has
	// forwarded it belongs to nobody: which gate it was meant for is not known.
	ErrorRoute bool
}

// CacheOptions are how a gate keeps stored answers apart.
type CacheOptions struct {
	// Public reports whether the answers to a request, as the browser made it, are the same for
	// everybody. Nil: none are.
	Public func(*http.Request) bool

	// KeepOnSwitch leaves out the reset page.
	KeepOnSwitch bool
}

// isPublic reports whether a path is public to every server, in whatever way it reads the path.
func (o *CacheOptions) isPublic(r *http.Request) bool {
	return o.Public != nil && o.Public(r) && !isAmbiguous(r.RequestURI)
}

func (o *Options) applies(r *http.Request) (bool, error) {
	if o.Applies == nil {
		return true, nil
	}
	return o.Applies(r)
}

// Config is what a Gate is made of. All of it is required but Tokens, which is nil if no login is a
// provider.
type Config struct {
	Server   Server
	Portal   Portal
	Sessions Sessions
	Tokens   Tokens
	Managed  *identity.Managed // header fields that only gates may set, ExpectHeader among them
	Cookies  cookie.Options
	Streams  *stream.Registry
	Log      *zap.Logger

	// TrustedOrigins are other origins, in canonical form, that act for the browser's accounts.
	TrustedOrigins []string
}

// Gate serves the requests of all gates of a configuration. Its methods may be called concurrently.
type Gate struct {
	Config

	trusted         map[string]bool // TrustedOrigins
	warnings        *recentSet      // what the log was told already
	held            atomic.Int32    // how many lines logHeld has written
	resets          *resetGuard     // which browsers got the reset page
	portalRedirects *recentSet      // where the portal has sent which browsers
}

// New returns a Gate.
func New(c Config) *Gate {
	trusted := make(map[string]bool, len(c.TrustedOrigins))
	for _, o := range c.TrustedOrigins {
		trusted[o] = true
	}
	return &Gate{
		Config:          c,
		trusted:         trusted,
		warnings:        newRecentSet(0),
		resets:          newResetGuard(),
		portalRedirects: newRecentSet(recent),
	}
}

// Serve takes a request through a gate. The only errors are those of the matcher and of next: an
// error would run the site's error routes, and these may lead to the upstream that is protected.
func (g *Gate) Serve(w http.ResponseWriter, r *http.Request, o *Options, next Handler) error {
	q := g.begin(r)
	if q.refuseEarlyData(w) || q.refuseSpeculation(w, r, o) || q.resumeSignIn(w, r) {
		return nil
	}
	if g.Portal.Owns(q.url.Path) {
		q.servePortal(w, r, o)
		return nil
	}
	if !q.matchesExpected(w, r) {
		return nil
	}
	if q.refuseTarget(w, r, o) {
		return nil
	}
	applies, err := o.applies(r)
	if err != nil {
		return err
	}
	if applies && !q.admit(w, r, o) {
		return nil
	}
	q.readView(r, o)
	if q.resetBrowser(w, r, o) {
		return nil
	}
	if applies {
		q.setIdentity(r, o)
	}
	q.claim(o, applies)
	if q.refuseUpgrade(w, r, o) {
		return nil
	}
	q.revalidateCache(r)
	q.isolateCookies(r, o, !applies)
	return q.forward(w, r, next)
}

// ServeErrorRoute takes a request through the beginning of an error route. A request that failed
// before it reached a gate is cleaned of forged headers and of the gateway's cookies; any other goes
// on as the gate has forwarded it.
func (g *Gate) ServeErrorRoute(w http.ResponseWriter, r *http.Request, o *Options, next Handler) error {
	q := g.begin(r)
	q.readView(r, o)
	q.revalidateCache(r)
	q.isolateCookies(r, o, false)
	return q.forward(w, r, next)
}
