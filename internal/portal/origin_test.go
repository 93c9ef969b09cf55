package portal

import (
	"strings"
	"testing"
)

func TestParseOrigin(t *testing.T) {
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
			origin, err := ParseOrigin(test.text)
			if (err != nil) != (test.origin == "") || origin != test.origin {
				t.Errorf("%q: got %q, %v; want %q", test.text, origin, err, test.origin)
			}
		})
	}
}

func FuzzParseOrigin(f *testing.F) {
	for _, seed := range []string{"https://spa.example.com:8443", "HTTP://[::1]:80", "https://0x7f.1", "https://a@b", "http://127.0.0.1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		origin, err := ParseOrigin(text)
		if err != nil {
			return
		}
		if again, err := ParseOrigin(origin); err != nil || again != origin {
			t.Fatalf("%q became %q and then %q, %v", text, origin, again, err)
		}
		if got := browserOrigin("https://other.example", text); got != origin {
			t.Fatalf("a browser reads %q as %q, not as %q", text, got, origin)
		}
	})
}
