package portal

import (
	"strings"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

// maxReturnTo bounds a return address, so that the redirects that carry it stay within what
// browsers and servers take for a URL.
const maxReturnTo = 2048

// destination is a place that this site may send the browser to.
type destination struct {
	text   string // byte for byte as it was given; empty for the site's root
	origin string // where it leads off this origin; else empty
}

// location is what the Location header says.
func (d destination) location() string {
	if d.text == "" {
		return "/"
	}
	return d.text
}

// destination decides whether the browser may be sent to text: a path on this origin, or an
// absolute URL on this origin, within the cookie's domain or on a trusted origin. Empty text is the
// site's root.
//
// Within the cookie's domain any port will do, for cookies know no ports (RFC 6265, section 8.5):
// whoever listens there gets the jar's cookie anyway. The scheme must be the one served, or https.
//
// What browsers make of odd URLs is not foreseen case by case. A browser drops tabs and line
// breaks, trims white space, takes a backslash for a slash and "https:/x" for "https://x" (WHATWG
// URL, section 4.4), so only text comes through in which there is nothing to repair: visible ASCII,
// no backslash where it could be taken for a slash, and no dot segments, which would leave it to
// the reader what the path begins with. No URL that a browser itself has sent is lost by that.
func (p *Portal) destination(v Visitor, text string) (destination, bool) {
	switch {
	case text == "":
		return destination{}, true
	case len(text) > maxReturnTo || !visibleASCII(text):
		return destination{}, false
	case text[0] == '/':
		if !soundPath(pathOf(text)) || startsWithSlashes(text) {
			return destination{}, false
		}
		return destination{text: text}, true
	}
	there, rest, err := origin.Cut(text)
	if err != nil || !soundPath(pathOf(rest)) {
		return destination{}, false
	}
	own, _ := origin.Parse(v.Origin())
	switch {
	case there == own:
		return destination{text: text}, true
	case p.trusted[there], sharesCookie(v, there):
		return destination{text: text, origin: there}, true
	}
	return destination{}, false
}

// callback decides the same for the API's callbackURL, whose paths are held to more: clients hand
// them to routers that decode them, so no double slash or encoded slash may be anywhere.
func (p *Portal) callback(v Visitor, text string) (destination, bool) {
	dest, ok := p.destination(v, text)
	if ok && strings.HasPrefix(text, "/") && ambiguousToRouters(pathOf(text)) {
		return destination{}, false
	}
	return dest, ok
}

func ambiguousToRouters(path string) bool {
	path = strings.ToLower(path)
	return strings.Contains(path, "//") || strings.Contains(path, "%2f") || strings.Contains(path, "%5c")
}

// sharesCookie reports whether the origin gets the jar's cookie of this site.
func sharesCookie(v Visitor, there string) bool {
	domain := v.Cookie.Domain
	if domain == "" || !origin.Within(origin.Host(there), domain) {
		return false
	}
	return strings.HasPrefix(there, "https://") || v.Scheme == "http"
}

func visibleASCII(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}

// pathOf is what comes before the query and the fragment.
func pathOf(text string) string {
	if end := strings.IndexAny(text, "?#"); end >= 0 {
		return text[:end]
	}
	return text
}

// soundPath reports whether a path is read alike by all. In a query a backslash means nothing, and
// browsers send it as it is; in a path they never do.
func soundPath(path string) bool {
	return !strings.Contains(path, `\`) && !hasDotSegment(path)
}

// startsWithSlashes reports whether a path would be a host to a browser, or become one to whoever
// decodes it once too often.
func startsWithSlashes(path string) bool {
	second := strings.ToLower(path[1:min(len(path), 4)])
	return strings.HasPrefix(second, "/") || second == "%2f" || second == "%5c"
}

// hasDotSegment knows dots as browsers do, encoded ones too.
func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".", "..":
			return true
		}
	}
	return false
}
