package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
)

// TestChromiumScriptsSeeTheActiveAccountsCookies switches accounts in a real browser, in which
// scripts read and change the app's cookie.
func TestChromiumScriptsSeeTheActiveAccountsCookies(t *testing.T) {
	startChromium(t)
	_, app := newStubborn(t)
	address := freeAddress(t)
	startGateway(t, site(address, app, "", "multi_session"))
	origin := "http://" + address
	b := newFaultyTab(t) // Chromium reports that document.cookie is read
	check := func(user, readable string) {
		t.Helper()
		heading, cookies := evaluate[string](b, `document.querySelector("h1").textContent`), evaluate[string](b, `document.cookie`)
		if heading != user || byName(cookies) != byName(readable) {
			t.Fatalf("the page is %s's, its scripts read %q; want %s's and %q", heading, cookies, user, readable)
		}
	}
	appSees := func(what string, want bool) {
		t.Helper()
		text := evaluate[string](b, `fetch("/").then(r => r.text())`)
		if strings.Contains(text, what) != want || strings.Contains(text, "ms~") {
			t.Errorf("the app sees %s, want %q: %t", text, what, want)
		}
	}
	use := func(user string) {
		t.Helper()
		(&notesTab{b, origin}).switchTo(user)
		b.open(origin + "/")
	}
	signIn := func(user string) {
		t.Helper()
		b.open(origin + "/.auth/sign-in?return_to=/")
		b.signIn(http.StatusOK, user, password(user))
	}
	signIn("alice")
	check("alice", "csrf=csrf-of-alice")
	// As long as one account is alone, the app sees what scripts do.
	evaluate[string](b, `document.cookie = "csrf=changed-by-alice; Path=/"`)
	evaluate[string](b, `document.cookie = "made=by-alice; Path=/"`)
	appSees("csrf=changed-by-alice", true)
	appSees("made=by-alice", true)

	signIn("bob")
	check("bob", "csrf=csrf-of-bob; made=by-alice")
	appSees("by-alice", false)
	use("alice")
	check("alice", "csrf=changed-by-alice; made=by-alice")
	appSees("csrf=changed-by-alice", true)
	appSees("made", false)
	use("bob")
	check("bob", "csrf=csrf-of-bob; made=by-alice")

	// Then only what the app has set counts.
	evaluate[string](b, `document.cookie = "csrf=changed-by-bob; Path=/"`)
	appSees("csrf=csrf-of-bob", true)
	use("alice")
	appSees("csrf=changed-by-alice", true)
	appSees("changed-by-bob", false)
	// A page's script has no part in a slot.
	evaluate[string](b, `document.cookie = "ms~AAAAAAAAAAAAAAAAAAAAAA~app_session=~forged; Path=/"`)
	use("bob")
	appSees("forged", false)
	appSees("csrf=csrf-of-bob", true)
}

// TestChromiumAttackServiceOnAnotherPort has a service on another port of the host, whose session's
// cookie scripts may not read, beside a gateway in which accounts are switched.
func TestChromiumAttackServiceOnAnotherPort(t *testing.T) {
	startChromium(t)
	nas := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/login" {
			w.Header().Set("Set-Cookie", "nas_session=SECRET; Path=/; HttpOnly; SameSite=Strict; Max-Age=86400")
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><html lang=en><title>NAS</title><link rel=icon href=data:,>")
	}))
	t.Cleanup(nas.Close)
	address := freeAddress(t)
	startGateway(t, plain(address, newGreeter(t)))
	origin := "http://" + address
	b := newFaultyTab(t)
	session := func() (found network.Cookie) {
		t.Helper()
		for _, c := range b.cookies() {
			if c.Name == "nas_session" {
				found = *c
			}
		}
		return found
	}
	b.open(nas.URL + "/login")
	before := session()
	if before.Value != "SECRET" || !before.HTTPOnly || before.SameSite != network.CookieSameSiteStrict {
		t.Fatalf("the service's cookie: %+v", before)
	}
	b.signInAs(origin+defaultPrefix, "alice")
	b.open(origin + "/")
	b.signInAs(origin+defaultPrefix, "bob")
	b.open(origin + "/")
	(&notesTab{b, origin}).switchTo("alice")
	b.open(origin + "/")
	b.open(origin + "/")
	if got := evaluate[string](b, `document.cookie`); got != "" {
		t.Errorf("scripts of the site read %q", got)
	}
	b.open(nas.URL + "/")
	if got := evaluate[string](b, `document.cookie`); got != "" {
		t.Errorf("scripts of the service read %q", got)
	}
	if after := session(); after != before {
		t.Errorf("the service's cookie is %+v, was %+v", after, before)
	}
}

// TestChromiumAttackFormOfAnotherSite has an identity provider on another site send a form to the
// app, as with SAML, which has kept its state in a cookie that browsers send then.
func TestChromiumAttackFormOfAnotherSite(t *testing.T) {
	startChromium(t)
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, line := range r.URL.Query()["set"] {
			w.Header().Add("Set-Cookie", line)
		}
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<!doctype html><html lang=en><title>App</title><link rel=icon href=data:,><p>%s</p>", r.Header.Get("Cookie"))
	}))
	t.Cleanup(app.Close)
	address := freeAddress(t)
	origin := "http://localhost:" + port(address) // where browsers take cookies with Secure
	startGateway(t, strings.Replace(site(address, app.Listener.Addr().String(), "", "@gated not path /saml/*\n\tmulti_session @gated"), "http://"+address, "http://:"+port(address), 1))
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(w, "<!doctype html><html lang=en><title>Provider</title><link rel=icon href=data:,><form method=post action=%s/saml/acs><button>Go</button></form>", origin)
	}))
	t.Cleanup(provider.Close)

	b := newFaultyTab(t)
	sees := func(want string) {
		t.Helper()
		if got := evaluate[string](b, `document.querySelector("p").textContent`); byName(got) != byName(want) {
			t.Errorf("at %s the app sees %q, want %q", b.location(), got, want)
		}
	}
	b.signInAs(origin+defaultPrefix, "alice")
	b.open(origin + "/?set=" + url.QueryEscape("saml_state=S1; Path=/; Secure; HttpOnly; SameSite=None"))
	evaluate[string](b, `document.cookie = "draft=unsaved; path=/"`)
	b.open(provider.URL)
	b.follow("button", "Go")
	b.at(origin + "/saml/acs")
	sees("saml_state=S1")
	b.open(origin + "/")
	sees("saml_state=S1; draft=unsaved")
}
