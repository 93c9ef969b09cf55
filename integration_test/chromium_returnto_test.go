package integration

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
)

// TestChromiumHostileReturnTo hands Chromium every hostile return address by each way there is, and
// goes on as far as the pages let it. It never leaves the gateway's origin and does not try to. The
// site has the very name that many of the addresses play on.
func TestChromiumHostileReturnTo(t *testing.T) {
	startFront(t, "", "multi_session")
	b := newTab(t)
	// submit signs in by a form that the page did not make: whatever page it is, it may send forms
	// to its own origin.
	submit := func(returnTo string) chromedp.Action[chromedp.Void] {
		fields, _ := json.Marshal(map[string]string{"identifier": "alice", "password": password("alice"), "return_to": returnTo})
		return chromedp.Evaluate[chromedp.Void](`{
			const form = document.createElement("form");
			form.method = "post";
			form.action = "/.auth/sign-in";
			for (const [name, value] of Object.entries(`+string(fields)+`)) {
				const input = document.createElement("input");
				input.type = "hidden";
				input.name = name;
				input.value = value;
				form.append(input);
			}
			document.body.append(form);
			form.submit();
		}`, asUser)
	}
	stays := func(way, returnTo string) {
		t.Helper()
		if at := b.location(); !strings.HasPrefix(at, frontOrigin+"/") {
			t.Errorf("%q by the %s: at %s", returnTo, way, at)
			b.open(frontOrigin + "/.auth/sign-in")
		}
		for _, attempt := range b.attempts() {
			if !strings.HasPrefix(attempt, frontOrigin+"/") {
				t.Errorf("%q by the %s: it tried to go to %s", returnTo, way, attempt)
			}
		}
	}

	// That the ways are ways: a good address gets through each of them.
	const good = "/good?x=1"
	b.open(frontOrigin + "/.auth/sign-in?" + url.Values{"return_to": {good}}.Encode())
	b.signIn(http.StatusOK, "alice", password("alice"))
	b.at(frontOrigin + good)
	b.open(frontOrigin + "/.auth/sign-in")
	b.arrive(http.StatusOK, submit(good))
	b.at(frontOrigin + good)
	b.open(frontOrigin + "/.auth/accounts?" + url.Values{"return_to": {good}}.Encode())
	b.follow("link", "Continue as Alice Example Active alice@example.com")
	b.at(frontOrigin + good)

	for _, returnTo := range hostileReturns(t) {
		query := "?" + url.Values{"return_to": {returnTo}}.Encode()
		if b.arriveAnyhow(visit(frontOrigin+"/.auth/sign-in"+query)) == http.StatusOK {
			b.fill(identifierField, "alice")
			b.fill(passwordField, password("alice"))
			b.arriveAnyhow(b.click(b.find("button", "Sign in")))
		}
		stays("sign-in page", returnTo)
		if b.arriveAnyhow(visit(frontOrigin+"/.auth/accounts"+query)) == http.StatusOK {
			b.arriveAnyhow(b.click(b.find("link", "Continue as Alice Example Active alice@example.com")))
		}
		stays("chooser", returnTo)
		b.arriveAnyhow(submit(returnTo))
		stays("form", returnTo)
	}
}
