package portal

import (
	"net/http"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

// What preflights and answers to pages of trusted origins say besides the origin.
const (
	// corsExposed are the headers of answers that scripts may read beyond those that they always may
	// (Fetch, "CORS-safelisted response-header name"): the ones that the API's description documents.
	corsExposed = "Allow, Location, Retry-After, X-Retry-After"

	// corsAllowed are the headers that a page may add to a request. The stock client adds none but the
	// first; the others are what apps add to every request they make, and the API does not read them.
	// Nothing is echoed: a list that the request writes is no list.
	corsAllowed = "Content-Type, X-Requested-With, Traceparent, Tracestate"

	// corsMaxAge is for how many seconds a browser may remember a preflight. An origin that is not
	// trusted any more gets nothing by what is remembered: its requests are refused themselves, and
	// their answers cannot be read.
	corsMaxAge = "600"
)

// share lets pages of the trusted origins read an answer of the API, with the browser's cookie (Fetch,
// "CORS protocol and credentials"), and reports whether the request is from one. It belongs to every
// answer, errors too, or else a page would see a failed connection where it is told what is wrong.
//
// It gives no right to change anything, which checkOrigin decides by itself, and is silent to all but
// the trusted origins. Pages and their style are nobody else's to read. This site's own origin needs
// no permission.
//
// Whether a header is there depends on Origin, so Vary says so on every answer, also to requests
// without it: what somebody may have kept for the one is no answer for the other.
func (p *Portal) share(h http.Header, r *http.Request, v Visitor) bool {
	if !p.isAPI(r.URL.Path) {
		return false
	}
	h.Add("Vary", "Origin")
	if r.Method == http.MethodOptions {
		h.Add("Vary", "Access-Control-Request-Method")
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	// Browsers write the one canonical form, and one of them.
	origins := r.Header["Origin"]
	if len(origins) != 1 || !p.trusted[origins[0]] {
		return false
	}
	if own, _ := origin.Parse(v.Origin()); origins[0] == own {
		return false
	}
	h.Set("Access-Control-Allow-Origin", origins[0])
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Expose-Headers", corsExposed)
	return true
}

// preflight reports whether a request is a browser's question whether a page may make another one
// (Fetch, "CORS-preflight request").
func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Access-Control-Request-Method"]) == 1
}

// permit answers the preflight of a page that answers are shared with. The lists are spelled out:
// with credentials a star would be a name like any other.
func permit(w http.ResponseWriter, route route) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", route.allow())
	h.Set("Access-Control-Allow-Headers", corsAllowed)
	h.Set("Access-Control-Max-Age", corsMaxAge)
	h.Del("Access-Control-Expose-Headers") // says nothing about a preflight
	w.WriteHeader(http.StatusNoContent)
}

// isAPI reports whether what is at a path is for programs. What is not there is too, as far as it is
// the portal's: a program that has mistaken the path is to be told so.
func (p *Portal) isAPI(path string) bool {
	at := p.routes[strings.TrimPrefix(path, p.prefix)]
	return p.Owns(path) && !at.page && !at.static && !at.server
}
