package portal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

func TestSignInByEmail(t *testing.T) {
	b := newGateway(t).browser()
	w := b.post("/.auth/sign-in/email", `{"email":"alice@example.com","password":"alice-password","rememberMe":true}`)
	if w.Code != http.StatusOK {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	got := decode[wireIn](t, w)
	if got.Redirect || got.URL != nil || got.Token == "" || w.Header().Get("Location") != "" {
		t.Errorf("got %s", w.Body)
	}
	want := userIn{
		ID: "password:alice", Name: "Alice Example", Email: "alice@example.com", Username: "alice", DisplayUsername: "alice",
		EmailVerified: true, CreatedAt: "2026-11-23T11:38:47.288Z", UpdatedAt: "2026-11-23T11:38:47.288Z",
	}
	if got.User != want {
		t.Errorf("user is %+v, want %+v", got.User, want)
	}
	set := b.setCookie(w)
	if set.MaxAge != int(session.DefaultLifetime/time.Second) || !set.HttpOnly || !set.Secure || set.SameSite != http.SameSiteLaxMode || set.Path != "/" {
		t.Errorf("cookie is %s", set)
	}
	if set.Value == got.Token || strings.Contains(w.Body.String(), set.Value) {
		t.Error("the answer has the jar's token")
	}
	if asked := b.accounts.asked[0]; asked.Identifier != (login.Identifier{Email: "alice@example.com"}) || asked.ClientIP.String() != "192.0.2.7" {
		t.Errorf("the method was asked for %+v", asked)
	}
}

func TestSignInByUsernameWithCallbackURL(t *testing.T) {
	b := newGateway(t).browser()
	w := b.post("/.auth/sign-in/username", `{"username":"bob","password":"bob-password","callbackURL":"/welcome?x=1"}`)
	got := decode[wireIn](t, w)
	if w.Code != http.StatusOK || !got.Redirect || got.URL == nil || *got.URL != "/welcome?x=1" || w.Header().Get("Location") != "/welcome?x=1" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	// An account without an e-mail address or picture.
	for _, member := range []string{`"email":""`, `"emailVerified":false`, `"image":null`} {
		if !strings.Contains(w.Body.String(), member) {
			t.Errorf("no %s in %s", member, w.Body)
		}
	}
	// Clients send an empty string for none.
	w = b.post("/.auth/sign-in/username", `{"username":"bob","password":"bob-password","callbackURL":""}`)
	if got := decode[wireIn](t, w); got.Redirect || w.Header().Get("Location") != "" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
}

func TestSignInRotatesTheToken(t *testing.T) {
	b := newGateway(t).browser()
	b.signInAs("alice")
	before := b.cookie
	b.signInAs("bob")
	if b.cookie == before {
		t.Error("the token stayed")
	}
	if got := b.names(); got != "alice *bob" {
		t.Errorf("the browser has %q", got)
	}
	b.cookie = before
	if got := b.names(); got != "" {
		t.Errorf("the old token names %q", got)
	}
}

func TestRememberMe(t *testing.T) {
	tests := map[string]struct {
		member   string
		remember bool
	}{
		"absent": {``, true},
		"true":   {`,"rememberMe":true`, true},
		"false":  {`,"rememberMe":false`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newGateway(t).browser()
			w := b.post("/.auth/sign-in/username", `{"username":"alice","password":"alice-password"`+test.member+`}`)
			if set := b.setCookie(w); (set.MaxAge > 0) != test.remember || !set.Expires.IsZero() {
				t.Errorf("cookie is %s", set)
			}
		})
	}
}

func TestSignInErrors(t *testing.T) {
	const email, username = "/.auth/sign-in/email", "/.auth/sign-in/username"
	tests := map[string]struct {
		path, body string
		err        error // of the method
		status     int
		code       string
		asked      bool // an attempt was made
	}{
		"wrong password":            {email, `{"email":"alice@example.com","password":"x"}`, nil, 401, "INVALID_EMAIL_OR_PASSWORD", true},
		"unknown e-mail":            {email, `{"email":"nobody@example.com","password":"x"}`, nil, 401, "INVALID_EMAIL_OR_PASSWORD", true},
		"empty password":            {email, `{"email":"alice@example.com","password":""}`, nil, 401, "INVALID_EMAIL_OR_PASSWORD", true},
		"user name as e-mail":       {email, `{"email":"alice","password":"alice-password"}`, nil, 400, "INVALID_EMAIL", false},
		"empty e-mail":              {email, `{"email":"","password":"x"}`, nil, 400, "INVALID_EMAIL", false},
		"e-mail without domain":     {email, `{"email":"alice@","password":"x"}`, nil, 400, "INVALID_EMAIL", false},
		"e-mail without name":       {email, `{"email":"@example.com","password":"x"}`, nil, 400, "INVALID_EMAIL", false},
		"e-mail with a space":       {email, `{"email":"alice @example.com","password":"x"}`, nil, 400, "INVALID_EMAIL", false},
		"e-mail with a line break":  {email, `{"email":"alice@example.com\n","password":"x"}`, nil, 400, "INVALID_EMAIL", false},
		"e-mail too long":           {email, `{"email":"` + strings.Repeat("a", 250) + `@example.com","password":"x"}`, nil, 400, "INVALID_EMAIL", false},
		"long password":             {email, `{"email":"alice@example.com","password":"x"}`, login.ErrPasswordTooLong, 400, "PASSWORD_TOO_LONG", true},
		"wrong password by name":    {username, `{"username":"alice","password":"x"}`, nil, 401, "INVALID_USERNAME_OR_PASSWORD", true},
		"unknown name":              {username, `{"username":"nobody","password":"x"}`, nil, 401, "INVALID_USERNAME_OR_PASSWORD", true},
		"empty name":                {username, `{"username":"","password":"x"}`, nil, 401, "INVALID_USERNAME_OR_PASSWORD", false},
		"empty password by name":    {username, `{"username":"al","password":""}`, nil, 401, "INVALID_USERNAME_OR_PASSWORD", false},
		"short name":                {username, `{"username":"al","password":"x"}`, nil, 422, "USERNAME_TOO_SHORT", false},
		"long name":                 {username, `{"username":"` + strings.Repeat("a", 31) + `","password":"x"}`, nil, 422, "USERNAME_TOO_LONG", false},
		"name of 30 wide letters":   {username, `{"username":"` + strings.Repeat("ü", 30) + `","password":"x"}`, nil, 422, "INVALID_USERNAME", false},
		"name with a space":         {username, `{"username":"al ice","password":"x"}`, nil, 422, "INVALID_USERNAME", false},
		"name with a line break":    {username, `{"username":"alice\n","password":"x"}`, nil, 422, "INVALID_USERNAME", false},
		"e-mail as name":            {username, `{"username":"alice@example.com","password":"alice-password"}`, nil, 422, "INVALID_USERNAME", false},
		"store or method down":      {email, `{"email":"alice@example.com","password":"x"}`, errors.New("directory is down"), 503, "SERVICE_UNAVAILABLE", true},
		"untrusted callbackURL":     {email, `{"email":"alice@example.com","password":"alice-password","callbackURL":"https://evil.example"}`, nil, 403, "INVALID_CALLBACK_URL", false},
		"double slash callbackURL":  {email, `{"email":"alice@example.com","password":"alice-password","callbackURL":"//evil.example"}`, nil, 403, "INVALID_CALLBACK_URL", false},
		"callbackURL is a number":   {email, `{"email":"alice@example.com","password":"x","callbackURL":1}`, nil, 400, "VALIDATION_ERROR", false},
		"callbackURL is null":       {email, `{"email":"alice@example.com","password":"x","callbackURL":null}`, nil, 400, "VALIDATION_ERROR", false},
		"rememberMe is text":        {email, `{"email":"alice@example.com","password":"x","rememberMe":"false"}`, nil, 400, "VALIDATION_ERROR", false},
		"no password":               {email, `{"email":"alice@example.com"}`, nil, 400, "VALIDATION_ERROR", false},
		"no e-mail":                 {email, `{"username":"alice","password":"x"}`, nil, 400, "VALIDATION_ERROR", false},
		"names differ in case":      {email, `{"Email":"alice@example.com","Password":"x"}`, nil, 400, "VALIDATION_ERROR", false},
		"array":                     {email, `[]`, nil, 400, "VALIDATION_ERROR", false},
		"null":                      {email, `null`, nil, 400, "VALIDATION_ERROR", false},
		"empty body":                {email, ``, nil, 400, "BAD_REQUEST", false},
		"bad JSON":                  {email, `{"email":`, nil, 400, "BAD_REQUEST", false},
		"two objects":               {email, `{"email":"alice@example.com","password":"x"}{}`, nil, 400, "BAD_REQUEST", false},
		"member twice":              {email, `{"email":"alice@example.com","password":"x","password":"y"}`, nil, 400, "BAD_REQUEST", false},
		"member twice by an escape": {email, `{"email":"alice@example.com","password":"x","p\u0061ssword":"y"}`, nil, 400, "BAD_REQUEST", false},
		"not UTF-8":                 {email, "{\"email\":\"alice@example.com\",\"password\":\"\xff\"}", nil, 400, "BAD_REQUEST", false},
		"too large":                 {email, `{"email":"alice@example.com","password":"` + strings.Repeat("x", maxBody) + `"}`, nil, 413, "PAYLOAD_TOO_LARGE", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newGateway(t).browser()
			b.accounts.err = test.err
			w := b.post(test.path, test.body)
			wantProblem(t, w, test.status, test.code)
			if b.setCookie(w) != nil {
				t.Error("a cookie is set")
			}
			if asked := len(b.accounts.asked) > 0; asked != test.asked {
				t.Errorf("the method was asked: %v", asked)
			}
		})
	}
}

func TestUnknownUserAndWrongPasswordAreAnsweredAlike(t *testing.T) {
	b := newGateway(t).browser()
	unknown := b.post("/.auth/sign-in/email", `{"email":"nobody@example.com","password":"x"}`)
	wrong := b.post("/.auth/sign-in/email", `{"email":"alice@example.com","password":"x"}`)
	if unknown.Body.String() != wrong.Body.String() || fmt.Sprint(unknown.Header()) != fmt.Sprint(wrong.Header()) {
		t.Errorf("%s and %s", unknown.Body, wrong.Body)
	}
}

func TestValidationMessages(t *testing.T) {
	b := newGateway(t).browser()
	tests := map[string]struct{ body, message string }{
		"absent":    {`{"email":"a@b"}`, "[body.password] Invalid input: expected string, received undefined"},
		"number":    {`{"email":1,"password":"x"}`, "[body.email] Invalid input: expected string, received number"},
		"several":   {`{"password":[],"rememberMe":{}}`, "[body.email] Invalid input: expected string, received undefined; [body.password] Invalid input: expected string, received array; [body.rememberMe] Invalid input: expected boolean, received object"},
		"null":      {`{"email":"a@b","password":null}`, "[body.password] Invalid input: expected string, received null"},
		"boolean":   {`{"email":"a@b","password":true}`, "[body.password] Invalid input: expected string, received boolean"},
		"no object": {`"x"`, "[body] Invalid input: expected object, received string"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := b.post("/.auth/sign-in/email", test.body)
			wantProblem(t, w, 400, "VALIDATION_ERROR")
			if got := decode[problemIn](t, w).Message; got != test.message {
				t.Errorf("got  %s\nwant %s", got, test.message)
			}
		})
	}
}

func TestContentTypes(t *testing.T) {
	b := newGateway(t).browser()
	api := map[string]bool{
		"application/json":                  true,
		"application/json; charset=utf-8":   true,
		"Application/JSON":                  true,
		"":                                  false,
		"text/plain":                        false,
		"text/plain; application/json":      false,
		"application/jsonp":                 false,
		"application/x-www-form-urlencoded": false,
		"multipart/form-data; boundary=x":   false,
		"application/json, text/plain":      false,
		"application/json; charset":         false,
	}
	for _, path := range []string{"sign-in/email", "sign-in/username", "sign-out", "multi-session/set-active", "multi-session/revoke"} {
		for contentType, ok := range api {
			w := b.post("/.auth/"+path, "{}", "Content-Type", contentType)
			if ok == (w.Code == http.StatusUnsupportedMediaType) {
				t.Errorf("%s with %q: %d", path, contentType, w.Code)
			}
			if !ok {
				wantProblem(t, w, http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE")
			}
		}
	}
}

func TestThrottled(t *testing.T) {
	b := newGateway(t).browser()
	for retry, seconds := range map[time.Duration]string{
		time.Millisecond: "1", time.Second: "1", 1500 * time.Millisecond: "2", 15 * time.Minute: "900",
	} {
		b.accounts.err = fmt.Errorf("sign in: %w", &login.ThrottledError{Reason: login.ReasonAccount, RetryAfter: retry})
		w := b.post("/.auth/sign-in/email", `{"email":"alice@example.com","password":"alice-password"}`)
		wantProblem(t, w, http.StatusTooManyRequests, "")
		if w.Header().Get("Retry-After") != seconds || w.Header().Get("X-Retry-After") != seconds || strings.Contains(w.Body.String(), "code") || strings.Contains(w.Body.String(), "account") {
			t.Errorf("%s: %v %s", retry, w.Header(), w.Body)
		}
	}
}

func TestSignInWithoutAPasswordMethod(t *testing.T) {
	b := newGateway(t, func(s *setup) { s.noPasswords = true; s.moreMethods = []login.Method{otherMethod("google")} }).browser()
	wantProblem(t, b.post("/.auth/sign-in/email", `{"email":"a@b","password":"x"}`), 400, "EMAIL_PASSWORD_DISABLED")
	wantProblem(t, b.post("/.auth/sign-in/username", `{"username":"alice","password":"x"}`), 400, "EMAIL_PASSWORD_DISABLED")
}

func TestFullJar(t *testing.T) {
	for _, reject := range []bool{false, true} {
		b := newGateway(t, func(s *setup) { s.options.MaxSessions = 2; s.options.RejectAtMax = reject }).browser()
		b.signInAs("alice")
		b.signInAs("bob")
		w := b.post("/.auth/sign-in/username", `{"username":"carol","password":"carol-password"}`)
		if !reject {
			if got := b.names(); w.Code != http.StatusOK || got != "bob *carol" {
				t.Errorf("%d, the browser has %q", w.Code, got)
			}
			continue
		}
		wantProblem(t, w, http.StatusConflict, "SESSION_LIMIT_REACHED")
		if got := b.names(); got != "alice *bob" || b.setCookie(w) != nil {
			t.Errorf("the browser has %q", got)
		}
	}
}

func TestGetSession(t *testing.T) {
	b := newGateway(t).browser()
	if w := b.get("/.auth/get-session"); w.Code != http.StatusOK || w.Body.String() != "null" {
		t.Errorf("signed out: %d %s", w.Code, w.Body)
	}
	handle := b.signInAs("alice")
	w := b.get("/.auth/get-session?disableCookieCache=true")
	got := decode[entryIn](t, w)
	if got.Session.Token != handle || got.Session.UserID != "password:alice" || got.User.ID != "password:alice" || got.Session.ID == "" || got.Session.ID == handle {
		t.Errorf("got %s", w.Body)
	}
	if *got.Session.IPAddress != "192.0.2.7" || *got.Session.UserAgent != "Test/1.0" {
		t.Errorf("got %s", w.Body)
	}
	if got.Session.CreatedAt != "2026-11-23T11:38:47.288Z" || got.Session.ExpiresAt != "2026-11-30T11:38:47.288Z" {
		t.Errorf("got %s", w.Body)
	}
	if strings.Contains(w.Body.String(), b.cookie) {
		t.Error("the answer has the jar's token")
	}
	dates := regexp.MustCompile(`"(\w+At)":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"`)
	if n := len(dates.FindAllString(w.Body.String(), -1)); n != 5 {
		t.Errorf("%d dates of the right form in %s", n, w.Body)
	}
}

func TestGetSessionIsUse(t *testing.T) {
	b := newGateway(t).browser()
	b.signInAs("alice")
	b.clock.advance(time.Hour)
	b.get("/.auth/get-session")
	b.manager.Close() // waits until uses are recorded
	got := decode[entryIn](t, b.get("/.auth/get-session"))
	if got.Session.UpdatedAt != "2026-11-23T12:38:48.288Z" {
		t.Errorf("last use is %s", got.Session.UpdatedAt)
	}
}

func TestTimesOfTheMethodComeFirst(t *testing.T) {
	b := newGateway(t).browser()
	created := time.Date(2020, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	b.accounts.identities["alice"].CreatedAt = created
	b.signInAs("alice")
	got := decode[entryIn](t, b.get("/.auth/get-session"))
	if got.User.CreatedAt != "2020-01-02T02:04:05.000Z" || got.User.UpdatedAt != "2026-11-23T11:38:47.288Z" {
		t.Errorf("got %+v", got.User)
	}
}

func TestListDeviceSessions(t *testing.T) {
	b := newGateway(t).browser()
	if w := b.get("/.auth/multi-session/list-device-sessions"); w.Code != http.StatusOK || w.Body.String() != "[]" {
		t.Errorf("without a jar: %d %s", w.Code, w.Body)
	}
	alice, bob := b.signInAs("alice"), b.signInAs("bob")
	list := func() (handles []string) {
		for _, e := range decode[[]entryIn](t, b.get("/.auth/multi-session/list-device-sessions")) {
			handles = append(handles, e.Session.Token)
		}
		return handles
	}
	if got := list(); fmt.Sprint(got) != fmt.Sprint([]string{alice, bob}) {
		t.Errorf("got %v", got)
	}
	again := b.signInAs("alice") // replaces, and needs no active session
	if got := list(); fmt.Sprint(got) != fmt.Sprint([]string{bob, again}) {
		t.Errorf("got %v", got)
	}
	b.accounts.gone["alice"] = true
	if got := list(); fmt.Sprint(got) != fmt.Sprint([]string{bob}) {
		t.Errorf("got %v", got)
	}
	if w := b.get("/.auth/get-session"); w.Body.String() != "null" {
		t.Errorf("the active account is gone, and active is %s", w.Body)
	}
}

func TestSetActive(t *testing.T) {
	b := newGateway(t).browser()
	alice := b.signInAs("alice")
	b.signInAs("bob")
	w := b.post("/.auth/multi-session/set-active", `{"sessionToken":"`+alice+`","extra":{"ignored":[1]}}`)
	if got := decode[entryIn](t, w); w.Code != http.StatusOK || got.Session.Token != alice || got.User.ID != "password:alice" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := b.names(); got != "*alice bob" {
		t.Errorf("the browser has %q", got)
	}
	if b.setCookie(w) != nil {
		t.Error("a cookie is set")
	}
}

func TestSetActiveNeedsNoActiveSession(t *testing.T) {
	b := newGateway(t).browser()
	alice := b.signInAs("alice")
	b.signInAs("bob")
	b.accounts.gone["bob"] = true
	if got := b.names(); got != "alice" {
		t.Fatalf("the browser has %q", got)
	}
	if w := b.post("/.auth/multi-session/set-active", `{"sessionToken":"`+alice+`"}`); w.Code != http.StatusOK {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if got := b.names(); got != "*alice" {
		t.Errorf("the browser has %q", got)
	}
}

// badHandles returns tokens that name no live session of the browser b, which has alice and bob.
func badHandles(b *browser) map[string]string {
	other := b.browser()
	alice, foreign := b.signInAs("alice"), other.signInAs("carol")
	b.signInAs("dave")
	b.signInAs("bob")
	dead := ""
	for _, e := range b.visitor(b.request("GET", "/", "")).Visit.Entries() {
		if e.Identity.UserName == "dave" {
			dead = e.Handle
		}
	}
	b.accounts.gone["dave"] = true
	return map[string]string{
		"unknown":            "AAAAAAAAAAAAAAAAAAAAAA",
		"of another browser": foreign,
		"of a gone account":  dead,
		"empty":              "",
		"other case":         strings.ToUpper(alice) + strings.ToLower(alice),
		"with a space":       alice + " ",
		"the jar's token":    b.cookie,
		"an account's id":    "password:alice",
		"long":               strings.Repeat("x", 10_000),
		"with a NUL":         `\u0000`,
	}
}

func TestBadSessionTokensAreAnsweredAlikeAndChangeNothing(t *testing.T) {
	for _, path := range []string{"/.auth/multi-session/set-active", "/.auth/multi-session/revoke"} {
		b := newGateway(t).browser()
		bad := badHandles(b)
		answer := ""
		for name, handle := range bad {
			w := b.post(path, `{"sessionToken":"`+handle+`"}`)
			wantProblem(t, w, http.StatusUnauthorized, "INVALID_SESSION_TOKEN")
			if answer != "" && answer != w.Body.String() {
				t.Errorf("%s, %s: another answer: %s", path, name, w.Body)
			}
			answer = w.Body.String()
			if got := b.names(); got != "alice *bob" || b.setCookie(w) != nil {
				t.Errorf("%s, %s: the browser has %q", path, name, got)
			}
		}
		for _, body := range []string{`{}`, `{"sessionToken":null}`, `{"sessionToken":7}`, `{"SessionToken":"x"}`} {
			wantProblem(t, b.post(path, body), http.StatusBadRequest, "VALIDATION_ERROR")
		}
	}
}

func TestRevoke(t *testing.T) {
	b := newGateway(t).browser()
	alice, bob := b.signInAs("alice"), b.signInAs("bob")
	carol := b.signInAs("carol")
	revoke := func(handle, left string) *http.Cookie {
		t.Helper()
		w := b.post("/.auth/multi-session/revoke", `{"sessionToken":"`+handle+`"}`)
		if w.Code != http.StatusOK || w.Body.String() != `{"status":true}` {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if got := b.names(); got != left {
			t.Errorf("the browser has %q, want %q", got, left)
		}
		return b.setCookie(w)
	}
	if revoke(alice, "bob *carol") != nil {
		t.Error("a cookie is set")
	}
	if revoke(carol, "*bob") != nil { // the active one, and another becomes active
		t.Error("a cookie is set")
	}
	if set := revoke(bob, ""); set == nil || set.MaxAge >= 0 {
		t.Errorf("the cookie is not cleared: %v", set)
	}
}

func TestRevokeNeedsAnActiveSession(t *testing.T) {
	b := newGateway(t).browser()
	wantProblem(t, b.post("/.auth/multi-session/revoke", `{"sessionToken":"x"}`), http.StatusUnauthorized, "UNAUTHORIZED")
	alice := b.signInAs("alice")
	b.signInAs("bob")
	b.accounts.gone["bob"] = true
	wantProblem(t, b.post("/.auth/multi-session/revoke", `{"sessionToken":"`+alice+`"}`), http.StatusUnauthorized, "UNAUTHORIZED")
	if got := b.names(); got != "alice" {
		t.Errorf("the browser has %q", got)
	}
}

func TestSignOut(t *testing.T) {
	b := newGateway(t).browser()
	b.signInAs("alice")
	b.signInAs("bob")
	token := b.cookie
	w := b.post("/.auth/sign-out", `{}`)
	if w.Code != http.StatusOK || w.Body.String() != `{"success":true}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if set := b.setCookie(w); set == nil || set.MaxAge >= 0 || set.Value != "" {
		t.Errorf("the cookie is not cleared: %v", set)
	}
	if got := w.Header().Get("Clear-Site-Data"); got != `"cache"` {
		t.Errorf("the browser is told to clear %q", got)
	}
	b.cookie = token
	if got := b.names(); got != "" {
		t.Errorf("the token still names %q", got)
	}
	if got := b.post("/.auth/sign-out", `{}`).Header().Get("Clear-Site-Data"); got != "" {
		t.Errorf("with nobody signed in the browser is told to clear %q", got)
	}
}

// TestCallsWithoutMembersNeedNoBody: clients send none where there is nothing to say.
func TestCallsWithoutMembersNeedNoBody(t *testing.T) {
	for name, test := range map[string]struct {
		contentType, body string
		status            int
	}{
		"nothing":                {"", "", http.StatusOK},
		"empty JSON":             {"application/json", "", http.StatusOK},
		"an object":              {"application/json", "{}", http.StatusOK},
		"an object without type": {"", "{}", http.StatusUnsupportedMediaType},
		"an empty form":          {"application/x-www-form-urlencoded", "", http.StatusUnsupportedMediaType},
		"white space":            {"application/json", " ", http.StatusBadRequest},
		"null":                   {"application/json", "null", http.StatusBadRequest},
	} {
		t.Run(name, func(t *testing.T) {
			b := newGateway(t).browser()
			for _, path := range []string{"revoke-other-sessions", "revoke-sessions", "sign-out"} {
				if path != "revoke-other-sessions" {
					b.signInAs("alice")
				}
				b.signInAs("alice")
				if w := b.send(b.request("POST", "/.auth/"+path, test.body, "Content-Type", test.contentType)); w.Code != test.status {
					t.Errorf("%s: %d %s", path, w.Code, w.Body)
				}
			}
			if got := b.names(); (got == "") != (test.status == http.StatusOK) {
				t.Errorf("the browser has %q", got)
			}
		})
	}
	b := newGateway(t).browser()
	b.signInAs("alice")
	wantProblem(t, b.send(b.request("POST", "/.auth/multi-session/revoke", "")), http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE")
}

func TestSignOutLeadsOnlyToAllowedAddresses(t *testing.T) {
	for body, code := range map[string]string{
		`{"callbackURL":"/bye"}`:                                       "",
		`{"callbackURL":"https://app.example.com/bye"}`:                "",
		`{"callbackURL":"https://trusted.example/bye"}`:                "",
		`{"callbackURL":"","disableRedirect":true,"state":"whatever"}`: "",
		`{"callbackURL":"https://evil.example/"}`:                      "INVALID_CALLBACK_URL",
		`{"callbackURL":"//evil.example/"}`:                            "INVALID_CALLBACK_URL",
		`{"callbackURL":1}`:                                            "VALIDATION_ERROR",
		`{"disableRedirect":"yes"}`:                                    "VALIDATION_ERROR",
	} {
		t.Run(body, func(t *testing.T) {
			b := newGateway(t, func(s *setup) { s.origins = []string{"https://trusted.example"} }).browser()
			b.signInAs("alice")
			w := b.post("/.auth/sign-out", body)
			switch code {
			case "":
				if w.Code != http.StatusOK || w.Body.String() != `{"success":true}` || w.Header().Get("Location") != "" || b.names() != "" {
					t.Errorf("%d %s; the browser has %q", w.Code, w.Body, b.names())
				}
			default:
				status := http.StatusBadRequest
				if code == "INVALID_CALLBACK_URL" {
					status = http.StatusForbidden
				}
				wantProblem(t, w, status, code)
				if b.names() != "*alice" {
					t.Errorf("the browser has %q", b.names())
				}
			}
		})
	}
}

func TestPasswordThatIsTooLong(t *testing.T) {
	b := newGateway(t).browser()
	long := strings.Repeat("x", 129)
	wantProblem(t, b.post("/.auth/sign-in/email", `{"email":"alice@example.com","password":"`+long+`"}`), http.StatusBadRequest, "PASSWORD_TOO_LONG")
	wantProblem(t, b.post("/.auth/sign-in/username", `{"username":"alice","password":"`+long+`"}`), http.StatusBadRequest, "PASSWORD_TOO_LONG")
	wantProblem(t, b.post("/.auth/sign-in/username", `{"username":"alice","password":"`+long[1:]+`"}`), http.StatusUnauthorized, "INVALID_USERNAME_OR_PASSWORD")
	b.accounts.passwords["alice"] = long
	if w := b.post("/.auth/sign-in/username", `{"username":"alice","password":"`+long+`"}`); w.Code != http.StatusOK {
		t.Errorf("the right one: %d %s", w.Code, w.Body)
	}
}

func TestPasswordsAreTextOfWholeCharacters(t *testing.T) {
	b := newGateway(t).browser()
	b.accounts.passwords["alice"] = "pass\ufffd"
	for _, escape := range []string{`\ud800`, `\udfff`, `\udc00\ud800`} {
		wantProblem(t, b.post("/.auth/sign-in/username", `{"username":"alice","password":"pass`+escape+`"}`), http.StatusBadRequest, "BAD_REQUEST")
	}
	wantProblem(t, b.post("/.auth/sign-in/username", `{"username":"alice","password":"a","PASSWORD":"b"}`), http.StatusBadRequest, "BAD_REQUEST")
}

func TestHealth(t *testing.T) {
	b := newGateway(t).browser()
	if w := b.get("/.auth/ok"); w.Code != http.StatusOK || w.Body.String() != `{"ok":true}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := b.send(b.request("HEAD", "/.auth/ok", "")); w.Code != http.StatusOK {
		t.Errorf("HEAD: %d", w.Code)
	}
	if !b.Static("/.auth/ok") {
		t.Error("monitors need HTTPS and a store that works")
	}
}

func TestSignOutWhenSignedOut(t *testing.T) {
	tests := map[string]struct {
		cookie string
		clears bool
	}{
		"no cookie":      {"", false},
		"other cookies":  {"theme=dark", false},
		"unknown token":  {"__Host-Http-multi_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", true},
		"malformed":      {`__Host-Http-multi_session="a b`, true},
		"two jar tokens": {"__Host-Http-multi_session=x; __Host-Http-multi_session=y", true},
	}
	b := newGateway(t).browser()
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := b.post("/.auth/sign-out", `{}`, "Cookie", test.cookie)
			if w.Code != http.StatusOK || (b.setCookie(w) != nil) != test.clears {
				t.Errorf("%d %v", w.Code, w.Header())
			}
		})
	}
}

func TestTwoJarCookiesAreNobodyAndSignInMakesANewJar(t *testing.T) {
	b := newGateway(t).browser()
	b.signInAs("alice")
	name, token := b.jar().Name, b.cookie
	two := name + "=" + token + "; " + name + "=" + token
	if w := b.get("/.auth/get-session", "Cookie", two); w.Body.String() != "null" || b.setCookie(w) != nil {
		t.Errorf("%s %v", w.Body, w.Header())
	}
	b.post("/.auth/sign-in/username", `{"username":"bob","password":"bob-password"}`, "Cookie", two)
	if got := b.names(); got != "*bob" {
		t.Errorf("the new jar has %q", got)
	}
	b.cookie = token
	if got := b.names(); got != "*alice" {
		t.Errorf("the old jar has %q", got)
	}
}

func TestAClientThatHasGoneIsNoErrorInTheLog(t *testing.T) {
	b := newGateway(t).browser()
	b.accounts.err = context.Canceled
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r := b.request("POST", "/.auth/sign-in/email", `{"email":"alice@example.com","password":"x"}`, "Content-Type", "application/json")
	b.send(r.WithContext(ctx))
	if n := b.log.FilterMessage("request cannot be answered").Len(); n != 0 {
		t.Errorf("%d lines", n)
	}
}

func TestAnErrorIsLoggedOnceAndNotDisclosed(t *testing.T) {
	b := newGateway(t).browser()
	b.accounts.err = errors.New("ldap://10.0.0.1 refused the connection")
	w := b.post("/.auth/sign-in/email", `{"email":"alice@example.com","password":"alice-password"}`)
	if strings.Contains(w.Body.String(), "ldap") || w.Header().Get("Retry-After") == "" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	lines := b.log.FilterMessage("request cannot be answered").All()
	if len(lines) != 1 || lines[0].ContextMap()["error"] != b.accounts.err.Error() {
		t.Errorf("got %v", lines)
	}
}
