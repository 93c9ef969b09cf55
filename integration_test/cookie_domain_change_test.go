package integration

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
)

// domainSite serves hosts over plain HTTP, so that their cookies need no prefix, and with a jar for a
// domain where one is named.
const domainSite = `{
	multi_session {
		insecure_http
		%s
		login password {
			throttle off
			%s
		}
	}
}
%s {
	multi_session
	reverse_proxy %s
}
`

// TestSignInsTakeAfterTheCookieDomainChanged signs in again and again in one browser while cookie_domain
// changes. Each sign-in must let the browser in, and it must end with one cookie of the jar.
func TestSignInsTakeAfterTheCookieDomainChanged(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	base := "http://app.eu.example.com:" + port(address)
	config := func(option string) string {
		return fmt.Sprintf(domainSite, option, userOptions, base, up.address())
	}
	g := startGateway(t, config(""))
	b := named(t, address, base)
	for _, option := range []string{"", "cookie_domain example.com", "cookie_domain eu.example.com", "", "cookie_domain app.eu.example.com", "cookie_domain example.com"} {
		g.stop()
		g.start(config(option))
		b.client.CloseIdleConnections()
		for _, user := range []string{"alice", "bob"} {
			b.signIn(user)
			if got := b.open("/page"); got.StatusCode != http.StatusOK {
				t.Errorf("with %q, signed in as %s: the page is answered %s to %q", option, user, got.Status, got.Header.Get("Location"))
			}
			if got := b.active(); got != user {
				t.Errorf("with %q, signed in as %s: the active account is %q", option, user, got)
			}
		}
		if got := b.accounts(); !slices.Equal(got, []string{"alice", "bob"}) {
			t.Errorf("with %q the browser has %v", option, got)
		}
		jars := 0
		for _, c := range b.client.Jar.Cookies(b.request(http.MethodGet, "/", nil).URL) {
			if c.Name == "multi_session" {
				jars++
			}
		}
		if jars != 1 {
			t.Errorf("with %q the browser has %d cookies of the jar, want 1", option, jars)
		}
	}
}

// TestGatewaysOnParentAndSubDomain has two gateways, with a database each, whose domains contain one
// another. Signing in at either must not sign the browser out of the other one.
func TestGatewaysOnParentAndSubDomain(t *testing.T) {
	up := newEcho(t)
	parent, sub := freeAddress(t), freeAddress(t)
	www, app := "http://www.example.com:"+port(parent), "http://app.staging.example.com:"+port(sub)
	startGateway(t, fmt.Sprintf(domainSite, "cookie_domain example.com", userOptions, www, up.address()))
	startGateway(t, fmt.Sprintf(domainSite, "cookie_domain staging.example.com", userOptions, app, up.address()))
	production := named(t, parent, www)
	staging := named(t, sub, app)
	staging.client.Jar = production.client.Jar
	for _, round := range []struct {
		at   *browser
		user string
	}{{staging, "alice"}, {production, "bob"}, {staging, "carol"}, {production, "alice"}, {staging, "bob"}} {
		round.at.signIn(round.user)
		if got := round.at.active(); got != round.user {
			t.Errorf("%s: signed in as %s, and the active account is %q", round.at.base, round.user, got)
		}
	}
	if got := production.accounts(); !slices.Equal(got, []string{"bob", "alice"}) {
		t.Errorf("production has %v", got)
	}
	if got := staging.accounts(); !slices.Equal(got, []string{"alice", "carol", "bob"}) {
		t.Errorf("staging has %v", got)
	}
	production.post("/.auth/sign-out", object{})
	if got := staging.active(); got != "bob" {
		t.Errorf("after the sign-out at production, staging's active account is %q", got)
	}
}
