package portal

import (
	"net/netip"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Visitor is the browser behind a request, as the gate found it. The request beside it is the one
// that the browser made, before any rewriting for the upstream.
type Visitor struct {
	Scheme   string        // "https" or "http", as the browser sees the site
	Host     string        // host with its port as the browser names it, lower case
	ClientIP netip.Addr    // invalid where there is none
	Cookie   cookie.Spec   // the jar's cookie on this site
	Token    session.Token // from the cookie; zero where there is none, or doubt
	Visit    session.Visit // the jar of the token
}

// Origin is the site's origin (RFC 6454) as the browser sees it.
func (v Visitor) Origin() string { return v.Scheme + "://" + v.Host }

// towards is the visitor as a page sees it that leads to a destination afterwards. Where each host has an
// active account of its own, what is chosen on the way to another one is meant for that one.
func (v Visitor) towards(to destination) Visitor {
	if to.origin == "" || !sharesCookie(v, to.origin) {
		return v
	}
	site, err := session.ParseSite(origin.Host(to.origin))
	if err != nil {
		return v
	}
	return v.at(site)
}

// at is the visitor as one to a site, if hosts have active accounts of their own.
func (v Visitor) at(site session.Site) Visitor {
	if v.Visit.Site() != "" && site != "" {
		v.Visit = v.Visit.At(site)
	}
	return v
}

// ip is the client's address as text, empty where there is none.
func (v Visitor) ip() string {
	if !v.ClientIP.IsValid() {
		return ""
	}
	return v.ClientIP.String()
}
