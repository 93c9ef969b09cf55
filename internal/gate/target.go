package gate

import (
	"net/http"
	"strings"

	"go.uber.org/zap"
)

// refuseTarget reports whether the path of a request means one thing to a matcher and may mean
// another to the upstream. It is refused then, at gates that paths decide about: who may not have
// /admin must not get it as /admin;x or /x/..;/admin.
func (q *Request) refuseTarget(w http.ResponseWriter, r *http.Request, o *Options) bool {
	if !o.RefuseAmbiguousPaths || !isAmbiguous(q.requestURI) {
		return false
	}
	q.logTarget()
	q.gate.Portal.RefuseTarget(q.answer(w), q.asMade(r), q.Visitor)
	return true
}

// isAmbiguous reports whether servers read the path of a request target in different ways. Some
// decode it before they look for segments and some after; some take a backslash for a slash, end the
// path at a NUL, or drop what follows a semicolon in each segment (RFC 3986, section 3.3); some merge
// slashes; and some decode twice. Dot segments are among them also where they are not encoded: clients
// remove these before they ask (RFC 3986, section 5.2.4).
func isAmbiguous(target string) bool {
	path, _, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") {
		// The absolute form, of which a server takes the path (RFC 9112, section 3.2.2), or no path.
		_, rest, _ := strings.Cut(path, "://")
		slash := strings.IndexByte(rest, '/')
		if slash < 0 {
			return false
		}
		path = rest[slash:]
	}
	dots, others := 0, 0 // characters of the segment, of which a slash is the first
	for i := 1; i < len(path); i++ {
		c := path[i]
		if c == '/' {
			if others == 0 && dots <= 2 { // empty, "." or ".."
				return true
			}
			dots, others = 0, 0
			continue
		}
		if c == '%' {
			decoded, ok := unescape(path[i:])
			if !ok || isDelimiter(decoded) || decoded == '/' {
				return true
			}
			if decoded == '%' && isEncodedTwice(path[i+3:]) {
				return true
			}
			c, i = decoded, i+2
		} else if isDelimiter(c) {
			return true
		}
		if c == '.' {
			dots++
		} else {
			others++
		}
	}
	return others == 0 && (dots == 1 || dots == 2)
}

// isDelimiter reports whether some servers give a character in a path a meaning of its own. That goes
// for control characters, and for 0xC0 and 0xC1, which are in no UTF-8 but of which lenient decoders
// make a dot or a slash.
func isDelimiter(c byte) bool {
	return c < ' ' || c == 0x7f || c == '\\' || c == ';' || c == 0xc0 || c == 0xc1
}

// isEncodedTwice reports whether what follows an encoded percent sign would be a dot, a percent sign or
// a delimiter to whoever decodes twice.
func isEncodedTwice(digits string) bool {
	if len(digits) < 2 {
		return false
	}
	decoded, ok := unescape("%" + digits[:2])
	return ok && (isDelimiter(decoded) || strings.IndexByte("/.%", decoded) >= 0)
}

// unescape returns the byte that the beginning of a text encodes, as %2F (RFC 3986, section 2.1).
func unescape(s string) (c byte, ok bool) {
	if len(s) < 3 {
		return 0, false
	}
	high, low := hexDigit(s[1]), hexDigit(s[2])
	return high<<4 | low, high < 16 && low < 16
}

// hexDigit returns the value of a hexadecimal digit, and 16 or more for anything else.
func hexDigit(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 0xff
}

// logTarget logs once for each host that a path was refused, and what to do if the app has such paths.
func (q *Request) logTarget() {
	if q.gate.warnings.addNew("target:" + q.Host) {
		q.gate.Log.Warn("a request was refused because servers read its path in different ways, and paths decide about gates here. If the app has such paths, set ambiguous_paths allow",
			zap.String("host", q.Host), zap.String("path", q.path()))
	}
}
