package portal

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// deny is the browser's return with an error of the provider.
func (b *browser) deny(method, code string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.get("/.auth/callback/"+method+"?"+url.Values{"state": {b.lastState(method)}, "error": {code}}.Encode(), "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
}

// wantRetry fails the test unless an answer leads straight back to the provider, with another state.
func (b *browser) wantRetry(w *httptest.ResponseRecorder, method string, before int) {
	b.t.Helper()
	provider, _ := b.logins.Provider(method)
	asked := provider.(*idp).asked
	if len(asked) != before+1 || asked[before].State == asked[before-1].State {
		b.t.Fatalf("%d requests, want %d", len(asked), before+1)
	}
	if got := w.Header().Get("Location"); w.Code != http.StatusSeeOther || !strings.HasPrefix(got, "https://"+method+".example.net/authorize?") || !strings.Contains(got, asked[before].State) {
		b.t.Fatalf("%d to %q", w.Code, got)
	}
	if len(b.flows) != 1 {
		b.t.Errorf("the browser keeps %v", b.flows)
	}
}

func TestRefusedPromptIsTriedOtherwise(t *testing.T) {
	for _, code := range []string{"account_selection_required", "invalid_request", "interaction_required", "login_required"} {
		t.Run(code, func(t *testing.T) {
			p := newIDP("idp")
			b := newGateway(t, withProviders(p)).browser()
			b.signInAs("alice")
			b.begin("idp", "return_to", "/x")
			b.audited()
			b.wantRetry(b.deny("idp", code), "idp", 1)
			if got := p.asked[1]; !slices.Equal(got.Prompts, []string{"login", ""}) || got.Ask != login.AskAccount {
				t.Errorf("the second request is %+v", got)
			}
			wantRedirect(t, b.comeBack("idp", b.lastState("idp"), "bob"), "/x")
			if got := b.names(); got != "alice *bob" {
				t.Errorf("signed in: %s", got)
			}
		})
	}
}

// A provider that refuses every request is asked three times, and not for ever.
func TestTriesWithOtherPromptsEnd(t *testing.T) {
	p := newIDP("idp")
	b := newGateway(t, withProviders(p)).browser()
	b.signInAs("alice")
	b.begin("idp", "return_to", "/x")
	b.wantRetry(b.deny("idp", "invalid_request"), "idp", 1)
	b.wantRetry(b.deny("idp", "invalid_request"), "idp", 2)
	w := b.deny("idp", "invalid_request")
	wantPage(t, w, http.StatusForbidden, "Try again", `name="method" value="idp"`, `name="return_to" value="/x"`)
	if len(p.asked) != 3 || len(b.flows) != 0 {
		t.Errorf("%d requests, and the browser keeps %v", len(p.asked), b.flows)
	}
	if lines := b.audited(); len(lines) != 2 || lines[1]["reason"] != "INVALID_REQUEST" {
		t.Errorf("audit lines %v", lines)
	}
}

func TestErrorsThatAreNotAboutThePromptEndTheSignIn(t *testing.T) {
	p := newIDP("idp")
	b := newGateway(t, withProviders(p)).browser()
	b.begin("idp") // the first account, with no prompt
	wantPage(t, b.deny("idp", "invalid_request"), http.StatusForbidden)
	b.signInAs("alice")
	for _, code := range []string{"access_denied", "server_error", "invalid_scope", "unauthorized_client"} {
		b.begin("idp")
		wantPage(t, b.deny("idp", code), http.StatusForbidden, "Try again")
	}
	if len(p.asked) != 5 {
		t.Errorf("%d requests", len(p.asked))
	}
}

func TestRetryKeepsWhatTheClientAskedFor(t *testing.T) {
	p := newIDP("idp")
	b := newGateway(t, withProviders(p)).browser()
	b.signInAs("alice")
	b.post("/.auth/sign-in/social", `{"provider":"idp","callbackURL":"/dash","errorCallbackURL":"/oops","additionalParams":{"ui_locales":"nl"}}`)
	b.wantRetry(b.deny("idp", "invalid_request"), "idp", 1)
	if got := p.asked[1].Parameters; got["ui_locales"] != "nl" {
		t.Errorf("parameters %v", got)
	}
	b.wantRetry(b.deny("idp", "invalid_request"), "idp", 2)
	wantRedirect(t, b.deny("idp", "invalid_request"), "/oops?error=invalid_request")
}

// A client that names the prompt wants to know what becomes of it.
func TestClientsOwnPromptIsNotReplaced(t *testing.T) {
	p := newIDP("idp")
	b := newGateway(t, withProviders(p)).browser()
	b.signInAs("alice")
	b.post("/.auth/sign-in/social", `{"provider":"idp","errorCallbackURL":"/oops","additionalParams":{"prompt":"select_account"}}`)
	wantRedirect(t, b.deny("idp", "account_selection_required"), "/oops?error=account_selection_required")
}

func TestRetryOnTheWayToAnotherHost(t *testing.T) {
	p := newIDP("idp")
	p.redirectURI = "https://auth.example.com/.auth/callback/idp"
	g := newGateway(t, withProviders(p), func(s *setup) { s.cookieDomain = "example.com" })
	b := g.browser()
	b.confirms = true
	b.host = "app.example.com"
	b.signInAs("alice")
	b.begin("idp", "return_to", "/x")
	b.host = "auth.example.com"
	b.wantRetry(b.deny("idp", "login_required"), "idp", 1)
	wantRedirect(t, b.comeBack("idp", b.lastState("idp"), "bob"), "https://app.example.com/x")

	// The host where it began knows that this browser began it.
	b.host = "app.example.com"
	r := b.request(http.MethodGet, "/x", "", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "cross-site")
	v := b.visitor(r)
	v.Visit = v.Visit.Unconfirmed()
	if !b.ResumeSignIn(httptest.NewRecorder(), r, v) {
		t.Error("the sign-in is not resumed")
	}
}

func TestSameAccountIsTold(t *testing.T) {
	p := newIDP("idp")
	p.logout = true
	b := newGateway(t, withProviders(p)).browser()
	b.signInAt("idp", "alice")
	b.signInAs("bob")

	wantRedirect(t, b.comeBack("idp", b.begin("idp", "return_to", "/x"), "alice"), "/.auth/same-account?return_to=%2Fx")
	wantPage(t, b.get("/.auth/same-account?return_to=%2Fx"), http.StatusOK,
		"signed in already", "The IDP", "alice", `name="ask" value="login"`, `name="return_to" value="/x"`, `href="/x"`, "Sign in as someone else", "Continue as", `name="sign_out"`)
	if got := b.names(); got != "bob *alice" {
		t.Errorf("signed in: %s", got)
	}

	b.begin("idp", "ask", "login", "return_to", "/x")
	if got := p.asked[len(p.asked)-1]; got.Ask != login.AskLogin {
		t.Errorf("asked %+v", got)
	}
	wantRedirect(t, b.comeBack("idp", b.lastState("idp"), "alice"), "/.auth/same-account?return_to=%2Fx&tried=1")
	wantPage(t, b.get("/.auth/same-account?return_to=%2Fx&tried=1"), http.StatusOK, "once more")

	wantRedirect(t, b.comeBack("idp", b.begin("idp", "ask", "login", "return_to", "/x"), "carol"), "/x")
	if got := b.names(); got != "bob alice *carol" {
		t.Errorf("signed in: %s", got)
	}
}

func TestSameAccountIsToldOnlyToThoseWhoWantedAnother(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	first, second := b.begin("idp"), b.begin("idp")
	wantRedirect(t, b.comeBack("idp", first, "alice"), "/")
	wantRedirect(t, b.comeBack("idp", second, "alice"), "/")                                            // asked twice for the first account
	wantRedirect(t, b.comeBack("idp", b.begin("idp", "login_hint", "alice@example.net"), "alice"), "/") // asked for this one
	b.post("/.auth/sign-in/social", `{"provider":"idp","callbackURL":"/dash"}`)
	wantRedirect(t, b.comeBack("idp", b.lastState("idp"), "alice"), "/dash") // clients know their addresses
}

func TestPageOfTheSameAccountNeedsOne(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	wantRedirect(t, b.get("/.auth/same-account?return_to=%2Fx"), "/.auth/accounts?return_to=%2Fx")
	b.signInAs("alice")
	wantRedirect(t, b.get("/.auth/same-account"), "/.auth/accounts")
	wantPage(t, b.get("/.auth/same-account?return_to=%2F%2Fevil.example"), http.StatusBadRequest)
}

// The accounts here stay, and the way back leads to another sign-in.
func TestLeavingTheProviderKeepsTheAccounts(t *testing.T) {
	p := newIDP("idp")
	p.logout = true
	b := newGateway(t, withProviders(p)).browser()
	b.signInAs("bob")
	b.signInAt("idp", "alice")
	to := sentTo(t, b.submit("/.auth/sign-in", "method", "idp", "ask", "login", "sign_out", "1", "return_to", "/x"))
	if to.Host != "idp.example.net" || to.Path != "/logout" || to.Query().Get("id_token_hint") != "id token of alice" {
		t.Fatalf("sent to %s", to)
	}
	if got := b.names(); got != "bob *alice" {
		t.Errorf("signed in: %s", got)
	}
	back := "/.auth/signed-out?state=" + to.Query().Get("state")
	wantRedirect(t, b.get(back), "/.auth/sign-in?provider=idp&return_to=%2Fx")
	w := b.get("/.auth/sign-in?provider=idp&return_to=%2Fx", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	wantPage(t, w, http.StatusOK, `value="idp"`, `class="primary"`)
}

func TestAccountWithoutAccessLeadsToAnotherOne(t *testing.T) {
	p := newIDP("idp")
	b := newGateway(t, withProviders(p)).browser()
	state := b.begin("idp", "return_to", "/x")
	b.fail(&login.NotAllowedError{})
	wantPage(t, b.comeBack("idp", state, "mallory"), http.StatusForbidden, "Use another account", `name="ask" value="account"`, `name="return_to" value="/x"`)
	b.fail(nil)
	b.begin("idp", "ask", "account")
	if got := p.asked[len(p.asked)-1].Ask; got != login.AskAccount {
		t.Errorf("asks %v", got)
	}
}

func TestLinkStraightToAProvider(t *testing.T) {
	for name, c := range map[string]struct {
		accounts bool
		headers  []string
		want     bool // to the provider at once
	}{
		"a bookmark":                        {false, []string{"Sec-Fetch-Site", "none"}, true},
		"this site":                         {false, []string{"Sec-Fetch-Site", "same-origin"}, true},
		"another site":                      {false, []string{"Sec-Fetch-Site", "cross-site"}, true},
		"no Fetch Metadata":                 {false, []string{"Sec-Fetch-Mode", "", "Accept", "text/html"}, true},
		"a script":                          {false, []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, false},
		"with accounts, a bookmark":         {true, []string{"Sec-Fetch-Site", "none"}, true},
		"with accounts, this site":          {true, []string{"Sec-Fetch-Site", "same-origin"}, true},
		"with accounts, a trusted origin":   {true, []string{"Sec-Fetch-Site", "cross-site", "Referer", "https://wiki.example.org/"}, true},
		"with accounts, another site":       {true, []string{"Sec-Fetch-Site", "cross-site", "Referer", "https://evil.example/"}, false},
		"with accounts, a site that hides":  {true, []string{"Sec-Fetch-Site", "cross-site"}, false},
		"with accounts, a sibling":          {true, []string{"Sec-Fetch-Site", "same-site", "Referer", "https://other.example.com/"}, false},
		"with accounts, no Fetch Metadata":  {true, []string{"Sec-Fetch-Mode", "", "Accept", "text/html"}, false},
		"with accounts, a script":           {true, []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "cors"}, false},
		"with accounts, an opaque referrer": {true, []string{"Sec-Fetch-Site", "cross-site", "Referer", "about:blank"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newIDP("idp")
			b := newGateway(t, withProviders(newIDP("first"), p), func(s *setup) { s.origins = []string{"https://wiki.example.org"} }).browser()
			if c.accounts {
				b.signInAs("alice")
			}
			w := b.get("/.auth/sign-in?provider=idp&return_to=%2Fx&login_hint=bob", append([]string{"Sec-Fetch-Mode", "navigate"}, c.headers...)...)
			if !c.want {
				wantPage(t, w, http.StatusOK, `class="primary"`, "The FIRST")
				first, second, _ := strings.Cut(w.Body.String(), `value="first"`)
				if !strings.Contains(first, `value="idp"`) || strings.Contains(second, `class="primary"`) || len(p.asked) != 0 {
					t.Errorf("the provider is not the first choice, or was asked %d times", len(p.asked))
				}
				return
			}
			wantPage(t, w, http.StatusOK, "https://idp.example.net/authorize")
			if got := p.asked[0]; got.LoginHint != "bob" || (got.Ask == login.AskAccount) != c.accounts {
				t.Errorf("asked %+v", got)
			}
			wantRedirect(t, b.comeBack("idp", p.asked[0].State, "bob"), "/x")
		})
	}
}

func TestLinkToAProviderThatIsNone(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	for _, id := range []string{"nobody", "password"} {
		wantPage(t, b.get("/.auth/sign-in?provider="+id), http.StatusNotFound, "no such way to sign in")
	}
	if w := b.get("/.auth/sign-in?provider=&return_to=%2Fx"); w.Code != http.StatusOK {
		t.Errorf("an empty id: %d", w.Code)
	}
	wantPage(t, b.get("/.auth/sign-in?provider=idp&return_to=%2F%2Fevil.example"), http.StatusBadRequest)
}

// A sign-in that leads to a link to the same provider ends on the sign-in page.
func TestLinkThatReturnsToItselfIsNoLoop(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	door := "/.auth/sign-in?provider=idp"
	navigate := []string{"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate"}
	wantPage(t, b.get(door+"&return_to="+url.QueryEscape(door), navigate...), http.StatusOK, "https://idp.example.net/authorize")
	wantRedirect(t, b.comeBack("idp", b.lastState("idp"), "bob"), door)
	w := b.get(door, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
	wantPage(t, w, http.StatusOK, "Continue with")
}
