package isolation

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// setCookie is a Set-Cookie field as browsers read it (RFC 6265bis, section 5.6).
type setCookie struct {
	stored
	name       string
	attributes string // as the app wrote them, with the semicolon in front
	httpOnly   bool
	gone       bool // the field clears the cookie
}

// parseSetCookie reads a field of the answer to a request for the path. If an attribute is there
// several times, the last one counts. The expiry is used only for copies that are written again.
// The slot's cookie has the attributes that the app wrote, so a date that this parser reads
// otherwise than a browser does no harm.
func parseSetCookie(line, path string, now time.Time) setCookie {
	pair, rest, _ := strings.Cut(line, ";")
	s := setCookie{attributes: line[len(pair):]}
	if !strings.Contains(pair, "=") {
		pair = "=" + pair
	}
	s.name, s.value = cookie.Split(pair)
	var expires time.Time
	var maxAge string
	s.path = defaultPath(path)
	for attribute := range strings.SplitSeq(rest, ";") {
		name, value := cookie.Split(attribute)
		if len(value) > maxAttributeBytes {
			continue
		}
		switch strings.ToLower(name) {
		case "path":
			if s.path = value; !strings.HasPrefix(value, "/") {
				s.path = defaultPath(path)
			}
		case "domain":
			s.domain = strings.ToLower(strings.TrimPrefix(value, "."))
		case "expires":
			if at, ok := parseDate(value); ok {
				expires = at
			}
		case "max-age":
			if _, err := strconv.ParseInt(value, 10, 64); err == nil || digitsOnly(value) {
				maxAge = value
			}
		case "secure":
			s.flags |= secureFlag
		case "httponly":
			s.httpOnly = true
		case "partitioned":
			s.flags |= partitioned
		case "samesite":
			s.flags &^= lax | strict | none
			switch strings.ToLower(value) {
			case "lax":
				s.flags |= lax
			case "strict":
				s.flags |= strict
			case "none":
				s.flags |= none
			}
		}
	}
	if maxAge != "" {
		seconds, err := strconv.ParseInt(maxAge, 10, 64)
		if err != nil || seconds > maxExpiry {
			seconds = int64(400 * 24 * time.Hour / time.Second) // as long as browsers keep any
		}
		expires = now.Add(time.Duration(min(max(seconds, -1), 1<<32)) * time.Second)
		s.gone = seconds <= 0
	} else {
		s.gone = !expires.IsZero() && !expires.After(now)
	}
	if !expires.IsZero() && !s.gone {
		s.expires = min(expires.Unix(), maxExpiry)
	}
	return s
}

func digitsOnly(text string) bool {
	text = strings.TrimPrefix(text, "-")
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// dates are layouts of Expires that apps use besides those of HTTP.
var dates = [...]string{"Mon, 02-Jan-2006 15:04:05 MST", "Mon, 02-Jan-06 15:04:05 MST", "Mon, 2 Jan 2006 15:04:05 MST", time.RFC1123Z}

func parseDate(text string) (time.Time, bool) {
	if at, err := http.ParseTime(text); err == nil {
		return at, true
	}
	for _, layout := range dates {
		if at, err := time.Parse(layout, text); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

// defaultPath returns the path of a cookie without a Path attribute (RFC 6265, section 5.1.4).
func defaultPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 && path[0] == '/' && i <= maxAttributeBytes {
		return path[:i]
	}
	return "/"
}
