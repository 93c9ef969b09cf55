package portal

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// cleared returns the places where an answer clears the jar's cookie: domains, and "host" for the
// host alone. They must come before the cookie that it sets, which would be lost otherwise.
func cleared(t *testing.T, set []*http.Cookie, name string) (places []string) {
	t.Helper()
	given := false
	for _, c := range set {
		switch {
		case c.Name != name:
		case c.MaxAge >= 0:
			given = true
		case given:
			t.Errorf("the cookie is cleared after it was set: %s", c)
		default:
			places = append(places, cmp.Or(c.Domain, "host"))
		}
	}
	slices.Sort(places)
	return places
}

// A sign-in takes, whatever the browser has left from another cookie_domain, and takes nothing away
// from a gateway on a domain above.
func TestSignInsClearOlderCookiesOfTheJar(t *testing.T) {
	const foreign = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for _, c := range []struct {
		name, domain string
		cookies      func(own, other string) []string
		clears       string
	}{
		{"no cookie", "example.com", func(string, string) []string { return nil }, ""},
		{"one that may belong anywhere", "example.com", func(own, _ string) []string { return []string{own} }, "app.eu.example.com eu.example.com host"},
		{"two of this gateway", "eu.example.com", func(own, other string) []string { return []string{own, other} }, "app.eu.example.com example.com host"},
		{"one of another gateway", "eu.example.com", func(string, string) []string { return []string{foreign} }, ""},
		{"one of this and one of another gateway", "eu.example.com", func(own, _ string) []string { return []string{foreign, own} }, ""},
		{"a host alone", "", func(own, _ string) []string { return []string{own} }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newGateway(t, func(s *setup) { s.cookieDomain = c.domain })
			b, other := g.browser(), g.browser()
			b.host, other.host = "app.eu.example.com", "app.eu.example.com"
			b.signInAs("alice")
			other.signInAs("bob")
			name := b.jar().Name
			var pairs []string
			for _, value := range c.cookies(b.cookie, other.cookie) {
				pairs = append(pairs, name+"="+value)
			}
			b.cookie = ""
			r := b.call("carol")
			r.Header.Set("Cookie", strings.Join(pairs, "; "))
			w := b.send(r)
			if got := strings.Join(cleared(t, w.Result().Cookies(), name), " "); got != c.clears {
				t.Errorf("cleared at %q, want %q", got, c.clears)
			}
			if b.cookie == "" {
				t.Error("the answer gives the browser no cookie")
			}
		})
	}
}

func TestSignOutClearsEveryCookieOfTheJar(t *testing.T) {
	g := newGateway(t, func(s *setup) { s.cookieDomain = "example.com" })
	b := g.browser()
	b.signInAs("alice")
	name := b.jar().Name
	w := b.post("/.auth/sign-out", "{}")
	if got := strings.Join(cleared(t, w.Result().Cookies(), name), " "); got != "app.example.com example.com host" {
		t.Errorf("cleared at %q", got)
	}
}

// Nobody is told to sign in again and again without a word.
func TestTheSignInPageTellsOfCookiesInDoubt(t *testing.T) {
	const advice = "several cookies for the accounts of this site"
	g := newGateway(t, func(s *setup) { s.cookieDomain = "example.com" })
	b, other := g.browser(), g.browser()
	b.signInAs("alice")
	other.signInAs("bob")
	name, own, foreign := b.jar().Name, b.cookie, session.NewToken().Reveal()
	b.cookie = ""
	for cookies, told := range map[string]bool{
		name + "=" + own + "; " + name + "=" + other.cookie:                    true,
		name + "=" + foreign + "; " + name + "=" + session.NewToken().Reveal(): false,
		name + "=" + foreign:                              false,
		strings.Repeat(name+"=x; ", 5) + name + "=" + own: true,
	} {
		w := b.get("/.auth/sign-in", "Cookie", cookies)
		if got := strings.Contains(w.Body.String(), advice); got != told {
			t.Errorf("%s: the page tells: %t, want %t", cookies, got, told)
		}
	}
}
