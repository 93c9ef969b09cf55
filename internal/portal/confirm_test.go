package portal

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
)

// confirming returns a browser at a gateway whose hosts share jars and use them only where they are
// confirmed.
func confirming(t *testing.T, change ...func(*setup)) *browser {
	t.Helper()
	change = append(change, func(s *setup) { s.cookieDomain = "example.com" })
	b := newGateway(t, change...).browser()
	b.confirms = true
	return b
}

// plant gives the browser the jar of another one, as a script on a sibling host can.
func (b *browser) plant(from *browser) *browser {
	b.cookie = from.cookie
	return b
}

// mainOf returns the main part of a page.
func mainOf(w *httptest.ResponseRecorder) string {
	_, rest, _ := strings.Cut(w.Body.String(), "<main>")
	return rest
}

func TestNobodyIsActiveWhereTheJarIsNotConfirmed(t *testing.T) {
	b := confirming(t)
	alice := b.signInAs("alice")
	b.signInAs("bob")
	if got := b.names(); got != "alice *bob" {
		t.Fatalf("where they have signed in: %s", got)
	}
	b.on("wiki.example.com")
	cookies := len(b.ofHosts)

	if w := b.get("/.auth/get-session"); w.Body.String() != "null" {
		t.Errorf("get-session says %s", w.Body)
	}
	var list []json.RawMessage
	if w := b.get("/.auth/multi-session/list-device-sessions"); json.Unmarshal(w.Body.Bytes(), &list) != nil || len(list) != 2 {
		t.Errorf("list-device-sessions says %s", w.Body)
	}
	for path, body := range map[string]string{
		"multi-session/set-active": `{"sessionToken":"` + alice + `"}`,
		"multi-session/revoke":     `{"sessionToken":"` + alice + `"}`,
		"update-user":              `{"name":"Mallory"}`,
		"change-password":          `{"currentPassword":"alice-password","newPassword":"correct horse battery"}`,
		"revoke-session":           `{"token":"` + alice + `"}`,
		"revoke-sessions":          `{}`,
		"revoke-other-sessions":    `{}`,
	} {
		wantProblem(t, b.post("/.auth/"+path, body), http.StatusUnauthorized, "CONTINUE_REQUIRED")
	}
	wantProblem(t, b.get("/.auth/list-sessions"), http.StatusUnauthorized, "CONTINUE_REQUIRED")
	wantRedirect(t, b.get("/.auth/account", "Sec-Fetch-Mode", "navigate"), "/.auth/accounts?return_to=%2F.auth%2Faccount")
	wantPage(t, b.submit("/.auth/account", "account", alice, "action", "profile", "name", "Mallory"), http.StatusConflict, "Another account has become active")

	request := b.request(http.MethodGet, "/page", "")
	wantProblem(t, b.challenge(request, "/page"), http.StatusUnauthorized, "CONTINUE_REQUIRED")
	request.Header.Set("Sec-Fetch-Mode", "navigate")
	wantRedirect(t, b.challenge(request, "/page"), "/.auth/accounts?return_to=%2Fpage")

	if len(b.ofHosts) != cookies {
		t.Errorf("something has confirmed the jar: %v", b.ofHosts)
	}
	if got := b.on("app.example.com").names(); got != "alice *bob" {
		t.Errorf("afterwards there are %s", got)
	}
}

func TestContinueAtAnotherHost(t *testing.T) {
	b := confirming(t)
	alice := b.signInAs("alice")
	bob := b.signInAs("bob")
	b.on("wiki.example.com")
	w := b.get("/.auth/accounts?return_to=%2Fpage")
	wantPage(t, w, http.StatusOK, "Continue on this site?")
	text := mainOf(w)
	if !strings.Contains(text, "example.com") {
		t.Error("the page does not name the domain")
	}
	if first, second := strings.Index(text, bob), strings.Index(text, alice); first < 0 || second < first {
		t.Errorf("the active account is at %d, the other one at %d", first, second)
	}
	for _, not := range []string{"Active</span>", `value="sign-out"`, "Manage account"} {
		if strings.Contains(text, not) {
			t.Errorf("the page has %q", not)
		}
	}

	wantRedirect(t, b.submit("/.auth/accounts", "action", "switch", "session", bob, "return_to", "/page"), "/page")
	if got := b.names(); got != "alice *bob" {
		t.Errorf("after the click there are %s", got)
	}
	w = b.get("/.auth/accounts")
	wantPage(t, w, http.StatusOK, "Choose an account")
	if set := w.Result().Header["Set-Cookie"]; set != nil {
		t.Errorf("the confirmed jar is confirmed again: %q", set)
	}
	if w := b.on("files.example.com").get("/.auth/get-session"); w.Body.String() != "null" {
		t.Errorf("a third host says %s", w.Body)
	}
	b.on("app.example.com").signInAs("carol")
	if got := b.on("wiki.example.com").names(); got != "alice bob *carol" {
		t.Errorf("after a sign-in elsewhere there are %s", got)
	}
}

func TestWhatConfirmsAJar(t *testing.T) {
	tests := map[string]struct {
		act  func(b *browser, alice string)
		want string // the accounts at the host afterwards
	}{
		"sign-in by form": {func(b *browser, _ string) {
			b.submit("/.auth/sign-in", "identifier", "bob", "password", "bob-password")
		}, "alice *bob"},
		"sign-in through the API": {func(b *browser, _ string) { b.signInAs("bob") }, "alice *bob"},
		"continue":                {func(b *browser, alice string) { b.submit("/.auth/accounts", "action", "switch", "session", alice) }, "*alice"},
		"looking at the accounts": {func(b *browser, _ string) { b.get("/.auth/accounts") }, "alice"},
		"a failed sign-in": {func(b *browser, _ string) {
			b.submit("/.auth/sign-in", "identifier", "bob", "password", "wrong")
		}, "alice"},
		"a click on an account that is gone": {func(b *browser, _ string) { b.submit("/.auth/accounts", "action", "switch", "session", "gone") }, "alice"},
		"a form of a sibling": {func(b *browser, alice string) {
			r := b.request(http.MethodPost, "/.auth/accounts", "action=switch&session="+alice, "Content-Type", "application/x-www-form-urlencoded", "Origin", "https://evil.example.com", "Sec-Fetch-Site", "same-site")
			wantPage(b.t, b.send(r), http.StatusForbidden, "Nothing was changed")
		}, "alice"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := confirming(t)
			alice := b.signInAs("alice")
			test.act(b.on("wiki.example.com"), alice)
			if got := b.names(); got != test.want {
				t.Errorf("there are %s, want %s", got, test.want)
			}
		})
	}
}

func TestSignOutWhereTheJarIsNotConfirmed(t *testing.T) {
	b := confirming(t)
	b.signInAs("alice")
	b.on("wiki.example.com")
	wantRedirect(t, b.submit("/.auth/accounts", "action", "sign-out-all"), "/.auth/sign-in?signed_out=1")
	if got := b.on("app.example.com").names(); got != "" {
		t.Errorf("afterwards there are %s", got)
	}
}

func TestOneHostNeedsNoConfirmation(t *testing.T) {
	b := newGateway(t).browser()
	b.confirms = true
	w := b.post("/.auth/sign-in/username", `{"username":"alice","password":"alice-password"}`)
	for _, c := range w.Result().Cookies() {
		if strings.Contains(c.Name, "confirmed") {
			t.Errorf("set %s", c)
		}
	}
	if got := b.names(); got != "*alice" {
		t.Errorf("there are %s", got)
	}
}

// TestAttackPlantedJarIsNotWorkedIn: a script on a sibling host plants the jar of mallory. Whatever the
// victim's browser does by itself, it does not work as mallory.
func TestAttackPlantedJarIsNotWorkedIn(t *testing.T) {
	victim := confirming(t)
	victim.signInAs("alice")
	mallory := victim.gateway.browser()
	mallory.confirms = true
	mallory.signInAs("carol")

	victim.plant(mallory)
	if w := victim.get("/.auth/get-session"); w.Body.String() != "null" {
		t.Errorf("the victim is %s", w.Body)
	}
	request := victim.request(http.MethodGet, "/", "")
	wantProblem(t, victim.challenge(request, "/"), http.StatusUnauthorized, "CONTINUE_REQUIRED")
	wantPage(t, victim.get("/.auth/accounts"), http.StatusOK, "Continue on this site?")

	// The victim signs in instead. The jar gets a new token, and mallory has nothing of it.
	victim.signInAs("alice")
	if got := mallory.names(); got != "" {
		t.Errorf("mallory has %s", got)
	}
	if got := victim.names(); got != "carol *alice" {
		t.Errorf("the victim has %s", got)
	}
}

// TestSignInAtAProviderLeadsBack: the provider sends the browser to one host, and from there it goes
// back to the host where the sign-in began, which asks nothing.
func TestSignInAtAProviderLeadsBack(t *testing.T) {
	b, state := startedAtWiki(t)
	wantRedirect(t, b.on("auth.example.com").comeBack("corp", state, "alice"), "https://wiki.example.com/page?x")
	if got := b.names(); got != "*alice" {
		t.Fatalf("at the callback's host there are %s", got)
	}
	b.on("wiki.example.com")
	r := b.request(http.MethodGet, "/page?x", "", "Sec-Fetch-Mode", "cors")
	if b.resume(r).Code != http.StatusTeapot {
		t.Error("a script's request is redirected")
	}
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	w := b.resume(r)
	wantRedirect(t, w, "/page?x")
	checkHeaders(t, w)
	if got := b.names(); got != "*alice" {
		t.Errorf("where the sign-in began there are %s", got)
	}
	if started := b.ofHosts["wiki.example.com __Host-Http-multi_session_started"]; started != "" {
		t.Errorf("the browser still has %q", started)
	}
	if got := b.on("files.example.com").names(); got != "alice" {
		t.Errorf("at a third host there are %s", got)
	}
}

// startedAtWiki returns a browser that has begun a sign-in at wiki.example.com, and its state. The
// provider sends browsers to auth.example.com.
func startedAtWiki(t *testing.T) (b *browser, state string) {
	t.Helper()
	corp := newIDP("corp")
	corp.redirectURI = "https://auth.example.com/.auth/callback/corp"
	b = confirming(t, withProviders(corp)).on("wiki.example.com")
	return b, b.begin("corp", "return_to", "/page?x")
}

// resume lets the portal see to a request at a host where the jar is not confirmed. Where it leaves the
// request alone the answer is 418.
func (b *browser) resume(r *http.Request) *httptest.ResponseRecorder {
	b.t.Helper()
	v := b.visitor(r)
	if v.Visit.Confirmed() {
		b.t.Fatal("the jar is confirmed")
	}
	w := httptest.NewRecorder()
	if !b.ResumeSignIn(w, r, v) {
		w.WriteHeader(http.StatusTeapot)
	}
	b.setCookie(w)
	return w
}

// TestAttackSignInOfAnotherBrowserDoesNotLeadBack: mallory signs in with the planted jar, on the way to
// the very address that the victim's browser opens. That is not the victim's sign-in.
func TestAttackSignInOfAnotherBrowserDoesNotLeadBack(t *testing.T) {
	for name, prepare := range map[string]func(victim, mallory *browser){
		"the victim began none": func(*browser, *browser) {},
		"the victim began one too": func(victim, _ *browser) {
			victim.begin("corp", "return_to", "/page?x")
		},
		"the flow is planted as well": func(victim, mallory *browser) { victim.flows = mallory.flows },
		"the list is planted under the domain's name": func(victim, mallory *browser) {
			if victim.flows == nil {
				victim.flows = make(map[string]string)
			}
			victim.flows["__Secure-multi_session_started"] = mallory.ofHosts["wiki.example.com __Host-Http-multi_session_started"]
		},
	} {
		t.Run(name, func(t *testing.T) {
			mallory, state := startedAtWiki(t)
			victim := mallory.gateway.browser().on("wiki.example.com")
			victim.confirms = true
			prepare(victim, mallory)
			wantRedirect(t, mallory.on("auth.example.com").comeBack("corp", state, "carol"), "https://wiki.example.com/page?x")
			victim.plant(mallory)
			w := victim.resume(victim.request(http.MethodGet, "/page?x", "", "Sec-Fetch-Mode", "navigate"))
			if w.Code != http.StatusTeapot {
				t.Errorf("the victim goes on as %s, with %q", victim.names(), w.Header())
			}
			if got := victim.names(); got != "carol" {
				t.Errorf("the victim's accounts are %q", got)
			}
		})
	}
}

func TestSignInsAtOneHostAreNotListed(t *testing.T) {
	corp := newIDP("corp")
	b := confirming(t, withProviders(corp)).on("wiki.example.com")
	state := b.begin("corp")
	if len(b.ofHosts) != 0 {
		t.Errorf("the browser has %v", b.ofHosts)
	}
	wantRedirect(t, b.comeBack("corp", state, "alice"), "/")
	if got := b.names(); got != "*alice" {
		t.Errorf("there are %s", got)
	}
}

func TestEventsWhereTheJarIsNotConfirmed(t *testing.T) {
	b := confirming(t)
	handle := b.signInAs("alice")
	b.on("wiki.example.com")
	event, ok := b.listen().next()
	if !ok || event.Active != nil || !slices.Equal(event.Sessions, []string{handle}) {
		t.Errorf("the event is %+v, %t", event, ok)
	}
}
