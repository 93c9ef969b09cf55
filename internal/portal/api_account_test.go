package portal

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login/password"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// open allows everybody to sign up.
func open(s *setup) { s.signUp = &password.SignUp{} }

// signUpAs creates an account through the API, with the password "password of <name>", and returns
// the session's handle.
func (b *browser) signUpAs(name string) string {
	b.t.Helper()
	w := b.post("/.auth/sign-up/email", fmt.Sprintf(`{"name":"","email":"%s@example.com","username":%q,"password":"password of %s"}`, name, name, name))
	if w.Code != http.StatusOK {
		b.t.Fatalf("sign-up of %s: %d %s", name, w.Code, w.Body)
	}
	b.clock.advance(time.Second)
	return decode[wireIn](b.t, w).Token
}

// again signs in the account in another browser.
func (b *browser) again(name string) *browser {
	b.t.Helper()
	other := b.gateway.browser()
	w := other.post("/.auth/sign-in/username", fmt.Sprintf(`{"username":%q,"password":"password of %s"}`, name, name))
	if w.Code != http.StatusOK {
		b.t.Fatalf("sign-in of %s: %d %s", name, w.Code, w.Body)
	}
	b.clock.advance(time.Second)
	return other
}

func wantStatus(t *testing.T, w *httptest.ResponseRecorder, body string) {
	t.Helper()
	if got := strings.TrimSpace(w.Body.String()); w.Code != http.StatusOK || got != body {
		t.Errorf("got %d %s, want %s", w.Code, got, body)
	}
}

func TestSignUp(t *testing.T) {
	b := newGateway(t, open).browser()
	w := b.post("/.auth/sign-up/email", `{"name":"Carol C.","email":"Carol@Example.com","username":"Carol.C","password":"password of carol","image":"https://example.com/c.png","callbackURL":"/welcome"}`)
	if w.Code != http.StatusOK || w.Header().Get("Location") != "" {
		t.Fatalf("got %d to %q: %s", w.Code, w.Header().Get("Location"), w.Body)
	}
	var got map[string]json.RawMessage
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 {
		t.Errorf("the answer has %s, want a token and a user", w.Body)
	}
	for _, part := range []string{`"name":"Carol C."`, `"email":"carol@example.com"`, `"emailVerified":false`, `"username":"carol.c"`, `"displayUsername":"Carol.C"`, `"image":"https://example.com/c.png"`} {
		if !strings.Contains(w.Body.String(), part) {
			t.Errorf("the answer lacks %s: %s", part, w.Body)
		}
	}
	if b.names() != "*Carol.C" {
		t.Errorf("signed in are %q", b.names())
	}
	if w := b.post("/.auth/sign-in/email", `{"email":"carol@example.com","password":"password of carol"}`); w.Code != http.StatusOK {
		t.Errorf("sign-in with what was signed up with: %d %s", w.Code, w.Body)
	}
}

func TestSignUpErrors(t *testing.T) {
	valid := map[string]any{"name": "Carol", "email": "carol@example.com", "password": "password of carol"}
	for name, c := range map[string]struct {
		change map[string]any // nil: absent
		status int
		code   string
	}{
		"no name":               {map[string]any{"name": nil}, 400, "VALIDATION_ERROR"},
		"no e-mail":             {map[string]any{"email": nil}, 400, "VALIDATION_ERROR"},
		"e-mail that is none":   {map[string]any{"email": "carol"}, 400, "VALIDATION_ERROR"},
		"e-mail with a name":    {map[string]any{"email": "Carol <carol@example.com>"}, 400, "VALIDATION_ERROR"},
		"password is a number":  {map[string]any{"password": 12345678}, 400, "VALIDATION_ERROR"},
		"short password":        {map[string]any{"password": "1234567"}, 400, "PASSWORD_TOO_SHORT"},
		"long password":         {map[string]any{"password": strings.Repeat("x", 129)}, 400, "PASSWORD_TOO_LONG"},
		"common password":       {map[string]any{"password": "password1"}, 400, "PASSWORD_COMPROMISED"},
		"e-mail that is taken":  {map[string]any{"email": "TAKEN@example.com"}, 422, "USER_ALREADY_EXISTS_USE_ANOTHER_EMAIL"},
		"name that is taken":    {map[string]any{"username": "Taken"}, 400, "USERNAME_IS_ALREADY_TAKEN"},
		"reserved name":         {map[string]any{"username": "root"}, 400, "USERNAME_IS_ALREADY_TAKEN"},
		"short name":            {map[string]any{"username": "cc"}, 400, "USERNAME_TOO_SHORT"},
		"empty name":            {map[string]any{"username": ""}, 400, "USERNAME_TOO_SHORT"},
		"long name":             {map[string]any{"username": strings.Repeat("c", 31)}, 400, "USERNAME_TOO_LONG"},
		"name with a space":     {map[string]any{"username": "carol c"}, 400, "INVALID_USERNAME"},
		"name with a dot first": {map[string]any{"username": ".carol"}, 400, "INVALID_USERNAME"},
		"name like an id":       {map[string]any{"username": "~carol"}, 400, "INVALID_USERNAME"},
		"script for an image":   {map[string]any{"image": "javascript:alert(1)"}, 400, "VALIDATION_ERROR"},
		"image is null":         {map[string]any{"image": json.RawMessage("null")}, 400, "VALIDATION_ERROR"},
		"name turned around":    {map[string]any{"name": "x\u202ey"}, 400, "VALIDATION_ERROR"},
		"foreign callback":      {map[string]any{"callbackURL": "https://evil.example/"}, 403, "INVALID_CALLBACK_URL"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newGateway(t, open).browser()
			if _, err := b.users.Create(t.Context(), user.User{Name: "taken", Email: "taken@example.com"}, false); err != nil {
				t.Fatal(err)
			}
			body := make(map[string]any)
			for member, value := range valid {
				body[member] = value
			}
			for member, value := range c.change {
				if value == nil {
					delete(body, member)
					continue
				}
				body[member] = value
			}
			data, err := json.Marshal(body)
			if err != nil {
				t.Fatal(err)
			}
			w := b.post("/.auth/sign-up/email", string(data))
			wantProblem(t, w, c.status, c.code)
			if b.setCookie(w) != nil || b.users.Len() != 1 {
				t.Errorf("a refused sign-up set a cookie, or made one of %d users", b.users.Len())
			}
		})
	}
}

func TestSignUpTurnedOff(t *testing.T) {
	b := newGateway(t).browser()
	wantProblem(t, b.post("/.auth/sign-up/email", `{"name":"","email":"a@example.com","password":"password of a"}`), http.StatusBadRequest, "EMAIL_PASSWORD_SIGN_UP_DISABLED")
	wantPage(t, b.get("/.auth/sign-up", "Sec-Fetch-Mode", "navigate"), http.StatusNotFound)
	wantPage(t, b.submit("/.auth/sign-up", "name", "x"), http.StatusNotFound)
	if strings.Contains(b.get("/.auth/sign-in").Body.String(), "/.auth/sign-up") {
		t.Error("the sign-in page leads to a page that is not there")
	}
}

func TestSignUpByInvitation(t *testing.T) {
	b := newGateway(t, func(s *setup) { s.signUp = &password.SignUp{Invitation: true} }).browser()
	_, code, err := b.users.Invite(t.Context(), user.Invitation{Email: "carol@example.com", Groups: []string{"dev"}, Uses: 1, ExpiresAt: b.clock.Now().Add(time.Hour)})
	if err != nil {
		t.Fatal(err)
	}
	try := func(email, code string) *httptest.ResponseRecorder {
		return b.post("/.auth/sign-up/email", fmt.Sprintf(`{"name":"","email":%q,"password":"password of somebody","invitationCode":%q}`, email, code))
	}
	wantProblem(t, try("carol@example.com", ""), http.StatusForbidden, "SIGN_UP_NOT_ALLOWED")
	wantProblem(t, try("carol@example.com", code+"x"), http.StatusForbidden, "SIGN_UP_NOT_ALLOWED")
	wantProblem(t, try("mallory@example.com", code), http.StatusForbidden, "SIGN_UP_NOT_ALLOWED")
	if w := try("carol@example.com", code); w.Code != http.StatusOK {
		t.Fatalf("got %d %s", w.Code, w.Body)
	}
	wantProblem(t, try("carol2@example.com", code), http.StatusForbidden, "SIGN_UP_NOT_ALLOWED")
	for _, line := range b.log.All() {
		if strings.Contains(fmt.Sprint(line.ContextMap()), code) {
			t.Errorf("the code is in the log: %v", line.ContextMap())
		}
	}
}

// A victim that is made to sign up in an attacker's browser shows the attacker everything it does.
func TestAttackSignUpFromAnotherSite(t *testing.T) {
	b := newGateway(t, open).browser()
	body := `{"name":"","email":"mallory@example.com","password":"password of mallory"}`
	w := b.post("/.auth/sign-up/email", body, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	wantProblem(t, w, http.StatusForbidden, "INVALID_ORIGIN")
	w = b.post("/.auth/sign-up/email", body, "Origin", "", "Sec-Fetch-Site", "cross-site")
	wantProblem(t, w, http.StatusForbidden, "MISSING_OR_NULL_ORIGIN")
	if b.users.Len() != 0 {
		t.Error("an account was made")
	}
}

func TestSignUpOfAFullBrowser(t *testing.T) {
	b := newGateway(t, open, func(s *setup) { s.options.MaxSessions, s.options.RejectAtMax = 1, true }).browser()
	b.signUpAs("carol")
	w := b.post("/.auth/sign-up/email", `{"name":"","email":"dave@example.com","password":"password of dave"}`)
	wantProblem(t, w, http.StatusConflict, "SESSION_LIMIT_REACHED")
	if b.users.Len() != 1 {
		t.Error("an account was made that nobody is signed in to")
	}
}

func TestSignUpWithoutRememberMe(t *testing.T) {
	b := newGateway(t, open).browser()
	w := b.post("/.auth/sign-up/email", `{"name":"","email":"carol@example.com","username":"carol","password":"password of carol","rememberMe":false}`)
	if c := b.setCookie(w); c == nil || c.MaxAge != 0 {
		t.Fatalf("the cookie is %v", c)
	}
	// The browser forgets the new cookie when it closes, like the old one.
	w = b.post("/.auth/change-password", `{"currentPassword":"password of carol","newPassword":"another of carol","revokeOtherSessions":true}`)
	if c := b.setCookie(w); c == nil || c.MaxAge != 0 {
		t.Errorf("after a change of the password the cookie is %v", c)
	}
}

func TestChangePasswordAPI(t *testing.T) {
	b := newGateway(t, open).browser()
	handle := b.signUpAs("carol")
	other := b.again("carol")
	cookieBefore := b.cookie

	w := b.post("/.auth/change-password", `{"currentPassword":"password of carol","newPassword":"another of carol"}`)
	if got := decode[map[string]any](t, w); w.Code != http.StatusOK || got["token"] != nil || got["user"] == nil {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if other.names() != "*carol" || b.cookie != cookieBefore {
		t.Errorf("a change that ends nothing left %q elsewhere", other.names())
	}

	w = b.post("/.auth/change-password", `{"currentPassword":"another of carol","newPassword":"a third of carol","revokeOtherSessions":true}`)
	got := decode[wireIn](t, w)
	if w.Code != http.StatusOK || got.Token == "" || got.Token == handle {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if other.names() != "" || b.names() != "*carol" {
		t.Errorf("signed in are %q there and %q here", other.names(), b.names())
	}
	// A copy of the old cookie is worthless.
	thief := b.gateway.browser()
	thief.cookie = cookieBefore
	if thief.names() != "" {
		t.Errorf("with the cookie from before: %q", thief.names())
	}
}

func TestChangePasswordKeepsTheOtherAccounts(t *testing.T) {
	b := newGateway(t, open).browser()
	b.signUpAs("dave")
	b.signUpAs("carol")
	if w := b.post("/.auth/change-password", `{"currentPassword":"password of carol","newPassword":"another of carol","revokeOtherSessions":true}`); w.Code != http.StatusOK {
		t.Fatal(w.Body)
	}
	if b.names() != "dave *carol" {
		t.Errorf("signed in are %q", b.names())
	}
}

func TestChangePasswordErrors(t *testing.T) {
	b := newGateway(t, open).browser()
	wantProblem(t, b.post("/.auth/change-password", `{"currentPassword":"x","newPassword":"y"}`), http.StatusUnauthorized, "UNAUTHORIZED")
	b.signUpAs("carol")
	before := b.cookie
	for body, want := range map[string]string{
		`{"currentPassword":"wrong","newPassword":"another of carol"}`:                                              "INVALID_PASSWORD",
		`{"currentPassword":"password of carol","newPassword":"short"}`:                                             "PASSWORD_TOO_SHORT",
		`{"currentPassword":"password of carol","newPassword":""}`:                                                  "PASSWORD_TOO_SHORT",
		`{"currentPassword":"password of carol","newPassword":"` + strings.Repeat("x", 129) + `"}`:                  "PASSWORD_TOO_LONG",
		`{"currentPassword":"wrong","newPassword":"password1"}`:                                                     "PASSWORD_COMPROMISED",
		`{"currentPassword":"password of carol","newPassword":"carol@example.com"}`:                                 "PASSWORD_COMPROMISED",
		`{"newPassword":"another of carol"}`:                                                                        "VALIDATION_ERROR",
		`{"currentPassword":"password of carol"}`:                                                                   "VALIDATION_ERROR",
		`{"currentPassword":"password of carol","newPassword":"another of carol","revokeOtherSessions":"yes"}`:      "VALIDATION_ERROR",
		`{"currentPassword":"password of carol","newPassword":"another of carol","newPassword":"a third of carol"}`: "BAD_REQUEST",
	} {
		wantProblem(t, b.post("/.auth/change-password", body), http.StatusBadRequest, want)
	}
	if b.again("carol").names() != "*carol" || b.cookie != before {
		t.Error("a refused change changed something")
	}
}

// Accounts of the configuration and of other login methods.
func TestAccountsThatAreNotKept(t *testing.T) {
	b := newGateway(t).browser()
	b.signInAs("alice")
	wantProblem(t, b.post("/.auth/change-password", `{"currentPassword":"alice-password","newPassword":"another of alice"}`), http.StatusBadRequest, "CREDENTIAL_ACCOUNT_NOT_FOUND")
	wantProblem(t, b.post("/.auth/update-user", `{"name":"Mallory"}`), http.StatusBadRequest, "FAILED_TO_UPDATE_USER")
	wantPage(t, b.get("/.auth/account"), http.StatusOK, "managed by whoever runs this site")
}

func TestUpdateUser(t *testing.T) {
	b := newGateway(t, open).browser()
	b.signUpAs("carol")
	other := b.again("carol")
	wantStatus(t, b.post("/.auth/update-user", `{"name":"Carol C.","image":"https://example.com/c.png","username":"Caz","unknown":1}`), `{"status":true}`)
	user := decode[struct{ User map[string]any }](t, other.get("/.auth/get-session")).User
	if user["name"] != "Carol C." || user["image"] != "https://example.com/c.png" || user["username"] != "caz" || user["displayUsername"] != "Caz" {
		t.Errorf("the other browser sees %v", user)
	}
	wantStatus(t, b.post("/.auth/update-user", `{"image":null}`), `{"status":true}`)
	user = decode[struct{ User map[string]any }](t, other.get("/.auth/get-session")).User
	if user["image"] != nil || user["name"] != "Carol C." {
		t.Errorf("the other browser sees %v", user)
	}
}

// TestDisplayUsername: people see their user name as they write it, and it stays theirs to change.
func TestDisplayUsername(t *testing.T) {
	b := newGateway(t, open).browser()
	shown := func() string {
		t.Helper()
		user := decode[struct{ User map[string]any }](t, b.get("/.auth/get-session")).User
		return fmt.Sprint(user["username"], " as ", user["displayUsername"])
	}
	signUp := func(email, members string) *httptest.ResponseRecorder {
		return b.post("/.auth/sign-up/email", `{"name":"Dora","email":"`+email+`","password":"a long password",`+members+`}`)
	}
	if w := signUp("dora@example.com", `"username":"dora","displayUsername":"D. the First"`); w.Code != http.StatusOK || shown() != "dora as D. the First" {
		t.Errorf("%d %s: %s", w.Code, w.Body, shown())
	}
	if w := signUp("dora2@example.com", `"displayUsername":"Dora.2nd"`); w.Code != http.StatusOK || shown() != "dora.2nd as Dora.2nd" {
		t.Errorf("%d %s: %s", w.Code, w.Body, shown())
	}
	if w := signUp("dora3@example.com", `"displayUsername":"Dora the 3rd"`); w.Code != http.StatusOK || shown() != "dora3 as Dora the 3rd" {
		t.Errorf("%d %s: %s", w.Code, w.Body, shown())
	}
	wantProblem(t, signUp("dora4@example.com", `"username":"dora4","displayUsername":"a\u202eb"`), http.StatusBadRequest, "VALIDATION_ERROR")
	for _, step := range []struct{ body, want string }{
		{`{"displayUsername":"D III"}`, "dora3 as D III"},
		{`{"username":"Dora-3"}`, "dora-3 as D III"},
		{`{"displayUsername":""}`, "dora-3 as Dora-3"},
	} {
		wantStatus(t, b.post("/.auth/update-user", step.body), `{"status":true}`)
		if got := shown(); got != step.want {
			t.Errorf("after %s: %s, want %s", step.body, got, step.want)
		}
	}
	wantProblem(t, b.post("/.auth/update-user", `{"displayUsername":"`+long(129)+`"}`), http.StatusBadRequest, "VALIDATION_ERROR")
}

func TestIsUsernameAvailable(t *testing.T) {
	b := newGateway(t, open).browser()
	b.signUpAs("carol")
	for name, want := range map[string]bool{"carol": false, "CAROL": false, "admin": false, "dora": true, "Dora.the-1st": true} {
		w := b.post("/.auth/is-username-available", `{"username":"`+name+`"}`)
		if got := decode[struct{ Available bool }](t, w).Available; w.Code != http.StatusOK || got != want {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	for name, code := range map[string]string{"": "INVALID_USERNAME", "do": "USERNAME_TOO_SHORT", long(31): "USERNAME_TOO_LONG", "d o r a": "INVALID_USERNAME"} {
		wantProblem(t, b.post("/.auth/is-username-available", `{"username":"`+name+`"}`), http.StatusUnprocessableEntity, code)
	}
	wantProblem(t, b.post("/.auth/is-username-available", `{}`), http.StatusBadRequest, "VALIDATION_ERROR")
	wantProblem(t, newGateway(t).browser().post("/.auth/is-username-available", `{"username":"dora"}`), http.StatusNotFound, "NOT_FOUND")
}

func TestUpdateUserErrors(t *testing.T) {
	b := newGateway(t, open).browser()
	wantProblem(t, b.post("/.auth/update-user", `{"name":"x"}`), http.StatusUnauthorized, "UNAUTHORIZED")
	b.signUpAs("dave")
	b.signUpAs("carol")
	for body, want := range map[string]string{
		`{}`:                               "VALIDATION_ERROR",
		`{"emailVerified":true}`:           "VALIDATION_ERROR",
		`{"email":"x@example.com"}`:        "EMAIL_CAN_NOT_BE_UPDATED",
		`{"email":"","name":5}`:            "VALIDATION_ERROR",
		`{"name":null}`:                    "VALIDATION_ERROR",
		`{"username":null}`:                "VALIDATION_ERROR",
		`{"username":"dave"}`:              "USERNAME_IS_ALREADY_TAKEN",
		`{"username":"Admin"}`:             "USERNAME_IS_ALREADY_TAKEN",
		`{"username":"x"}`:                 "USERNAME_TOO_SHORT",
		`{"username":"` + long(31) + `"}`:  "USERNAME_TOO_LONG",
		`{"username":"carol c"}`:           "INVALID_USERNAME",
		`{"image":"javascript:alert(1)"}`:  "VALIDATION_ERROR",
		`{"name":"carol\u0000"}`:           "VALIDATION_ERROR",
		`{"name":"` + long(129) + `"}`:     "VALIDATION_ERROR",
		`[{"name":"x"}]`:                   "VALIDATION_ERROR",
		`{"name":"x","username":"dave"}`:   "USERNAME_IS_ALREADY_TAKEN",
		`{"name":"x","image":"not a url"}`: "VALIDATION_ERROR",
	} {
		wantProblem(t, b.post("/.auth/update-user", body), http.StatusBadRequest, want)
	}
	if u, _ := b.users.ByName("carol"); u == nil || u.DisplayName != "" || u.Picture != "" {
		t.Errorf("a refused change made %+v of carol", u)
	}
}

func long(n int) string { return strings.Repeat("c", n) }

func TestListSessions(t *testing.T) {
	b := newGateway(t, open).browser()
	wantProblem(t, b.get("/.auth/list-sessions"), http.StatusUnauthorized, "UNAUTHORIZED")
	handle := b.signUpAs("carol")
	second := b.again("carol")
	third := b.again("carol")
	third.signUpAs("dave") // not carol's, though in a browser of hers
	list := decode[[]sessionIn](t, second.get("/.auth/list-sessions"))
	if len(list) != 3 || list[0].Token != handle {
		t.Fatalf("listed are %+v", list)
	}
	seen := make(map[string]bool)
	for i, s := range list {
		if seen[s.ID] || seen[s.Token] || s.ID == s.Token {
			t.Errorf("names are not unique: %+v", list)
		}
		seen[s.ID], seen[s.Token] = true, true
		if i > 0 && s.CreatedAt < list[i-1].CreatedAt {
			t.Error("they are not in the order of sign-in")
		}
	}
	// A handle names a session and gives no access to it.
	mallory := b.gateway.browser()
	mallory.signUpAs("mallory")
	wantProblem(t, mallory.post("/.auth/multi-session/set-active", fmt.Sprintf(`{"sessionToken":%q}`, list[0].Token)), http.StatusUnauthorized, "INVALID_SESSION_TOKEN")
}

func TestRevokeSession(t *testing.T) {
	for _, by := range []string{"id", "token"} {
		t.Run("by "+by, func(t *testing.T) {
			b := newGateway(t, open).browser()
			b.signUpAs("carol")
			other := b.again("carol")
			mallory := b.gateway.browser()
			mallory.signUpAs("mallory")
			list := decode[[]sessionIn](t, b.get("/.auth/list-sessions"))
			name := map[string]string{"id": list[1].ID, "token": list[1].Token}[by]
			revoke := func(b *browser, name string) {
				t.Helper()
				wantStatus(t, b.post("/.auth/revoke-session", fmt.Sprintf(`{"token":%q}`, name)), `{"status":true}`)
			}
			revoke(mallory, name)
			revoke(b, "unknown")
			revoke(b, "")
			if other.names() != "*carol" || b.names() != "*carol" {
				t.Fatalf("foreign and unknown names ended sessions: %q, %q", other.names(), b.names())
			}
			revoke(b, name)
			if other.names() != "" || b.names() != "*carol" || mallory.names() != "*mallory" {
				t.Errorf("left are %q, %q, %q", other.names(), b.names(), mallory.names())
			}
		})
	}
}

// Nobody becomes somebody else by ending their own session.
func TestRevokeTheOwnSession(t *testing.T) {
	b := newGateway(t, open).browser()
	b.signUpAs("dave")
	handle := b.signUpAs("carol")
	wantStatus(t, b.post("/.auth/revoke-session", fmt.Sprintf(`{"token":%q}`, handle)), `{"status":true}`)
	if b.names() != "dave" {
		t.Errorf("signed in are %q, want dave, who is not active", b.names())
	}
	wantStatus(t, b.get("/.auth/get-session"), "null")

	alone := b.gateway.browser()
	handle = alone.signUpAs("erin")
	w := alone.post("/.auth/revoke-session", fmt.Sprintf(`{"token":%q}`, handle))
	if c := alone.setCookie(w); c == nil || c.MaxAge >= 0 {
		t.Errorf("the cookie of an empty browser is %v, want it cleared", c)
	}
}

func TestRevokeMany(t *testing.T) {
	for path, want := range map[string]struct{ here, other string }{
		"/.auth/revoke-sessions":       {"dave", ""},
		"/.auth/revoke-other-sessions": {"dave *carol", ""},
	} {
		t.Run(path, func(t *testing.T) {
			b := newGateway(t, open).browser()
			b.signUpAs("dave")
			b.signUpAs("carol")
			other := b.again("carol")
			signedOut := b.gateway.browser()
			wantProblem(t, signedOut.post(path, `{}`), http.StatusUnauthorized, "UNAUTHORIZED")
			wantStatus(t, b.post(path, `{}`), `{"status":true}`)
			if b.names() != want.here || other.names() != want.other {
				t.Errorf("left are %q and %q, want %q and %q", b.names(), other.names(), want.here, want.other)
			}
			if b.again("dave").names() != "*dave" {
				t.Error("the other account cannot sign in")
			}
		})
	}
}

// Ending all sessions of an account includes the session of a sign-in that is under way.
func TestAttackSignInWhileAllSessionsEnd(t *testing.T) {
	b := newGateway(t, open).browser()
	b.signUpAs("carol")
	method, _ := b.logins.Password()
	u, _ := b.users.ByName("carol")
	underWay := u.Identity(method.ID()) // as Authenticate returned it
	wantStatus(t, b.post("/.auth/revoke-sessions", `{}`), `{"status":true}`)
	done, err := b.manager.SignIn(t.Context(), session.Token{}, underWay, nil, session.Client{})
	if err != nil {
		t.Fatal(err)
	}
	visit, err := b.manager.Visit(t.Context(), done.Token)
	if err != nil || len(visit.Entries()) != 0 {
		t.Errorf("the sign-in is alive: %v, %v", visit.Entries(), err)
	}
}

// A page's form acts on the account that the page shows, whatever another tab has chosen since.
func TestAttackFormOfAnotherAccount(t *testing.T) {
	b := newGateway(t, open).browser()
	dave := b.signUpAs("dave")
	b.signUpAs("carol")
	for _, action := range []string{"profile", "password", "end", "end-others"} {
		w := b.submit("/.auth/account", "account", dave, "action", action, "name", "Mallory", "username", "mallory", "session", "x")
		wantPage(t, w, http.StatusConflict, "Another account has become active")
	}
	w := b.submit("/.auth/account", "action", "profile", "name", "Mallory")
	wantPage(t, w, http.StatusConflict, "Another account has become active")
	for _, name := range []string{"carol", "dave"} {
		if u, ok := b.users.ByName(name); !ok || u.DisplayName != "" {
			t.Errorf("%s became %+v", name, u)
		}
	}
}

func TestAccountPage(t *testing.T) {
	b := newGateway(t, open).browser()
	wantRedirect(t, b.get("/.auth/account?return_to=/x", "Sec-Fetch-Mode", "navigate"), "/.auth/sign-in?return_to=%2F.auth%2Faccount%3Freturn_to%3D%2Fx")
	handle := b.signUpAs("carol")
	other := b.again("carol")
	w := b.get("/.auth/account?return_to=/documents")
	wantPage(t, w, http.StatusOK, "carol@example.com", "unverified", "This browser", `value="`+handle+`"`, `value="/documents"`)
	if n := strings.Count(w.Body.String(), `value="end"`); n != 2 {
		t.Errorf("%d sessions can be ended, want 2", n)
	}
	act := func(fields ...string) *httptest.ResponseRecorder {
		t.Helper()
		return b.submit("/.auth/account", append([]string{"account", handle, "return_to", "/documents"}, fields...)...)
	}
	done := func(w *httptest.ResponseRecorder, done, section, says string) {
		t.Helper()
		wantRedirect(t, w, "/.auth/account?done="+done+"&return_to=%2Fdocuments#"+section)
		location, _, _ := strings.Cut(w.Header().Get("Location"), "#")
		wantPage(t, b.get(location), http.StatusOK, says)
	}
	done(act("action", "profile", "name", " Carol C. ", "username", "caz", "picture", ""), "profile", "profile", "Your profile is saved.")
	if u, ok := b.users.ByName("caz"); !ok || u.DisplayName != "Carol C." {
		t.Errorf("the user became %+v", u)
	}
	wantPage(t, act("action", "profile", "name", "Carol", "username", "root", "picture", ""), http.StatusBadRequest, "That user name is taken.", `value="root"`)
	wantPage(t, act("action", "password", "current_password", "wrong", "new_password", "another of carol"), http.StatusBadRequest, "That is not your current password.")
	wantPage(t, act("action", "password", "current_password", "password of carol", "new_password", "short"), http.StatusBadRequest, "The password is too short.")
	done(act("action", "password", "current_password", "password of carol", "new_password", "another of carol"), "password", "password", "Your password is changed.")
	if other.names() != "*caz" {
		t.Errorf("the box was not ticked, and elsewhere is left %q", other.names())
	}
	list := decode[[]sessionIn](t, b.get("/.auth/list-sessions"))
	done(act("action", "end", "session", list[1].ID), "end", "sessions", "The session has ended.")
	if other.names() != "" || b.names() != "*caz" {
		t.Errorf("left are %q and %q", other.names(), b.names())
	}
	done(act("action", "end-others"), "end-others", "sessions", "You are signed out everywhere else.")
	w = act("action", "password", "current_password", "another of carol", "new_password", "a third of carol", "end_others", "1")
	done(w, "password", "password", "Your password is changed.")
	handle = decode[[]sessionIn](t, b.get("/.auth/list-sessions"))[0].Token
	wantPage(t, act("action", "dance"), http.StatusBadRequest)
	list = decode[[]sessionIn](t, b.get("/.auth/list-sessions"))
	wantRedirect(t, act("action", "end", "session", list[0].ID), "/.auth/sign-in?return_to=%2Fdocuments&signed_out=1")
	if b.names() != "" {
		t.Errorf("left is %q", b.names())
	}
}

func TestSignUpPage(t *testing.T) {
	b := newGateway(t, func(s *setup) { s.signUp = &password.SignUp{Invitation: true, Domains: []string{"example.com"}} }).browser()
	wantPage(t, b.get("/.auth/sign-in?return_to=/documents"), http.StatusOK, "/.auth/sign-up?return_to=%2Fdocuments")
	wantPage(t, b.get("/.auth/sign-up?return_to=/documents&invitation=CODE"), http.StatusOK, `value="CODE"`, `value="/documents"`)
	wantPage(t, b.get("/.auth/sign-up?return_to=https://evil.example/"), http.StatusBadRequest)
	submit := func(fields ...string) *httptest.ResponseRecorder {
		return b.submit("/.auth/sign-up", append([]string{"return_to", "/documents", "name", "Carol", "username", "carol", "password", "password of carol"}, fields...)...)
	}
	wantPage(t, submit("email", "carol@example.org"), http.StatusForbidden, "Ask whoever runs this site")
	w := submit("email", "carol@example.com", "password", "short")
	wantPage(t, w, http.StatusBadRequest, "The password is too short.", `value="carol@example.com"`)
	if strings.Contains(w.Body.String(), `value="short"`) {
		t.Error("the page has the password")
	}
	wantRedirect(t, submit("email", "carol@example.com"), "/documents")
	if b.names() != "*carol" {
		t.Errorf("signed in are %q", b.names())
	}
}

func TestAccountIsAudited(t *testing.T) {
	b := newGateway(t, open).browser()
	b.signUpAs("carol")
	b.again("carol")
	b.post("/.auth/update-user", `{"name":"Carol C."}`)
	b.post("/.auth/change-password", `{"currentPassword":"wrong","newPassword":"another of carol"}`)
	b.post("/.auth/change-password", `{"currentPassword":"password of carol","newPassword":"another of carol","revokeOtherSessions":true}`)
	var lines []string
	for _, line := range b.log.FilterLoggerName("audit").All() {
		fields := line.ContextMap()
		lines = append(lines, fmt.Sprint(fields["event"], " ", fields["outcome"], " ", fields["reason"]))
		for _, secret := range []string{"password of", "another of", b.cookie} {
			if strings.Contains(fmt.Sprint(fields), secret) {
				t.Errorf("the log has a secret: %v", fields)
			}
		}
	}
	want := []string{
		"sign-up success <nil>", "sign-in success <nil>", "sign-in success <nil>", "update-user success <nil>",
		"change-password failure INVALID_PASSWORD", "sign-in success <nil>", "change-password success <nil>", "revoke success <nil>",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("the log says\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}
