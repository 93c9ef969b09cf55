package integration

import (
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp/kb"
)

// example is the repository's Caddyfile.example on ports of the test's own. With https its site is
// served over HTTPS, which for localhost takes nothing but the scheme.
func example(t *testing.T, scheme string) (caddyfile, origin, address string) {
	t.Helper()
	content, err := os.ReadFile("../Caddyfile.example")
	if err != nil {
		t.Fatal(err)
	}
	_, caddyfile, ok := strings.Cut(string(content), "\n{\n")
	if !ok {
		t.Fatal("Caddyfile.example has no global options")
	}
	address = freeAddress(t)
	origin = scheme + "://localhost:" + port(address)
	app := freeAddress(t)
	for _, change := range []struct{ old, new string }{
		{"http://localhost:8080 {", origin + " {"},
		{"bind {$EXAMPLE_BIND:127.0.0.1 ::1}\n", "bind 127.0.0.1\n"},
		{"reverse_proxy 127.0.0.1:8081\n", "reverse_proxy " + app + "\n"},
		{":8081 {\n", ":" + port(app) + " {\n"},
	} {
		if strings.Count(caddyfile, change.old) != 1 {
			t.Fatalf("Caddyfile.example does not have %q once", change.old)
		}
		caddyfile = strings.Replace(caddyfile, change.old, change.new, 1)
	}
	// Redirects from HTTP would need a fixed port.
	return "{\n\tauto_https disable_redirects\n" + caddyfile, origin, address
}

// TestChromiumStory is the whole story of the gateway with the Caddyfile that people try it with.
func TestChromiumStory(t *testing.T) {
	for _, c := range []struct {
		name, scheme string
		scripts      bool
		cookie       string
	}{
		{"http", "http", true, "multi_session"},
		{"http without JavaScript", "http", false, "multi_session"},
		{"https", "https", true, "__Host-Http-multi_session"},
		{"https without JavaScript", "https", false, "__Host-Http-multi_session"},
	} {
		t.Run(c.name, func(t *testing.T) {
			startChromium(t)
			config, origin, address := example(t, c.scheme)
			g := startGateway(t, config)
			if c.scheme == "https" {
				awaitTLS(t, address, "localhost")
			}
			b := newTab(t)
			// Before the cleanup of the restarted gateway, which the browser would miss.
			defer b.close()
			if !c.scripts {
				b.disableScripts()
			}
			s := story{b, origin}

			// Signed out: everything leads to the sign-in page, and from there back.
			b.open(origin + "/dashboard?tab=2&q=a%20b")
			b.at(s.portal("/sign-in", "/dashboard?tab=2&q=a%20b"))
			if len(b.lasting()) != 0 {
				t.Fatalf("cookies before anybody has signed in: %v", b.cookies())
			}
			b.signIn(http.StatusUnauthorized, "alice", "not hers")
			b.says("Name and password do not match. Check both and try again.")
			b.fill(passwordField, "alice-example") // the name is still there
			b.follow("button", "Sign in")
			s.greeted("/dashboard?tab=2&q=a%20b", "Alice Example")
			if jar := b.jar(); jar.Name != c.cookie || jar.Domain != "localhost" || jar.Secure != (c.scheme == "https") {
				t.Errorf("the cookie is %+v", *jar)
			}
			b.says("Remote-Groups")
			b.says("admin,dev")
			b.lacks("StaticText", "Cookie") // the app sees nothing of the gateway's cookie

			// Another account, by the app's own link, with a wrong password on the way.
			first := b.jar().Value
			b.follow("link", "Switch account")
			b.at(origin + "/.auth/accounts?return_to=/") // as the app's author wrote it
			b.open(s.portal("/accounts", "/reports?year=2026"))
			b.find("link", "Continue as Alice Example Active alice@example.com")
			b.follow("link", "Add another account")
			b.at(s.portal("/sign-in", "/reports?year=2026"))
			b.says("Your other account stays signed in.")
			b.signIn(http.StatusUnauthorized, "bob@example.com", "alice-example")
			b.signIn(http.StatusOK, "bob@example.com", "bob-example")
			s.greeted("/reports?year=2026", "Bob Example")
			if b.jar().Value == first {
				t.Error("the sign-in did not give the browser a new cookie")
			}

			// The chooser has both and says which is active. Back and forth.
			b.open(s.portal("/accounts", "/reports?year=2026"))
			if active := b.find("link", "Continue as Bob Example Active bob@example.com"); b.attribute(active, "aria-current") != "true" {
				t.Error("the active account is not marked for assistive technology")
			}
			b.follow("button", "Switch to Alice Example alice@example.com")
			s.greeted("/reports?year=2026", "Alice Example")
			b.open(s.portal("/accounts", ""))
			b.find("link", "Continue as Alice Example Active alice@example.com")
			b.follow("button", "Switch to Bob Example bob@example.com")
			s.greeted("/", "Bob Example")

			// A page that bob may not see, and the way to it.
			b.openAs(http.StatusForbidden, origin+"/admin?area=users")
			b.at(origin + "/admin?area=users")
			b.find("heading", "This account has no access")
			b.says("Only members of the group admin have access.")
			b.follow("button", "Switch to Alice Example alice@example.com")
			s.greeted("/admin?area=users", "Alice Example")

			// One is signed out; the other stays, through a restart too.
			b.open(s.portal("/accounts", "/reports"))
			b.follow("button", "Sign out Bob Example")
			b.at(s.portal("/accounts", "/reports") + "&signed_out=1")
			b.says("The account is signed out.")
			b.lacks("button", "Switch to Bob Example bob@example.com")
			b.follow("link", "Continue as Alice Example Active alice@example.com")
			s.greeted("/reports", "Alice Example")
			b.outage(func() {
				g.stop()
				g.start(config)
				if c.scheme == "https" {
					awaitTLS(t, address, "localhost")
				}
			})
			b.open(origin + "/after-restart")
			s.greeted("/after-restart", "Alice Example")

			b.open(s.portal("/accounts", "/reports"))
			b.follow("link", "Add another account")
			b.signIn(http.StatusOK, "carol", "carol-example")
			s.greeted("/reports", "Carol Example")
			b.openAs(http.StatusForbidden, origin+"/admin")
			b.follow("link", "All accounts")
			b.at(s.portal("/accounts", "/admin"))
			b.follow("button", "Sign out of all accounts")
			b.at(s.portal("/sign-in", "/admin") + "&signed_out=1")
			b.says("You are signed out.")
			if len(b.lasting()) != 0 {
				t.Errorf("cookies after signing out: %v", b.lasting())
			}
			b.open(origin + "/")
			b.at(s.portal("/sign-in", "/"))
		})
	}
}

// story is a tab in front of Caddyfile.example.
type story struct {
	*tab
	origin string
}

// portal is the address of a page of the gateway that leads back to returnTo.
func (s story) portal(path, returnTo string) string {
	if returnTo == "" {
		return s.origin + "/.auth" + path
	}
	return s.origin + "/.auth" + path + "?" + url.Values{"return_to": {returnTo}}.Encode()
}

// greeted fails the test unless the tab is at a path of the app, which knows the account.
func (s story) greeted(path, name string) {
	s.t.Helper()
	s.at(s.origin + path)
	s.find("heading", "Hello, "+name)
	s.says("GET " + path)
}

// jar is the one cookie of the tab beside that of the view, which must be as every jar's cookie is.
func (b *tab) jar() *network.Cookie {
	b.t.Helper()
	cookies := slices.DeleteFunc(b.lasting(), func(c *network.Cookie) bool { return strings.HasSuffix(c.Name, "_view") })
	if len(cookies) != 1 {
		b.t.Fatalf("%d cookies: %v", len(cookies), cookies)
	}
	c := cookies[0]
	if !c.HTTPOnly || c.SameSite != network.CookieSameSiteLax || c.Path != "/" || c.Session {
		b.t.Errorf("the cookie is %+v", *c)
	}
	return c
}

// lasting returns the browser's cookies without those that stay and are no secret: as which
// accounts the browser was used, what the site's pages were last shown under, and which jar a host
// has used.
func (b *tab) lasting() []*network.Cookie {
	b.t.Helper()
	return slices.DeleteFunc(b.cookies(), func(c *network.Cookie) bool {
		return strings.Contains(c.Name, "_used_") || strings.HasSuffix(c.Name, "_shared") || strings.HasSuffix(c.Name, "_shown") || strings.HasSuffix(c.Name, "_confirmed")
	})
}

// TestChromiumCookieDomain: one jar for two hosts, and the way from one to the other.
func TestChromiumCookieDomain(t *testing.T) {
	startChromium(t)
	address := freeAddress(t)
	up := newGreeter(t)
	app, wiki := "https://app.example.test:"+port(address), "https://wiki.example.test:"+port(address)
	g := newGateway(t)
	g.start(`{
	auto_https disable_redirects
	multi_session {
		cookie_domain example.test
		login password {
			throttle off
			` + userOptions + `
		}
	}
}
` + app + ", " + wiki + ` {
	tls internal
	@admin path /admin
	multi_session @admin {
		require group admin
	}
	multi_session
	reverse_proxy ` + up + `
}
`)
	awaitTLS(t, address, "app.example.test", "wiki.example.test")
	b := newTab(t)
	back := url.Values{"return_to": {wiki + "/page?x=1"}}.Encode()
	arrived := func(name string) {
		t.Helper()
		b.at(wiki + "/page?x=1")
		b.find("heading", "Hello, "+name)
		if jar := b.jar(); jar.Name != "__Secure-multi_session" || !jar.Secure || jar.Domain != ".example.test" {
			t.Errorf("the cookie is %+v", *jar)
		}
	}

	// What follows a form is held to the page's form-action: each of these is a form on one host
	// that leads to the other.
	b.open(app + "/.auth/sign-in?" + back)
	b.signIn(http.StatusUnauthorized, "alice", "not hers")
	b.signIn(http.StatusOK, "alice", password("alice"))
	b.at(wiki + "/.auth/accounts?" + url.Values{"return_to": {"/page?x=1"}}.Encode())
	b.find("heading", "Continue on this site?")
	b.follow("button", "Continue as Alice Example alice@example.com")
	arrived("alice")
	b.open(app + "/")
	b.find("heading", "Hello, alice")

	b.open(app + "/.auth/accounts?" + back)
	b.follow("link", "Add another account")
	b.at(app + "/.auth/sign-in?" + back)
	b.signIn(http.StatusOK, "bob", password("bob"))
	arrived("bob")

	// A page of the one host follows what happens at the other.
	other := b.another()
	other.open(wiki + "/.auth/accounts")
	other.find("button", "Switch to Alice Example alice@example.com")
	b.open(app + "/.auth/accounts?" + back)
	b.follow("button", "Switch to Alice Example alice@example.com")
	arrived("alice")
	other.awaitText("Bob Example\nbob@example.com\nSign out")
	other.close()

	b.open(app + "/.auth/accounts?" + back)
	b.follow("button", "Sign out Alice Example")
	b.follow("link", "Continue as Bob Example Active bob@example.com")
	arrived("bob")

	// Signed out on one host is signed out on the other.
	b.open(app + "/.auth/accounts?" + back)
	b.follow("button", "Sign out of all accounts")
	b.at(app + "/.auth/sign-in?" + back + "&signed_out=1")
	b.open(wiki + "/page?x=1")
	b.at(wiki + "/.auth/sign-in?" + url.Values{"return_to": {"/page?x=1"}}.Encode())
	if len(b.lasting()) != 0 {
		t.Errorf("cookies after signing out: %v", b.lasting())
	}
}

// TestChromiumKeyboard goes through sign-in and chooser with nothing but a keyboard.
func TestChromiumKeyboard(t *testing.T) {
	startChromium(t)
	address := freeAddress(t)
	startGateway(t, site(address, newGreeter(t), "", "@admin path /admin\nmulti_session @admin {\n\trequire group admin\n}\nmulti_session"))
	origin := "http://" + address
	b := newTab(t)
	keys := func(keys ...string) {
		t.Helper()
		for _, key := range keys {
			b.must(b.run(press(key)))
		}
	}
	// reach presses Tab until an element has the focus.
	reach := func(role, name string) {
		t.Helper()
		var passed []string
		for range 20 {
			keys(kb.Tab)
			e, _ := b.focused()
			if e.role == role && e.name == name {
				return
			}
			passed = append(passed, e.role+" "+e.name)
		}
		t.Fatalf("Tab does not lead to the %s %q but to %q", role, name, passed)
	}
	enter := func() { t.Helper(); b.arrive(http.StatusOK, press(kb.Enter)) }

	b.open(origin + "/notes")
	b.focusedIs("textbox", identifierField) // without having been asked for
	keys("alice", kb.Tab)
	b.focusedIs("textbox", passwordField)
	keys("wrong")
	b.arrive(http.StatusUnauthorized, press(kb.Enter))
	b.focusedIs("textbox", passwordField) // where the next try begins
	keys(password("alice"), kb.Tab)
	b.focusedIs("button", "Sign in")
	enter()
	b.at(origin + "/notes")
	b.find("heading", "Hello, alice")

	b.open(origin + "/.auth/accounts?return_to=/notes")
	reach("link", "Add another account")
	enter()
	keys("bob", kb.Tab, password("bob"))
	enter()
	b.at(origin + "/notes")
	b.find("heading", "Hello, bob")

	b.open(origin + "/.auth/accounts?return_to=/notes")
	reach("button", "Switch to Alice Example alice@example.com")
	// A button is pressed by the space bar too.
	b.arrive(http.StatusOK, press(" "))
	b.find("heading", "Hello, alice")

	b.open(origin + "/.auth/accounts?return_to=/admin")
	reach("button", "Switch to Bob Example bob@example.com")
	b.arrive(http.StatusForbidden, press(kb.Enter))
	reach("button", "Switch to Alice Example alice@example.com")
	enter()
	b.at(origin + "/admin")
	b.find("heading", "Hello, alice")

	b.open(origin + "/.auth/accounts")
	reach("button", "Sign out Bob Example")
	enter()
	b.says("The account is signed out.")
	reach("button", "Sign out of all accounts")
	enter()
	b.says("You are signed out.")
}

func (b *tab) focusedIs(role, name string) {
	b.t.Helper()
	if e, _ := b.focused(); e.role != role || e.name != name {
		b.t.Fatalf("the focus is on the %s %q, not on the %s %q", e.role, e.name, role, name)
	}
}
