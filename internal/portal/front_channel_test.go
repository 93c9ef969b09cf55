package portal

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// frame is what the frame on a page of the provider loads. Browsers send no cookies with it.
func (g *gateway) frame(method string, query url.Values) *httptest.ResponseRecorder {
	g.t.Helper()
	return g.browser().get("/.auth/oidc/"+method+"/frontchannel-logout?"+query.Encode(),
		"Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe")
}

func TestFrontChannelLogoutEndsTheProvidersSession(t *testing.T) {
	g := newGateway(t, withProviders(newIDP("idp"), newIDP("other")))
	first, second, other := g.browser(), g.browser(), g.browser()
	first.signInAs("alice")
	first.signInAt("idp", "bob")
	second.signInAt("idp", "carol")
	other.signInAt("other", "bob") // has the same sid, of another provider
	first.audited()

	query := url.Values{"iss": {"https://idp.example.net"}, "sid": {"sid-bob"}}
	for range 2 { // the same frame may be loaded twice
		w := g.frame("idp", query)
		if w.Code != http.StatusOK || w.Header().Get("Content-Security-Policy") != "default-src 'none'; frame-ancestors https://idp.example.net https://login.example.net" ||
			w.Header().Get("X-Frame-Options") != "" || len(w.Header()["Set-Cookie"]) != 0 {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
	}
	for b, want := range map[*browser]string{first: "alice", second: "*carol", other: "*bob"} {
		if got := b.names(); got != want {
			t.Errorf("signed in: %s, want %s", got, want)
		}
	}
	if lines := first.audited(); len(lines) != 2 || lines[0]["event"] != "front-channel-logout" || lines[0]["account"] != "idp:sub-bob" || lines[1]["account"] != nil {
		t.Errorf("audit lines %v", lines)
	}
}

func TestAttackFrontChannelLogoutWithoutTheSession(t *testing.T) {
	g := newGateway(t, withProviders(newIDP("idp")))
	b := g.browser()
	b.signInAt("idp", "bob")
	for name, query := range map[string]url.Values{
		"nothing":        {},
		"issuer alone":   {"iss": {"https://idp.example.net"}},
		"empty sid":      {"iss": {"https://idp.example.net"}, "sid": {""}},
		"sid alone":      {"sid": {"sid-bob"}},
		"another issuer": {"iss": {"https://evil.example"}, "sid": {"sid-bob"}},
	} {
		if w := g.frame("idp", query); w.Code != http.StatusBadRequest || !strings.Contains(w.Header().Get("Content-Security-Policy"), "frame-ancestors https://idp") {
			t.Errorf("%s: %d %v", name, w.Code, w.Header())
		}
	}
	known := url.Values{"iss": {"https://idp.example.net"}, "sid": {"sid-bob"}}.Encode()
	for _, method := range []string{http.MethodHead, http.MethodPost} {
		if w := b.send(b.request(method, "/.auth/oidc/idp/frontchannel-logout?"+known, "")); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, w.Code)
		}
	}
	g.frame("idp", url.Values{"iss": {"https://idp.example.net"}, "sid": {"sid-guess"}})
	if got := b.names(); got != "*bob" {
		t.Errorf("signed in: %s", got)
	}
}

// The provider ends a session after it has answered and before the session is stored.
func TestFrontChannelLogoutOvertakesTheSignIn(t *testing.T) {
	p := newIDP("idp")
	g := newGateway(t, withProviders(p))
	b := g.browser()
	state := b.begin("idp")
	p.during = func() { g.frame("idp", url.Values{"iss": {"https://idp.example.net"}, "sid": {"sid-bob"}}) }
	wantPage(t, b.comeBack("idp", state, "bob"), http.StatusBadRequest)
	if got := b.names(); got != "" {
		t.Errorf("signed in: %s", got)
	}
}

// Strangers can fill the store with at most so many notes, and sessions end all the same.
func TestAttackManyFrontChannelLogouts(t *testing.T) {
	g := newGateway(t, withProviders(newIDP("idp")))
	b := g.browser()
	b.signInAt("idp", "bob")
	for i := range maxUnsolicited + 5 {
		g.frame("idp", url.Values{"iss": {"https://idp.example.net"}, "sid": {fmt.Sprint("guess-", i)}})
	}
	noted := 0
	for i := range maxUnsolicited + 5 {
		if _, ok, err := g.notes.Get(t.Context(), noteEnded, endedSID("idp", fmt.Sprint("guess-", i))); err != nil {
			t.Fatal(err)
		} else if ok {
			noted++
		}
	}
	if noted != maxUnsolicited {
		t.Errorf("%d notes", noted)
	}
	g.frame("idp", url.Values{"iss": {"https://idp.example.net"}, "sid": {"sid-bob"}})
	if got := b.names(); got != "" {
		t.Errorf("signed in: %s", got)
	}
}

// postAnswer is a form on the provider's page that the browser posts without cookies.
func (b *browser) postAnswer(method string, fields url.Values) *httptest.ResponseRecorder {
	b.t.Helper()
	r := b.request(http.MethodPost, "/.auth/callback/"+method, fields.Encode(), "Content-Type", "application/x-www-form-urlencoded",
		"Origin", "https://"+method+".example.net", "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate", "Cookie", "")
	return b.send(r)
}

func TestPostedAnswer(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	b.signInAs("alice")
	state := b.begin("idp", "return_to", "/x")
	w := b.postAnswer("idp", url.Values{"state": {state}, "code": {"bob"}, "user": {`{"name":"Mallory"}`}, "id_token": {"secret"}})
	back := w.Header().Get("Location")
	wantRedirect(t, w, "/.auth/callback/idp?code=bob&state="+state)
	if got := b.names(); got != "*alice" || len(b.flows) != 1 || len(w.Header()["Set-Cookie"]) != 0 {
		t.Errorf("the form itself has an effect: %s, %v", got, b.flows)
	}
	wantRedirect(t, b.get(back, "Sec-Fetch-Site", "cross-site", "Sec-Fetch-Mode", "navigate"), "/x")
	if got := b.names(); got != "alice *bob" {
		t.Errorf("signed in: %s", got)
	}

	b.begin("idp")
	w = b.postAnswer("idp", url.Values{"state": {b.lastState("idp")}, "error": {"access_denied"}, "error_description": {"a&b"}})
	wantRedirect(t, w, "/.auth/callback/idp?error=access_denied&error_description=a%26b&state="+b.lastState("idp"))
}

func TestPostedAnswerRefuses(t *testing.T) {
	b := newGateway(t, withProviders(newIDP("idp"))).browser()
	state := b.begin("idp")
	wantPage(t, b.postAnswer("idp", url.Values{"state": {state}, "code": {strings.Repeat("x", maxAnswer)}}), http.StatusRequestEntityTooLarge)
	wantPage(t, b.postAnswer("idp", url.Values{"state": {state, "y"}, "code": {"bob"}}), http.StatusBadRequest)
	w := b.send(b.request(http.MethodPost, "/.auth/callback/idp", `{}`, "Content-Type", "application/json", "Sec-Fetch-Site", "cross-site", "Origin", "null"))
	wantPage(t, w, http.StatusUnsupportedMediaType)
	// What another site posts leads to an answer that belongs to no sign-in of this browser.
	w = b.postAnswer("idp", url.Values{"state": {"forged"}, "code": {"mallory"}})
	wantPage(t, b.get(w.Header().Get("Location")), http.StatusBadRequest)
	if got := b.names(); got != "" {
		t.Errorf("signed in: %s", got)
	}
}
