package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// site is a Caddyfile with one gated site on the address in front of the upstream. The options are
// the app's, the directives the site's, beside the proxy.
func site(address, upstream, options, directives string) string {
	return fmt.Sprintf(`{
	multi_session {
		%s
		login password {
			throttle off
			%s
		}
	}
}
http://%s {
	%s
	reverse_proxy %s
}
`, options, userOptions, address, directives, upstream)
}

// plain is the simplest gated site.
func plain(address, upstream string) string { return site(address, upstream, "", "multi_session") }

// TestStory is what the gateway is for, by forms and without a browser's JavaScript: two accounts in
// one browser, and an app that sees who it is.
func TestStory(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	config := plain(address, up.address())
	g := startGateway(t, config)
	b := newBrowser(t, "http://"+address)

	answer := b.open("/dashboard?tab=2")
	if answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("signed out: %s", answer.Status)
	}
	if up.requests.Load() != 0 {
		t.Fatal("the upstream saw a request of somebody who is not signed in")
	}
	location := answer.Header.Get("Location")
	want := "/.auth/sign-in?return_to=" + url.QueryEscape("/dashboard?tab=2")
	if location != want {
		t.Fatalf("sent to %q, want %q", location, want)
	}
	if page := b.open(location); page.StatusCode != http.StatusOK || !strings.Contains(page.body, `name="password"`) {
		t.Fatalf("sign-in page: %s\n%s", page.Status, page.body)
	}

	signIn := func(identifier, password, returnTo string) reply {
		return b.submit("/.auth/sign-in", url.Values{"identifier": {identifier}, "password": {password}, "return_to": {returnTo}})
	}
	if answer := signIn("alice", "wrong", "/"); answer.StatusCode != http.StatusUnauthorized {
		t.Fatalf("wrong password: %s", answer.Status)
	}
	answer = signIn("alice", password("alice"), "/dashboard?tab=2")
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/dashboard?tab=2" {
		t.Fatalf("signed in: %s to %q\n%s", answer.Status, answer.Header.Get("Location"), answer.body)
	}
	greeted := b.open("/dashboard?tab=2").seen(t)
	if got := greeted.Header.Get("Remote-User"); got != "alice" || greeted.URI != "/dashboard?tab=2" {
		t.Fatalf("the upstream saw %q at %s", got, greeted.URI)
	}
	if got := greeted.Header.Get("Remote-Groups"); got != "admin,dev" {
		t.Fatalf("the upstream saw groups %q", got)
	}
	if got := greeted.Header.Get("Cookie"); got != "" {
		t.Fatalf("the upstream saw the cookie %q", got)
	}

	if answer := signIn("bob@example.com", password("bob"), "/"); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("second sign-in: %s", answer.Status)
	}
	sees := func(want string) {
		t.Helper()
		if got := b.open("/").seen(t).Header.Get("Remote-User"); got != want {
			t.Fatalf("the upstream sees %q, want %q", got, want)
		}
	}
	sees("bob")
	if got := b.accounts(); !slices.Equal(got, []string{"alice", "bob"}) {
		t.Fatalf("accounts: %v", got)
	}

	var entries []entry
	b.get("/.auth/multi-session/list-device-sessions").json(t, &entries)
	act := func(action, handle string) reply {
		return b.submit("/.auth/accounts", url.Values{"action": {action}, "session": {handle}, "return_to": {"/"}})
	}
	if answer := act("switch", entries[0].Session.Token); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("switch: %s\n%s", answer.Status, answer.body)
	}
	sees("alice")

	// A restart in between: nobody is signed out by it.
	g.stop()
	g.start(config)
	sees("alice")
	act("switch", entries[1].Session.Token)
	sees("bob")

	if answer := act("sign-out", entries[1].Session.Token); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign out one: %s", answer.Status)
	}
	sees("alice")
	if answer := act("sign-out-all", ""); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("sign out all: %s", answer.Status)
	}
	if answer := b.open("/"); answer.StatusCode != http.StatusSeeOther {
		t.Fatalf("after signing out of all: %s", answer.Status)
	}
}
