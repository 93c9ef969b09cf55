package cookie

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

func TestFor(t *testing.T) {
	for _, c := range []struct {
		name    string
		options Options
		https   bool
		host    string
		want    Spec
		err     error
	}{
		{"https", Options{}, true, "app.example.com", Spec{Name: NameHost, Secure: true}, nil},
		{"https on loopback", Options{}, true, "localhost", Spec{Name: NameHost, Secure: true}, nil},
		{"https, insecure allowed", Options{InsecureHTTP: true}, true, "app.example.com", Spec{Name: NameHost, Secure: true}, nil},
		{"https, domain", Options{Domain: "example.com"}, true, "app.example.com", Spec{Name: NameDomain, Domain: "example.com", Secure: true}, nil},
		{"https, the domain itself", Options{Domain: "example.com"}, true, "example.com", Spec{Name: NameDomain, Domain: "example.com", Secure: true}, nil},
		{"https, outside of the domain", Options{Domain: "example.com"}, true, "example.org", Spec{Name: NameHost, Secure: true}, nil},
		{"https, a name that ends alike", Options{Domain: "example.com"}, true, "notexample.com", Spec{Name: NameHost, Secure: true}, nil},
		{"https, no host", Options{Domain: "example.com"}, true, "", Spec{Name: NameHost, Secure: true}, nil},
		{"http on loopback", Options{}, false, "localhost", Spec{Name: NamePlain}, nil},
		{"http on an address of loopback", Options{}, false, "127.0.0.1", Spec{Name: NamePlain}, nil},
		{"http on loopback, domain of another", Options{Domain: "example.com"}, false, "[::1]", Spec{Name: NamePlain}, nil},
		{"http on loopback, domain below localhost", Options{Domain: "app.localhost"}, false, "a.app.localhost", Spec{Name: NamePlain, Domain: "app.localhost"}, nil},
		{"http", Options{}, false, "app.example.com", Spec{}, ErrInsecure},
		{"http, domain", Options{Domain: "example.com"}, false, "app.example.com", Spec{}, ErrInsecure},
		{"http, no host", Options{}, false, "", Spec{}, ErrInsecure},
		{"http on a private address", Options{}, false, "192.168.1.1", Spec{}, ErrInsecure},
		{"http, insecure allowed", Options{InsecureHTTP: true}, false, "app.example.com", Spec{Name: NamePlain}, nil},
		{"http, insecure allowed, domain", Options{InsecureHTTP: true, Domain: "example.com"}, false, "app.example.com", Spec{Name: NamePlain, Domain: "example.com"}, nil},
	} {
		got, err := c.options.For(c.https, c.host)
		if got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: For = %+v, %v; want %+v, %v", c.name, got, err, c.want, c.err)
		}
	}
}

const (
	text1 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
	text2 = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8"
)

// readToken returns the token of a request's jar cookie.
func readToken(jar Spec, h http.Header) session.Token {
	c := jar.Parse(h)
	return c.Token()
}

func TestRead(t *testing.T) {
	want, err := session.ParseToken(text1)
	if err != nil {
		t.Fatal(err)
	}
	for _, jar := range []Spec{{Name: NameHost}, {Name: NameDomain}, {Name: NamePlain}} {
		n := jar.Name
		for _, c := range []struct {
			name  string
			lines []string
			ok    bool
		}{
			{"alone", []string{n + "=" + text1}, true},
			{"first", []string{n + "=" + text1 + "; a=1"}, true},
			{"last", []string{"a=1; " + n + "=" + text1}, true},
			{"without a space", []string{"a=1;" + n + "=" + text1 + ";b=2"}, true},
			{"spaces and tabs around", []string{"a=1; \t" + n + "\t = \t" + text1 + " \t; b=2"}, true},
			{"second line", []string{"a=1", n + "=" + text1}, true},
			{"behind an open quote of another cookie", []string{`a="1; ` + n + "=" + text1 + `; b=2"`}, true},
			{"names of other sites beside it", []string{"multi_session_x=1; xmulti_session=2; " + n + "=" + text1}, true},
			{"name in another case beside it", []string{strings.ToUpper(n) + "=" + text2 + "; " + n + "=" + text1}, true},

			{"none", nil, false},
			{"empty line", []string{""}, false},
			{"another's", []string{"a=" + text1}, false},
			{"other case", []string{strings.ToUpper(n) + "=" + text1}, false},
			{"empty value", []string{n + "="}, false},
			{"no equals sign", []string{n}, false},
			{"quoted", []string{n + `="` + text1 + `"`}, false},
			{"one short", []string{n + "=" + text1[:42]}, false},
			{"one long", []string{n + "=" + text1 + "A"}, false},
			{"padded", []string{n + "=" + text1 + "="}, false},
			{"stray bits", []string{n + "=" + text1[:42] + "9"}, false},
			{"oversized", []string{n + "=" + strings.Repeat("A", 1<<20)}, false},
			{"space within", []string{n + "=" + text1[:20] + " " + text1[20:]}, false},
			{"comma behind", []string{n + "=" + text1 + ",a=1"}, false},
			{"behind a comma", []string{"a=1," + n + "=" + text1}, false},
			{"value without a name", []string{"=" + n + "=" + text1}, false},
			{"not ASCII space before the name", []string{"\u00a0" + n + "=" + text1}, false},

			{"twice on a line", []string{n + "=" + text1 + "; " + n + "=" + text2}, false},
			{"twice the same", []string{n + "=" + text1 + "; " + n + "=" + text1}, false},
			{"twice on two lines", []string{n + "=" + text1, n + "=" + text2}, false},
			{"malformed one first", []string{n + "=x; " + n + "=" + text1}, false},
			{"malformed one last", []string{n + "=" + text1 + "; " + n + "=x"}, false},
			{"empty one beside it", []string{n + "=; " + n + "=" + text1}, false},
			{"one without equals sign beside it", []string{n + "; " + n + "=" + text1}, false},
			{"malformed one on another line", []string{n + "=" + text1, "a=1; " + n + "=x"}, false},
		} {
			got := readToken(jar, http.Header{"Cookie": c.lines})
			if c.ok && got != want || !c.ok && !got.IsZero() {
				t.Errorf("%s, %s: Read = zero %t, want the token: %t", n, c.name, got.IsZero(), c.ok)
			}
		}
	}
}

// A cookie of another name of the gateway's, which another site of the domain may set, is not this
// site's jar and does not get in its way.
func TestReadTakesItsOwnNameOnly(t *testing.T) {
	all := []Spec{{Name: NameHost}, {Name: NameDomain}, {Name: NamePlain}}
	for _, set := range all {
		h := http.Header{"Cookie": {set.Name + "=" + text1}}
		for _, jar := range all {
			if got := readToken(jar, h); got.IsZero() == (jar == set) {
				t.Errorf("%s was set; %s reads zero %t", set.Name, jar.Name, got.IsZero())
			}
		}
	}
	h := http.Header{"Cookie": {NamePlain + "=" + text2 + "; " + NameDomain + "=" + text2 + "; " + NameHost + "=" + text1}}
	if got := readToken((Spec{Name: NameHost}), h); got.IsZero() || got.Reveal() != text1 {
		t.Error("other names got in the way")
	}
}

func TestSetAndClear(t *testing.T) {
	token, err := session.ParseToken(text1)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		jar    Spec
		maxAge time.Duration
		set    string
		clear  string
	}{
		{
			"host", Spec{Name: NameHost, Secure: true}, 30 * 24 * time.Hour,
			"__Host-Http-multi_session=" + text1 + "; Path=/; Max-Age=2592000; HttpOnly; Secure; SameSite=Lax",
			"__Host-Http-multi_session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
		}, {
			"domain", Spec{Name: NameDomain, Domain: "example.com", Secure: true}, time.Hour,
			"__Secure-multi_session=" + text1 + "; Path=/; Domain=example.com; Max-Age=3600; HttpOnly; Secure; SameSite=Lax",
			"__Secure-multi_session=; Path=/; Domain=example.com; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
		}, {
			"plain", Spec{Name: NamePlain}, 1500 * time.Millisecond,
			"multi_session=" + text1 + "; Path=/; Max-Age=1; HttpOnly; SameSite=Lax",
			"multi_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
		}, {
			"until the browser closes", Spec{Name: NameHost, Secure: true}, 0,
			"__Host-Http-multi_session=" + text1 + "; Path=/; HttpOnly; Secure; SameSite=Lax",
			"__Host-Http-multi_session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax",
		},
	} {
		h := http.Header{"Set-Cookie": {"other=1"}}
		c.jar.Set(h, token, c.maxAge)
		c.jar.Clear(h)
		if got := h["Set-Cookie"]; len(got) != 3 || got[0] != "other=1" || got[1] != c.set || got[2] != c.clear {
			t.Errorf("%s: Set-Cookie is\n%s\nwant\nother=1\n%s\n%s", c.name, strings.Join(got, "\n"), c.set, c.clear)
		}
		// What is set is what is read back.
		name, value, _ := strings.Cut(strings.SplitN(h["Set-Cookie"][1], ";", 2)[0], "=")
		if got := readToken(c.jar, http.Header{"Cookie": {name + "=" + value}}); got != token {
			t.Errorf("%s: another token is read than was set", c.name)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(NameHost+"="+text1, "")
	f.Add("a=1; "+NameHost+"="+text1, NameHost+"="+text2)
	f.Add(NameHost+" = "+text1+";;=;"+NameHost, "x")
	f.Fuzz(func(t *testing.T, line1, line2 string) {
		h := http.Header{"Cookie": {line1, line2}}
		got := readToken(Spec{Name: NameHost}, h)
		// The same by way of net/http, which drops what it does not like: where that has the
		// cookie once and Read has it, it is the same one; where that has it twice, Read has none.
		cookies := (&http.Request{Header: h}).CookiesNamed(NameHost)
		if len(cookies) > 1 && !got.IsZero() {
			t.Fatalf("%q: a token although there are %d cookies", h["Cookie"], len(cookies))
		}
		if !got.IsZero() && (len(cookies) != 1 || strings.Trim(cookies[0].Value, " \t") != got.Reveal() || cookies[0].Quoted) {
			t.Fatalf("%q: a token, and net/http has %v", h["Cookie"], cookies)
		}
	})
}

func BenchmarkRead(b *testing.B) {
	jar := Spec{Name: NameHost}
	h := http.Header{"Cookie": {"_ga=GA1.1.1234567890.1700000000; grafana_session=0123456789abcdef; theme=dark; " + NameHost + "=" + text1}}
	b.ReportAllocs()
	for b.Loop() {
		if readToken(jar, h).IsZero() {
			b.Fatal("no token")
		}
	}
}
