package portal

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/login"
)

func TestSignInPage(t *testing.T) {
	b := newGateway(t).browser()
	wantPage(t, b.get("/.auth/sign-in"), http.StatusOK, `name="identifier"`, `name="password"`, `action="/.auth/sign-in"`)
	wantPage(t, b.get("/.auth/sign-in?return_to=%2Fdashboard%3Fa%3D1%26b%3D2"), http.StatusOK, `value="/dashboard?a=1&amp;b=2"`)
	wantPage(t, b.get("/.auth/sign-in?signed_out=1"), http.StatusOK, "You are signed out.")
	for _, query := range []string{"", "?signed_out=2", "?signed_out=Your+bank+called", "?notice=Your+bank+called"} {
		if w := b.get("/.auth/sign-in" + query); strings.Contains(w.Body.String(), "signed out") || strings.Contains(w.Body.String(), "bank") {
			t.Errorf("%s: %s", query, w.Body)
		}
	}
}

func TestLoginHint(t *testing.T) {
	b := newGateway(t).browser()
	tests := map[string]struct{ hint, value string }{
		"e-mail":      {"alice@example.com", `value="alice@example.com"`},
		"white space": {" alice ", `value="alice"`},
		"markup":      {`"><script>`, `value="&#34;&gt;&lt;script&gt;"`},
		"too long":    {strings.Repeat("x", 255), `value=""`},
		"line break":  {"a\nb", `value=""`},
		"NUL":         {"a\x00b", `value=""`},
		"not UTF-8":   {"a\xffb", `value=""`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := b.get("/.auth/sign-in?login_hint=" + url.QueryEscape(test.hint))
			wantPage(t, w, http.StatusOK, `name="identifier" `+test.value)
		})
	}
}

func TestSignInForm(t *testing.T) {
	tests := map[string]struct{ identifier, returnTo, location string }{
		"by name":            {"alice", "", "/"},
		"by e-mail":          {"alice@example.com", "/", "/"},
		"with white space":   {" alice\t", "", "/"},
		"to a page":          {"alice", "/d?q=1&r=%2F#x", "/d?q=1&r=%2F#x"},
		"to odd slashes":     {"alice", "/a//b/..c?x=//y\\z", "/a//b/..c?x=//y\\z"},
		"to the own origin":  {"alice", "https://app.example.com/x", "https://app.example.com/x"},
		"to a trusted page":  {"alice", "https://spa.example.org/x", "https://spa.example.org/x"},
		"to the portal":      {"alice", "/.auth/accounts", "/.auth/accounts"},
		"to the form itself": {"alice", "/.auth/sign-in?return_to=%2F", "/.auth/sign-in?return_to=%2F"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newGateway(t, func(s *setup) { s.origins = []string{"https://spa.example.org"} }).browser()
			w := b.submit("/.auth/sign-in", "identifier", test.identifier, "password", "alice-password", "return_to", test.returnTo)
			wantRedirect(t, w, test.location)
			if set := b.setCookie(w); set == nil || set.MaxAge <= 0 {
				t.Errorf("cookie is %v", set)
			}
			if got := b.names(); got != "*alice" {
				t.Errorf("the browser has %q", got)
			}
		})
	}
}

func TestReturnAddressSurvivesTheSignInPage(t *testing.T) {
	// From the gate through the page and the form back to the very bytes of the request.
	b := newGateway(t).browser()
	const target = `/grafana/d/x%2Fy//z?var="a"&from=now-1h&expr={job=~"a|b"}'<>`
	w := b.challenge(b.request("GET", "/", "", "Sec-Fetch-Mode", "navigate"), target)
	page := b.get(w.Header().Get("Location"))
	_, after, _ := strings.Cut(page.Body.String(), `name="return_to" value="`)
	value, _, _ := strings.Cut(after, `"`)
	w = b.submit("/.auth/sign-in", "identifier", "alice", "password", "alice-password", "return_to", unescapeHTML.Replace(value))
	wantRedirect(t, w, target)
}

var unescapeHTML = strings.NewReplacer("&amp;", "&", "&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&#43;", "+")

func TestFormTargetIsWhereTheFormLeads(t *testing.T) {
	b := newGateway(t, func(s *setup) { s.cookieDomain = "example.com" }).browser()
	for returnTo, want := range map[string]string{
		"":                              "form-action 'self';",
		"/x":                            "form-action 'self';",
		"https://app.example.com/x":     "form-action 'self';",
		"https://wiki.example.com:1/x;": "form-action 'self' https://wiki.example.com:1;",
	} {
		for _, path := range []string{"sign-in", "accounts"} {
			w := b.get("/.auth/" + path + "?return_to=" + url.QueryEscape(returnTo))
			wantPage(t, w, http.StatusOK)
			if got := w.Header().Get("Content-Security-Policy"); !strings.Contains(got, want) {
				t.Errorf("%s, %q: %s", path, returnTo, got)
			}
		}
	}
}

func TestForbiddenReturnAddressesAreNeitherFollowedNorShown(t *testing.T) {
	b := newGateway(t).browser()
	handle := b.signInAs("alice")
	const evil = "https://evil.example/x"
	for name, w := range map[string]interface{ Result() *http.Response }{
		"sign-in page":  b.get("/.auth/sign-in?return_to=" + url.QueryEscape(evil)),
		"accounts page": b.get("/.auth/accounts?return_to=" + url.QueryEscape(evil)),
		"sign-in form":  b.submit("/.auth/sign-in", "identifier", "bob", "password", "bob-password", "return_to", evil),
		"switch":        b.submit("/.auth/accounts", "action", "switch", "session", handle, "return_to", evil),
		"sign-out":      b.submit("/.auth/accounts", "action", "sign-out-all", "return_to", evil),
	} {
		t.Run(name, func(t *testing.T) {
			response := w.Result()
			if response.StatusCode != http.StatusBadRequest || response.Header.Get("Location") != "" {
				t.Errorf("%d %v", response.StatusCode, response.Header)
			}
		})
	}
	w := b.get("/.auth/sign-in?return_to=" + url.QueryEscape(evil))
	wantPage(t, w, http.StatusBadRequest, "not allowed")
	if strings.Contains(w.Body.String(), "evil") {
		t.Errorf("the page shows it: %s", w.Body)
	}
	if got := b.names(); got != "*alice" || len(b.accounts.asked) != 1 {
		t.Errorf("the browser has %q", got)
	}
}

func TestFailedSignInForm(t *testing.T) {
	const together = "do not match"
	tests := map[string]struct {
		identifier string
		err        error
		status     int
		text       string
	}{
		"wrong":             {"alice", nil, 401, together},
		"unknown":           {"nobody", nil, 401, together},
		"unknown e-mail":    {"nobody@example.com", nil, 401, together},
		"half an e-mail":    {"alice@", nil, 401, together},
		"short name":        {"al", nil, 401, together},
		"long name":         {strings.Repeat("a", 31), nil, 401, together},
		"odd name":          {"al ice", nil, 401, together},
		"nothing":           {"", nil, 401, together},
		"long password":     {"alice", login.ErrPasswordTooLong, 400, "too long"},
		"throttled":         {"alice", &login.ThrottledError{RetryAfter: 14*time.Minute + 1}, 429, "wait 15 minutes"},
		"throttled a while": {"alice", &login.ThrottledError{RetryAfter: 30 * time.Second}, 429, "wait 30 seconds"},
		"method down":       {"alice", errors.New("down"), 503, "try again"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newGateway(t).browser()
			b.accounts.err = test.err
			w := b.submit("/.auth/sign-in", "identifier", test.identifier, "password", "wrong-secret", "return_to", "/x")
			wantPage(t, w, test.status, test.text, `value="`+test.identifier+`"`, `value="/x"`, `role="alert"`)
			if strings.Contains(w.Body.String(), "wrong-secret") {
				t.Error("the page has the password")
			}
			if got := w.Header().Get("Retry-After") != ""; got != (test.status == 429 || test.status == 503) {
				t.Errorf("Retry-After is %q", w.Header().Get("Retry-After"))
			}
			if b.setCookie(w) != nil {
				t.Error("a cookie is set")
			}
		})
	}
}

func TestSignInFormOfAFullJar(t *testing.T) {
	b := newGateway(t, func(s *setup) { s.options.MaxSessions = 1; s.options.RejectAtMax = true }).browser()
	b.signInAs("alice")
	w := b.submit("/.auth/sign-in", "identifier", "bob", "password", "bob-password")
	wantPage(t, w, http.StatusConflict, "Sign one out first", "/.auth/accounts")
	if got := b.names(); got != "*alice" {
		t.Errorf("the browser has %q", got)
	}
}

func TestSignInFormWithoutAPasswordMethod(t *testing.T) {
	b := newGateway(t, func(s *setup) { s.noPasswords = true; s.moreMethods = []login.Method{otherMethod("google")} }).browser()
	if w := b.get("/.auth/sign-in"); strings.Contains(w.Body.String(), `name="password"`) {
		t.Error("the page asks for a password")
	}
	wantPage(t, b.submit("/.auth/sign-in", "identifier", "alice", "password", "x"), http.StatusBadRequest, "You cannot sign in with a password here.")
}

func TestForms(t *testing.T) {
	b := newGateway(t).browser()
	const form = "application/x-www-form-urlencoded"
	tests := map[string]struct {
		contentType, body string
		status            int
	}{
		"JSON":             {"application/json", `{"identifier":"alice"}`, 415},
		"multipart":        {"multipart/form-data; boundary=x", "--x--", 415},
		"plain text":       {"text/plain", "action=sign-out-all", 415},
		"no type":          {"", "action=sign-out-all", 415},
		"too large":        {form, "identifier=" + strings.Repeat("x", maxBody), 413},
		"bad escape":       {form, "identifier=%zz", 400},
		"semicolon":        {form, "identifier=a;password=b", 400},
		"field twice":      {form, "return_to=%2Fa&return_to=%2F%2Fevil.example", 400},
		"password twice":   {form, "identifier=alice&password=alice-password&password=x", 400},
		"action twice":     {form, "action=switch&action=sign-out-all", 400},
		"charset is fine":  {form + "; charset=UTF-8", "identifier=alice&password=x&action=x", 0},
		"unknown is fine":  {form, "identifier=alice&password=x&csrf=1&action=x", 0},
		"type in capitals": {"Application/X-WWW-Form-Urlencoded", "identifier=alice&password=x&action=x", 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for path, fine := range map[string]int{"/.auth/sign-in": 401, "/.auth/accounts": 400} {
				w := b.send(b.request("POST", path, test.body, "Content-Type", test.contentType))
				if test.status != 0 {
					fine = test.status
				}
				wantPage(t, w, fine)
			}
		})
	}
}

func TestAccountsPage(t *testing.T) {
	b := newGateway(t).browser()
	wantPage(t, b.get("/.auth/accounts"), http.StatusOK, `href="/.auth/sign-in"`)
	alice, bob := b.signInAs("alice"), b.signInAs("bob")
	w := b.get("/.auth/accounts?return_to=%2Fx&signed_out=1")
	wantPage(t, w, http.StatusOK, alice, bob, "Alice Example", "alice@example.com", "Bob Example", `value="/x"`, "The account is signed out.")
	if strings.Contains(w.Body.String(), b.cookie) || strings.Contains(w.Body.String(), "password") {
		t.Errorf("the page says too much: %s", w.Body)
	}
}

func TestAccountsPageNamesTheMethodWhereThereAreSeveral(t *testing.T) {
	b := newGateway(t, func(s *setup) { s.moreMethods = []login.Method{otherMethod("google")} }).browser()
	b.signInAs("alice")
	wantPage(t, b.get("/.auth/accounts"), http.StatusOK, ">Password<")
}

func TestSwitchOnThePage(t *testing.T) {
	b := newGateway(t).browser()
	alice := b.signInAs("alice")
	b.signInAs("bob")
	w := b.submit("/.auth/accounts", "action", "switch", "session", alice, "return_to", "/x?y")
	wantRedirect(t, w, "/x?y")
	if got := b.names(); got != "*alice bob" {
		t.Errorf("the browser has %q", got)
	}
}

func TestSignOutOnThePage(t *testing.T) {
	b := newGateway(t).browser()
	alice, bob := b.signInAs("alice"), b.signInAs("bob")
	wantRedirect(t, b.submit("/.auth/accounts", "action", "sign-out", "session", bob, "return_to", "/x"), "/.auth/accounts?return_to=%2Fx&signed_out=1")
	if got := b.names(); got != "*alice" {
		t.Errorf("the browser has %q", got)
	}
	w := b.submit("/.auth/accounts", "action", "sign-out", "session", alice)
	wantRedirect(t, w, "/.auth/sign-in?signed_out=1")
	if set := b.setCookie(w); set == nil || set.MaxAge >= 0 {
		t.Errorf("the cookie is not cleared: %v", set)
	}
}

func TestSignOutOnThePageNeedsNoActiveSession(t *testing.T) {
	b := newGateway(t).browser()
	alice := b.signInAs("alice")
	b.signInAs("bob")
	b.accounts.gone["bob"] = true
	wantRedirect(t, b.submit("/.auth/accounts", "action", "sign-out", "session", alice), "/.auth/sign-in?signed_out=1")
	if got := b.names(); got != "" {
		t.Errorf("the browser has %q", got)
	}
}

// TestSignOutPage: an app can link to it. It signs nobody out before somebody clicks, and its buttons
// are those of the chooser.
func TestSignOutPage(t *testing.T) {
	b := newGateway(t).browser()
	wantRedirect(t, b.get("/.auth/sign-out?return_to=/x"), "/.auth/sign-in?return_to=%2Fx")
	alice := b.signInAs("alice")
	w := b.get("/.auth/sign-out?return_to=/x")
	wantPage(t, w, http.StatusOK, "Sign out?", "Alice Example", `value="`+alice+`"`, `value="/x"`, `value="sign-out"`, `href="/x"`)
	if strings.Contains(w.Body.String(), "sign-out-all") {
		t.Error("one account alone is offered to sign out of all")
	}
	bob := b.signInAs("bob")
	wantPage(t, b.get("/.auth/sign-out"), http.StatusOK, "Bob Example", `value="`+bob+`"`, `value="sign-out-all"`)
	if got := b.names(); got != "alice *bob" {
		t.Errorf("the browser has %q", got)
	}
	b.accounts.gone["bob"] = true
	wantPage(t, b.get("/.auth/sign-out"), http.StatusOK, `value="sign-out-all"`)
	wantPage(t, b.get("/.auth/sign-out?return_to=https://evil.example/"), http.StatusBadRequest)
}

func TestSignOutOfAllOnThePage(t *testing.T) {
	b := newGateway(t).browser()
	b.signInAs("alice")
	b.signInAs("bob")
	w := b.submit("/.auth/accounts", "action", "sign-out-all", "return_to", "/x")
	wantRedirect(t, w, "/.auth/sign-in?return_to=%2Fx&signed_out=1")
	if set := b.setCookie(w); set == nil || set.MaxAge >= 0 {
		t.Errorf("the cookie is not cleared: %v", set)
	}
	// Repeating it, as from a tab that was left open, is no error.
	wantRedirect(t, b.submit("/.auth/accounts", "action", "sign-out-all"), "/.auth/sign-in?signed_out=1")
}

func TestBadSessionsOnThePageChangeNothing(t *testing.T) {
	b := newGateway(t).browser()
	for name, handle := range badHandles(b) {
		for _, action := range []string{"switch", "sign-out"} {
			w := b.submit("/.auth/accounts", "action", action, "session", handle, "return_to", "/x")
			wantPage(t, w, http.StatusConflict, "not signed in any more", "Alice Example", `value="/x"`)
			if got := b.names(); got != "alice *bob" {
				t.Errorf("%s %s: the browser has %q", action, name, got)
			}
		}
	}
	wantPage(t, b.submit("/.auth/accounts", "action", "delete", "session", "x"), http.StatusBadRequest)
	wantPage(t, b.submit("/.auth/accounts"), http.StatusBadRequest)
}

func TestChooserSaysWhenCookiesTakeUpRoom(t *testing.T) {
	for name, test := range map[string]struct {
		load cookie.Load
		want string // empty for nothing
	}{
		"no limits":        {cookie.Load{}, ""},
		"room":             {cookie.Load{Cookies: 20, MaxCookies: 150, Bytes: 2000, MaxBytes: 12 << 10}, ""},
		"little room":      {cookie.Load{Cookies: 20, MaxCookies: 150, Bytes: 10 << 10, MaxBytes: 12 << 10}, "10 of 12 KiB"},
		"too many cookies": {cookie.Load{Cookies: 150, MaxCookies: 150, Bytes: 2000, MaxBytes: 12 << 10}, "150 of 150 places"},
	} {
		b := newGateway(t).browser()
		b.signInAs("alice")
		r := b.request(http.MethodGet, "/.auth/accounts", "")
		v := b.visitor(r)
		v.Load = test.load
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r, v)
		wantPage(t, w, http.StatusOK, test.want)
		if says := strings.Contains(w.Body.String(), "cookies of apps"); says != (test.want != "") {
			t.Errorf("%s: the page says something of cookies: %t", name, says)
		}
	}
}
