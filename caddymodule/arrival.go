package caddymodule

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/portal"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// arrival is what the gateway found out about a request when it first saw it. There is one for each
// request, however many of the gateway's handlers it passes: the first that lets it through takes
// from it what the later ones still need to know, the jar's cookie.
type arrival struct {
	portal.Visitor
	err      error         // why nothing is known of the jar; cookie.ErrInsecure or the store's
	original *http.Request // as the browser made it, once the site has rewritten it
	passing  bool          // a handler is letting it through: the cookies are gone, and a guard is in place
	answered bool          // the gateway answers itself: its own cookies pass the guard
	engine   *engine
	cookies  crossing
	caches   storing
	guard    guard
	live     live
	expect   []string       // values of expectHeader
	met      session.Policy // rules of all gates that it has come to so far, the one that it is at among them
}

// arrivalVar is the name of the arrival among the request's variables.
const arrivalVar = "multi_session.arrival"

// receive deletes the identity headers that the client sent, and finds the browser's jar. After the
// first time it returns what it found then.
func (e *engine) receive(r *http.Request) *arrival {
	if arrived, ok := caddyhttp.GetVar(r.Context(), arrivalVar).(*arrival); ok {
		return arrived
	}
	arrived := &arrival{engine: e}
	arrived.Scheme, arrived.Host = site(r)
	arrived.ClientIP = clientIP(r)
	arrived.err = e.findJar(r, arrived)
	e.renew(r, arrived)
	arrived.expect = r.Header[expectHeader]
	e.managed.Strip(r)
	caddyhttp.SetVar(r.Context(), arrivalVar, arrived)
	return arrived
}

func (e *engine) findJar(r *http.Request, arrived *arrival) (err error) {
	arrived.Cookie, err = e.cookies.For(arrived.Scheme == "https", hostname(arrived.Host))
	if err != nil {
		return err
	}
	arrived.Token = arrived.Cookie.Read(r.Header)
	site, err := e.siteOf(arrived)
	if err != nil {
		arrived.Token = session.Token{} // no browser is there
	}
	visit, err := e.manager.Visit(r.Context(), arrived.Token)
	arrived.Visit = visit.At(site)
	if errors.Is(err, session.ErrUnreadable) {
		e.log.Error("a stored jar is not readable; its browser is signed out", zap.Error(err))
		return nil
	}
	return err
}

// siteOf is the host of a request where it has an active session of its own, and else zero. A host outside
// of the cookie's domain has a jar of its own. Within the domain it is an error to have a name that no
// browser could ask for: that is nobody's.
func (e *engine) siteOf(arrived *arrival) (session.Site, error) {
	if !arrived.Cookie.PerHost {
		return "", nil
	}
	return session.ParseSite(hostname(arrived.Host))
}

// renew has the provider of the active account stand by it again where that is due, and sees the jar
// with what came of it.
func (e *engine) renew(r *http.Request, arrived *arrival) {
	entry, active := arrived.Visit.Active()
	if !active || e.grants == nil {
		return
	}
	switch now, live := e.grants.Current(r.Context(), entry); {
	case !live:
		arrived.Visit = arrived.Visit.Without(entry.ID)
	case now.Session != entry.Session:
		arrived.Visit = arrived.Visit.Renewed(now.Session)
	}
}

// request returns the request as the browser made it: rewrites of the site are for the upstream,
// and would have the portal's paths mean something else.
func (a *arrival) request(r *http.Request) *http.Request {
	if a.original != nil {
		return a.original
	}
	first, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok || first.Method == r.Method && first.RequestURI == r.RequestURI && *first.URL == *r.URL {
		return r // not kept: before the next gate it may be rewritten in place
	}
	restored := *r
	restored.Method, restored.RequestURI, restored.URL = first.Method, first.RequestURI, first.URL
	a.original = &restored
	return a.original
}

// servePortal answers a request for the portal.
func (e *engine) servePortal(w http.ResponseWriter, r *http.Request, arrived *arrival) {
	if arrived.err != nil && !e.portal.Static(r.URL.Path) {
		e.explain(w, r, arrived)
		return
	}
	e.portal.ServeHTTP(w, r, arrived.Visitor)
}

// explain answers a request of whose jar nothing is known.
func (e *engine) explain(w http.ResponseWriter, r *http.Request, arrived *arrival) {
	if errors.Is(arrived.err, cookie.ErrInsecure) {
		e.portal.Insecure(w, r, arrived.Visitor)
		return
	}
	e.portal.Unavailable(w, r, arrived.Visitor, arrived.err)
}

// site returns scheme and host as the browser sees them. What a proxy in front of Caddy says counts
// where Caddy was told to trust it, and then in the same way as for reverse_proxy: the last value.
func site(r *http.Request) (scheme, host string) {
	scheme, host = "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted {
		if proto := last(r.Header["X-Forwarded-Proto"]); proto == "https" || proto == "http" {
			scheme = proto
		}
		if forwarded := last(r.Header["X-Forwarded-Host"]); forwarded != "" {
			host = forwarded
		}
	}
	return scheme, strings.ToLower(host)
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// hostname returns a host without its port. Unlike url.URL's it never fails: what is no host is
// within no domain and no loopback either.
func hostname(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}

// clientIP returns the client's address as Caddy trusts it.
func clientIP(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	ip, _ := netip.ParseAddr(text)
	return ip.Unmap()
}

// exposer knows the tokens that upstreams may be given.
type exposer interface {
	// Exposed returns those of a session. What its login does not expose is empty.
	Exposed(*session.Session) login.Tokens
}

// tokenKeeper is tokens.Manager.
type tokenKeeper interface {
	exposer
	Current(context.Context, session.Entry) (now session.Entry, live bool)
	Close()
}

// setPlaceholders makes the account known to what comes after, the access log among it. A user's own
// text is a value and never expanded, so a placeholder in somebody's name stays what it is.
//
// Tokens are looked up when somebody asks for them, and never without grants.
func setPlaceholders(r *http.Request, entry session.Entry, grants exposer) {
	repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
	// Set wins over what was there before; the access log must not show somebody else.
	repl.Set("http.auth.user.id", entry.Identity.Account.ID())
	repl.Map(func(key string) (any, bool) {
		name, ok := strings.CutPrefix(key, "http.auth.user.")
		if !ok {
			return nil, false
		}
		identity := entry.Identity
		switch name {
		case "email":
			return identity.VerifiedEmail(), true
		case "name":
			return identity.DisplayName(), true
		case "groups":
			return strings.Join(identity.Groups, ","), true
		case "provider":
			return identity.Account.Method, true
		case "session":
			return entry.ID, true
		case "access_token":
			return known(exposed(entry, grants).Access)
		case "id_token":
			return known(exposed(entry, grants).ID)
		}
		if path, ok := strings.CutPrefix(name, "claim."); ok {
			return identity.ClaimText(path)
		}
		return nil, false
	})
}

func exposed(entry session.Entry, grants exposer) login.Tokens {
	if grants == nil || entry.Grant == nil {
		return login.Tokens{}
	}
	return grants.Exposed(entry.Session)
}

// known is the value of a placeholder, which is not known where it is empty.
func known(value string) (any, bool) {
	return value, value != ""
}
