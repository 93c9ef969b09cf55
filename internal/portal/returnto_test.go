package portal

import (
	"bufio"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/origin"
)

// hostileReturnTo reads the table that the browser test reads as well.
func hostileReturnTo(t testing.TB) []string {
	t.Helper()
	f, err := os.Open("testdata/hostile_return_to.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var values []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := lines.Text()
		if line == "" || line[0] == '#' {
			continue
		}
		value, err := strconv.Unquote(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		values = append(values, value)
	}
	return values
}

// trusting returns a portal that can check destinations and do nothing else.
func trusting(origins ...string) *Portal {
	p := &Portal{trusted: make(map[string]bool)}
	for _, origin := range origins {
		p.trusted[origin] = true
	}
	return p
}

var sites = map[string]Visitor{
	"host":        {Scheme: "https", Host: "app.example.com"},
	"host port":   {Scheme: "https", Host: "app.example.com:8443"},
	"domain":      {Scheme: "https", Host: "app.example.com", Cookie: cookie.Spec{Domain: "example.com"}},
	"plain":       {Scheme: "http", Host: "app.example.com", Cookie: cookie.Spec{Domain: "example.com"}},
	"loopback":    {Scheme: "http", Host: "127.0.0.1:9080"},
	"IPv6":        {Scheme: "http", Host: "[::1]:9080"},
	"single name": {Scheme: "https", Host: "localhost"},
}

func TestHostileReturnAddressesAreRefused(t *testing.T) {
	values := hostileReturnTo(t)
	if len(values) < 60 {
		t.Fatalf("the table has %d values only", len(values))
	}
	p := trusting("https://spa.example.org")
	for name, site := range sites {
		for _, value := range values {
			if _, ok := p.destination(site, value); ok {
				t.Errorf("%s: %q is accepted", name, value)
			}
			if _, ok := p.callback(site, value); ok {
				t.Errorf("%s: %q is accepted as callbackURL", name, value)
			}
		}
	}
	if _, ok := p.destination(sites["host"], "/"+strings.Repeat("x", maxReturnTo)); ok {
		t.Error("an address that is too long is accepted")
	}
}

func TestDestination(t *testing.T) {
	const refused = "refused"
	tests := map[string]struct {
		site, text string
		origin     string // that it leads to, empty for the site's own
	}{
		"root":                         {"host", "/", ""},
		"nothing":                      {"host", "", ""},
		"path":                         {"host", "/dashboard", ""},
		"longest":                      {"host", "/" + strings.Repeat("x", maxReturnTo-1), ""},
		"query and fragment":           {"host", "/d?a=1&b=%20#top", ""},
		"slashes later":                {"host", "/proxy//x", ""},
		"encoded slash later":          {"host", "/repo/a%2Fb", ""},
		"URL in the query":             {"host", "/go?to=https://evil.example//x", ""},
		"backslash in the query":       {"host", `/files?path=C:\temp`, ""},
		"backslash in the fragment":    {"host", `/files#C:\temp`, ""},
		"dots in the query":            {"host", "/x?file=../y", ""},
		"at sign at the front":         {"host", "/@alice", ""},
		"encoded tab":                  {"host", "/%09/evil.example", ""},
		"three dots":                   {"host", "/.../x", ""},
		"dots in a name":               {"host", "/a..b/.hidden", ""},
		"colon":                        {"host", "/https://evil.example", ""},
		"own origin":                   {"host", "https://app.example.com/x", ""},
		"own origin bare":              {"host", "https://app.example.com", ""},
		"own origin with query":        {"host", "https://app.example.com?x", ""},
		"own origin upper case":        {"host", "HTTPS://APP.Example.COM/X", ""},
		"own origin with its port":     {"host", "https://app.example.com:443/", ""},
		"own origin slashes":           {"host", "https://app.example.com//evil.example", ""},
		"own port":                     {"host port", "https://app.example.com:8443/", ""},
		"own address":                  {"loopback", "http://127.0.0.1:9080/x", ""},
		"own IPv6 address":             {"IPv6", "http://[::1]:9080/x", ""},
		"own IPv6 address spelled out": {"IPv6", "http://[0:0:0:0:0:0:0:1]:9080/x", ""},
		"trusted":                      {"host", "https://spa.example.org/x", "https://spa.example.org"},
		"trusted with its port":        {"host", "https://spa.example.org:443/x", "https://spa.example.org"},
		"sibling":                      {"domain", "https://wiki.example.com/x", "https://wiki.example.com"},
		"sibling on a port":            {"domain", "https://wiki.example.com:8443/", "https://wiki.example.com:8443"},
		"the domain itself":            {"domain", "https://example.com/", "https://example.com"},
		"sibling of a plain site":      {"plain", "http://wiki.example.com/", "http://wiki.example.com"},
		"from a plain site to HTTPS":   {"plain", "https://wiki.example.com/", "https://wiki.example.com"},

		"sibling without a domain":       {"host", "https://wiki.example.com/", refused},
		"other scheme":                   {"host", "http://app.example.com/", refused},
		"sibling in plain":               {"domain", "http://wiki.example.com/", refused},
		"own port missing":               {"host port", "https://app.example.com/", refused},
		"other port":                     {"host", "https://app.example.com:8443/", refused},
		"trusted on another port":        {"host", "https://spa.example.org:8443/", refused},
		"trusted in plain":               {"host", "http://spa.example.org/", refused},
		"below trusted":                  {"host", "https://x.spa.example.org/", refused},
		"ends like the domain":           {"domain", "https://evilexample.com/", refused},
		"domain further left":            {"domain", "https://example.com.evil.example/", refused},
		"sibling with a dot at the end":  {"domain", "https://wiki.example.com./", refused},
		"sibling with a user name":       {"domain", "https://x@wiki.example.com/", refused},
		"sibling with backslash in path": {"domain", `https://wiki.example.com\@evil.example/`, refused},
	}
	p := trusting("https://spa.example.org")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			to, ok := p.destination(sites[test.site], test.text)
			if ok == (test.origin == refused) {
				t.Fatalf("%q: accepted %v", test.text, ok)
			}
			if ok && (to.origin != test.origin || to.text != test.text) {
				t.Errorf("%q: got %+v, want origin %q", test.text, to, test.origin)
			}
		})
	}
}

func TestCallbackPathsAreHeldToMore(t *testing.T) {
	tests := map[string]struct {
		url string
		ok  bool
	}{
		"path":                    {"/welcome", true},
		"query":                   {"/welcome?next=https://x//y", true},
		"own origin":              {"https://app.example.com/welcome", true},
		"trusted":                 {"https://spa.example.org//welcome", true},
		"none":                    {"", true},
		"double slash later":      {"/a//b", false},
		"encoded slash later":     {"/a%2Fb", false},
		"encoded backslash later": {"/a%5cb", false},
		"backslash later":         {`/a\b`, false},
		"other origin":            {"https://evil.example/", false},
	}
	p := trusting("https://spa.example.org")
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if _, ok := p.callback(sites["host"], test.url); ok != test.ok {
				t.Errorf("%q: accepted %v", test.url, ok)
			}
		})
	}
}

// FuzzDestination compares accepted destinations with what a browser and net/url make of them.
func FuzzDestination(f *testing.F) {
	for _, value := range hostileReturnTo(f) {
		f.Add(value)
	}
	for _, value := range []string{
		"/", "/a//b?c=\\d", "https://app.example.com/x", "https://wiki.example.com:8443", "https://spa.example.org/#x", "http://[::1]:9080/", "https://127.0.0.1",
	} {
		f.Add(value)
	}
	p := trusting("https://spa.example.org")
	f.Fuzz(func(t *testing.T, text string) {
		for name, site := range sites {
			to, ok := p.destination(site, text)
			if !ok {
				if _, ok := p.callback(site, text); ok {
					t.Fatalf("%s: %q is accepted as callbackURL only", name, text)
				}
				continue
			}
			if to.text != text {
				t.Fatalf("%s: %q became %q", name, text, to.text)
			}
			want := to.origin
			if want == "" {
				want = site.Origin()
			}
			if got := browserOrigin(site.Origin(), text); got != want {
				t.Fatalf("%s: a browser goes to %q from %q, and not to %q", name, got, text, want)
			}
			base, _ := url.Parse(site.Origin())
			if u, err := base.Parse(text); err == nil && browserOrigin(site.Origin(), u.String()) != want {
				t.Fatalf("%s: net/url makes %q of %q", name, u, text)
			}
			switch {
			case want == site.Origin(), want == "https://spa.example.org":
			case site.Cookie.Domain == "" || !regexp.MustCompile(`^https?://([^/@]+\.)?example\.com(:[0-9]+)?$`).MatchString(want):
				t.Fatalf("%s: %q leads to %q", name, text, want)
			}
		}
	})
}

// FuzzOrigin compares accepted origins with what a browser makes of them.
func FuzzOrigin(f *testing.F) {
	for _, seed := range []string{"https://spa.example.com:8443", "HTTP://[::1]:80", "https://0x7f.1", "https://a@b", "http://127.0.0.1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		accepted, err := origin.Parse(text)
		if err != nil {
			return
		}
		if got := browserOrigin("https://other.example", text); got != accepted {
			t.Fatalf("a browser reads %q as %q, not as %q", text, got, accepted)
		}
	})
}

var absolute = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*):(.*)$`)

// browserOrigin returns the origin that a browser on a site goes to for a Location or link. It
// follows the parser of the WHATWG URL standard, section 4.4, as far as that decides the origin.
func browserOrigin(site, text string) string {
	text = strings.TrimFunc(text, func(c rune) bool { return c <= ' ' })
	text = strings.NewReplacer("\t", "", "\n", "", "\r", "").Replace(text)
	scheme, _, _ := strings.Cut(site, ":")
	rest := text
	if m := absolute.FindStringSubmatch(strings.ReplaceAll(text, "\n", "")); m != nil {
		own := scheme
		scheme, rest = strings.ToLower(m[1]), m[2]
		switch scheme {
		case "http", "https", "ws", "wss", "ftp":
		default:
			return "null"
		}
		if scheme == own && !strings.HasPrefix(rest, "//") {
			// The URL is relative to the site, as if the scheme were not there.
			if len(rest) < 2 || !isSlash(rest[0]) || !isSlash(rest[1]) {
				return site
			}
		}
	} else if len(rest) < 2 || !isSlash(rest[0]) || !isSlash(rest[1]) {
		return site
	}
	rest = strings.TrimLeft(rest, `/\`)
	if end := strings.IndexAny(rest, `/\?#`); end >= 0 {
		rest = rest[:end]
	}
	rest = rest[strings.LastIndexByte(rest, '@')+1:]
	host, err := url.PathUnescape(rest)
	if err != nil {
		return "null"
	}
	host = strings.ToLower(host)
	defaultPort := map[string]string{"http": ":80", "https": ":443"}[scheme]
	host = strings.TrimSuffix(host, ":")
	if defaultPort != "" {
		host = strings.TrimSuffix(host, defaultPort)
	}
	// Browsers write an IPv6 address in its compressed form. The tests use no other host that they
	// rewrite.
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, port, _ := strings.Cut(inner, "]")
		if there, err := origin.Parse("http://[" + inner + "]"); err == nil {
			host = origin.Host(there) + port
		}
	}
	return scheme + "://" + host
}

func isSlash(c byte) bool { return c == '/' || c == '\\' }
