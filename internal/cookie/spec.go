package cookie

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// The names of the jar's cookie without a label, by how safely a browser can hold it.
const (
	// NameHost is for HTTPS. Because of the prefixes browsers take the cookie only with Secure,
	// Path=/ and no Domain, so only from this host. Those that know the second prefix take it only
	// with HttpOnly, so only from a Set-Cookie header (RFC 6265bis, section 4.1.3).
	NameHost = "__Host-Http-multi_session"

	// NameDomain is for HTTPS where one jar serves all hosts of a domain.
	NameDomain = "__Secure-multi_session"

	// NamePlain is for plain HTTP, over which browsers take no name with a prefix.
	NamePlain = "multi_session"
)

// Options say which cookie a site uses.
type Options struct {
	Names        *Names // nil: those without a label
	Domain       string // registrable domain or below, without a leading dot; empty for one jar a host
	PerHost      bool   // each host of the domain has an active account of its own
	InsecureHTTP bool   // allow plain HTTP off loopback
}

// ErrInsecure reports a request over plain HTTP to a host that is not loopback. Anybody on the way
// could read and replace its cookies.
var ErrInsecure = errors.New("plain HTTP on a host that is not loopback")

// Spec describes the jar's cookie of one site: its name and where it belongs. It is a small value.
type Spec struct {
	Name    string
	Domain  string // empty for a host-only cookie
	PerHost bool   // each host of the domain has an active account of its own
	Secure  bool

	names *Names
}

// For returns the cookie of a request's site. Host is the host as the browser names it, without a
// port and in lower case. A host outside of Options.Domain gets a cookie of its own. Over plain
// HTTP For returns ErrInsecure, unless the host is loopback, where the browser talks to its own
// machine, or Options.InsecureHTTP is set.
func (o Options) For(https bool, host string) (Spec, error) {
	names, domain := o.Names.orUnlabelled(), ""
	if o.Domain != "" && origin.Within(host, o.Domain) {
		domain = o.Domain
	}
	switch {
	case https && domain != "":
		return Spec{Name: names.domain, Domain: domain, PerHost: o.PerHost, Secure: true, names: o.Names}, nil
	case https:
		return Spec{Name: names.host, Secure: true, names: o.Names}, nil
	case o.InsecureHTTP || origin.LoopbackForBrowser(host):
		return Spec{Name: names.plain, Domain: domain, PerHost: o.PerHost && domain != "", names: o.Names}, nil
	default:
		return Spec{}, ErrInsecure
	}
}

// Token returns the token in the jar's cookie. It is the zero token if there is no cookie, if it is
// malformed, or if there are two, of which one may have been planted (RFC 6265, section 8.6).
func (c *Cookies) Token() session.Token {
	value, ok := c.Jar.Only()
	if !ok {
		return session.Token{}
	}
	token, err := session.ParseToken(value)
	if err != nil {
		return session.Token{}
	}
	return token
}

// Set gives the browser a token. If maxAge is zero, the browser drops it when it closes.
func (j Spec) Set(h http.Header, token session.Token, maxAge time.Duration) {
	c := j.cookie(token.Reveal())
	c.MaxAge = int(maxAge / time.Second)
	h.Add("Set-Cookie", c.String())
}

// Given returns the token that an answer's header gives the browser, or the zero token if it takes
// the browser's token away. It reports false if the header does neither.
func (j Spec) Given(h http.Header) (session.Token, bool) {
	for _, line := range slices.Backward(h["Set-Cookie"]) {
		pair, _, _ := strings.Cut(line, ";")
		if name, value := Split(pair); name == j.Name {
			token, err := session.ParseToken(value)
			return token, err == nil || value == ""
		}
	}
	return session.Token{}, false
}

// Clear deletes the token from the browser.
func (j Spec) Clear(h http.Header) {
	c := j.cookie("")
	c.MaxAge = -1
	h.Add("Set-Cookie", c.String())
}

// ofHost returns the cookie with a mark that belongs to this host alone, also if the jar belongs to
// a domain.
func (j Spec) ofHost(mark string) Spec {
	j.Name, j.Domain = j.hostName()+mark, ""
	return j
}

// hostName returns the name that the jar's cookie has if it belongs to one host.
func (j Spec) hostName() string {
	names := j.names.orUnlabelled()
	if j.Secure {
		return names.host
	}
	return names.plain
}

func (j Spec) cookie(value string) http.Cookie {
	return http.Cookie{
		Name:     j.Name,
		Value:    value,
		Path:     "/",
		Domain:   j.Domain,
		Secure:   j.Secure,
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	}
}
