package caddymodule

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-multi-session/gateway/internal/gate"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// server implements gate.Server with what Caddy knows about a request.
type server struct{}

// requestVar is the name of the gate's Request among the request's variables.
const requestVar = "multi_session.request"

// Load implements gate.Server.
func (server) Load(r *http.Request) *gate.Request {
	q, _ := caddyhttp.GetVar(r.Context(), requestVar).(*gate.Request)
	return q
}

// Store implements gate.Server.
func (server) Store(r *http.Request, q *gate.Request) {
	caddyhttp.SetVar(r.Context(), requestVar, q)
}

// Original implements gate.Server.
func (server) Original(r *http.Request) (method, requestURI string, u *url.URL) {
	original, ok := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
	if !ok {
		return r.Method, r.RequestURI, r.URL
	}
	return original.Method, original.RequestURI, original.URL
}

// Site implements gate.Server. What a proxy in front of Caddy says counts only if Caddy trusts the
// proxy. Of several values the last one counts, as for reverse_proxy: what stands before it may come
// from the client. A chain of proxies lists them in one field or in several. Values of
// X-Forwarded-Proto are schemes, which have no case (RFC 3986, section 3.1).
func (server) Site(r *http.Request) (scheme, host string) {
	scheme, host = "http", r.Host
	if r.TLS != nil {
		scheme = "https"
	}
	if trusted, _ := caddyhttp.GetVar(r.Context(), caddyhttp.TrustedProxyVarKey).(bool); trusted {
		switch proto := last(r.Header["X-Forwarded-Proto"]); {
		case strings.EqualFold(proto, "https"):
			scheme = "https"
		case strings.EqualFold(proto, "http"):
			scheme = "http"
		}
		if forwarded := last(r.Header["X-Forwarded-Host"]); forwarded != "" {
			host = forwarded
		}
	}
	return scheme, strings.ToLower(host)
}

// last returns the last of a field's values, also of those in one line with commas.
func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	line := values[len(values)-1]
	return strings.TrimSpace(line[strings.LastIndexByte(line, ',')+1:])
}

// ClientIP implements gate.Server. It is the address that trusted_proxies lead to.
func (server) ClientIP(r *http.Request) netip.Addr {
	text, _ := caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	ip, _ := netip.ParseAddr(text)
	return ip.Unmap()
}

// connKey is the key of the connection in the contexts of its requests.
type connKey struct{}

// Conn implements gate.Server.
func (server) Conn(r *http.Request) net.Conn {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	return conn
}

// exposeConnections makes the connection of a request known to Conn, for all requests of an HTTP
// server. Handlers call it while they are provisioned.
func (a *App) exposeConnections(server *caddyhttp.Server) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Contains(a.connected, server) {
		return
	}
	a.connected = append(a.connected, server)
	server.RegisterConnContext(func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	})
}

// Expand implements gate.Server.
func (server) Expand(r *http.Request, text string) string {
	return replacer(r).ReplaceAll(text, "")
}

func replacer(r *http.Request) *caddy.Replacer {
	return r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
}

// SetUser implements gate.Server. Values are never expanded, so a placeholder in a user's name stays
// text. Tokens are looked up only when something uses them.
func (server) SetUser(r *http.Request, active session.Entry, tokens gate.Tokens) {
	repl := replacer(r)
	// What another handler has set would win: the access log must not show somebody else.
	repl.Delete("http.auth.user.id")
	repl.Map(func(key string) (any, bool) {
		name, ok := strings.CutPrefix(key, "http.auth.user.")
		if !ok {
			return nil, false
		}
		identity := active.Identity
		switch name {
		case "id":
			return identity.Account.ID(), true
		case "email":
			return identity.VerifiedEmail(), true
		case "name":
			return identity.DisplayName(), true
		case "groups":
			return strings.Join(identity.Groups, ","), true
		case "provider":
			return identity.Account.Method, true
		case "session":
			return active.ID, true
		case "access_token":
			return knownIfSet(exposedTokens(active, tokens).Access)
		case "id_token":
			return knownIfSet(exposedTokens(active, tokens).ID)
		}
		if path, ok := strings.CutPrefix(name, "claim."); ok {
			return identity.ClaimText(path)
		}
		return nil, false
	})
}

func exposedTokens(entry session.Entry, tokens gate.Tokens) login.Tokens {
	if tokens == nil || entry.Grant == nil {
		return login.Tokens{}
	}
	return tokens.Exposed(entry.Session)
}

// knownIfSet returns a placeholder that is unknown if its value is empty.
func knownIfSet(value string) (any, bool) {
	return value, value != ""
}

// Interface guards
var _ gate.Server = server{}
