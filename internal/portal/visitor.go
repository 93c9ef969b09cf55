package portal

import (
	"net/netip"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Visitor is the browser behind a request, as the gate found it. The request that accompanies it is
// as the browser sent it, before any rewriting.
type Visitor struct {
	Scheme   string        // "https" or "http", as the browser sees the site
	Host     string        // host with its port as the browser names it, lower case
	ClientIP netip.Addr    // invalid where there is none
	Cookie   cookie.Spec   // the jar's cookie on this site
	Token    session.Token // from the cookie; zero where there is none or where it is in doubt
	Visit    session.Visit // the jar of the token
	Cookies  cookie.Cookies
	Load     cookie.Load // zero where the gate keeps no cookies apart
}

// Origin returns the site's origin (RFC 6454) as the browser sees it.
func (v Visitor) Origin() string { return v.Scheme + "://" + v.Host }

// secure reports whether browsers trust the site's origin (Secure Contexts, section 3.1).
func (v Visitor) secure() bool {
	return v.Scheme == "https" || origin.LoopbackForBrowser(origin.WithoutPort(v.Host))
}

// headedFor returns the visitor for a page that leads to a destination. With "active per_host" a
// choice that is made on the way to another host is meant for that host.
func (v Visitor) headedFor(to destination) Visitor {
	if to.origin == "" || !sharesCookie(v, to.origin) {
		return v
	}
	site, err := session.ParseSite(origin.Host(to.origin))
	if err != nil {
		return v
	}
	return v.at(site)
}

// at returns the visitor as one of a site, with "active per_host"; else it changes nothing.
func (v Visitor) at(site session.Site) Visitor {
	if v.Visit.Site() != "" && site != "" {
		v.Visit = v.Visit.At(site)
	}
	return v
}

// ip returns the client's address as text, empty where there is none.
func (v Visitor) ip() string {
	if !v.ClientIP.IsValid() {
		return ""
	}
	return v.ClientIP.String()
}
