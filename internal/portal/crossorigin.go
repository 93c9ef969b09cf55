package portal

import (
	"net/http"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

// checkOrigin decides whether a request that changes state comes from a page that may. It returns
// nil or the problem.
//
// A browser says where a request comes from by Origin, by Referer, and by Sec-Fetch-Site. All that
// it says must hold: the origin is this site's, to the scheme and port, or a trusted one, and
// http.CrossOriginProtection has nothing against it. A sibling subdomain is another site here, for
// whoever runs it may be somebody else.
//
// A request that says nothing passes only where no browser's authority is used: it brings no
// cookies. For a sign-in, which needs none to be worth forging (the victim would work in the
// attacker's account), there must be no trace of a browser at all.
//
// The portal's own pages come through because of their Referrer-Policy: under same-origin a browser
// fills in Origin for a form that posts to the same origin, and would write null under no-referrer
// (Fetch, section 3.2, "append a request Origin header").
func (p *Portal) checkOrigin(r *http.Request, v Visitor, signsIn bool) error {
	if signsIn && r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return errCrossSiteNavigation
	}
	from, err := source(r.Header)
	if err != nil {
		return err
	}
	own, _ := origin.Parse(v.Origin())
	switch {
	case from == "":
		if len(r.Header["Cookie"]) > 0 || signsIn && fromBrowser(r.Header) {
			return errMissingOrigin
		}
	case from != own && !p.trusted[from]:
		return errInvalidOrigin
	}
	// Check knows the site by the Host field, which here is what Caddy says it is.
	_, host, _ := strings.Cut(own, "://")
	if p.protection.Check(&http.Request{Method: r.Method, Host: host, Header: r.Header}) != nil {
		return errInvalidOrigin
	}
	return nil
}

// source is the origin of the page that made a request, empty where the header does not say. The
// opaque origin null stands for any page that hides where it is from, and is nobody.
func source(h http.Header) (string, error) {
	switch origins := h["Origin"]; {
	case len(origins) > 1:
		return "", errInvalidOrigin
	case len(origins) == 0 || origins[0] == "":
	case origins[0] == "null":
		return "", errMissingOrigin
	default:
		// Browsers write it in the canonical form only.
		if canonical, err := origin.Parse(origins[0]); err != nil || canonical != origins[0] {
			return "", errInvalidOrigin
		}
		return origins[0], nil
	}
	referer := h.Get("Referer")
	if referer == "" {
		return "", nil
	}
	from, _, err := origin.Cut(referer)
	if err != nil {
		return "", errInvalidOrigin
	}
	return from, nil
}

// fromBrowser reports whether there is Fetch Metadata, which only browsers, and what wants to be
// taken for one, send.
func fromBrowser(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "Sec-Fetch-") {
			return true
		}
	}
	return false
}
