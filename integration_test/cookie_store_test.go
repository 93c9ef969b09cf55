package integration

import (
	"cmp"
	"slices"
	"strings"
)

// cookieStore is the cookies of a browser, kept and sent as RFC 6265bis says. Unlike
// net/http/cookiejar it knows scripts from answers, and which cookies scripts may read. It has no
// clock: a cookie stays until it is taken away.
type cookieStore struct {
	cookies []storedCookie
	made    int
}

type storedCookie struct {
	name, value string
	host, path  string // the host is a domain's where domain is set
	domain      bool
	httpOnly    bool
	order       int
	removed     bool // of a field: it takes the cookie away
	refused     bool // of a field: no browser keeps it
}

// parseCookie reads a Set-Cookie field, or what a script writes, for an address.
func parseCookie(host, path, line string) storedCookie {
	pair, attributes, _ := strings.Cut(line, ";")
	name, value, _ := strings.Cut(pair, "=")
	c := storedCookie{name: strings.TrimSpace(name), value: strings.TrimSpace(value), host: host, path: "/"}
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		c.path = path[:i]
	}
	c.refused = len(c.name)+len(c.value) > 4096
	for attribute := range strings.SplitSeq(attributes, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(attribute), "=")
		switch strings.ToLower(key) {
		case "path":
			c.path = value
		case "domain":
			c.host, c.domain = strings.TrimPrefix(value, "."), true
			c.refused = c.refused || host != c.host && !strings.HasSuffix(host, "."+c.host)
		case "httponly":
			c.httpOnly = true
		case "max-age":
			c.removed = strings.HasPrefix(value, "0") || strings.HasPrefix(value, "-")
		case "expires":
			c.removed = c.removed || strings.Contains(value, "1970")
		}
	}
	return c
}

// set does what a browser does with a Set-Cookie field.
func (s *cookieStore) set(host, path, line string) { s.store(parseCookie(host, path, line), false) }

// script does what a browser does when a script of a page sets document.cookie.
func (s *cookieStore) script(host, path, line string) { s.store(parseCookie(host, path, line), true) }

func (s *cookieStore) store(c storedCookie, byScript bool) {
	i := slices.IndexFunc(s.cookies, func(o storedCookie) bool {
		return o.name == c.name && o.host == c.host && o.domain == c.domain && o.path == c.path
	})
	if c.refused || byScript && (c.httpOnly || i >= 0 && s.cookies[i].httpOnly) {
		return
	}
	s.made++
	c.order = s.made
	switch {
	case i >= 0 && c.removed:
		s.cookies = slices.Delete(s.cookies, i, i+1)
	case i >= 0:
		c.order = s.cookies[i].order
		s.cookies[i] = c
	case !c.removed:
		s.cookies = append(s.cookies, c)
	}
}

// shown are the cookies that a request shows, in order.
func (s *cookieStore) shown(host, path string) []storedCookie {
	var list []storedCookie
	for _, c := range s.cookies {
		rest, below := strings.CutPrefix(path, c.path)
		if (host == c.host || c.domain && strings.HasSuffix(host, "."+c.host)) &&
			below && (rest == "" || strings.HasSuffix(c.path, "/") || rest[0] == '/') {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b storedCookie) int {
		return cmp.Or(cmp.Compare(len(b.path), len(a.path)), cmp.Compare(a.order, b.order))
	})
	return list
}

// readable are those of shown that scripts may read.
func (s *cookieStore) readable(host, path string) []storedCookie {
	return slices.DeleteFunc(s.shown(host, path), func(c storedCookie) bool { return c.httpOnly })
}

// remove takes cookies away.
func (s *cookieStore) remove(list []storedCookie) {
	for _, c := range list {
		c.removed = true
		s.store(c, false)
	}
}

// cookieField writes cookies as a Cookie field does.
func cookieField(list []storedCookie) string {
	var parts []string
	for _, c := range list {
		if c.name == "" {
			parts = append(parts, c.value)
			continue
		}
		parts = append(parts, c.name+"="+c.value)
	}
	return strings.Join(parts, "; ")
}

// byName is a Cookie field with the cookies of different names in one order. Those of one name stay
// in theirs: of several paths the deepest comes first.
func byName(field string) string {
	parts := strings.Split(field, "; ")
	slices.SortStableFunc(parts, func(a, b string) int {
		x, _, _ := strings.Cut(a, "=")
		y, _, _ := strings.Cut(b, "=")
		return strings.Compare(x, y)
	})
	return strings.Join(parts, "; ")
}
