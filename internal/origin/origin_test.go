package origin

import (
	"net/url"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := map[string]struct{ text, origin string }{
		"plain":            {"https://spa.example.com", "https://spa.example.com"},
		"upper case":       {"HTTPS://Spa.Example.COM", "https://spa.example.com"},
		"own port":         {"https://spa.example.com:443", "https://spa.example.com"},
		"own port of http": {"http://spa.example.com:80", "http://spa.example.com"},
		"port":             {"http://localhost:5173", "http://localhost:5173"},
		"other's port":     {"http://spa.example.com:443", "http://spa.example.com:443"},
		"IPv4":             {"http://127.0.0.1:3000", "http://127.0.0.1:3000"},
		"IPv6":             {"http://[::1]:3000", "http://[::1]:3000"},
		"IPv6 spelled out": {"https://[2001:DB8:0::1]", "https://[2001:db8::1]"},
		"punycode":         {"https://xn--bcher-kva.example", "https://xn--bcher-kva.example"},
		"underscore":       {"https://my_app.example", "https://my_app.example"},

		"empty":            {"", ""},
		"no scheme":        {"spa.example.com", ""},
		"other scheme":     {"ftp://spa.example.com", ""},
		"slash at the end": {"https://spa.example.com/", ""},
		"path":             {"https://spa.example.com/app", ""},
		"query":            {"https://spa.example.com?x", ""},
		"wildcard":         {"https://*.example.com", ""},
		"user name":        {"https://x@spa.example.com", ""},
		"white space":      {" https://spa.example.com", ""},
		"null":             {"null", ""},
		"no host":          {"https://", ""},
		"port only":        {"https://:443", ""},
		"dot at the end":   {"https://spa.example.com.", ""},
		"other letters":    {"https://bücher.example", ""},
		"odd IPv4":         {"https://127.1", ""},
		"hexadecimal IPv4": {"https://0x7f000001", ""},
		"number at end":    {"https://example.1", ""},
		"IPv6 zone":        {"https://[fe80::1%25eth0]", ""},
		"IPv6 unclosed":    {"https://[::1", ""},
		"IPv4 in brackets": {"https://[127.0.0.1]", ""},
		"port 0":           {"https://spa.example.com:0", ""},
		"port too high":    {"https://spa.example.com:65536", ""},
		"port with a sign": {"https://spa.example.com:+443", ""},
		"too long":         {"https://" + strings.Repeat("a.", 130) + "example", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			origin, err := Parse(test.text)
			if (err != nil) != (test.origin == "") || origin != test.origin {
				t.Errorf("%q: got %q, %v; want %q", test.text, origin, err, test.origin)
			}
		})
	}
}

func TestCut(t *testing.T) {
	tests := map[string]struct{ url, origin, rest string }{
		"no path":           {"https://app.example.com", "https://app.example.com", ""},
		"path":              {"HTTPS://App.example.com:443/A?b#c", "https://app.example.com", "/A?b#c"},
		"query":             {"https://app.example.com?b", "https://app.example.com", "?b"},
		"fragment":          {"http://[::1]:80#c", "http://[::1]", "#c"},
		"backslash":         {`https://app.example.com\@evil.example/`, "", ""},
		"user name":         {"https://app.example.com@evil.example/", "", ""},
		"colon and no port": {"https://app.example.com:/", "", ""},
		"one slash":         {"https:/app.example.com/", "", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			origin, rest, err := Cut(test.url)
			if (err != nil) != (test.origin == "") || origin != test.origin || rest != test.rest {
				t.Errorf("Cut(%q) = %q, %q, %v; want %q, %q", test.url, origin, rest, err, test.origin, test.rest)
			}
		})
	}
}

func TestOfURL(t *testing.T) {
	for text, want := range map[string]string{
		"https://Login.example.com/a":   "https://login.example.com:443",
		"http://login.example.com?x":    "http://login.example.com:80",
		"http://login.example.com:8080": "http://login.example.com:8080",
		"https://x@[::1]:443/":          "https://[::1]:443",
	} {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := OfURL(u); got != want {
			t.Errorf("OfURL(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestWithoutPort(t *testing.T) {
	for hostport, want := range map[string]string{
		"app.example.com":     "app.example.com",
		"app.example.com:443": "app.example.com",
		"[::1]":               "[::1]",
		"[::1]:8080":          "[::1]",
		":80":                 "",
		"":                    "",
	} {
		if got := WithoutPort(hostport); got != want {
			t.Errorf("WithoutPort(%q) = %q, want %q", hostport, got, want)
		}
	}
	if got := Host("http://[::1]:8080"); got != "[::1]" {
		t.Errorf("Host = %q", got)
	}
}

func TestParseHostName(t *testing.T) {
	for host, want := range map[string]string{
		"A.Example.COM":                     "a.example.com",
		"my_app.example.com":                "my_app.example.com",
		"127.0.0.1":                         "127.0.0.1",
		"":                                  "",
		"a..example.com":                    "",
		"a.example.com.":                    "",
		"a.example.com:443":                 "",
		"[::1]":                             "",
		"b\u00fccher.example.com":           "",
		strings.Repeat("a", MaxHostBytes):   strings.Repeat("a", MaxHostBytes),
		strings.Repeat("a", MaxHostBytes+1): "",
	} {
		if got, err := ParseHostName(host); got != want || (err != nil) != (want == "") {
			t.Errorf("ParseHostName(%q) = %q, %v; want %q", host, got, err, want)
		}
	}
}

// FuzzParse checks that a canonical origin stays as it is, and that net/url reads it as the same
// one.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"https://spa.example.com:8443", "HTTP://[::1]:80", "https://0x7f.1", "https://a@b", "http://127.0.0.1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		origin, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(origin); err != nil || again != origin {
			t.Fatalf("%q became %q and then %q, %v", text, origin, again, err)
		}
		u, err := url.Parse(origin)
		if err != nil || u.Scheme+"://"+u.Host != origin || u.User != nil {
			t.Fatalf("net/url reads %q as %v, %v", origin, u, err)
		}
	})
}
