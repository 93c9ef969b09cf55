package portal

import (
	"net/http"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

// checkOrigin checks that a request which changes state comes from a page that is allowed to. It
// returns nil or a problem.
//
// A browser names the source of a request in Origin, Referer and Sec-Fetch-Site. Each of them must
// hold, where it is there: the origin must be this site's, including scheme and port, or a trusted
// one, and http.CrossOriginProtection must pass. A sibling subdomain counts as another site,
// because somebody else may run it.
//
// A request without any of them passes only if it carries no cookies, and so no browser's
// authority. A sign-in is worth forging even without cookies, because the victim would then work in
// the attacker's account. So a sign-in must also have no other trace of a browser.
//
// The portal's own forms pass because of its Referrer-Policy. With same-origin a browser sends
// Origin with a form to the same origin. Under a policy of no-referrer, which a site may set for all
// of its answers, it sends null (Fetch, section 3.2, "append a request Origin header"). Then
// Sec-Fetch-Site says where the form is from: no page can set it, and a page of an opaque origin,
// such as a sandboxed frame, is cross-site to every site (Fetch Metadata, section 2.3).
func (p *Portal) checkOrigin(r *http.Request, v Visitor, signsIn bool) error {
	if signsIn && r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") == "navigate" {
		return errCrossSiteNavigation
	}
	own, _ := origin.Parse(v.Origin())
	from, err := source(r.Header, own)
	if err != nil {
		return err
	}
	switch {
	case from == "":
		if len(r.Header["Cookie"]) > 0 || signsIn && fromBrowser(r.Header) {
			return errMissingOrigin
		}
	case from != own && !p.trusted[from]:
		if origin.Host(from) == origin.Host(own) {
			return errOtherPort
		}
		return errInvalidOrigin
	}
	// Check compares with the Host field, which here must be the host that Caddy reports.
	_, host, _ := strings.Cut(own, "://")
	if p.protection.Check(&http.Request{Method: r.Method, Host: host, Header: r.Header}) != nil {
		return errInvalidOrigin
	}
	return nil
}

// source returns the origin of the page that made a request to an origin of ours, or an empty string
// where the headers do not say. The opaque origin null is an error, unless the page is ours: any
// page can send it.
func source(h http.Header, own string) (string, error) {
	switch origins := h["Origin"]; {
	case len(origins) > 1:
		return "", errInvalidOrigin
	case len(origins) == 0 || origins[0] == "":
	case origins[0] == "null":
		if site := h["Sec-Fetch-Site"]; len(site) == 1 && site[0] == "same-origin" {
			return own, nil
		}
		return "", errNullOrigin
	default:
		// Browsers send only the canonical form.
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

// fromBrowser reports whether a request has Fetch Metadata, which browsers add to every request
// over HTTPS.
func fromBrowser(h http.Header) bool {
	for name := range h {
		if strings.HasPrefix(name, "Sec-Fetch-") {
			return true
		}
	}
	return false
}
