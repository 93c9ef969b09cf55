package portal

import (
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

// Values of the headers of preflights and of answers to trusted origins.
const (
	// corsExposed lists the headers that scripts may read besides the safelisted ones (Fetch,
	// "CORS-safelisted response-header name"). They are the ones that the API's description
	// documents.
	corsExposed = "Allow, Location, Retry-After, X-Retry-After"

	// corsAllowed lists the headers that the stock client adds to requests.
	corsAllowed = "Content-Type"

	// maxCORSRequested bounds the list of headers that a preflight asks for, in bytes.
	maxCORSRequested = 2 << 10

	// corsMaxAge is how long a browser may remember a preflight, in seconds. It is safe after an
	// origin is no longer trusted, because the requests themselves are then refused and their
	// answers cannot be read.
	corsMaxAge = "600"
)

// share lets a page of a trusted origin read an answer of the API, with the browser's cookie
// (Fetch, "CORS protocol and credentials"). It reports whether the request comes from such a page.
// It applies to errors too; without the headers a page would see a failed connection instead of the
// error.
//
// It grants no right to change anything; checkOrigin decides that. Pages and their assets are never
// shared. This site's own origin needs no permission.
//
// The headers depend on Origin, so every answer says so in Vary, also answers to requests without
// Origin. A cache must not serve one for the other.
func (p *Portal) share(h http.Header, r *http.Request, v Visitor) bool {
	if !p.isAPI(r.URL.Path) {
		return false
	}
	h.Add("Vary", "Origin")
	if r.Method == http.MethodOptions {
		h.Add("Vary", "Access-Control-Request-Method")
		h.Add("Vary", "Access-Control-Request-Headers")
	}
	// Browsers send one Origin, in its canonical form.
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

// preflight reports whether a request is a CORS preflight (Fetch, "CORS-preflight request").
func preflight(r *http.Request) bool {
	return r.Method == http.MethodOptions && len(r.Header["Access-Control-Request-Method"]) == 1
}

// permit answers a preflight of a trusted origin. It lists methods and headers by name, because with
// credentials a star has no special meaning.
func permit(w http.ResponseWriter, r *http.Request, route route) {
	h := w.Header()
	h.Set("Access-Control-Allow-Methods", route.allow())
	h.Set("Access-Control-Allow-Headers", allowedHeaders(r.Header["Access-Control-Request-Headers"]))
	h.Set("Access-Control-Max-Age", corsMaxAge)
	h.Del("Access-Control-Expose-Headers") // says nothing about a preflight
	w.WriteHeader(http.StatusNoContent)
}

// allowedHeaders returns the headers that a trusted origin may send: all that its preflight asks for,
// in one well-formed list. Apps add headers to every request, for tracing, as proof against forgery or
// with a solved captcha, and the API ignores those that it does not know. None of them gives a
// trusted origin more than its trust does.
func allowedHeaders(requested []string) string {
	if len(requested) != 1 || len(requested[0]) > maxCORSRequested {
		return corsAllowed
	}
	for name := range strings.SplitSeq(requested[0], ",") {
		if !httpguts.ValidHeaderFieldName(strings.TrimSpace(name)) {
			return corsAllowed
		}
	}
	return requested[0]
}

// isAPI reports whether a path belongs to the API. Unknown paths under the prefix do, so that a
// program which has mistaken the path can read the error.
func (p *Portal) isAPI(path string) bool {
	at := p.routes[strings.TrimPrefix(path, p.prefix)]
	return p.Owns(path) && !at.page && !at.asset && !at.provider
}
