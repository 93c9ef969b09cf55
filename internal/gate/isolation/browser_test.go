package isolation

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"
)

// profile is the cookies of a browser at one host, kept and sent as RFC 6265bis says.
type profile struct {
	host    string
	now     time.Time
	cookies []storedCookie
	made    int
}

type storedCookie struct {
	name, value, path, domain string
	httpOnly                  bool
	expires                   time.Time
	order                     int
}

// set does what a browser does with a Set-Cookie field of an answer to a request for the path.
func (p *profile) set(path, line string) {
	pair, attributes, _ := strings.Cut(line, ";")
	name, value, _ := strings.Cut(pair, "=")
	p.store(path, strings.TrimSpace(name), strings.TrimSpace(value), attributes, false)
}

// script does what a browser does when a script of a page sets document.cookie.
func (p *profile) script(path, line string) {
	pair, attributes, _ := strings.Cut(line, ";")
	name, value, _ := strings.Cut(pair, "=")
	p.store(path, name, value, attributes, true)
}

func (p *profile) store(path, name, value, attributes string, byScript bool) {
	c := storedCookie{name: name, value: value, path: "/"}
	if i := strings.LastIndexByte(path, '/'); i > 0 {
		c.path = path[:i]
	}
	if len(name)+len(value) > 4096 {
		return
	}
	gone := false
	for attribute := range strings.SplitSeq(attributes, ";") {
		key, v, _ := strings.Cut(strings.TrimSpace(attribute), "=")
		switch strings.ToLower(key) {
		case "path":
			c.path = v
		case "domain":
			if c.domain = v; p.host != v && !strings.HasSuffix(p.host, "."+v) {
				return
			}
		case "httponly":
			c.httpOnly = true
		case "max-age":
			gone = v == "0" || strings.HasPrefix(v, "-")
		case "expires":
			at, err := http.ParseTime(v)
			if err != nil {
				panic(err)
			}
			c.expires = at
			gone = !at.After(p.now)
		}
	}
	i := slices.IndexFunc(p.cookies, func(o storedCookie) bool { return o.name == c.name && o.path == c.path && o.domain == c.domain })
	if byScript && (c.httpOnly || i >= 0 && p.cookies[i].httpOnly) {
		return
	}
	p.made++
	c.order = p.made
	switch {
	case i >= 0 && gone:
		p.cookies = slices.Delete(p.cookies, i, i+1)
	case i >= 0:
		c.order = p.cookies[i].order
		p.cookies[i] = c
	case !gone:
		p.cookies = append(p.cookies, c)
	}
}

// shown are the cookies that a request for the path shows, in order.
func (p *profile) shown(path string) []storedCookie {
	var list []storedCookie
	for _, c := range p.cookies {
		if path == c.path || strings.HasPrefix(path, c.path) && (strings.HasSuffix(c.path, "/") || path[len(c.path)] == '/') {
			list = append(list, c)
		}
	}
	slices.SortFunc(list, func(a, b storedCookie) int {
		return cmp.Or(cmp.Compare(len(b.path), len(a.path)), cmp.Compare(a.order, b.order))
	})
	return list
}

func join(list []storedCookie) string {
	var parts []string
	for _, c := range list {
		parts = append(parts, c.name+"="+c.value)
	}
	return strings.Join(parts, "; ")
}

// header is the Cookie field of a request.
func (p *profile) header(path string) string { return join(p.shown(path)) }

// document is what a page's script sees as document.cookie.
func (p *profile) document(path string) string {
	return join(slices.DeleteFunc(p.shown(path), func(c storedCookie) bool { return c.httpOnly }))
}
