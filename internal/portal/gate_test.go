package portal

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// challenge returns the gate's answer to a request for uri, exactly as it stands in the request
// line.
func (b *browser) challenge(r *http.Request, uri string) *httptest.ResponseRecorder {
	b.t.Helper()
	w := httptest.NewRecorder()
	r.RequestURI = uri
	b.Challenge(w, r, b.visitor(r))
	checkHeaders(b.t, w)
	return w
}

var navigating = []string{"Sec-Fetch-Mode", "navigate"}

func TestChallengeOfANavigation(t *testing.T) {
	tests := map[string]struct{ uri, location string }{
		"page":              {"/d/x?a=1&b=%20", "/.auth/sign-in?return_to=%2Fd%2Fx%3Fa%3D1%26b%3D%2520"},
		"root":              {"/", "/.auth/sign-in?return_to=%2F"},
		"double slash":      {"/a//b", "/.auth/sign-in?return_to=%2Fa%2F%2Fb"},
		"host as path":      {"//evil.example/x", "/.auth/sign-in"},
		"backslash":         {`/\evil.example`, "/.auth/sign-in"},
		"another authority": {"http://evil.example/", "/.auth/sign-in"},
		"longest":           {"/" + strings.Repeat("x", maxReturnTo-1), "/.auth/sign-in?return_to=%2F" + strings.Repeat("x", maxReturnTo-1)},
		"too long":          {"/" + strings.Repeat("x", maxReturnTo), "/.auth/sign-in?too_long=1"},
		"none":              {"*", "/.auth/sign-in"},
	}
	b := newGateway(t).browser()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			wantRedirect(t, b.challenge(b.request("GET", "/", "", navigating...), test.uri), test.location)
		})
	}
}

// TestPagesSayThatAnAddressIsTooLong: people else wonder why they do not get where they wanted to go.
func TestPagesSayThatAnAddressIsTooLong(t *testing.T) {
	const says = "is too long to be kept"
	b := newGateway(t, func(s *setup) { s.signUp = new(password.SignUp); s.noPasswords = true }).browser()
	long := "/" + strings.Repeat("x", maxReturnTo)
	for _, path := range []string{"/.auth/sign-in", "/.auth/accounts", "/.auth/sign-up"} {
		for _, query := range []string{"too_long=1", "return_to=" + long} {
			wantPage(t, b.get(path+"?"+query), http.StatusOK, says)
		}
		if w := b.get(path + "?return_to=" + long[:maxReturnTo]); w.Code != http.StatusOK || strings.Contains(w.Body.String(), says) || !strings.Contains(w.Body.String(), long[1:maxReturnTo]) {
			t.Errorf("%s does not keep a long address: %d", path, w.Code)
		}
	}

	b = newGateway(t).browser()
	b.signInAs("bob")
	refuse := func(uri string) *httptest.ResponseRecorder {
		r := b.request("GET", "/", "", navigating...)
		r.RequestURI = uri
		w := httptest.NewRecorder()
		b.Refuse(w, r, b.visitor(r), nil, session.Rule{Kind: session.RequireGroup, Values: []string{"staff"}})
		return w
	}
	wantPage(t, refuse(long), http.StatusForbidden, says)
	if w := refuse(long[:maxReturnTo]); strings.Contains(w.Body.String(), says) || !strings.Contains(w.Body.String(), long[1:maxReturnTo]) {
		t.Error("the page for an account without access does not keep a long address")
	}
}

func TestChallengeLeadsToTheChooserWhenNobodyIsActive(t *testing.T) {
	b := newGateway(t).browser()
	b.signInAs("alice")
	b.signInAs("bob")
	b.accounts.gone["bob"] = true
	wantRedirect(t, b.challenge(b.request("GET", "/", "", navigating...), "/x"), "/.auth/accounts?return_to=%2Fx")
	wantProblem(t, b.challenge(b.request("GET", "/", ""), "/x"), http.StatusUnauthorized, "UNAUTHORIZED")
	b.accounts.gone["alice"] = true
	wantRedirect(t, b.challenge(b.request("GET", "/", "", navigating...), "/x"), "/.auth/sign-in?return_to=%2Fx")
}

func TestNavigation(t *testing.T) {
	const chrome = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"
	type h = []string
	tests := map[string]struct {
		method  string
		headers h
		want    bool
	}{
		"navigation":                 {"GET", h{"Sec-Fetch-Mode", "navigate", "Accept", chrome}, true},
		"navigation without Accept":  {"GET", h{"Sec-Fetch-Mode", "navigate"}, true},
		"fetch":                      {"GET", h{"Sec-Fetch-Mode", "cors", "Accept", "*/*"}, false},
		"fetch that wants HTML":      {"GET", h{"Sec-Fetch-Mode", "same-origin", "Accept", chrome}, false},
		"image":                      {"GET", h{"Sec-Fetch-Mode", "no-cors", "Accept", "image/*"}, false},
		"only Sec-Fetch-Dest":        {"GET", h{"Sec-Fetch-Dest", "document", "Accept", chrome}, false},
		"old browser":                {"GET", h{"Accept", chrome}, true},
		"XHTML":                      {"GET", h{"Accept", "application/xhtml+xml"}, true},
		"HTML in capitals":           {"GET", h{"Accept", "Text/HTML"}, true},
		"no Accept":                  {"GET", h{}, false},
		"curl":                       {"GET", h{"Accept", "*/*"}, false},
		"API client":                 {"GET", h{"Accept", "application/json, text/plain, */*"}, false},
		"JSON before HTML":           {"GET", h{"Accept", "application/json, text/html;q=0.9"}, false},
		"JSON like HTML":             {"GET", h{"Accept", "application/json, text/html"}, false},
		"HTML before JSON":           {"GET", h{"Accept", "text/html, application/json;q=0.5"}, true},
		"anything like HTML":         {"GET", h{"Accept", "text/html, */*"}, false},
		"HTML not wanted":            {"GET", h{"Accept", "text/html;q=0"}, false},
		"bad weight":                 {"GET", h{"Accept", "text/html;q=x"}, false},
		"weight that is no number":   {"GET", h{"Accept", "text/html;q=NaN"}, false},
		"weight above one":           {"GET", h{"Accept", "text/html;q=9, */*"}, false},
		"parameters and white space": {"GET", h{"Accept", " text/html ; level=1 ; Q=0.7 , */* ; q=0.1"}, true},
		"event stream":               {"GET", h{"Accept", "text/event-stream"}, false},
		"WebSocket":                  {"GET", h{"Upgrade", "websocket", "Connection", "Upgrade", "Accept", chrome}, false},
		"WebSocket of a browser":     {"GET", h{"Upgrade", "websocket", "Connection", "Upgrade", "Sec-Fetch-Mode", "websocket"}, false},
		"XMLHttpRequest":             {"GET", h{"X-Requested-With", "xmlhttprequest", "Accept", "text/html, */*;q=0.1"}, false},
		"htmx":                       {"GET", h{"HX-Request", "true", "Accept", chrome}, false},
		"another requester":          {"GET", h{"X-Requested-With", "com.example.app", "Accept", chrome}, true},
		"WebView that navigates":     {"GET", h{"X-Requested-With", "com.example.app", "Sec-Fetch-Mode", "navigate"}, true},
		"script that sends a form":   {"POST", h{"Sec-Fetch-Mode", "cors", "Accept", chrome}, false},
		"program that sends a form":  {"POST", h{"Accept", "*/*"}, false},
		"HEAD":                       {"HEAD", h{"Accept", chrome}, false},
		"CORS preflight":             {"OPTIONS", h{"Origin", "https://evil.example", "Access-Control-Request-Method", "GET", "Accept", chrome}, false},
	}
	b := newGateway(t).browser()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := b.challenge(b.request(test.method, "/x", "", test.headers...), "/x")
			if !test.want {
				wantProblem(t, w, http.StatusUnauthorized, "UNAUTHORIZED")
				return
			}
			wantRedirect(t, w, "/.auth/sign-in?return_to=%2Fx")
		})
	}
}

// TestFormsWithoutASessionAreAnsweredWithAPage: people see the answer, and the browser still has the
// form.
func TestFormsWithoutASessionAreAnsweredWithAPage(t *testing.T) {
	for name, test := range map[string]struct {
		headers []string
		account bool // the browser has an account that is not active
		says    string
		link    string
	}{
		"signed out":       {[]string{"Sec-Fetch-Mode", "navigate"}, false, "Sign in in another tab, then reload this page to send the form again.", "/.auth/sign-in"},
		"old browser":      {[]string{"Sec-Fetch-Site", "", "Accept", "text/html,*/*;q=0.8"}, false, "Sign in in another tab", "/.auth/sign-in"},
		"nobody is active": {[]string{"Sec-Fetch-Mode", "navigate"}, true, "Choose one in another tab, then reload", "/.auth/accounts"},
		"another site's":   {[]string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Site", "cross-site"}, false, "Another site has sent it", "/.auth/sign-in"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newGateway(t).browser()
			if test.account {
				b.signInAs("alice")
				b.signInAs("bob")
				b.accounts.gone["bob"] = true
			}
			w := b.challenge(b.request("POST", "/save", "a=1", test.headers...), "/save")
			wantPage(t, w, http.StatusUnauthorized, test.says, `href="`+test.link+`" target="_blank"`)
			if got := w.Header().Get("X-Frame-Options"); got != "DENY" {
				t.Errorf("X-Frame-Options %q", got)
			}
		})
	}
}

func TestFormOfAnAccountWithoutAccess(t *testing.T) {
	b := newGateway(t).browser()
	b.signInAs("bob")
	r := b.request("POST", "/admin", "a=1", navigating...)
	w := httptest.NewRecorder()
	b.Refuse(w, r, b.visitor(r), nil, session.Rule{Kind: session.RequireGroup, Values: []string{"admin"}})
	wantPage(t, w, http.StatusForbidden, "Switch to another one in another tab, then reload", `href="/.auth/accounts" target="_blank"`)
}

// TestFramesLeadToATab: pages with forms are shown in no frame. In a frame of the same site people see
// what to do instead.
func TestFramesLeadToATab(t *testing.T) {
	framed := []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}
	check := func(w *httptest.ResponseRecorder, status int, link, ancestors string) {
		t.Helper()
		wantPage(t, w, status, "Open in a tab", `href="`+link+`" target="_blank"`)
		if strings.Contains(w.Body.String(), "<form") || strings.Contains(w.Body.String(), "<button") || strings.Contains(w.Body.String(), "<script") {
			t.Errorf("there is something to click on: %s", w.Body)
		}
		if got := w.Header().Get("Content-Security-Policy"); !strings.HasSuffix(got, "frame-ancestors "+ancestors) {
			t.Errorf("policy %q", got)
		}
	}
	b := newGateway(t).browser()
	check(b.challenge(b.request("GET", "/x", "", framed...), "/x"), http.StatusUnauthorized, "/.auth/sign-in?return_to=%2Fx", "'self'")
	check(b.challenge(b.request("POST", "/x", "", framed...), "/x"), http.StatusUnauthorized, "/.auth/sign-in?return_to=%2Fx", "'self'")
	b.signInAs("bob")
	r := b.request("GET", "/admin", "", framed...)
	w := httptest.NewRecorder()
	b.Refuse(w, r, b.visitor(r), nil, session.Rule{Kind: session.RequireGroup, Values: []string{"admin"}})
	check(w, http.StatusForbidden, "/.auth/accounts?return_to=%2Fadmin", "'self'")

	b = newGateway(t, func(s *setup) { s.cookieDomain = "example.com" }).browser()
	check(b.challenge(b.request("GET", "/x", "", framed...), "/x"), http.StatusUnauthorized, "/.auth/sign-in?return_to=%2Fx", "'self' https://example.com:* https://*.example.com:*")
	if w := b.get("/.auth/sign-in", framed...); w.Header().Get("X-Frame-Options") != "DENY" || !strings.HasSuffix(w.Header().Get("Content-Security-Policy"), "frame-ancestors 'none'") {
		t.Errorf("the sign-in page may be framed: %v", w.Header())
	}
}

func TestRefuse(t *testing.T) {
	b := newGateway(t).browser()
	alice, bob := b.signInAs("alice"), b.signInAs("bob")
	b.signInAs("carol")
	policy := session.Policy{{Kind: session.RequireGroup, Values: []string{"admin"}}}
	refuse := func(headers ...string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := b.request("GET", "/admin?x", "", headers...)
		b.Refuse(w, r, b.visitor(r), policy, policy[0])
		checkHeaders(t, w)
		return w
	}
	w := refuse(navigating...)
	wantPage(t, w, http.StatusForbidden, "Only members of the group admin have access.", "Carol Example", "Alice Example", alice, `value="/admin?x"`)
	if strings.Contains(w.Body.String(), bob) {
		t.Error("the page offers an account that may not either")
	}
	wantProblem(t, refuse(), http.StatusForbidden, "FORBIDDEN")
	wantProblem(t, refuse("Upgrade", "websocket", "Connection", "Upgrade"), http.StatusForbidden, "FORBIDDEN")
}

func TestRequirements(t *testing.T) {
	for want, rule := range map[string]session.Rule{
		"Only members of the group admin have access.":                 {Kind: session.RequireGroup, Values: []string{"admin"}},
		"Only members of one of these groups have access: admin, dev.": {Kind: session.RequireGroup, Values: []string{"admin", "dev"}},
		"Only accounts whose team is red or blue have access.":         {Kind: session.RequireClaim, Claim: "team", Values: []string{"red", "blue"}},
		"Only certain accounts have access.":                           {Kind: session.RequireUser, Values: []string{"alice", "bob"}},
	} {
		if got := describe(rule); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestUnavailable(t *testing.T) {
	b := newGateway(t).browser()
	for _, headers := range [][]string{navigating, nil} {
		w := httptest.NewRecorder()
		r := b.request("GET", "/x", "", headers...)
		// No kind of error counts as signed out.
		b.Unavailable(w, r, Visitor{Scheme: "https", Host: "app.example.com"}, errors.Join(session.ErrUnknownHandle, errors.New("disk is full")))
		checkHeaders(t, w)
		if headers != nil {
			wantPage(t, w, http.StatusServiceUnavailable)
		} else {
			wantProblem(t, w, http.StatusServiceUnavailable, "SERVICE_UNAVAILABLE")
		}
		if w.Header().Get("Retry-After") == "" || strings.Contains(w.Body.String(), "disk") || w.Header().Get("Set-Cookie") != "" {
			t.Errorf("%v %s", w.Header(), w.Body)
		}
	}
	if n := b.log.FilterMessage("request cannot be answered").Len(); n != 2 {
		t.Errorf("%d lines for 2 requests", n)
	}
}

func TestInsecure(t *testing.T) {
	b := newGateway(t).browser()
	for _, headers := range [][]string{navigating, nil} {
		w := httptest.NewRecorder()
		r := b.request("GET", "/x", "", headers...)
		b.Insecure(w, r, Visitor{Scheme: "http", Host: "app.example.com"})
		checkHeaders(t, w)
		if headers != nil {
			wantPage(t, w, http.StatusForbidden, "HTTPS", "insecure_http")
		} else {
			wantProblem(t, w, http.StatusForbidden, "INSECURE_TRANSPORT")
		}
	}
}
