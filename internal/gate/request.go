package gate

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/gate/isolation"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// phase is where a Request is on its way. The package doc says what changes it.
type phase uint8

const (
	received phase = iota
	forwarding
	returned
	answered
)

// Request is what the gateway knows about one HTTP request. Every gate and error route that the HTTP
// request comes to shares it. One goroutine at a time uses it, but for what live says.
type Request struct {
	Visitor
	gate  *Gate
	phase phase
	from  phase           // the one that answer has left
	ctx   context.Context // the server's for the request
	err   error           // why the jar is not known: cookie.ErrInsecure, errEarlyData or the store's

	active   session.Entry // the session that the request is made as
	signedIn bool          // there is an active session

	// The request as the client has sent it.
	method     string
	requestURI string
	header     http.Header
	url        *url.URL
	original   *http.Request // with the three above; nil until a rewritten request needs it
	expected   []string      // values of ExpectHeader

	policies session.Policy // the rules of all gates so far
	stripped bool           // this gate's begin has deleted the identity headers

	keepConfirmed bool // the answer sets the cookie that confirms the jar at this host

	cache    cacheExchange
	cookies  isolation.Exchange
	response response
	live     live
}

// begin returns the Request of an HTTP request. The first time it deletes the identity headers that
// the client has sent, and finds the browser's jar.
func (g *Gate) begin(r *http.Request) *Request {
	if q := g.Server.Load(r); q != nil {
		q.reopen()
		q.stripped = false // handlers between two gates may have set some
		return q
	}
	q := &Request{gate: g, ctx: r.Context(), header: r.Header}
	q.method, q.requestURI, q.url = g.Server.Original(r)
	q.Scheme, q.Host = g.Server.Site(r)
	q.ClientIP = g.Server.ClientIP(r)
	q.err = q.findJar(r)
	q.confirmJar()
	q.active, q.signedIn = q.Visit.Active()
	q.renewTokens()
	q.expected = r.Header[ExpectHeader]
	g.Managed.Strip(r)
	q.stripped = true
	g.Server.Store(r, q)
	return q
}

// reopen undoes answer for a request that another handler lets a gate decide about once more, instead
// of sending the gateway's answer. What an upstream answers then must pass the filters.
func (q *Request) reopen() {
	if q.phase == answered {
		q.phase = q.from
	}
}

// answer says that the gateway answers the request itself, so its own cookies pass the filters of a
// gate further out.
func (q *Request) answer(w http.ResponseWriter) http.ResponseWriter {
	if q.phase != answered {
		q.phase, q.from = answered, q.phase
	}
	return w
}

// findJar finds the jar of the request's cookie. With an error nothing is known about the browser.
func (q *Request) findJar(r *http.Request) (err error) {
	host := origin.WithoutPort(q.Host)
	q.Cookie, err = q.gate.Config.Cookies.For(q.Scheme == "https", host)
	q.Cookies = q.Cookie.Parse(r.Header)
	if err != nil {
		return err
	}
	if isEarlyData(r) {
		return errEarlyData
	}
	q.Token = q.Cookies.Token()
	if q.Cookies.Jar.Count > 1 {
		if q.Token, err = q.chooseToken(r); err != nil {
			return err
		}
	}
	var site session.Site
	if q.Cookie.PerHost {
		// Within the cookie's domain, no browser asks for a host whose name does not parse.
		if site, err = session.ParseSite(host); err != nil {
			q.Token = session.Token{}
		}
	}
	visit, err := q.gate.Sessions.Visit(q.ctx, q.Token)
	q.Visit = visit.At(site).InRun(q.Cookies.ReadRun())
	if errors.Is(err, session.ErrUnreadable) {
		q.gate.Log.Error("a stored jar is not readable; its browser is signed out", zap.Error(err))
		return nil
	}
	return err
}

// chooseToken returns the token that counts, if a request has several jar's cookies. It is the only
// one that names a jar, or the one whose jar is confirmed at this host, which no other host can have
// brought about. In all other cases it is the zero token, because another one may have been planted.
func (q *Request) chooseToken(r *http.Request) (chosen session.Token, err error) {
	known := 0
	for _, token := range q.Cookie.Tokens(r.Header) {
		visit, err := q.gate.Sessions.Visit(q.ctx, token)
		switch {
		case errors.Is(err, session.ErrUnreadable):
			continue
		case err != nil:
			return session.Token{}, err
		case visit.JarID() == "":
			continue
		case q.Cookie.Domain != "" && q.Cookie.Confirms(&q.Cookies, visit.JarID()):
			return token, nil
		}
		chosen = token
		known++
	}
	if known == 1 {
		return chosen, nil
	}
	if (known > 1 || q.Cookies.Jar.Count > cookie.MaxTokens) && q.gate.warnings.addNew("doubles:"+q.Host) {
		q.gate.Log.Warn("a browser sends several cookies that could name its sessions, so it counts as signed out until it signs in again. "+
			"They come from a change of cookie_domain, from another gateway on a domain above or below, or from somebody who plants them",
			zap.String("host", q.Host), zap.String("cookie", q.Cookie.Name), zap.Int("cookies", q.Cookies.Jar.Count), zap.Int("known", known))
	}
	return session.Token{}, nil
}

// renewTokens renews the provider's tokens of the active session where that is due. If the provider
// has ended the session, the request goes on as if the jar did not have it.
func (q *Request) renewTokens() {
	if q.gate.Tokens == nil || !q.signedIn {
		return
	}
	switch now, live := q.gate.Tokens.Current(q.ctx, q.active); {
	case !live:
		q.Visit = q.Visit.Without(q.active.ID)
	case now.Session != q.active.Session:
		q.Visit = q.Visit.Renewed(now.Session)
	default:
		return
	}
	q.active, q.signedIn = q.Visit.Active()
}

// known reports whether it is known whose the request is. Over plain HTTP nobody can be signed in, so
// there it is known to be nobody's. With a jar that is not confirmed at this host it is not known.
func (q *Request) known(o *Options) bool {
	return !o.ErrorRoute && q.Visit.Confirmed() && (q.err == nil || errors.Is(q.err, cookie.ErrInsecure))
}

// asMade returns the request as the browser made it. Rewrites of the site are for the upstream; to
// the portal they would change what a path means.
func (q *Request) asMade(r *http.Request) *http.Request {
	if q.original != nil {
		return q.original
	}
	if q.method == r.Method && q.requestURI == r.RequestURI && *q.url == *r.URL {
		return r // not kept: the site may rewrite it in place before the next gate
	}
	original := *r
	original.Method, original.RequestURI, original.URL = q.method, q.requestURI, q.url
	q.original = &original
	return q.original
}

// path returns the path that the browser asked for, as it was written.
func (q *Request) path() string {
	path, _, _ := strings.Cut(q.requestURI, "?")
	if !strings.HasPrefix(path, "/") {
		return "/" // no browser asks like this
	}
	return path
}

// servePortal answers a request for a path of the portal.
func (q *Request) servePortal(w http.ResponseWriter, r *http.Request, o *Options) {
	if q.signedIn {
		q.gate.Server.SetUser(r, q.active, nil)
	}
	original := q.asMade(r)
	if q.err != nil && !q.gate.Portal.Static(q.url.Path) {
		q.explain(w, r)
		return
	}
	q.readLoad(o)
	if isTopNavigation(r) {
		q.tidyCookies(w, o)
	}
	q.storeConfirmation(w.Header())
	q.gate.Portal.Serve(q.answer(w), original, q.Visitor)
	q.noteRedirect(w.Header())
}

// explain answers a request whose jar is not known.
func (q *Request) explain(w http.ResponseWriter, r *http.Request) {
	w, r = q.answer(w), q.asMade(r)
	if errors.Is(q.err, cookie.ErrInsecure) {
		q.logInsecure()
		q.gate.Portal.Insecure(w, r, q.Visitor)
		return
	}
	q.gate.Portal.Unavailable(w, r, q.Visitor, q.err)
}

// logInsecure logs once for each host that a request counts as one over plain HTTP, although a proxy
// has something to say about it. Without that the page in the browser says enough.
func (q *Request) logInsecure() {
	proto := strings.Join(q.header["X-Forwarded-Proto"], ", ")
	if proto == "" || !q.gate.warnings.addNew("insecure:"+q.Host) {
		return
	}
	q.gate.Log.Warn("requests count as plain HTTP, although they have X-Forwarded-Proto. "+
		"Its last value must be https, and trusted_proxies must name the proxy that sends it",
		zap.String("host", q.Host), zap.String("x_forwarded_proto", proto[:min(len(proto), 64)]))
}
