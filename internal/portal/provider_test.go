package portal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// idp is a provider whose codes are user names: a code signs in its user. It accepts a code any
// number of times.
type idp struct {
	id, redirectURI string
	logout, shared  bool
	endsThere       bool  // does not send browsers back after a sign-out
	err             error // of Authorize and Redeem
	during          func()

	mu       sync.Mutex
	asked    []login.AuthorizationRequest
	redeemed int
	pending  login.Pending // of the last Redeem
}

// newIDP returns a provider that shares user names, because most tests need few of them.
func newIDP(id string) *idp { return &idp{id: id, shared: true} }

func (i *idp) ID() string             { return i.id }
func (i *idp) Label() string          { return "The " + strings.ToUpper(i.id) }
func (i *idp) Available() bool        { return i.err == nil }
func (i *idp) RedirectURI() string    { return i.redirectURI }
func (i *idp) Exposes() login.Exposed { return login.Exposed{} }

func (i *idp) SharesUserNames() bool { return i.shared }

func (i *idp) Current(recorded *session.Identity) (*session.Identity, bool) { return recorded, true }

func (i *idp) Authorize(_ context.Context, r login.AuthorizationRequest) (string, login.Pending, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.err != nil {
		return "", login.Pending{}, i.err
	}
	if len(r.Scopes) > 0 {
		return "", login.Pending{}, &login.ParameterError{Name: "scopes", Why: "not configured"}
	}
	i.asked = append(i.asked, r)
	location := "https://" + i.id + ".example.net/authorize?" + url.Values{"state": {r.State}, "redirect_uri": {r.RedirectURI}}.Encode()
	prompts := oauthclient.Prompts("", nil, nil, r)
	return location, login.Pending{RedirectURI: r.RedirectURI, Verifier: "verifier of " + r.State, Nonce: "nonce", Prompt: prompts[0], Prompts: prompts[1:]}, nil
}

func (i *idp) Redeem(_ context.Context, pending login.Pending, answer url.Values) (*login.Granted, error) {
	i.mu.Lock()
	i.redeemed++
	i.pending = pending
	i.mu.Unlock()
	if i.err != nil {
		return nil, i.err
	}
	if code := answer.Get("error"); code != "" {
		return nil, &login.DeniedError{Code: code, Description: answer.Get("error_description")}
	}
	name := answer.Get("code")
	if i.during != nil {
		i.during()
	}
	return &login.Granted{
		Identity: &session.Identity{
			Account:       session.Account{Method: i.id, Subject: "sub-" + name},
			Issuer:        "https://" + i.id + ".example.net",
			UserName:      name,
			Email:         name + "@example.net",
			EmailVerified: true,
		},
		Tokens: login.Tokens{ID: "id token of " + name},
		SID:    "sid-" + name,
	}, nil
}

func (i *idp) SendsBack() bool { return !i.endsThere }

func (i *idp) EndSession(tokens login.Tokens, back, state string) (string, bool) {
	if !i.logout {
		return "", false
	}
	if back == "" {
		return "https://" + i.id + ".example.net/logout?" + url.Values{"id_token_hint": {tokens.ID}}.Encode(), true
	}
	return "https://" + i.id + ".example.net/logout?" + url.Values{"id_token_hint": {tokens.ID}, "post_logout_redirect_uri": {back}, "state": {state}}.Encode(), true
}

func (i *idp) FrontChannelLogout(query url.Values) (*login.Logout, error) {
	if query.Get("iss") != "https://"+i.id+".example.net" || query.Get("sid") == "" {
		return nil, &login.RejectedError{Reason: "iss"}
	}
	return &login.Logout{SID: query.Get("sid")}, nil
}

func (i *idp) PageOrigins() []string {
	return []string{"https://" + i.id + ".example.net", "https://login.example.net"}
}

// VerifyLogout accepts tokens in the form of a query string.
func (i *idp) VerifyLogout(_ context.Context, token string) (*login.Logout, error) {
	form, err := url.ParseQuery(token)
	if err != nil || form.Get("jti") == "" {
		return nil, &login.RejectedError{Reason: "signature"}
	}
	return &login.Logout{Subject: form.Get("sub"), SID: form.Get("sid"), JTI: form.Get("jti"), Expiry: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}, nil
}

func withProviders(providers ...*idp) func(*setup) {
	return func(s *setup) {
		for _, p := range providers {
			s.moreMethods = append(s.moreMethods, p)
		}
	}
}

// begin presses the button of a provider, and returns the state that the browser leaves with.
func (b *browser) begin(method string, fields ...string) (state string) {
	b.t.Helper()
	w := b.submit("/.auth/sign-in", append([]string{"method", method}, fields...)...)
	wantPage(b.t, w, http.StatusOK, "https://"+method+".example.net/authorize")
	return b.lastState(method)
}

func (b *browser) lastState(method string) string {
	b.t.Helper()
	provider, _ := b.logins.Provider(method)
	asked := provider.(*idp).asked
	return asked[len(asked)-1].State
}

// comeBack is the browser's return with the provider's answer.
func (b *browser) comeBack(method, state, name string) *httptest.ResponseRecorder {
	b.t.Helper()
	return b.get("/.auth/callback/"+method+"?"+url.Values{"state": {state}, "code": {name}}.Encode(), "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate")
}

func (b *browser) signInAt(method, name string) {
	b.t.Helper()
	wantRedirect(b.t, b.comeBack(method, b.begin(method), name), "/")
	b.clock.advance(time.Second)
}

func TestSignInAtProviders(t *testing.T) {
	google, corp := newIDP("google"), newIDP("corp")
	b := newGateway(t, withProviders(google, corp)).browser()
	wantPage(t, b.get("/.auth/sign-in?return_to=%2Fx"), http.StatusOK, `value="google"`, `value="corp"`, "The GOOGLE", "The CORP", `name="identifier"`)

	b.signInAs("alice")
	b.signInAt("google", "alice")
	b.signInAt("google", "bob")
	b.signInAt("corp", "alice")
	if got := b.names(); got != "alice alice bob *alice" {
		t.Errorf("signed in: %s", got)
	}
	if len(b.flows) != 0 {
		t.Errorf("the browser keeps %v", b.flows)
	}
	if google.asked[0].RedirectURI != "https://app.example.com/.auth/callback/google" || google.pending.RedirectURI != google.asked[0].RedirectURI {
		t.Errorf("redirect URIs %q and %q", google.asked[0].RedirectURI, google.pending.RedirectURI)
	}
	if google.pending.Verifier != "verifier of "+google.asked[1].State {
		t.Errorf("the verifier is %q", google.pending.Verifier)
	}
	wantPage(t, b.get("/.auth/accounts"), http.StatusOK, "The GOOGLE", "The CORP")
	lines := b.audited()
	if len(lines) != 4 || lines[3]["account"] != "corp:sub-alice" || lines[3]["method"] != "corp" {
		t.Errorf("audit lines %v", lines)
	}
}

// Upstreams know people by their user names alone.
func TestUserNameOfAnotherAccountIsRefused(t *testing.T) {
	corp, github := newIDP("corp"), newIDP("github")
	corp.shared, github.shared = false, false
	g := newGateway(t, withProviders(corp, github), func(s *setup) { s.signUp = &password.SignUp{} })
	g.browser().signInAt("corp", "alice")

	b := g.browser()
	wantPage(t, b.comeBack("github", b.begin("github"), "Alice"), http.StatusForbidden, "Another account of this site has the same user name")
	w := b.post("/.auth/sign-up/email", `{"name":"A","email":"mallory@example.com","password":"correct horse staple","username":"alice"}`)
	wantProblem(t, w, http.StatusBadRequest, "USERNAME_IS_ALREADY_TAKEN")
	if w := b.post("/.auth/sign-up/email", `{"name":"A","email":"dave@example.com","password":"correct horse staple","username":"dave"}`); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	wantProblem(t, b.post("/.auth/update-user", `{"username":"alice"}`), http.StatusBadRequest, "USERNAME_IS_ALREADY_TAKEN")
	wantPage(t, b.comeBack("corp", b.begin("corp"), "dave"), http.StatusForbidden)
	if got := b.names(); got != "*dave" {
		t.Errorf("signed in: %s", got)
	}
}

// An administrator can create a user of any name. That user then has the name.
func TestLocalUserWithTheNameOfAProvidersAccount(t *testing.T) {
	corp := newIDP("corp")
	corp.shared = false
	g := newGateway(t, withProviders(corp), func(s *setup) { s.signUp = &password.SignUp{} })
	b := g.browser()
	b.signInAt("corp", "alice")
	if _, err := g.users.Create(t.Context(), user.User{Name: "ALICE", Email: "alice@example.com"}, true); err != nil {
		t.Fatal(err)
	}
	if got := b.names(); got != "" {
		t.Errorf("signed in: %s", got)
	}
}

func TestAddingAsksForAChoice(t *testing.T) {
	p := newIDP("idp")
	b := newGateway(t, withProviders(p)).browser()
	b.begin("idp")
	b.begin("idp", "login_hint", "alice@example.net")
	b.signInAs("alice")
	b.begin("idp")
	for i, want := range []struct {
		ask  login.Ask
		hint string
	}{{login.AskNothing, ""}, {login.AskNothing, "alice@example.net"}, {login.AskAccount, ""}} {
		if got := p.asked[i]; got.Ask != want.ask || got.LoginHint != want.hint {
			t.Errorf("request %d: %+v", i, got)
		}
	}
}

func TestAnotherAccountThanAskedIsAddedAndTold(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	b.signInAs("alice")
	for hint, known := range map[string]bool{"BOB@example.net": true, "bob": true, "sub-bob": true, "carol@example.net": false} {
		w := b.comeBack("idp", b.begin("idp", "login_hint", hint, "return_to", "/x"), "bob")
		if known {
			wantRedirect(t, w, "/x")
			continue
		}
		wantRedirect(t, w, "/.auth/accounts?other=1&return_to=%2Fx")
		wantPage(t, b.get("/.auth/accounts?other=1&return_to=%2Fx"), http.StatusOK, "another account than the requested one")
	}
	if got := b.names(); got != "alice *bob" {
		t.Errorf("signed in: %s", got)
	}
}

func TestParallelTabs(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	first := b.begin("idp", "return_to", "/first")
	second := b.begin("idp", "return_to", "/second")
	third := b.begin("idp", "return_to", "/third")
	wantRedirect(t, b.comeBack("idp", second, "bob"), "/second")
	wantRedirect(t, b.comeBack("idp", first, "alice"), "/first")
	wantRedirect(t, b.comeBack("idp", third, "carol"), "/third")
	if got := b.names(); got != "bob alice *carol" {
		t.Errorf("signed in: %s", got)
	}
}

// Each answer leaves a page, no session, and a line that says why.
func TestHostileAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(b *browser, state string) *httptest.ResponseRecorder
		status int
		reason string
	}{
		"no state": {func(b *browser, _ string) *httptest.ResponseRecorder {
			return b.get("/.auth/callback/idp?code=mallory")
		}, 400, "state"},
		"two states": {func(b *browser, s string) *httptest.ResponseRecorder {
			return b.get("/.auth/callback/idp?code=mallory&state=x&state=" + s)
		}, 400, "state"},
		"another state": {func(b *browser, s string) *httptest.ResponseRecorder {
			return b.comeBack("idp", s[:len(s)-1]+"0", "mallory")
		}, 400, "no flow"},
		"another browser": {func(b *browser, s string) *httptest.ResponseRecorder {
			return b.gateway.browser().comeBack("idp", s, "mallory")
		}, 400, "no flow"},
		"another provider's callback": {func(b *browser, s string) *httptest.ResponseRecorder { return b.comeBack("other", s, "mallory") }, 400, "mix-up"},
		"too late": {func(b *browser, s string) *httptest.ResponseRecorder {
			b.clock.advance(flowLifetime + time.Second)
			return b.comeBack("idp", s, "mallory")
		}, 400, "late"},
		"cookie of another state": {func(b *browser, s string) *httptest.ResponseRecorder {
			own := b.begin("idp")
			flow := func(state string) string { return cookie.NameHost + "_flow_" + tagOf(state) }
			b.flows[flow(s)] = b.flows[flow(own)]
			return b.comeBack("idp", s, "mallory")
		}, 400, "flow"},
		"garbled cookie": {func(b *browser, s string) *httptest.ResponseRecorder {
			b.flows[cookie.NameHost+"_flow_"+tagOf(s)] += "AAAA"
			return b.comeBack("idp", s, "mallory")
		}, 400, "flow"},
		"no base64 in the cookie": {func(b *browser, s string) *httptest.ResponseRecorder {
			b.flows[cookie.NameHost+"_flow_"+tagOf(s)] = "!"
			return b.comeBack("idp", s, "mallory")
		}, 400, "flow"},
		"denied": {func(b *browser, s string) *httptest.ResponseRecorder {
			return b.get("/.auth/callback/idp?error=access_denied&error_description=Call+0900&state=" + s)
		}, 403, "ACCESS_DENIED"},
		"error of its own making": {func(b *browser, s string) *httptest.ResponseRecorder {
			return b.get("/.auth/callback/idp?error=%3Cscript%3E&state=" + s)
		}, 403, "PROVIDER_ERROR"},
		"rejected": {func(b *browser, s string) *httptest.ResponseRecorder {
			b.fail(&login.RejectedError{Reason: "nonce"})
			return b.comeBack("idp", s, "mallory")
		}, 400, "nonce"},
		"not allowed": {func(b *browser, s string) *httptest.ResponseRecorder {
			b.fail(login.ErrNotAllowed)
			return b.comeBack("idp", s, "mallory")
		}, 403, "NOT_ALLOWED"},
		"provider down": {func(b *browser, s string) *httptest.ResponseRecorder {
			b.fail(errors.Join(login.ErrProviderUnavailable, errors.New("dial: refused")))
			return b.comeBack("idp", s, "mallory")
		}, 503, "TEMPORARILY_UNAVAILABLE"},
		"wrong client secret": {func(b *browser, s string) *httptest.ResponseRecorder {
			b.fail(fmt.Errorf("%w: %w", login.ErrMisconfigured, &login.AnswerError{Code: "invalid_client", Description: "secret 0900 is wrong"}))
			return b.comeBack("idp", s, "mallory")
		}, 503, "PROVIDER_MISCONFIGURED"},
		"unknown provider": {func(b *browser, s string) *httptest.ResponseRecorder { return b.comeBack("nobody", s, "mallory") }, 404, ""},
	} {
		t.Run(name, func(t *testing.T) {
			b := newGateway(t, withProviders(newIDP("idp"), newIDP("other"))).browser()
			state := b.begin("idp")
			b.audited()
			w := c.answer(b, state)
			wantPage(t, w, c.status)
			if body := w.Body.String(); strings.Contains(body, "0900") || strings.Contains(body, "<script>") || strings.Contains(body, state) {
				t.Errorf("the page says\n%s", body)
			}
			if got := b.names(); got != "" {
				t.Errorf("signed in: %s", got)
			}
			if c.reason != "" {
				b.wantAudited("sign-in failure <nil> " + c.reason)
			}
		})
	}
}

func TestProvidersOwnErrorIsLogged(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	b.begin("idp")
	w := b.get("/.auth/callback/idp?" + url.Values{
		"state": {b.lastState("idp")}, "error": {"invalid_client"},
		"error_description": {"AADSTS7000215: Invalid secret " + strings.Repeat("x", 1000)},
	}.Encode())
	if wantPage(t, w, http.StatusForbidden); strings.Contains(w.Body.String(), "AADSTS") {
		t.Errorf("the page says\n%s", w.Body)
	}
	for name, lines := range map[string][]observer.LoggedEntry{
		"audit line": b.log.FilterMessage("sign-in").All(),
		"warning":    b.log.FilterMessage("a provider refused a sign-in").FilterLevelExact(zapcore.WarnLevel).All(),
	} {
		if len(lines) != 1 {
			t.Fatalf("%s: %d", name, len(lines))
		}
		got := lines[0].ContextMap()
		text, _ := got["provider_error_description"].(string)
		if got["provider_error"] != "invalid_client" || !strings.HasPrefix(text, "AADSTS7000215: Invalid secret xxx") || len(text) > maxLogged {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// People who cancel are nothing to warn of.
func TestCancelledSignInIsNoWarning(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	b.begin("idp")
	b.deny("idp", "access_denied")
	if n := b.log.FilterLevelExact(zapcore.WarnLevel).Len(); n != 0 {
		t.Errorf("%d warnings", n)
	}
}

// Whoever runs the site must be able to find out why somebody was not let in.
func TestAuditSaysWhoWasNotLetInAndWhatDidNotHold(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	for name, c := range map[string]struct {
		err         error
		field, want string
	}{
		"not allowed": {&login.NotAllowedError{Account: session.Account{Method: "idp", Subject: "bob"}}, "account", "idp:bob"},
		"rejected":    {&login.RejectedError{Reason: "claims", Err: errors.New("claim upn: is missing")}, "detail", "claim upn: is missing"},
		"denied":      {&login.DeniedError{Code: "access_denied", Description: "AADSTS65004: declined"}, "provider_error_description", "AADSTS65004: declined"},
		"unavailable": {fmt.Errorf("%w: %w", login.ErrProviderUnavailable, &login.AnswerError{Code: "slow_down"}), "provider_error", "slow_down"},
		"code":        {&login.RejectedError{Reason: "code", Err: &login.AnswerError{Code: "invalid_grant", Description: "AADSTS70008"}}, "provider_error", "invalid_grant"},
		"misconfigured": {fmt.Errorf("%w: %w", login.ErrMisconfigured, &login.AnswerError{Code: "invalid_client", Description: "AADSTS7000215: Invalid client secret provided."}),
			"provider_error_description", "AADSTS7000215: Invalid client secret provided."},
	} {
		t.Run(name, func(t *testing.T) {
			state := b.begin("idp")
			b.fail(c.err)
			b.audited()
			b.comeBack("idp", state, "bob")
			b.fail(nil)
			if line := b.audited()[0]; line[c.field] != c.want || line["method"] != "idp" {
				t.Errorf("line is %v", line)
			}
		})
	}
}

func (b *browser) fail(err error) {
	provider, _ := b.logins.Provider("idp")
	provider.(*idp).err = err
}

func TestReplayedAnswers(t *testing.T) {
	p := newIDP("idp")
	b := newGateway(t, withProviders(p)).browser()
	state := b.begin("idp")
	target := "/.auth/callback/idp?code=alice&state=" + state
	requests := make([]*http.Request, 20)
	visitors := make([]Visitor, len(requests))
	for i := range requests {
		requests[i] = b.request(http.MethodGet, target, "")
		visitors[i] = b.visitor(requests[i])
	}
	codes := make([]int, len(requests))
	var wait sync.WaitGroup
	for i := range requests {
		wait.Go(func() {
			w := httptest.NewRecorder()
			b.ServeHTTP(w, requests[i], visitors[i])
			codes[i] = w.Code
		})
	}
	wait.Wait()
	through := 0
	for _, code := range codes {
		switch code {
		case http.StatusSeeOther:
			through++
		case http.StatusBadRequest:
		default:
			t.Errorf("status %d", code)
		}
	}
	if through != 1 || p.redeemed != 1 {
		t.Errorf("%d of 20 came through, and %d codes were redeemed", through, p.redeemed)
	}
	sessions, err := b.manager.Sessions(t.Context(), session.Selection{Method: "idp"})
	if err != nil || len(sessions) != 1 {
		t.Errorf("%d sessions, %v", len(sessions), err)
	}
}

func TestLookingAheadUsesNothingUp(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	state := b.begin("idp")
	w := b.send(b.request(http.MethodHead, "/.auth/callback/idp?code=alice&state="+state, ""))
	if w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, POST" {
		t.Errorf("HEAD: %d, Allow %q", w.Code, w.Header().Get("Allow"))
	}
	wantRedirect(t, b.comeBack("idp", state, "alice"), "/")
}

func TestCallbackOfOlderClients(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	state := b.begin("idp")
	wantRedirect(t, b.get("/.auth/oauth2/callback/idp?code=alice&state="+state), "/")
}

func TestCallbackAtAnotherHostLeadsBack(t *testing.T) {
	p := newIDP("idp")
	p.redirectURI, p.logout = "https://auth.example.com/.auth/callback/idp", true
	g := newGateway(t, withProviders(p), func(s *setup) { s.cookieDomain = "example.com" })
	for returnTo, want := range map[string]string{
		"":                            "https://app.example.com/",
		"/x?y":                        "https://app.example.com/x?y",
		"https://wiki.example.com/x":  "https://wiki.example.com/x",
		"https://auth.example.com/ok": "https://auth.example.com/ok",
	} {
		b := g.browser()
		state := b.begin("idp", "return_to", returnTo)
		b.host = "auth.example.com"
		wantRedirect(t, b.comeBack("idp", state, "alice"), want)
		b.host = "app.example.com"
		if got := b.names(); got != "*alice" {
			t.Fatalf("signed in: %s", got)
		}
	}
	b := g.browser()
	state := b.begin("idp")
	b.host = "auth.example.com"
	b.comeBack("idp", state, "alice")
	b.host = "app.example.com"
	b.submit("/.auth/accounts", "action", "sign-out-all", "return_to", "/x")
	wantRedirect(t, b.get("/.auth/signed-out?state=nonsense"), "/.auth/sign-in?signed_out=1")
}

func TestSignInPageIsSkipped(t *testing.T) {
	p := newIDP("idp")
	b := newGateway(t, withProviders(p), func(s *setup) { s.noPasswords, s.skipSignInPage = true, true }).browser()
	signedOut := b.get("/.auth/sign-in?signed_out=1")
	wantPage(t, signedOut, http.StatusOK, "You are signed out.")
	if strings.Contains(signedOut.Body.String(), "data-state") {
		t.Error("the page follows, to where nobody has asked to go")
	}
	wantPage(t, b.get("/.auth/accounts"), http.StatusOK, "data-state")
	wantPage(t, b.get("/.auth/sign-in?return_to=%2Fx&login_hint=alice"), http.StatusOK, "https://idp.example.net/authorize")
	if asked := p.asked[0]; asked.LoginHint != "alice" {
		t.Errorf("asked %+v", asked)
	}
	wantRedirect(t, b.comeBack("idp", b.lastState("idp"), "alice"), "/x")
	if w := b.get("/.auth/sign-in"); strings.Contains(w.Body.String(), "authorize") {
		t.Error("the page is skipped for a browser that has an account")
	}
	b.post("/.auth/sign-out", "{}")
	b.fail(login.ErrProviderUnavailable)
	wantPage(t, b.get("/.auth/sign-in"), http.StatusServiceUnavailable, "cannot be reached", "The IDP")
}

func TestSignInPageIsNotSkippedWhereThereIsAChoice(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp")), func(s *setup) { s.skipSignInPage = true }).browser()
	if w := b.get("/.auth/sign-in"); strings.Contains(w.Body.String(), "authorize") {
		t.Error("skipped beside a password form")
	}
}

func TestUnknownMethodOfTheForm(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	for _, method := range []string{"", "nobody", "password"} {
		wantPage(t, b.submit("/.auth/sign-in", "method", method), http.StatusBadRequest)
	}
}

func TestSocialSignIn(t *testing.T) {
	p := newIDP("idp")
	b := newGateway(t, withProviders(p)).browser()
	type answer struct {
		URL      string
		Redirect bool
	}
	w := b.post("/.auth/sign-in/social", `{"provider":"idp","callbackURL":"/dash","errorCallbackURL":"/oops?a=1#part","loginHint":"alice","requestSignUp":true}`)
	got := decode[answer](t, w)
	if w.Code != http.StatusOK || !got.Redirect || !strings.HasPrefix(got.URL, "https://idp.example.net/authorize") || w.Header().Get("Location") != got.URL {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	wantRedirect(t, b.comeBack("idp", b.lastState("idp"), "alice"), "/dash")

	w = b.post("/.auth/sign-in/oauth2", `{"providerId":"idp","callbackURL":"/dash","errorCallbackURL":"/oops?a=1#part","disableRedirect":true}`)
	if got := decode[answer](t, w); got.Redirect || got.URL == "" || w.Header().Get("Location") != "" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	wantRedirect(t, b.get("/.auth/callback/idp?error=access_denied&state="+b.lastState("idp")), "/oops?a=1&error=access_denied#part")
	wantRedirect(t, b.get("/.auth/callback/idp?error=access_denied&error_description=No+%26+never&state="+b.begunByAPI()), "/oops?error=access_denied&error_description=No+%26+never")
	wantRedirect(t, b.get("/.auth/callback/idp?error=%3Cx%3E&state="+b.begunByAPI()), "/oops?error=provider_error")

	state := b.begunByAPI()
	b.fail(&login.RejectedError{Reason: "nonce"})
	wantRedirect(t, b.comeBack("idp", state, "mallory"), "/oops?error=invalid_code")
	b.fail(nil)

	for name, c := range map[string]struct {
		path, body string
		status     int
		code       string
	}{
		"unknown":                  {"social", `{"provider":"nobody"}`, 404, "PROVIDER_NOT_FOUND"},
		"unknown, older client":    {"oauth2", `{"providerId":"nobody"}`, 400, "PROVIDER_CONFIG_NOT_FOUND"},
		"passwords are none":       {"social", `{"provider":"password"}`, 404, "PROVIDER_NOT_FOUND"},
		"no provider":              {"social", `{}`, 400, "VALIDATION_ERROR"},
		"ID token":                 {"social", `{"provider":"idp","idToken":{"token":"x"}}`, 404, "ID_TOKEN_NOT_SUPPORTED"},
		"elsewhere":                {"social", `{"provider":"idp","callbackURL":"https://evil.example/"}`, 403, "INVALID_CALLBACK_URL"},
		"errors elsewhere":         {"social", `{"provider":"idp","errorCallbackURL":"//evil.example/"}`, 403, "INVALID_ERROR_CALLBACK_URL"},
		"new users elsewhere":      {"social", `{"provider":"idp","newUserCallbackURL":"https://evil.example/"}`, 403, "INVALID_NEW_USER_CALLBACK_URL"},
		"scopes":                   {"social", `{"provider":"idp","scopes":["admin"]}`, 400, "VALIDATION_ERROR"},
		"scopes of another kind":   {"social", `{"provider":"idp","scopes":"admin"}`, 400, "VALIDATION_ERROR"},
		"scopes are numbers":       {"social", `{"provider":"idp","scopes":[1]}`, 400, "VALIDATION_ERROR"},
		"parameters are numbers":   {"social", `{"provider":"idp","additionalParams":{"a":1}}`, 400, "VALIDATION_ERROR"},
		"hint with a line break":   {"social", `{"provider":"idp","loginHint":"a\nb"}`, 400, "VALIDATION_ERROR"},
		"more than a cookie holds": {"social", `{"provider":"idp","callbackURL":"/` + strings.Repeat("a", 2000) + `","errorCallbackURL":"/` + strings.Repeat("b", 2000) + `"}`, 400, "VALIDATION_ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			wantProblem(t, b.post("/.auth/sign-in/"+c.path, c.body), c.status, c.code)
		})
	}
	wantProblem(t, b.post("/.auth/sign-in/social", `{"provider":"idp"}`, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"), 403, "INVALID_ORIGIN")
	b.fail(login.ErrProviderUnavailable)
	wantProblem(t, b.post("/.auth/sign-in/social", `{"provider":"idp"}`), 503, "TEMPORARILY_UNAVAILABLE")
}

func (b *browser) begunByAPI() (state string) {
	b.t.Helper()
	if w := b.post("/.auth/sign-in/social", `{"provider":"idp","errorCallbackURL":"/oops"}`); w.Code != http.StatusOK {
		b.t.Fatalf("%d %s", w.Code, w.Body)
	}
	return b.lastState("idp")
}

// TestLongReturnAddressAtAProvider: the cookie of a sign-in that is under way keeps what it has room
// for, and a page says if that was not enough.
// TestFirstSignInLeadsToWhereNewPeopleGo is for clients of the API that greet new people.
func TestFirstSignInLeadsToWhereNewPeopleGo(t *testing.T) {
	corp := newIDP("corp")
	corp.shared = false
	shared := newIDP("shared")
	g := newGateway(t, withProviders(corp, shared))
	for _, c := range []struct{ method, name, want string }{
		{"corp", "alice", "/welcome"},
		{"corp", "alice", "/app"},
		{"corp", "bob", "/welcome"},
		{"shared", "carol", "/app"}, // nobody knows who has been there
	} {
		b := g.browser()
		w := b.post("/.auth/sign-in/social", `{"provider":"`+c.method+`","callbackURL":"/app","newUserCallbackURL":"/welcome"}`)
		if w.Code != http.StatusOK {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		wantRedirect(t, b.comeBack(c.method, b.lastState(c.method), c.name), c.want)
	}
	b := g.browser()
	if w := b.post("/.auth/sign-in/social", `{"provider":"corp","callbackURL":"/app"}`); w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	wantRedirect(t, b.comeBack("corp", b.lastState("corp"), "carol"), "/app")
}

func TestLongReturnAddressAtAProvider(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	long := "/" + strings.Repeat("a", maxReturnTo-1)
	wantRedirect(t, b.comeBack("idp", b.begin("idp", "return_to", long[:2048]), "alice"), long[:2048])
	wantRedirect(t, b.comeBack("idp", b.begin("idp", "return_to", long), "bob"), "/.auth/accounts?too_long=1")
	if got := b.names(); got != "alice *bob" {
		t.Errorf("the browser has %q", got)
	}
}

// The account whose session has expired is the one that the provider is asked for.
func TestSigningInAgainAsksForTheAccount(t *testing.T) {
	p := newIDP("idp")
	b := newGateway(t, withProviders(p), func(s *setup) { s.options.IdleTimeout = time.Hour }).browser()
	b.signInAt("idp", "bob")
	bob := b.active().Handle
	b.clock.advance(30 * time.Minute)
	b.signInAs("alice")
	b.post("/.auth/multi-session/set-active", `{"sessionToken":"`+bob+`"}`)
	b.clock.advance(45 * time.Minute)
	b.signInAs("alice") // is used, and bob is not
	b.post("/.auth/multi-session/set-active", `{"sessionToken":"`+bob+`"}`)
	b.clock.advance(59 * time.Minute)
	b.touch("alice")
	b.clock.advance(2 * time.Minute)
	wantPage(t, b.get("/.auth/sign-in"), http.StatusOK, "has ended", `name="login_hint" value="bob@example.net"`)
}

// touch uses an account of the browser without switching to it.
func (b *browser) touch(name string) {
	b.t.Helper()
	visit := b.visitor(b.request(http.MethodGet, "/", "")).Visit
	for _, e := range visit.Entries() {
		if e.Identity.UserName == name {
			visit.Used(e)
		}
	}
	recorded := func() bool {
		return slices.ContainsFunc(b.visitor(b.request(http.MethodGet, "/", "")).Visit.Entries(), func(e session.Entry) bool {
			return e.Identity.UserName == name && e.LastUsedAt.Equal(b.clock.Now().Truncate(time.Millisecond))
		})
	}
	ctx, cancel := context.WithTimeout(b.t.Context(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !recorded() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			b.t.Fatalf("the use of %s was not recorded: %v", name, ctx.Err())
		}
	}
}

func TestFailedSignInLeadsToAnotherTry(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	state := b.begin("idp", "return_to", "/x")
	w := b.get("/.auth/callback/idp?error=access_denied&state=" + state)
	wantPage(t, w, http.StatusForbidden, "Try again", `name="method" value="idp"`, `name="return_to" value="/x"`, `href="/.auth/sign-in?return_to=%2Fx"`)
}

func TestAccountPageOfAProvidersAccount(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	b.signInAt("idp", "bob")
	wantPage(t, b.get("/.auth/account"), http.StatusOK, "The IDP")
}

// TestNameReleasedDuringSignIn: a session that was made while an administrator released its user name
// does not go on beside the account that has the name now.
func TestNameReleasedDuringSignIn(t *testing.T) {
	corp := newIDP("corp")
	corp.shared = false
	b := newGateway(t, withProviders(corp)).browser()
	b.signInAt("corp", "alice")
	entry := b.active()
	ctx, names := t.Context(), b.Portal.names
	if err := b.endIfNameLost(ctx, entry); err != nil || b.names() != "*alice" {
		t.Fatalf("with the name: %v, signed in: %s", err, b.names())
	}
	if _, _, err := names.Release(ctx, "alice"); err != nil {
		t.Fatal(err)
	}
	other := &session.Identity{Account: session.Account{Method: "corp", Subject: "other"}, UserName: "alice"}
	if err := names.Claim(ctx, b.logins, other); err != nil {
		t.Fatal(err)
	}
	if err := b.endIfNameLost(ctx, entry); !errors.Is(err, login.ErrNameTaken) || b.names() != "" {
		t.Errorf("without the name: %v, signed in: %s", err, b.names())
	}
}
