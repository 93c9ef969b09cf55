package isolation

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

// Limits of browsers: RFC 6265bis, section 5.6, and Chromium's bounds for the cookies of one site.
const (
	storeMaxPair      = 4096
	storeMaxAttribute = 1024
	storeMaxSite      = 180
	storeKeptOfSite   = 150
	storeMaxAge       = 400 * 24 * time.Hour
)

// browserStore is the cookie store of one browser, for all hosts, as RFC 6265bis describes it and
// Chromium implements it.
type browserStore struct {
	cookies []browserCookie
	now     time.Time

	// renew has a cookie that is overwritten with another value count as created anew, as Chromium
	// does it. RFC 6265bis keeps the time of the first.
	renew bool

	// unbounded turns eviction off.
	unbounded bool

	// onEvict is called for each cookie that makes room for others.
	onEvict func(browserCookie)

	made int
}

type browserSameSite int

const (
	sameSiteUnset browserSameSite = iota
	sameSiteLax
	sameSiteStrict
	sameSiteNone
)

type browserCookie struct {
	name, value, path string
	domain            string // the host for a host-only cookie
	partition         string // the top-level site of a partitioned cookie
	hostOnly          bool
	secure, httpOnly  bool
	sameSite          browserSameSite
	expires           time.Time // zero until the browser closes
	order             int       // of creation
	used              int       // of the last access
}

// browserKey is what tells two cookies apart.
type browserKey struct {
	name, domain, path, partition string
	hostOnly                      bool
}

func (c *browserCookie) key() browserKey {
	return browserKey{c.name, c.domain, c.path, c.partition, c.hostOnly}
}

// browserRequest is the place of a request or of a page.
type browserRequest struct {
	https     bool
	host      string
	path      string
	top       string // the site of the tab, empty for that of the host
	crossSite bool   // another site has caused the request
	topLevel  bool   // it navigates a tab
	safe      bool   // its method is safe
}

func (r *browserRequest) trusted() bool { return r.https || origin.LoopbackForBrowser(r.host) }

// siteOf returns the registrable domain of a host.
func siteOf(host string) string {
	labels := strings.Split(host, ".")
	return strings.Join(labels[max(0, len(labels)-2):], ".")
}

func publicSuffix(domain string) bool { return !strings.Contains(domain, ".") }

func (r *browserRequest) partition() string {
	if r.top != "" {
		return r.top
	}
	return siteOf(r.host)
}

func domainMatches(host, domain string) bool {
	return host == domain || strings.HasSuffix(host, "."+domain)
}

func pathMatches(path, cookiePath string) bool {
	return path == cookiePath ||
		strings.HasPrefix(path, cookiePath) && (strings.HasSuffix(cookiePath, "/") || path[len(cookiePath)] == '/')
}

func storeDefaultPath(path string) string {
	if i := strings.LastIndexByte(path, '/'); i > 0 && path[0] == '/' {
		return path[:i]
	}
	return "/"
}

func spaceTrimmed(text string) string { return strings.Trim(text, " \t") }

// parse reads a Set-Cookie field, or what a script assigns to document.cookie. It is false for what
// a browser ignores whatever its store holds.
func (b *browserStore) parse(r browserRequest, line string, byScript bool) (c browserCookie, ok bool) {
	if strings.ContainsFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7f }) {
		return c, false
	}
	pair, attributes, _ := strings.Cut(line, ";")
	name, value, found := strings.Cut(pair, "=")
	if !found {
		name, value = "", pair
	}
	c.name, c.value = spaceTrimmed(name), spaceTrimmed(value)
	if c.name == "" && c.value == "" || len(c.name)+len(c.value) > storeMaxPair {
		return c, false
	}
	c.path, c.domain, c.hostOnly = storeDefaultPath(r.path), r.host, true
	var maxAge, domain string
	isPartitioned := false
	for attribute := range strings.SplitSeq(attributes, ";") {
		key, v, _ := strings.Cut(attribute, "=")
		if v = spaceTrimmed(v); len(v) > storeMaxAttribute {
			continue
		}
		switch strings.ToLower(spaceTrimmed(key)) {
		case "path":
			if c.path = v; !strings.HasPrefix(v, "/") {
				c.path = storeDefaultPath(r.path)
			}
		case "domain":
			domain = strings.ToLower(strings.TrimPrefix(v, "."))
		case "expires":
			if at, ok := storeDate(v); ok {
				c.expires = at
			}
		case "max-age":
			if digits := strings.TrimPrefix(v, "-"); digits != "" && strings.Trim(digits, "0123456789") == "" {
				maxAge = v
			}
		case "secure":
			c.secure = true
		case "httponly":
			c.httpOnly = true
		case "partitioned":
			isPartitioned = true
		case "samesite":
			c.sameSite = map[string]browserSameSite{"lax": sameSiteLax, "strict": sameSiteStrict, "none": sameSiteNone}[strings.ToLower(v)]
		}
	}
	if maxAge != "" {
		seconds, err := strconv.ParseInt(maxAge, 10, 64)
		switch {
		case strings.HasPrefix(maxAge, "-"), err == nil && seconds == 0:
			c.expires = time.Unix(1, 0)
		case err != nil || seconds > int64(storeMaxAge/time.Second):
			c.expires = b.now.Add(storeMaxAge)
		default:
			c.expires = b.now.Add(time.Duration(seconds) * time.Second)
		}
	}
	if limit := b.now.Add(storeMaxAge); c.expires.After(limit) {
		c.expires = limit
	}
	if domain != "" && publicSuffix(domain) && domain == r.host {
		domain = ""
	}
	if domain != "" {
		if publicSuffix(domain) || !domainMatches(r.host, domain) {
			return c, false
		}
		c.domain, c.hostOnly = domain, false
	}
	if isPartitioned {
		c.partition = r.partition()
	}
	return c, b.allowed(r, &c, byScript)
}

// allowed reports whether a cookie's attributes go together and with the place that sets it.
func (b *browserStore) allowed(r browserRequest, c *browserCookie, byScript bool) bool {
	switch {
	case c.secure && !r.trusted(),
		c.partition != "" && !c.secure,
		c.sameSite == sameSiteNone && !c.secure,
		c.httpOnly && byScript,
		r.crossSite && !r.topLevel && c.sameSite != sameSiteNone:
		return false
	}
	name := strings.ToLower(c.name)
	if name == "" {
		name = strings.ToLower(c.value)
		for _, prefix := range []string{"__secure-", "__host-", "__http-", "__host-http-"} {
			if strings.HasPrefix(name, prefix) {
				return false
			}
		}
		return true
	}
	hostBound := c.secure && r.https && c.path == "/" && c.hostOnly
	switch {
	case strings.HasPrefix(name, "__host-http-"):
		return hostBound && c.httpOnly
	case strings.HasPrefix(name, "__host-"):
		return hostBound
	case strings.HasPrefix(name, "__http-"):
		return c.secure && c.httpOnly
	case strings.HasPrefix(name, "__secure-"):
		return c.secure
	}
	return true
}

// set does what a browser does with a Set-Cookie field.
func (b *browserStore) set(r browserRequest, line string) { b.store(r, line, false) }

// script does what a browser does when a page's script assigns to document.cookie.
func (b *browserStore) script(page browserRequest, line string) { b.store(page, line, true) }

func (b *browserStore) store(r browserRequest, line string, byScript bool) {
	b.expire()
	c, ok := b.parse(r, line, byScript)
	if !ok {
		return
	}
	if !c.secure && !r.trusted() {
		// Leave Secure Cookies Alone.
		for i := range b.cookies {
			o := &b.cookies[i]
			if o.secure && o.name == c.name && (domainMatches(o.domain, c.domain) || domainMatches(c.domain, o.domain)) && pathMatches(c.path, o.path) {
				return
			}
		}
	}
	i := b.find(c.key())
	if i >= 0 && byScript && b.cookies[i].httpOnly {
		return
	}
	b.made++
	c.order, c.used = b.made, b.made
	gone := !c.expires.IsZero() && !c.expires.After(b.now)
	switch {
	case i >= 0 && gone:
		b.cookies = slices.Delete(b.cookies, i, i+1)
	case i >= 0:
		if !b.renew || b.cookies[i].value == c.value {
			c.order = b.cookies[i].order
		}
		b.cookies[i] = c
	case !gone:
		b.cookies = append(b.cookies, c)
		b.evict(siteOf(r.host))
	}
}

func (b *browserStore) find(k browserKey) int {
	return slices.IndexFunc(b.cookies, func(c browserCookie) bool { return c.key() == k })
}

// remove takes a cookie out as if it had never been there.
func (b *browserStore) remove(k browserKey) {
	if i := b.find(k); i >= 0 {
		b.cookies = slices.Delete(b.cookies, i, i+1)
	}
}

// expire drops what has expired.
func (b *browserStore) expire() {
	b.cookies = slices.DeleteFunc(b.cookies, func(c browserCookie) bool { return !c.expires.IsZero() && !c.expires.After(b.now) })
}

// evict makes room once a site has too many cookies: those that are not Secure go first, and of
// them those that were not used for longest.
func (b *browserStore) evict(site string) {
	if b.unbounded {
		return
	}
	var of []browserCookie
	for _, c := range b.cookies {
		if siteOf(c.domain) == site {
			of = append(of, c)
		}
	}
	if len(of) <= storeMaxSite {
		return
	}
	slices.SortFunc(of, func(a, b browserCookie) int {
		if a.secure != b.secure {
			if b.secure {
				return -1
			}
			return 1
		}
		return cmp.Compare(a.used, b.used)
	})
	for _, c := range of[:len(of)-storeKeptOfSite] {
		b.remove(c.key())
		if b.onEvict != nil {
			b.onEvict(c)
		}
	}
}

// restart drops the cookies that last until the browser closes.
func (b *browserStore) restart() {
	b.cookies = slices.DeleteFunc(b.cookies, func(c browserCookie) bool { return c.expires.IsZero() })
}

// shown are the cookies that a request shows, in order.
func (b *browserStore) shown(r browserRequest) []browserCookie {
	b.expire()
	var list []browserCookie
	for _, c := range b.cookies {
		switch {
		case c.hostOnly && c.domain != r.host, !domainMatches(r.host, c.domain),
			!pathMatches(r.path, c.path),
			c.secure && !r.trusted(),
			c.partition != "" && c.partition != r.partition(),
			r.crossSite && c.sameSite == sameSiteStrict,
			r.crossSite && c.sameSite != sameSiteNone && !(r.topLevel && r.safe):
			continue
		}
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b browserCookie) int {
		return cmp.Or(cmp.Compare(len(b.path), len(a.path)), cmp.Compare(a.order, b.order))
	})
	return list
}

// request returns the cookies that a request shows, and notes that they were used.
func (b *browserStore) request(r browserRequest) []string {
	list := b.shown(r)
	b.made++
	for _, c := range list {
		b.cookies[b.find(c.key())].used = b.made
	}
	return written(list)
}

// document is what a page's script reads as document.cookie.
func (b *browserStore) document(page browserRequest) []browserCookie {
	page.crossSite = false
	return slices.DeleteFunc(b.shown(page), func(c browserCookie) bool { return c.httpOnly })
}

// written are cookies as a Cookie field has them.
func written(list []browserCookie) []string {
	var parts []string
	for _, c := range list {
		if c.name == "" {
			parts = append(parts, c.value)
		} else {
			parts = append(parts, c.name+"="+c.value)
		}
	}
	return parts
}

var storeMonths = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}

// storeDate reads a date as RFC 6265, section 5.1.1 does.
func storeDate(text string) (time.Time, bool) {
	tokens := strings.FieldsFunc(text, func(c rune) bool {
		return !('0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == ':' || c >= 0x7f)
	})
	clock, day, month, year := "", -1, -1, -1
	for _, token := range tokens {
		number, err := strconv.Atoi(token)
		switch {
		case clock == "" && strings.Count(token, ":") == 2:
			clock = token
		case day < 0 && err == nil && len(token) <= 2:
			day = number
		case month < 0 && len(token) >= 3 && slices.Contains(storeMonths, strings.ToLower(token[:3])):
			month = slices.Index(storeMonths, strings.ToLower(token[:3])) + 1
		case year < 0 && err == nil && len(token) <= 4 && len(token) >= 2:
			if year = number; year >= 70 && year <= 99 {
				year += 1900
			} else if year < 70 {
				year += 2000
			}
		}
	}
	at, err := time.Parse("15:4:5", clock)
	if err != nil || day < 1 || day > 31 || month < 1 || year < 1601 {
		return time.Time{}, false
	}
	return time.Date(year, time.Month(month), day, at.Hour(), at.Minute(), at.Second(), 0, time.UTC), true
}
