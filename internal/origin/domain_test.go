package origin

import (
	"strings"
	"testing"
)

func TestWithin(t *testing.T) {
	for _, c := range []struct {
		host, domain string
		want         bool
	}{
		{"example.com", "example.com", true},
		{"app.example.com", "example.com", true},
		{"a.b.example.com", "example.com", true},
		{"example.com", "app.example.com", false},
		{"notexample.com", "example.com", false},
		{"example.com.evil.org", "example.com", false},
		{"example.org", "example.com", false},
		{"com", "example.com", false},
		{"", "example.com", false},
		{"example.com.", "example.com", false}, // another host to a browser's cookies
		{"app.example.com:443", "example.com", false},
		{"evil.org/.example.com", "example.com", true}, // no host of any request; For is asked about hosts
	} {
		if got := Within(c.host, c.domain); got != c.want {
			t.Errorf("Within(%q, %q) = %t, want %t", c.host, c.domain, got, c.want)
		}
	}
}

func TestLoopback(t *testing.T) {
	for _, c := range []struct {
		host string
		want bool // for browsers; servers differ on names below localhost
	}{
		{"localhost", true},
		{"app.localhost", true},
		{"127.0.0.1", true},
		{"127.255.255.254", true},
		{"::1", true},
		{"[::1]", true},
		{"::ffff:127.0.0.1", true},
		{"[::ffff:7f00:1]", true},
		{"", false},
		{"[]", false},
		{"localhost.evil.com", false},
		{"localhost.", false},
		{"evil-localhost", false},
		{"notlocalhost", false},
		{"127.0.0.1.evil.com", false},
		{"127.1", false},
		{"127.0.0.1.", false},
		{"127.0.0.01", false},
		{"0x7f.0.0.1", false},
		{"2130706433", false},
		{"0.0.0.0", false},
		{"::", false},
		{"[::]", false},
		{"::ffff:10.0.0.1", false},
		{"10.0.0.1", false},
		{"169.254.169.254", false},
		{"128.0.0.1", false},
		{"127.0.0.1:80", false},
		{"example.com", false},
	} {
		if got := LoopbackForBrowser(c.host); got != c.want {
			t.Errorf("LoopbackForBrowser(%q) = %t, want %t", c.host, got, c.want)
		}
		want := c.want && !strings.HasSuffix(c.host, ".localhost")
		if got := LoopbackForServer(c.host); got != want {
			t.Errorf("LoopbackForServer(%q) = %t, want %t", c.host, got, want)
		}
	}
}

func TestValidateCookieDomain(t *testing.T) {
	for domain, want := range map[string]string{
		"example.com":        "",
		"intra.example.com":  "",
		"me.github.io":       "",
		"":                   "must be a domain in lower case",
		".example.com":       "must be a domain in lower case",
		"Example.com":        "must be a domain in lower case",
		"example.com:443":    "must be a domain in lower case",
		"my_app.example.com": "must be a domain in lower case",
		"127.0.0.1":          "must be a domain, not an address",
		"localhost":          "must have a dot",
		"co.uk":              "is a public suffix",
		"github.io":          "is a public suffix",
	} {
		err := ValidateCookieDomain(domain)
		if (err == nil) != (want == "") || err != nil && !strings.HasPrefix(err.Error(), want) {
			t.Errorf("ValidateCookieDomain(%q) = %v, want %q", domain, err, want)
		}
	}
}

func TestCookieDomains(t *testing.T) {
	for host, want := range map[string]string{
		"app.staging.example.test": "app.staging.example.test staging.example.test example.test",
		"example.test":             "example.test",
		"app.example.co.uk":        "app.example.co.uk example.co.uk",
		"co.uk":                    "",
		"test":                     "",
		"localhost":                "",
		"192.0.2.1":                "",
		"[::1]":                    "",
		"":                         "",
		"a..example.test":          "",
	} {
		if got := strings.Join(CookieDomains(host), " "); got != want {
			t.Errorf("%q: got %q, want %q", host, got, want)
		}
	}
}
