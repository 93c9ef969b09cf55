package portal

import (
	"strings"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

// maxReturnTo bounds a return address, in bytes. Dashboards and maps keep their state in addresses of
// several KiB, and browsers and Caddy take them.
const maxReturnTo = 8 << 10

// destination is a place that this site may send the browser to.
type destination struct {
	text   string // byte for byte as it was given; empty for the site's root
	origin string // the destination's origin where that is not this one; else empty

	// tooLong says that the address which was wanted is too long to be kept. The browser goes to the
	// site's root instead, and pages say so.
	tooLong bool
}

// location returns the value for a Location header.
func (d destination) location() string {
	if d.text == "" {
		return "/"
	}
	return d.text
}

// destination checks that the browser may be sent to text: a path on this origin, or an absolute
// URL on this origin, within the cookie's domain, or on a trusted origin. Empty text is the site's
// root.
//
// Within the cookie's domain any port is allowed. Cookies know no ports (RFC 6265, section 8.5), so
// whoever listens there receives the jar's cookie anyway. The scheme must be the one served, or
// https.
//
// Browsers repair odd URLs: they drop tabs and line breaks, trim white space, read a backslash as a
// slash and "https:/x" as "https://x" (WHATWG URL, section 4.4). So destination accepts only text
// that needs no repair: visible ASCII, without a backslash where it could become a slash, and
// without dot segments, which readers resolve differently. Every URL that a browser has sent meets
// this.
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

// callback is destination for the API's callbackURL. It also refuses double slashes and encoded
// slashes anywhere in a path, because clients pass paths to routers that decode them.
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

// sharesCookie reports whether browsers send this site's jar cookie to an origin too.
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

// pathOf returns what comes before the query and the fragment.
func pathOf(text string) string {
	if end := strings.IndexAny(text, "?#"); end >= 0 {
		return text[:end]
	}
	return text
}

// soundPath reports whether all readers take a path for the same. A backslash is an ordinary
// character in a query, where browsers send it unchanged; they never send one in a path.
func soundPath(path string) bool {
	return !strings.Contains(path, `\`) && !hasDotSegment(path)
}

// startsWithSlashes reports whether a browser would read a path as a host, or a server that decodes
// it once too often would.
func startsWithSlashes(path string) bool {
	second := strings.ToLower(path[1:min(len(path), 4)])
	return strings.HasPrefix(second, "/") || second == "%2f" || second == "%5c"
}

// hasDotSegment recognizes dots as browsers do, including encoded ones.
func hasDotSegment(path string) bool {
	for segment := range strings.SplitSeq(path, "/") {
		switch strings.ReplaceAll(strings.ToLower(segment), "%2e", ".") {
		case ".", "..":
			return true
		}
	}
	return false
}
