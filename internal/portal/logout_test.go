package portal

import (
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// sentTo returns where a redirect page leads.
func sentTo(t *testing.T, w *httptest.ResponseRecorder) *url.URL {
	t.Helper()
	found := regexp.MustCompile(`<a [^>]*href="(https://[^"]*)"`).FindStringSubmatch(w.Body.String())
	if w.Code != http.StatusOK || found == nil {
		t.Fatalf("%d, and no address to go to: %s", w.Code, w.Body)
	}
	u, err := url.Parse(html.UnescapeString(found[1]))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func TestSignOutAtTheProvider(t *testing.T) {
	p := newIDP("idp")
	p.logout = true
	b := newGateway(t, withProviders(p)).browser()
	b.signInAs("alice")
	b.signInAt("idp", "bob")
	handle := b.active().Handle
	to := sentTo(t, b.submit("/.auth/accounts", "action", "sign-out", "session", handle, "return_to", "/x"))
	query := to.Query()
	if to.Host != "idp.example.net" || query.Get("id_token_hint") != "id token of bob" || query.Get("post_logout_redirect_uri") != "https://app.example.com/.auth/signed-out" {
		t.Fatalf("sent to %s", to)
	}
	if got := b.names(); got != "*alice" {
		t.Errorf("signed in: %s", got)
	}
	back := "/.auth/signed-out?state=" + query.Get("state")
	wantRedirect(t, b.get(back), "/.auth/accounts?return_to=%2Fx&signed_out=1")
	wantRedirect(t, b.get(back), "/.auth/sign-in?signed_out=1")
	wantRedirect(t, b.get("/.auth/signed-out"), "/.auth/sign-in?signed_out=1")
}

func TestRemovalIsNoSignOutAtTheProvider(t *testing.T) {
	p := newIDP("idp")
	p.logout = true
	b := newGateway(t, withProviders(p)).browser()
	b.signInAt("idp", "alice")
	b.signInAt("idp", "bob")
	wantPage(t, b.get("/.auth/accounts"), http.StatusOK, `value="remove"`)
	wantRedirect(t, b.submit("/.auth/accounts", "action", "remove", "session", b.active().Handle), "/.auth/accounts?signed_out=1")
	if w := b.post("/.auth/multi-session/revoke", `{"sessionToken":"`+b.active().Handle+`"}`); strings.Contains(w.Body.String(), "idp.example.net") {
		t.Errorf("revoke: %s", w.Body)
	}
	if got := b.names(); got != "" {
		t.Errorf("signed in: %s", got)
	}
}

func TestSignOutOfAllGoesFromProviderToProvider(t *testing.T) {
	one, two, three := newIDP("one"), newIDP("two"), newIDP("three")
	one.logout, three.logout = true, true
	b := newGateway(t, withProviders(one, two, three)).browser()
	b.signInAs("alice")
	for _, method := range []string{"one", "two", "three"} {
		b.signInAt(method, "bob")
	}
	first := sentTo(t, b.submit("/.auth/accounts", "action", "sign-out-all", "return_to", "/x"))
	if got := b.names(); got != "" {
		t.Fatalf("signed in: %s", got)
	}
	w := b.get("/.auth/signed-out?state=" + first.Query().Get("state"))
	second, err := url.Parse(w.Header().Get("Location"))
	if err != nil || first.Host != "three.example.net" || second.Host != "one.example.net" {
		t.Fatalf("sent to %s, then to %s", first, second)
	}
	wantRedirect(t, b.get("/.auth/signed-out?state="+second.Query().Get("state")), "/.auth/sign-in?return_to=%2Fx&signed_out=1")
}

// The provider's session with the browser is that of the last sign-in.
func TestSignOutOfAllBeginsWithTheNewestAccount(t *testing.T) {
	p := newIDP("idp")
	p.logout = true
	b := newGateway(t, withProviders(p)).browser()
	for _, name := range []string{"alice", "bob", "carol"} {
		b.signInAt("idp", name)
	}
	b.post("/.auth/multi-session/set-active", `{"sessionToken":"`+b.handleOf("alice")+`"}`)
	w := b.submit("/.auth/accounts", "action", "sign-out-all")
	to := sentTo(t, w)
	for _, name := range []string{"carol", "bob", "alice"} {
		if got := to.Query().Get("id_token_hint"); got != "id token of "+name {
			t.Errorf("signs out %q, want %s", got, name)
		}
		w = b.get("/.auth/signed-out?state=" + to.Query().Get("state"))
		to, _ = url.Parse(w.Header().Get("Location"))
	}
	wantRedirect(t, w, "/.auth/sign-in?signed_out=1")
}

// handleOf returns the handle of the browser's session of a user name.
func (b *browser) handleOf(name string) string {
	b.t.Helper()
	for _, e := range b.visitor(b.request(http.MethodGet, "/", "")).Visit.Entries() {
		if e.Identity.UserName == name {
			return e.Handle
		}
	}
	b.t.Fatalf("%s is not signed in", name)
	return ""
}

func TestProviderThatDoesNotSendBackComesLast(t *testing.T) {
	returning, final := newIDP("returning"), newIDP("final")
	returning.logout, final.logout, final.endsThere = true, true, true
	b := newGateway(t, withProviders(returning, final)).browser()
	b.signInAt("returning", "alice")
	b.signInAt("final", "alice")
	b.signInAt("final", "bob")
	first := sentTo(t, b.submit("/.auth/accounts", "action", "sign-out-all"))
	if first.Host != "returning.example.net" {
		t.Fatalf("sent to %s", first)
	}
	w := b.get("/.auth/signed-out?state=" + first.Query().Get("state"))
	wantRedirect(t, w, "https://final.example.net/logout?id_token_hint=id+token+of+bob")
}

func TestSignOutOfOneAtAProviderThatDoesNotSendBack(t *testing.T) {
	p := newIDP("idp")
	p.logout, p.endsThere = true, true
	b := newGateway(t, withProviders(p)).browser()
	b.signInAt("idp", "alice")
	to := sentTo(t, b.submit("/.auth/accounts", "action", "sign-out", "session", b.active().Handle))
	if to.Query().Has("post_logout_redirect_uri") || to.Query().Has("state") {
		t.Errorf("sent to %s", to)
	}
}

// A browser cannot come back from the first of them to go to the second.
func TestSignOutAtSeveralProvidersThatDoNotSendBack(t *testing.T) {
	one, two, three := newIDP("one"), newIDP("two"), newIDP("three")
	for _, p := range []*idp{one, two, three} {
		p.logout = true
	}
	one.endsThere, two.endsThere = true, true
	b := newGateway(t, withProviders(one, two, three)).browser()
	for _, method := range []string{"one", "two", "three"} {
		b.signInAt(method, "bob")
	}
	first := sentTo(t, b.submit("/.auth/accounts", "action", "sign-out-all", "return_to", "/x"))
	if first.Host != "three.example.net" {
		t.Fatalf("sent to %s", first)
	}
	page := "/.auth/signed-out?state=" + first.Query().Get("state")
	wantPage(t, b.get(page), http.StatusOK, "signed out here",
		`href="https://one.example.net/logout?id_token_hint=id&#43;token&#43;of&#43;bob" target="_blank"`, "The ONE", "The TWO",
		`href="/.auth/sign-in?return_to=%2Fx&amp;signed_out=1"`)
	wantRedirect(t, b.get(page), "/.auth/sign-in?signed_out=1") // once

	b.signInAt("one", "bob")
	b.signInAt("two", "bob")
	w := b.submit("/.auth/accounts", "action", "sign-out-all")
	wantPage(t, b.get(w.Header().Get("Location")), http.StatusOK, "The ONE", "The TWO")

	// A client of the API is given the address of the page.
	b.signInAt("one", "bob")
	b.signInAt("two", "bob")
	answer := decode[struct{ URL string }](t, b.post("/.auth/sign-out", "{}"))
	wantPage(t, b.get(answer.URL), http.StatusOK, "The ONE", "The TWO")
}

func TestSignOutByTheAPITellsWhereTo(t *testing.T) {
	for name, test := range map[string]struct {
		body, then string
		redirect   bool
	}{
		"as the client does":       {`{}`, "/.auth/sign-in?signed_out=1", true},
		"to another page":          {`{"callbackURL":"/bye?a=b"}`, "/bye?a=b", true},
		"without going there":      {`{"disableRedirect":true}`, "/.auth/sign-in?signed_out=1", false},
		"to another page, by hand": {`{"callbackURL":"/bye","disableRedirect":true}`, "/bye", false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIDP("idp")
			p.logout = true
			b := newGateway(t, withProviders(p)).browser()
			b.signInAt("idp", "bob")
			w := b.post("/.auth/sign-out", test.body)
			answer := decode[struct {
				Success, Redirect bool
				URL               string
			}](t, w)
			if !answer.Success || !strings.HasPrefix(answer.URL, "https://idp.example.net/logout?") || answer.Redirect != test.redirect {
				t.Fatalf("%s", w.Body)
			}
			if got := w.Header().Get("Location"); test.redirect && got != answer.URL || !test.redirect && got != "" {
				t.Errorf("Location %q", got)
			}
			there, err := url.Parse(answer.URL)
			if err != nil {
				t.Fatal(err)
			}
			wantRedirect(t, b.get("/.auth/signed-out?state="+there.Query().Get("state")), test.then)
			if w := b.post("/.auth/sign-out", "{}"); w.Body.String() != `{"success":true}` {
				t.Errorf("signed out already: %s", w.Body)
			}
		})
	}
}

// tell posts a logout token as a provider does.
func (g *gateway) tell(method, token string) *httptest.ResponseRecorder {
	g.t.Helper()
	b := g.browser()
	return b.send(b.request(http.MethodPost, "/.auth/oidc/"+method+"/backchannel-logout", url.Values{"logout_token": {token}}.Encode(),
		"Content-Type", "application/x-www-form-urlencoded", "Origin", "", "Sec-Fetch-Site", ""))
}

func TestBackChannelLogout(t *testing.T) {
	for name, c := range map[string]struct {
		token, first, second, third string
	}{
		"by sid":                    {"jti=1&sid=sid-bob", "*alice", "*alice", "*carol"},
		"by subject":                {"jti=1&sub=sub-bob", "*alice", "*alice", "*carol"},
		"by both":                   {"jti=1&sub=sub-bob&sid=sid-bob", "*alice", "*alice", "*carol"},
		"by both that do not match": {"jti=1&sub=sub-carol&sid=sid-bob", "alice *bob", "alice *bob", "*carol"},
		"of nobody":                 {"jti=1&sid=sid-nobody", "alice *bob", "alice *bob", "*carol"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGateway(t, withProviders(newIDP("idp"), newIDP("other")))
			first, second, third, other := g.browser(), g.browser(), g.browser(), g.browser()
			for _, b := range []*browser{first, second} {
				b.signInAs("alice")
				b.signInAt("idp", "bob")
			}
			third.signInAt("idp", "carol")
			other.signInAt("other", "bob")
			if w := g.tell("idp", c.token); w.Code != http.StatusOK || w.Body.Len() != 0 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			for b, want := range map[*browser]string{first: c.first, second: c.second, third: c.third, other: "*bob"} {
				if got := strings.TrimPrefix(b.names(), "*"); got != strings.TrimPrefix(want, "*") {
					t.Errorf("signed in: %s, want %s", got, want)
				}
			}
		})
	}
}

func TestActiveAccountEndedByItsProviderLeavesNobodyActive(t *testing.T) {
	g := newGateway(t, withProviders(newIDP("idp")))
	b := g.browser()
	b.signInAs("alice")
	b.signInAt("idp", "bob")
	g.tell("idp", "jti=1&sid=sid-bob")
	if got := b.names(); got != "alice" {
		t.Errorf("signed in: %s", got)
	}
}

func TestBackChannelLogoutRefuses(t *testing.T) {
	g := newGateway(t, withProviders(newIDP("idp")))
	b := g.browser()
	b.signInAt("idp", "bob")
	for name, token := range map[string]string{"none": "", "garbage": "x"} {
		w := g.tell("idp", token)
		if w.Code != http.StatusBadRequest || decode[struct{ Error string }](t, w).Error != "invalid_request" {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if w := g.tell("nobody", "jti=1&sid=sid-bob"); w.Code != http.StatusNotFound {
		t.Errorf("unknown login: %d", w.Code)
	}
	if w := b.get("/.auth/oidc/idp/backchannel-logout"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET: %d", w.Code)
	}
	if got := b.names(); got != "*bob" {
		t.Errorf("signed in: %s", got)
	}
}

func TestLogoutTokenIsGoodOnce(t *testing.T) {
	g := newGateway(t, withProviders(newIDP("idp")))
	b := g.browser()
	b.signInAt("idp", "bob")
	g.tell("idp", "jti=1&sub=sub-bob")
	b.clock.advance(1e9)
	b.signInAt("idp", "bob")
	if w := g.tell("idp", "jti=1&sub=sub-bob"); w.Code != http.StatusBadRequest {
		t.Errorf("replay: %d", w.Code)
	}
	if got := b.names(); got != "*bob" {
		t.Errorf("signed in: %s", got)
	}
}

// The provider ends a session after it has answered and before the session is stored.
func TestLogoutOvertakesTheSignIn(t *testing.T) {
	for name, token := range map[string]string{"by sid": "jti=1&sid=sid-bob", "by subject": "jti=1&sub=sub-bob", "by both": "jti=1&sid=sid-bob&sub=sub-bob"} {
		t.Run(name, func(t *testing.T) {
			p := newIDP("idp")
			g := newGateway(t, withProviders(p))
			b := g.browser()
			state := b.begin("idp")
			p.during = func() { g.tell("idp", token) }
			wantPage(t, b.comeBack("idp", state, "bob"), http.StatusBadRequest)
			if got := b.names(); got != "" {
				t.Errorf("signed in: %s", got)
			}
		})
	}
}

// active returns the browser's active session.
func (b *browser) active() session.Entry {
	b.t.Helper()
	e, ok := b.visitor(b.request(http.MethodGet, "/", "")).Visit.Active()
	if !ok {
		b.t.Fatal("nobody is active")
	}
	return e
}
