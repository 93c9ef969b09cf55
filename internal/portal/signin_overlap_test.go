package portal

import (
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// form returns the request of a sign-in by the page's form, with the browser's cookies of now.
func (b *browser) form(name string) *http.Request {
	b.t.Helper()
	form := url.Values{"identifier": {name}, "password": {name + "-password"}}
	return b.request(http.MethodPost, "/.auth/sign-in", form.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Mode", "navigate")
}

// call returns the request of a sign-in by the API, with the browser's cookies of now.
func (b *browser) call(name string) *http.Request {
	b.t.Helper()
	body := fmt.Sprintf(`{"username":%q,"password":%q}`, name, name+"-password")
	return b.request(http.MethodPost, "/.auth/sign-in/username", body, "Content-Type", "application/json", "Sec-Fetch-Mode", "cors")
}

// A form that is sent twice, an answer that gets lost, several sign-ins at once: every request has
// the cookie that the browser had before the first answer.
func TestSignInsThatOverlapKeepTheOtherAccounts(t *testing.T) {
	for _, c := range []struct {
		name string
		send func(b *browser) []*http.Request
		want string
	}{
		{"form sent twice", func(b *browser) []*http.Request { return []*http.Request{b.form("bob"), b.form("bob")} }, "alice *bob"},
		{"call sent twice", func(b *browser) []*http.Request { return []*http.Request{b.call("bob"), b.call("bob")} }, "alice *bob"},
		{"two accounts at once", func(b *browser) []*http.Request { return []*http.Request{b.call("bob"), b.call("carol")} }, "alice bob *carol"},
	} {
		for _, domain := range []string{"", "example.com"} {
			t.Run(c.name+" with cookie_domain "+domain, func(t *testing.T) {
				g := newGateway(t, func(s *setup) { s.cookieDomain = domain })
				b := g.browser()
				b.confirms = true
				b.signInAs("alice")
				var cookies []string
				for _, r := range c.send(b) {
					if w := b.send(r); w.Code != http.StatusOK && w.Code != http.StatusSeeOther {
						t.Fatalf("answered %d %s", w.Code, w.Body)
					}
					cookies = append(cookies, b.cookie)
					g.clock.advance(100 * time.Millisecond)
				}
				for _, b.cookie = range cookies { // whichever answer comes last
					if got := b.names(); got != c.want {
						t.Errorf("signed in are %q, want %q", got, c.want)
					}
				}
			})
		}
	}
}

// A host of the domain has planted the token of the attacker's jar, and the attacker moves the jar
// just before the victim signs in. The victim's account must not land in it.
func TestASignInJoinsNoPlantedJar(t *testing.T) {
	g := newGateway(t, func(s *setup) { s.cookieDomain = "example.com" })
	attacker, victim := g.browser(), g.browser()
	attacker.confirms, victim.confirms = true, true
	attacker.signInAs("frank")
	victim.cookie = attacker.cookie
	attacker.send(attacker.call("erin"))
	victim.send(victim.call("alice"))
	if got := victim.names(); got != "*alice" {
		t.Errorf("the victim has %q, want only alice", got)
	}
	if got := attacker.names(); got != "frank *erin" {
		t.Errorf("the attacker has %q, want frank and erin", got)
	}
}

// The sign-out is acknowledged, so the accounts that its browser had must have ended.
func TestSignOutAmongSignInsEndsTheAccounts(t *testing.T) {
	g := newGateway(t)
	b := g.browser()
	b.signInAs("alice")
	out := b.request(http.MethodPost, "/.auth/sign-out", "{}", "Content-Type", "application/json", "Sec-Fetch-Mode", "cors")
	b.send(b.call("bob"))
	moved := b.cookie
	if w := b.send(out); w.Code != http.StatusOK {
		t.Fatalf("answered %d %s", w.Code, w.Body)
	}
	b.cookie = moved
	if got := b.names(); got != "*bob" {
		t.Errorf("signed in are %q, want bob alone", got)
	}
}
