package oidc

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/claims"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
	"github.com/caddy-multi-session/gateway/internal/session"
)

func TestSignIn(t *testing.T) {
	w := newWorld(t)
	m := w.method(func(c *Config) { c.Expose = login.Exposed{Access: true} })
	granted := w.mustSignIn(m, object{"picture": "https://id.example.com/alice.png", "groups": []string{"dev", "admin"}, "department": "R&D"})
	id := granted.Identity
	if id.Account.ID() != "corp:"+alice || id.Issuer != w.issuer() || id.UserName != "alice" || id.Name != "Alice Example" ||
		id.VerifiedEmail() != "alice@example.com" || !slices.Equal(id.Groups, []string{"dev", "admin"}) {
		t.Errorf("signed in as %+v", id)
	}
	if got, _ := id.ClaimText("department"); got != "R&D" {
		t.Errorf("department is %q", got)
	}
	if _, ok := id.Claim("nonce"); ok {
		t.Error("the nonce is kept as a claim")
	}
	if granted.SID != "session-1" {
		t.Errorf("SID is %q", granted.SID)
	}
	if granted.Tokens.Access != "access-1" || granted.Tokens.Refresh != "refresh-1" || granted.Tokens.ID == "" {
		t.Errorf("tokens are %+v", granted.Tokens)
	}
	if got := granted.Tokens.Expiry.Sub(w.clock()); got != 300*time.Second {
		t.Errorf("the access token expires in %s, want 5m", got)
	}
	if current, ok := m.Current(id); !ok || current != id {
		t.Error("is not current")
	}
}

func TestAuthorizationRequest(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	query, pending := w.authorize(m, login.AuthorizationRequest{})
	challenge := sha256.Sum256([]byte(pending.Verifier))
	for name, want := range map[string]string{
		"tenant": "1", "response_type": "code", "client_id": clientID, "redirect_uri": redirectURI, "state": "state-1",
		"scope": "openid profile email", "nonce": pending.Nonce,
		"code_challenge": base64.RawURLEncoding.EncodeToString(challenge[:]), "code_challenge_method": "S256",
	} {
		if got := query[name]; len(got) != 1 || got[0] != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"prompt", "login_hint", "max_age"} {
		if query.Has(name) {
			t.Errorf("has %s", name)
		}
	}
	if len(pending.Nonce) < 26 || len(pending.Verifier) < 43 || pending.RedirectURI != redirectURI {
		t.Errorf("pending is %+v", pending)
	}
	_, other := w.authorize(m, login.AuthorizationRequest{})
	if other.Nonce == pending.Nonce || other.Verifier == pending.Verifier {
		t.Error("two requests have the same secrets")
	}

	w.idToken = func() string { return w.sign(with(w.claims(), object{"nonce": pending.Nonce})) }
	if _, err := m.Redeem(t.Context(), pending, url.Values{"code": {"code-1"}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"grant_type": "authorization_code", "code": "code-1", "code_verifier": pending.Verifier, "redirect_uri": redirectURI} {
		if got := w.form.Get(name); got != want {
			t.Errorf("the token request has %s %q, want %q", name, got, want)
		}
	}
	// RFC 6749, section 2.3.1: both parts are encoded as in forms.
	if w.basic != [2]string{clientID, url.QueryEscape(clientSecret)} {
		t.Errorf("authenticated as %q", w.basic)
	}
}

func TestWhatTheProviderIsAskedFor(t *testing.T) {
	adding := login.AuthorizationRequest{Ask: login.AskAccount}
	client := func(r login.AuthorizationRequest, parameters map[string]string) login.AuthorizationRequest {
		r.Parameters = parameters
		return r
	}
	for name, tc := range map[string]struct {
		prompt string
		fixed  map[string]string
		r      login.AuthorizationRequest
		want   map[string]string
	}{
		"first account":            {"", nil, login.AuthorizationRequest{}, map[string]string{"prompt": ""}},
		"another account":          {"", nil, adding, map[string]string{"prompt": "select_account"}},
		"another, login":           {"login", nil, adding, map[string]string{"prompt": "login"}},
		"another, off":             {"off", nil, adding, map[string]string{"prompt": ""}},
		"known account":            {"", nil, login.AuthorizationRequest{Ask: login.AskAccount, LoginHint: "a@example.com"}, map[string]string{"prompt": "", "login_hint": "a@example.com"}},
		"client's prompt":          {"", nil, client(adding, map[string]string{"prompt": "login"}), map[string]string{"prompt": "login"}},
		"fixed prompt":             {"", map[string]string{"prompt": "consent"}, adding, map[string]string{"prompt": "select_account consent"}},
		"fixed prompt, client's":   {"", map[string]string{"prompt": "consent"}, client(adding, map[string]string{"prompt": "login"}), map[string]string{"prompt": "select_account consent"}},
		"fixed and client's":       {"", map[string]string{"hd": "example.com", "access_type": "offline"}, client(adding, map[string]string{"hd": "evil.example.com", "ui_locales": "de"}), map[string]string{"hd": "example.com", "access_type": "offline", "ui_locales": "de"}},
		"fixed without an account": {"", map[string]string{"acr_values": "mfa"}, login.AuthorizationRequest{}, map[string]string{"acr_values": "mfa", "prompt": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			m := w.method(func(c *Config) { c.Prompt, c.Parameters = tc.prompt, tc.fixed })
			query, _ := w.authorize(m, tc.r)
			for parameter, want := range tc.want {
				if got := query.Get(parameter); got != want || len(query[parameter]) > 1 {
					t.Errorf("%s is %q, want %q", parameter, query[parameter], want)
				}
			}
		})
	}
}

func TestMetadataDecidesThePrompt(t *testing.T) {
	for name, tc := range map[string]struct {
		supported any
		want      string
		rest      []string
	}{
		"nothing said":         {nil, "select_account", []string{"login", ""}},
		"a choice of accounts": {[]string{"none", "login", "select_account"}, "select_account", []string{"login", ""}},
		"logins only":          {[]string{"none", "login", "consent"}, "login", []string{""}},
		"neither":              {[]string{"none"}, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.say("prompt_values_supported", tc.supported)
			query, pending := w.authorize(w.method(), login.AuthorizationRequest{Ask: login.AskAccount})
			if got := query.Get("prompt"); got != tc.want || pending.Prompt != tc.want || !slices.Equal(pending.Prompts, tc.rest) {
				t.Errorf("asks with %q, then %q", got, pending.Prompts)
			}
			if query, _ := w.authorize(w.method(), login.AuthorizationRequest{Ask: login.AskAccount, Prompts: []string{"login"}}); query.Get("prompt") != "login" {
				t.Errorf("another try asks with %q", query["prompt"])
			}
		})
	}
}

func TestResponseMode(t *testing.T) {
	for _, mode := range []string{"", ResponseModeQuery, ResponseModeFormPost} {
		w := newWorld(t)
		query, _ := w.authorize(w.method(func(c *Config) { c.ResponseMode = mode }), login.AuthorizationRequest{})
		if got, sent := query.Get("response_mode"), query.Has("response_mode"); got != mode || sent != (mode != "") {
			t.Errorf("%q: %q, %t", mode, got, sent)
		}
	}
	if _, err := New(Config{ID: "corp", Issuer: "https://id.example.com", ClientID: "c", ResponseMode: "fragment"}); err == nil || !strings.Contains(err.Error(), `login corp: response_mode "fragment": must be query or form_post`) {
		t.Errorf("fragment: %v", err)
	}
}

// Google shows a page of its own for prompt=login.
func TestGoogleIsNeverAskedToLogIn(t *testing.T) {
	m := &Method{issuer: "https://accounts.google.com"}
	if got := oauthclient.Prompts("", m.supportedPrompts(&metadata{}), nil, login.AuthorizationRequest{Ask: login.AskLogin}); !slices.Equal(got, []string{"select_account", ""}) {
		t.Errorf("%q", got)
	}
	if got := m.supportedPrompts(&metadata{prompts: []string{"login"}}); !slices.Equal(got, []string{"login"}) {
		t.Errorf("its own word does not count: %q", got)
	}
}

// TestPushedAuthorization has the authorization request go from the gateway to the provider (RFC 9126).
func TestPushedAuthorization(t *testing.T) {
	const pathPush = "/par"
	for name, tc := range map[string]struct {
		option, required, offered bool
		want                      string // reason; pushed or in the URL
	}{
		"not asked for":               {false, false, true, "accepted; in the URL"},
		"configured":                  {true, false, true, "accepted; pushed"},
		"required by the provider":    {false, true, true, "accepted; pushed"},
		"configured, and not offered": {true, false, false, "unavailable"},
		"required, and not offered":   {false, true, false, "unavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.say("require_pushed_authorization_requests", tc.required)
			if tc.offered {
				w.say("pushed_authorization_request_endpoint", w.issuer()+pathPush)
			}
			var pushed url.Values
			w.respond(pathPush, func(out http.ResponseWriter, in *http.Request) {
				in.ParseForm()
				pushed = in.PostForm
				if user, password, _ := in.BasicAuth(); user != clientID || password != url.QueryEscape(clientSecret) {
					t.Errorf("authenticated as %q", user)
				}
				out.WriteHeader(http.StatusCreated)
				fmt.Fprint(out, `{"request_uri":"urn:request-1","expires_in":60}`)
			})
			m := w.method(func(c *Config) { c.PushRequests = tc.option })
			location, pending, err := m.Authorize(t.Context(), login.AuthorizationRequest{State: "state-1", RedirectURI: redirectURI})
			got := reason(err)
			if err == nil {
				query, how := pushed, "; pushed"
				if pushed == nil {
					u, _ := url.Parse(location)
					query, how = u.Query(), "; in the URL"
				} else if strings.Contains(location, "state-1") || !strings.Contains(location, "request_uri=urn%3Arequest-1") || !strings.Contains(location, "tenant=1") {
					t.Errorf("the browser is sent to %s", location)
				}
				got += how
				if query.Get("state") != "state-1" || query.Get("nonce") != pending.Nonce || query.Get("redirect_uri") != redirectURI || query.Get("code_challenge") == "" {
					t.Errorf("asked for %v", query)
				}
			}
			if got != tc.want {
				t.Errorf("%s (%v), want %s", got, err, tc.want)
			}
		})
	}
	t.Run("refused", func(t *testing.T) {
		w := newWorld(t)
		w.say("pushed_authorization_request_endpoint", w.issuer()+pathPush)
		w.respond(pathPush, func(out http.ResponseWriter, _ *http.Request) {
			out.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(out, `{"error":"invalid_client","error_description":"no such client"}`)
		})
		err := authorizeError(w.method(func(c *Config) { c.PushRequests = true }), t)
		var answer *login.AnswerError
		if !errors.Is(err, login.ErrMisconfigured) || !errors.As(err, &answer) || answer.Description != "no such client" {
			t.Errorf("%v", err)
		}
	})
}

// A provider that does not know a prompt refuses the pushed request, where no browser sees it.
func TestPushedPromptThatIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		knows []string // prompts; "" is none
		want  string   // prompt of the request that is taken; or the reason
		asked int
	}{
		"the first":  {[]string{"select_account"}, "select_account", 1},
		"the second": {[]string{"login"}, "login", 2},
		"none":       {[]string{""}, "", 3},
		"nothing":    {nil, "unavailable", 3},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSilentWorld(t)
			w.say("pushed_authorization_request_endpoint", w.issuer()+"/par")
			w.respond("/par", func(out http.ResponseWriter, in *http.Request) {
				in.ParseForm()
				if !slices.Contains(tc.knows, in.PostForm.Get("prompt")) {
					out.WriteHeader(http.StatusBadRequest)
					fmt.Fprint(out, `{"error":"invalid_request","error_description":"unsupported prompt"}`)
					return
				}
				out.WriteHeader(http.StatusCreated)
				fmt.Fprint(out, `{"request_uri":"urn:request-1"}`)
			})
			m := w.connect(w.method(func(c *Config) { c.PushRequests = true }))
			_, pending, err := m.Authorize(t.Context(), login.AuthorizationRequest{Ask: login.AskAccount, RedirectURI: redirectURI})
			got := pending.Prompt
			if err != nil {
				got = reason(err)
			}
			if got != tc.want {
				t.Errorf("%s (%v), want %s", got, err, tc.want)
			}
			wantAsked(t, w, "/par", tc.asked)
		})
	}
}

// TestClientAssertion signs in at a provider that knows the gateway by its key.
func TestClientAssertion(t *testing.T) {
	w := newWorld(t)
	w.say("token_endpoint_auth_methods_supported", []string{"private_key_jwt"})
	der, err := x509.MarshalPKCS8PrivateKey(rsaKey())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "client.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	m := w.method(func(c *Config) { c.Credentials = oauthclient.Credentials{KeyFile: file} })
	granted := w.mustSignIn(m, nil)
	verify := func() {
		t.Helper()
		signed, err := jose.ParseSignedCompact(w.form.Get("client_assertion"), []jose.SignatureAlgorithm{jose.RS256})
		if err != nil {
			t.Fatal(err)
		}
		claims, err := signed.Verify(rsaKey().Public())
		if err != nil || !strings.Contains(string(claims), `"aud":"`+w.issuer()+pathToken+`"`) || !strings.Contains(string(claims), fmt.Sprintf(`"iat":%d`, w.clock().Unix())) {
			t.Errorf("%s, %v", claims, err)
		}
		if w.basic[0] != "" || w.form.Has("client_secret") {
			t.Errorf("authenticates as %v with %v", w.basic, w.form)
		}
	}
	verify()
	w.pass(time.Hour)
	if _, err := m.Renew(t.Context(), granted.Identity, granted.Tokens); err != nil {
		t.Fatal(err)
	}
	verify()
}

func TestAttackClientAsksForMore(t *testing.T) {
	w := newWorld(t)
	m := w.method(func(c *Config) { c.Scopes = []string{"email", "groups"} })
	for name, tc := range map[string]struct {
		r    login.AuthorizationRequest
		want string
	}{
		"scopes that are configured": {login.AuthorizationRequest{Scopes: []string{"email", "openid"}}, "accepted"},
		"another scope":              {login.AuthorizationRequest{Scopes: []string{"groups", "admin"}}, "parameter: scopes"},
		"redirect_uri":               {login.AuthorizationRequest{Parameters: map[string]string{"redirect_uri": "https://evil.example.com"}}, "parameter: additionalParams"},
		"state":                      {login.AuthorizationRequest{Parameters: map[string]string{"state": "x"}}, "parameter: additionalParams"},
		"nonce":                      {login.AuthorizationRequest{Parameters: map[string]string{"nonce": "x"}}, "parameter: additionalParams"},
		"code_challenge_method":      {login.AuthorizationRequest{Parameters: map[string]string{"code_challenge_method": "plain"}}, "parameter: additionalParams"},
		"request_uri":                {login.AuthorizationRequest{Parameters: map[string]string{"request_uri": "https://evil.example.com"}}, "parameter: additionalParams"},
	} {
		r := tc.r
		_, _, err := m.Authorize(t.Context(), r)
		if got := reason(err); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
	if query, _ := w.authorize(m, login.AuthorizationRequest{}); query.Get("scope") != "openid email groups" {
		t.Errorf("scope is %q", query.Get("scope"))
	}
}

func TestAnswers(t *testing.T) {
	w := newWorld(t)
	own := w.issuer()
	for name, tc := range map[string]struct {
		answersIss bool // as the metadata says (RFC 9207)
		answer     url.Values
		want       string
	}{
		"code":                           {false, url.Values{"code": {"c"}}, "accepted"},
		"code and iss":                   {false, url.Values{"code": {"c"}, "iss": {own}}, "accepted"},
		"code and promised iss":          {true, url.Values{"code": {"c"}, "iss": {own}}, "accepted"},
		"promised iss missing":           {true, url.Values{"code": {"c"}}, "iss"},
		"iss of another":                 {false, url.Values{"code": {"c"}, "iss": {"https://evil.example.com"}}, "iss"},
		"iss with a slash":               {false, url.Values{"code": {"c"}, "iss": {own + "/"}}, "iss"},
		"iss empty":                      {false, url.Values{"code": {"c"}, "iss": {""}}, "iss"},
		"iss twice":                      {false, url.Values{"code": {"c"}, "iss": {own, own}}, "iss"},
		"iss of two":                     {false, url.Values{"code": {"c"}, "iss": {own, "https://evil.example.com"}}, "iss"},
		"no code":                        {false, url.Values{}, "no_code"},
		"code empty":                     {false, url.Values{"code": {""}}, "no_code"},
		"code twice":                     {false, url.Values{"code": {"c", "c"}}, "no_code"},
		"codes":                          {false, url.Values{"code": {"c", "d"}}, "no_code"},
		"denied":                         {false, url.Values{"error": {"access_denied"}}, "denied: access_denied"},
		"denied by another":              {false, url.Values{"error": {"access_denied"}, "iss": {"https://evil.example.com"}}, "iss"},
		"denied, promised iss missing":   {true, url.Values{"error": {"access_denied"}}, "iss"},
		"denied with a code":             {false, url.Values{"error": {"access_denied"}, "code": {"c"}}, "denied: access_denied"},
		"denied twice":                   {false, url.Values{"error": {"access_denied", "x"}}, "no_code"},
		"ID token in front":              {false, url.Values{"id_token": {"x"}}, "no_code"},
		"access token in front":          {false, url.Values{"access_token": {"x"}}, "no_code"},
		"code of an error that is empty": {false, url.Values{"error": {""}, "code": {"c"}}, "accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			w.say("authorization_response_iss_parameter_supported", tc.answersIss)
			m := w.method()
			query, pending := w.authorize(m, login.AuthorizationRequest{})
			w.idToken = func() string { return w.sign(with(w.claims(), object{"nonce": query.Get("nonce")})) }
			before := w.asked(pathToken)
			_, err := m.Redeem(t.Context(), pending, tc.answer)
			wantReason(t, err, tc.want)
			if used := w.asked(pathToken) > before; used != (tc.want == "accepted") {
				t.Errorf("the code was used: %t", used)
			}
		})
	}
}

func TestDescriptionOfAnError(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	_, pending := w.authorize(m, login.AuthorizationRequest{})
	_, err := m.Redeem(t.Context(), pending, url.Values{"error": {"access_denied"}, "error_description": {"not <you>"}})
	if denied, ok := err.(*login.DeniedError); !ok || denied.Description != "not <you>" {
		t.Errorf("%v", err)
	}
}

func TestCodeThatDoesNotHold(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	w.respond(pathToken, invalidGrant)
	_, pending := w.authorize(m, login.AuthorizationRequest{})
	_, err := m.Redeem(t.Context(), pending, url.Values{"code": {"used"}})
	wantReason(t, err, "code")
}

func invalidGrant(out http.ResponseWriter, _ *http.Request) {
	out.Header().Set("Content-Type", "application/json")
	out.WriteHeader(http.StatusBadRequest)
	fmt.Fprint(out, `{"error":"invalid_grant"}`)
}

// TestUserInfo is whose claims count where the ID token and UserInfo differ, and that an address is
// verified by the word of the one who names it only.
func TestUserInfo(t *testing.T) {
	for name, tc := range map[string]struct {
		idToken, userInfo object
		want              string // user name, address, verified, groups
	}{
		"ID token alone":      {nil, object{}, "alice alice@example.com true []"},
		"fills in":            {nil, object{"groups": []string{"dev"}}, "alice alice@example.com true [dev]"},
		"ID token wins":       {object{"groups": []string{"dev"}}, object{"groups": []string{"admin"}, "preferred_username": "root"}, "alice alice@example.com true [dev]"},
		"all from UserInfo":   {object{"email": nil, "email_verified": nil, "preferred_username": nil}, object{"preferred_username": "al", "email": "al@example.com", "email_verified": true}, "al al@example.com true []"},
		"unverified there":    {object{"email": nil, "email_verified": nil}, object{"email": "al@example.com"}, "alice al@example.com false []"},
		"verified in one":     {object{"email_verified": nil}, object{"email": "alice@example.com", "email_verified": true}, "alice alice@example.com true []"},
		"denied in the other": {object{"email_verified": false}, object{"email": "alice@example.com", "email_verified": true}, "alice alice@example.com false []"},

		"verified is another address":        {object{"email": "boss@example.com", "email_verified": nil}, object{"email": "alice@evil.example.com", "email_verified": true}, "alice boss@example.com false []"},
		"verified without an address":        {object{"email": "boss@example.com", "email_verified": nil}, object{"email_verified": true}, "alice boss@example.com false []"},
		"verified address is in the other":   {object{"email": nil, "email_verified": true}, object{"email": "boss@example.com"}, "alice boss@example.com false []"},
		"verified address is denied":         {object{"email": nil, "email_verified": true}, object{"email": "boss@example.com", "email_verified": false}, "alice boss@example.com false []"},
		"address in ID token is no text":     {object{"email": 1, "email_verified": nil}, object{"email": "boss@example.com", "email_verified": true}, "alice  false []"},
		"protocol claims are the ID token's": {nil, object{"nonce": "x", "iss": "https://evil.example.com", "sid": "other"}, "alice alice@example.com true []"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.userInfo = with(tc.userInfo, object{"sub": alice})
			granted := w.mustSignIn(w.method(), tc.idToken)
			id := granted.Identity
			if got := fmt.Sprint(id.UserName, " ", id.Email, " ", id.EmailVerified, " ", id.Groups); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if granted.SID != "session-1" || id.Issuer != w.issuer() {
				t.Errorf("session %q of %q", granted.SID, id.Issuer)
			}
			if w.bearer != "Bearer access-1" {
				t.Errorf("asked with %q", w.bearer)
			}
		})
	}
}

// TestUserInfoOfOtherClaims is the same where the address is in a claim of another name.
func TestUserInfoOfOtherClaims(t *testing.T) {
	w := newWorld(t)
	m := w.method(func(c *Config) {
		c.Claims = claims.Mapping{Email: "contact.mail", EmailVerified: "verified.mail"}
	})
	w.userInfo = object{"sub": alice, "contact": object{"mail": "alice@evil.example.com"}, "verified": object{"mail": true}}
	id := w.mustSignIn(m, object{"contact": object{"mail": "boss@example.com"}}).Identity
	if id.Email != "boss@example.com" || id.EmailVerified {
		t.Errorf("%s, verified %t", id.Email, id.EmailVerified)
	}
	w.userInfo["contact"] = object{"mail": "boss@example.com"}
	id = w.mustSignIn(m, object{"contact": object{"mail": "boss@example.com"}}).Identity
	if id.Email != "boss@example.com" || !id.EmailVerified {
		t.Errorf("%s, verified %t", id.Email, id.EmailVerified)
	}
}

func TestAttackUserInfo(t *testing.T) {
	answerJWT := func(raw func(w *world) string) func(w *world) http.HandlerFunc {
		return func(w *world) http.HandlerFunc {
			return func(out http.ResponseWriter, _ *http.Request) {
				out.Header().Set("Content-Type", "application/jwt; charset=utf-8")
				fmt.Fprint(out, raw(w))
			}
		}
	}
	says := func(document any) func(*world) http.HandlerFunc {
		return func(w *world) http.HandlerFunc {
			return func(out http.ResponseWriter, _ *http.Request) { w.serve(out, document) }
		}
	}
	for name, tc := range map[string]struct {
		answer func(*world) http.HandlerFunc
		want   string
	}{
		"of somebody else": {says(object{"sub": "mallory"}), "userinfo_sub"},
		"of nobody":        {says(object{"name": "Alice"}), "userinfo_sub"},
		"of a number":      {says(object{"sub": 248289761001}), "userinfo_sub"},
		"sub in capitals":  {says(object{"SUB": alice}), "userinfo_sub"},
		"two documents": {func(*world) http.HandlerFunc {
			return func(out http.ResponseWriter, _ *http.Request) { fmt.Fprintf(out, `{"sub":%q}{}`, alice) }
		}, "accepted"}, // without it
		"signed":             {answerJWT(func(w *world) string { return w.sign(object{"sub": alice}) }), "accepted"},
		"signed for us":      {answerJWT(func(w *world) string { return w.sign(object{"sub": alice, "iss": w.issuer(), "aud": clientID}) }), "accepted"},
		"signed for another": {answerJWT(func(w *world) string { return w.sign(object{"sub": alice, "aud": "other"}) }), "aud"},
		"signed by another": {answerJWT(func(w *world) string {
			return signWith(w.t, ecKey(w.t), object{"alg": "ES256", "kid": w.kid}, object{"sub": alice})
		}), "signature"},
		"of another issuer": {answerJWT(func(w *world) string { return w.sign(object{"sub": alice, "iss": "https://evil.example.com"}) }), "iss"},
		"signed by nobody":  {answerJWT(func(w *world) string { return signWith(w.t, nil, object{"alg": "none"}, object{"sub": alice}) }), "alg"},
		"signed by the secret": {answerJWT(func(w *world) string {
			return signWith(w.t, []byte(clientSecret), object{"alg": "HS256"}, object{"sub": alice})
		}), "alg"},
		"signed, another's": {answerJWT(func(w *world) string { return w.sign(object{"sub": "mallory"}) }), "userinfo_sub"},
		"a logout token":    {answerJWT(func(w *world) string { return w.sign(w.logoutClaims()) }), "typ"},
		"no token":          {answerJWT(func(w *world) string { return `{"sub":"` + alice + `"}` }), "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.userInfo = object{}
			w.respond(pathUserInfo, tc.answer(w))
			_, err := w.signIn(w.method(), nil)
			wantReason(t, err, tc.want)
		})
	}
}

// TestUserInfoFails has the UserInfo endpoint not answer. People sign in if the ID token says who they
// are to upstreams, and have the rights alone that the ID token gives them.
func TestUserInfoFails(t *testing.T) {
	for status, whenNeeded := range map[int]string{
		http.StatusUnauthorized: "userinfo", http.StatusForbidden: "userinfo", http.StatusNotFound: "unavailable",
		http.StatusNoContent: "unavailable", http.StatusTooManyRequests: "unavailable", http.StatusBadGateway: "unavailable",
	} {
		allow := func(kind claims.Kind, claim, value string) func(*Config) {
			return func(c *Config) { c.Allow = claims.Rules{{Kind: kind, Claim: claim, Values: []string{value}}} }
		}
		userName := func(names ...string) func(*Config) {
			return func(c *Config) { c.Claims.UserName = names }
		}
		for name, tc := range map[string]struct {
			idToken   object
			supported []string
			change    func(*Config)
			want      string // reason; user name, address, verified, groups
		}{
			"all is in the ID token": {object{"groups": []string{"dev"}}, nil, nil, "accepted; alice alice@example.com true [dev]"},
			"groups are missing":     {nil, nil, nil, "accepted; alice alice@example.com true []"},
			"address is missing":     {object{"email": nil}, nil, nil, "accepted; alice  false []"},
			"address is unverified":  {object{"email_verified": nil}, nil, nil, "accepted; alice alice@example.com false []"},

			"user name is missing":              {object{"preferred_username": nil}, nil, nil, whenNeeded},
			"user name is not supported":        {object{"preferred_username": nil}, []string{"sub", "email"}, nil, "accepted; alice@example.com alice@example.com true []"},
			"address may be verified there":     {object{"preferred_username": nil, "email_verified": nil}, []string{"sub", "email"}, nil, whenNeeded},
			"user name is supported":            {object{"preferred_username": nil}, []string{"sub", "email", "preferred_username"}, nil, whenNeeded},
			"only the subject is left":          {object{"preferred_username": nil, "email": nil}, nil, nil, whenNeeded},
			"subject is the user name":          {object{"preferred_username": nil, "email": nil}, nil, userName("sub"), "accepted; " + alice + "  false []"},
			"nested user name may be there":     {nil, []string{"sub", "corp"}, userName("corp.login", "sub"), whenNeeded},
			"nested user name is not supported": {nil, []string{"sub"}, userName("corp.login", "sub"), "accepted; " + alice + " alice@example.com true []"},

			"rule by a group that is missing": {nil, nil, allow(claims.RuleGroup, "", "dev"), "not allowed"},
			"rule by a claim that is missing": {nil, nil, allow(claims.RuleClaim, "department", "dev"), "not allowed"},
			"rule by an unverified address":   {object{"email_verified": nil}, nil, allow(claims.RuleEmailDomain, "", "example.com"), "not allowed"},
			"rule by a claim that is there":   {object{"department": "dev"}, nil, allow(claims.RuleClaim, "department", "dev"), "accepted; alice alice@example.com true []"},
		} {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				w := newSilentWorld(t)
				w.userInfo = object{}
				w.respond(pathUserInfo, func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(status) })
				if tc.supported != nil {
					w.say("claims_supported", tc.supported)
				}
				m := w.connect(w.method(func(c *Config) {
					if tc.change != nil {
						tc.change(c)
					}
				}))
				granted, err := w.signIn(m, tc.idToken)
				got := reason(err)
				if err == nil {
					id := granted.Identity
					got += fmt.Sprint("; ", id.UserName, " ", id.Email, " ", id.EmailVerified, " ", id.Groups)
				}
				if got != tc.want {
					t.Errorf("%s, want %s", got, tc.want)
				}
			})
		}
	}
}

func TestUserInfoIsNotAskedFor(t *testing.T) {
	w := newWorld(t)
	w.userInfo = object{"sub": "mallory"}
	w.mustSignIn(w.method(func(c *Config) { c.UserInfo = false }), nil)
	wantAsked(t, w, pathUserInfo, 0)
}

func TestWhoIsLetIn(t *testing.T) {
	w := newWorld(t)
	m := w.method(func(c *Config) {
		c.Allow = claims.Rules{
			{Kind: claims.RuleEmailDomain, Values: []string{"example.com"}},
			{Kind: claims.RuleGroup, Values: []string{"guests"}},
		}
	})
	for name, tc := range map[string]struct {
		change object
		want   string
	}{
		"domain":            {nil, "accepted"},
		"unverified":        {object{"email_verified": false}, "not allowed"},
		"verified missing":  {object{"email_verified": nil}, "not allowed"},
		"subdomain":         {object{"email": "alice@evil.example.com"}, "not allowed"},
		"another's domain":  {object{"email": "alice@example.com.evil.example.org"}, "not allowed"},
		"group":             {object{"email": nil, "groups": []string{"guests"}}, "accepted"},
		"group of another":  {object{"email": nil, "groups": []string{"guest"}}, "not allowed"},
		"neither has a say": {object{"email": nil}, "not allowed"},
	} {
		_, err := w.signIn(m, tc.change)
		if got := reason(err); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

// TestRuleByAClaimThatIsNotKept has a rule look at a claim that the configuration does not keep
// otherwise: the rule goes on holding after the sign-in.
func TestRuleByAClaimThatIsNotKept(t *testing.T) {
	w := newWorld(t)
	m := w.method(func(c *Config) {
		c.Claims.Keep = []string{"department"}
		c.Allow = claims.Rules{{Kind: claims.RuleClaim, Claim: "employee.type", Values: []string{"staff"}}}
	})
	recorded := w.mustSignIn(m, object{"employee": object{"type": "staff"}}).Identity
	if _, ok := m.Current(recorded); !ok {
		t.Error("is let in and gone at once")
	}
	_, err := w.signIn(m, object{"employee": object{"type": "guest"}})
	wantReason(t, err, "not allowed")
}

func TestCurrent(t *testing.T) {
	w := newWorld(t)
	recorded := w.mustSignIn(w.method(), object{"groups": []string{"dev"}}).Identity
	allow := func(kind claims.Kind, value string) func(*Config) {
		return func(c *Config) { c.Allow = claims.Rules{{Kind: kind, Values: []string{value}}} }
	}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   bool
	}{
		"nothing changed":      {func(*Config) {}, true},
		"still let in":         {allow(claims.RuleGroup, "dev"), true},
		"not let in any more":  {allow(claims.RuleGroup, "admin"), false},
		"domain":               {allow(claims.RuleEmailDomain, "example.com"), true},
		"another domain":       {allow(claims.RuleEmailDomain, "example.org"), false},
		"another issuer":       {func(c *Config) { c.Issuer = "https://id.example.net" }, false},
		"issuer with a slash":  {func(c *Config) { c.Issuer += "/" }, false},
		"other client at hand": {func(c *Config) { c.ClientID = "other" }, true},
	} {
		current, ok := w.method(tc.change).Current(recorded)
		if ok != tc.want || ok && current != recorded {
			t.Errorf("%s: %t, want %t", name, ok, tc.want)
		}
	}
	m := w.method(allow(claims.RuleEmailDomain, "example.com"))
	if allocated := testing.AllocsPerRun(100, func() { m.Current(recorded) }); allocated > 0 {
		t.Errorf("allocates %v times a request", allocated)
	}
	if _, ok := m.Current(&session.Identity{Account: recorded.Account, Email: recorded.Email, EmailVerified: true}); ok {
		t.Error("an account without an issuer is of this one")
	}
}

// A provider leaves the groups out, and says so in its own way. Without a line in the log nobody would
// know why people have no rights.
func TestGroupsThatAreLeftOutAreLogged(t *testing.T) {
	for name, tc := range map[string]struct {
		change object
		want   int
	}{
		"a reference": {object{"_claim_names": object{"groups": "src1"}, "_claim_sources": object{"src1": object{"endpoint": "https://graph.example.com/"}}}, 1},
		"hasgroups":   {object{"hasgroups": true}, 1},
		"no groups":   {nil, 0},
		"groups":      {object{"groups": []string{"dev"}}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSilentWorld(t)
			core, lines := observer.New(zap.WarnLevel)
			w.mustSignIn(w.connect(w.method(func(c *Config) { c.Log = zap.New(core) })), tc.change)
			if n := lines.FilterMessageSnippet("leaves out the groups").Len(); n != tc.want {
				t.Errorf("logged %d times, want %d", n, tc.want)
			}
		})
	}
}

func TestMissingRefreshTokenIsLoggedOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		refresh bool
		given   string
		want    int
	}{
		"none is given":     {true, "", 1},
		"one is given":      {true, "refresh-1", 0},
		"none is asked for": {false, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			w := newSilentWorld(t)
			core, lines := observer.New(zap.WarnLevel)
			m := w.connect(w.method(func(c *Config) { c.Refresh, c.Log = tc.refresh, zap.New(core) }))
			w.answer["refresh_token"] = tc.given
			for range 3 {
				w.mustSignIn(m, nil)
			}
			if n := lines.FilterMessageSnippet("no refresh token").Len(); n != tc.want {
				t.Errorf("logged %d times, want %d", n, tc.want)
			}
		})
	}
}

func TestTokensThatAreKept(t *testing.T) {
	w := newWorld(t)
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string
	}{
		"nothing wanted": {func(c *Config) { c.Refresh, c.Logout = false, false }, ""},
		"refresh":        {func(c *Config) { c.Logout = false }, "refresh id"},
		"logout":         {func(c *Config) { c.Refresh = false }, "id"},
		"access token":   {func(c *Config) { c.Refresh, c.Logout, c.Expose.Access = false, false, true }, "access"},
		"ID token":       {func(c *Config) { c.Refresh, c.Logout, c.Expose.ID = false, false, true }, "id"},
	} {
		tokens := w.mustSignIn(w.method(tc.change), nil).Tokens
		var kept []string
		for _, k := range []struct{ name, token string }{{"access", tokens.Access}, {"refresh", tokens.Refresh}, {"id", tokens.ID}} {
			if k.token != "" {
				kept = append(kept, k.name)
			}
		}
		if got := strings.Join(kept, " "); got != tc.want {
			t.Errorf("%s: kept %q, want %q", name, got, tc.want)
		}
	}
	w.answer["expires_in"] = nil
	if tokens := w.mustSignIn(w.method(), nil).Tokens; !tokens.Expiry.IsZero() {
		t.Errorf("an access token that has no expiry expires at %s", tokens.Expiry)
	}
}

// renewal is a sign-in that is to be renewed.
type renewal struct {
	w       *world
	m       *Method
	granted *login.Granted
}

func newRenewal(t *testing.T, change ...func(*Config)) *renewal {
	w := newWorld(t)
	m := w.method(change...)
	r := &renewal{w, m, w.mustSignIn(m, object{"groups": []string{"dev"}})}
	w.pass(time.Hour)
	w.answer = object{"access_token": "access-2", "token_type": "Bearer", "expires_in": 300, "refresh_token": "refresh-2"}
	w.idToken = nil
	return r
}

func (r *renewal) renew() (*login.Granted, error) {
	return r.m.Renew(r.w.t.Context(), r.granted.Identity, r.granted.Tokens)
}

// TestRenewedIDToken is what an ID token that comes with a refresh may and must say (OpenID Connect
// Core 1.0, section 12.2).
func TestRenewedIDToken(t *testing.T) {
	for name, tc := range map[string]struct {
		change object
		want   string
	}{
		"all in order":       {object{"name": "Alice Renamed"}, "accepted"},
		"iss of another":     {object{"iss": "https://evil.example.com"}, "iss"},
		"aud of another":     {object{"aud": "other"}, "aud"},
		"sub of another":     {object{"sub": "mallory"}, "sub"},
		"sub missing":        {object{"sub": nil}, "sub"},
		"azp of another":     {object{"azp": "other"}, "azp"},
		"exp passed":         {object{"exp": 1}, "exp"},
		"iat long ago":       {object{"iat": 1}, "iat"},
		"nonce of another":   {object{"nonce": "other"}, "nonce"},
		"nonce no text":      {object{"nonce": 1}, "nonce"},
		"at_hash":            {object{"at_hash": atHash("access-2")}, "accepted"},
		"at_hash of another": {object{"at_hash": atHash("access-1")}, "at_hash"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRenewal(t)
			r.w.idToken = func() string { return r.w.sign(with(r.w.claims(), tc.change)) }
			renewed, err := r.renew()
			wantReason(t, err, tc.want)
			if err != nil {
				return
			}
			if renewed.Tokens.Refresh != "refresh-2" || renewed.Tokens.ID == r.granted.Tokens.ID || renewed.SID != "session-1" {
				t.Errorf("renewed to %+v", renewed)
			}
			if renewed.Identity.Account != r.granted.Identity.Account {
				t.Errorf("renewed to %+v", renewed.Identity)
			}
		})
	}
	t.Run("nonce as before", func(t *testing.T) {
		r := newRenewal(t)
		before := parseKept(r.granted.Tokens.ID)
		r.w.idToken = func() string { return r.w.sign(with(r.w.claims(), object{"nonce": before["nonce"]})) }
		_, err := r.renew()
		wantReason(t, err, "accepted")
	})
	t.Run("aud lacks one", func(t *testing.T) {
		r := newRenewal(t)
		r.granted = r.w.mustSignIn(r.m, object{"aud": []string{clientID, "api"}, "azp": clientID})
		r.w.idToken = func() string { return r.w.sign(r.w.claims()) }
		_, err := r.renew()
		wantReason(t, err, "aud")
	})
	t.Run("signed by another", func(t *testing.T) {
		r := newRenewal(t)
		r.w.idToken = func() string { return signWith(t, ecKey(t), object{"alg": "ES256", "kid": r.w.kid}, r.w.claims()) }
		_, err := r.renew()
		wantReason(t, err, "signature")
	})
	t.Run("the one before, which has expired", func(t *testing.T) {
		r := newRenewal(t)
		r.w.idToken = func() string { return r.granted.Tokens.ID }
		renewed, err := r.renew()
		wantReason(t, err, "accepted")
		if renewed.Identity != r.granted.Identity || renewed.Tokens.ID != r.granted.Tokens.ID {
			t.Errorf("renewed to %+v", renewed)
		}
	})
}

func TestRenewedAccount(t *testing.T) {
	describe := func(g *login.Granted) string {
		id := g.Identity
		return fmt.Sprint(id.UserName, " ", id.Name, " ", id.VerifiedEmail(), " ", id.Groups)
	}
	for name, tc := range map[string]struct {
		idToken, userInfo object // nil: none
		want              string
	}{
		"nothing new":          {nil, nil, "alice Alice Example alice@example.com [dev]"},
		"ID token":             {object{"name": "Al", "groups": []string{"admin"}}, nil, "alice Al alice@example.com [admin]"},
		"ID token without":     {object{"groups": nil}, nil, "alice Alice Example alice@example.com []"},
		"UserInfo":             {nil, object{"name": "Al", "groups": []string{}}, "alice Al alice@example.com []"},
		"UserInfo's address":   {nil, object{"email": "al@example.com"}, "alice Alice Example  [dev]"},
		"both":                 {object{"name": "Al"}, object{"name": "Bob", "groups": []string{"ops"}}, "alice Al alice@example.com [ops]"},
		"unverified any more":  {object{"email_verified": false}, nil, "alice Alice Example  []"},
		"UserInfo of the same": {nil, object{"email": "alice@example.com"}, "alice Alice Example alice@example.com [dev]"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRenewal(t)
			if tc.idToken != nil {
				r.w.idToken = func() string { return r.w.sign(with(r.w.claims(), tc.idToken)) }
			}
			if tc.userInfo != nil {
				r.w.userInfo = with(tc.userInfo, object{"sub": alice})
				if _, err := r.m.provider.discover(t.Context(), true); err != nil {
					t.Fatal(err)
				}
			}
			renewed, err := r.renew()
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(renewed); got != tc.want {
				t.Errorf("%s, want %s", got, tc.want)
			}
			if renewed.Tokens.Refresh != "refresh-2" || renewed.Tokens.ID == "" || renewed.SID != "session-1" {
				t.Errorf("tokens %+v of session %q", renewed.Tokens, renewed.SID)
			}
			if r.w.form.Get("grant_type") != "refresh_token" || r.w.form.Get("refresh_token") != "refresh-1" {
				t.Errorf("asked with %v", r.w.form)
			}
		})
	}
}

func TestAttackRenew(t *testing.T) {
	t.Run("refused", func(t *testing.T) {
		r := newRenewal(t)
		r.w.respond(pathToken, invalidGrant)
		_, err := r.renew()
		wantReason(t, err, "refused")
	})
	t.Run("down", func(t *testing.T) {
		r := newRenewal(t)
		r.w.respond(pathToken, unwell)
		_, err := r.renew()
		wantReason(t, err, "unavailable")
	})
	t.Run("UserInfo of somebody else", func(t *testing.T) {
		r := newRenewal(t)
		r.w.userInfo = object{"sub": "mallory"}
		r.m.provider.discover(t.Context(), true)
		_, err := r.renew()
		wantReason(t, err, "userinfo_sub")
	})
	deny := func(r *renewal) {
		r.w.userInfo = object{}
		r.m.provider.discover(t.Context(), true)
		r.w.respond(pathUserInfo, func(out http.ResponseWriter, _ *http.Request) { out.WriteHeader(http.StatusForbidden) })
	}
	t.Run("UserInfo denied", func(t *testing.T) {
		r := newRenewal(t)
		deny(r)
		_, err := r.renew()
		wantReason(t, err, "userinfo")
	})
	t.Run("UserInfo denied, and an ID token", func(t *testing.T) {
		r := newRenewal(t)
		deny(r)
		r.w.idToken = func() string { return r.w.sign(r.w.claims()) }
		renewed, err := r.renew()
		if err != nil || len(renewed.Identity.Groups) > 0 {
			t.Errorf("%+v, %v; want the account by the ID token alone", renewed, err)
		}
	})
	t.Run("not let in any more", func(t *testing.T) {
		r := newRenewal(t, func(c *Config) { c.Allow = claims.Rules{{Kind: claims.RuleGroup, Values: []string{"dev"}}} })
		r.w.idToken = func() string { return r.w.sign(with(r.w.claims(), object{"groups": []string{"ops"}})) }
		_, err := r.renew()
		wantReason(t, err, "not allowed")
	})
	t.Run("refresh token of another issuer", func(t *testing.T) {
		r := newRenewal(t)
		recorded := *r.granted.Identity
		recorded.Issuer = "https://id.example.net"
		before := r.w.asked(pathToken)
		_, err := r.m.Renew(t.Context(), &recorded, r.granted.Tokens)
		wantReason(t, err, "iss")
		wantAsked(t, r.w, pathToken, before)
	})
}

// TestNewRefreshTokenIsNotLost has the provider fail after it has replaced the refresh token.
func TestNewRefreshTokenIsNotLost(t *testing.T) {
	for name, fail := range map[string]func(r *renewal){
		"UserInfo is away": func(r *renewal) {
			r.w.userInfo = object{}
			r.m.provider.discover(r.w.t.Context(), true)
			r.w.respond(pathUserInfo, unwell)
		},
		"keys are away": func(r *renewal) {
			r.w.rotate("key-2")
			r.w.respond(pathKeys, unwell)
			r.w.idToken = func() string { return r.w.sign(with(r.w.claims(), object{"name": "Bob"})) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRenewal(t, func(c *Config) { c.Expose.Access = true })
			fail(r)
			renewed, err := r.renew()
			if err != nil {
				t.Fatal(err)
			}
			if renewed.Identity != r.granted.Identity {
				t.Errorf("renewed to %+v", renewed.Identity)
			}
			want := login.Tokens{Access: "access-2", Refresh: "refresh-2", ID: r.granted.Tokens.ID}
			got := renewed.Tokens
			if got.Expiry = (time.Time{}); got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
	t.Run("no new one", func(t *testing.T) {
		r := newRenewal(t)
		delete(r.w.answer, "refresh_token")
		renewed, err := r.renew()
		if err != nil || renewed.Tokens.Refresh != "refresh-1" {
			t.Errorf("%+v, %v", renewed, err)
		}
	})
}

func TestManySignInsAtOnce(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	w.userInfo = object{"sub": alice}
	var nonces sync.Map // code to nonce
	w.respond(pathToken, func(out http.ResponseWriter, in *http.Request) {
		in.ParseForm()
		nonce, _ := nonces.LoadAndDelete(in.PostForm.Get("code"))
		answer := maps.Clone(w.answer)
		answer["id_token"] = w.sign(with(w.claims(), object{"nonce": nonce}))
		w.serve(out, answer)
	})
	var people sync.WaitGroup
	for i := range 20 {
		people.Go(func() {
			code := fmt.Sprint("code-", i)
			_, pending, err := m.Authorize(t.Context(), login.AuthorizationRequest{RedirectURI: redirectURI})
			if err != nil {
				t.Error(err)
				return
			}
			nonces.Store(code, pending.Nonce)
			_, err = m.Redeem(t.Context(), pending, url.Values{"code": {code}})
			wantReason(t, err, "accepted")
			_, err = m.Redeem(t.Context(), pending, url.Values{"code": {code}})
			wantReason(t, err, "nonce")
		})
	}
	people.Wait()
	wantAsked(t, w, pathDiscovery, 1)
	wantAsked(t, w, pathKeys, 1)
}

func TestConfiguration(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		want   string // part of the error; empty: none
	}{
		"all in order":           {func(*Config) {}, ""},
		"least":                  {func(c *Config) { *c = Config{ID: "corp", Issuer: "https://id.example.com", ClientID: "x"} }, ""},
		"issuer with a path":     {func(c *Config) { c.Issuer = "https://id.example.com/realms/corp" }, ""},
		"issuer on loopback":     {func(c *Config) { c.Issuer = "http://127.0.0.1:8080" }, ""},
		"no id":                  {func(c *Config) { c.ID = "" }, "id"},
		"id with a colon":        {func(c *Config) { c.ID = "a:b" }, "colon"},
		"no issuer":              {func(c *Config) { c.Issuer = "" }, "issuer"},
		"issuer without a host":  {func(c *Config) { c.Issuer = "accounts.google.com" }, "issuer"},
		"issuer at plain HTTP":   {func(c *Config) { c.Issuer = "http://id.example.com" }, "issuer"},
		"issuer with a query":    {func(c *Config) { c.Issuer = "https://id.example.com/?tenant=1" }, "query"},
		"issuer with a fragment": {func(c *Config) { c.Issuer = "https://id.example.com/#x" }, "fragment"},
		"issuer with a password": {func(c *Config) { c.Issuer = "https://a:b@id.example.com" }, "password"},
		"insecure, and said so":  {func(c *Config) { c.Issuer, c.InsecureHTTP = "http://id.example.com", true }, ""},
		"no client":              {func(c *Config) { c.ClientID = "" }, "client_id"},
		"unknown prompt":         {func(c *Config) { c.Prompt = "none" }, "prompt"},
		"redirect to nowhere":    {func(c *Config) { c.RedirectURI = "/callback" }, "redirect_uri"},
		"scope of two words":     {func(c *Config) { c.Scopes = []string{"openid email"} }, "scope"},
		"scope with a quote":     {func(c *Config) { c.Scopes = []string{`"`} }, "scope"},
		"parameter of ours":      {func(c *Config) { c.Parameters = map[string]string{"state": "x"} }, "state"},
		"max_age no number":      {func(c *Config) { c.Parameters = map[string]string{"max_age": "1h"} }, "max_age"},
		"max_age negative":       {func(c *Config) { c.Parameters = map[string]string{"max_age": "-1"} }, "max_age"},
		"another subject":        {func(c *Config) { c.Claims.Subject = "email" }, "sub"},
		"authorities not there":  {func(c *Config) { c.AuthoritiesFile = "/nowhere/ca.pem" }, "ca_file"},
		"authorities without":    {func(c *Config) { c.AuthoritiesFile = "/dev/null" }, "ca_file"},
		"endpoint of no scheme":  {func(c *Config) { c.Endpoints.Token = "id.example.com/token" }, "token_endpoint"},
		"keys at plain HTTP":     {func(c *Config) { c.Endpoints.Keys = "http://id.example.com/keys" }, "jwks_uri"},
		"metadata at plain HTTP": {func(c *Config) { c.Endpoints.Discovery = "http://id.example.com/" }, "discovery_url"},
		"metadata on loopback":   {func(c *Config) { c.Endpoints.Discovery = "http://127.0.0.1:8080/" }, ""},
		"rule of a group not kept": {func(c *Config) {
			c.Claims.KeepGroups, c.Allow = []string{"ops"}, claims.Rules{{Kind: claims.RuleGroup, Values: []string{"dev"}}}
		}, "keep_groups"},
		"tenants":               {func(c *Config) { c.Tenants = []string{tenantA} }, ""},
		"tenant of no id":       {func(c *Config) { c.Tenants = []string{tenantA, "a/b"} }, "tenants"},
		"tenant without a name": {func(c *Config) { c.Tenants = []string{""} }, "tenants"},
		"tenants, no metadata": {func(c *Config) {
			there := "https://id.example.com/x"
			c.Tenants, c.Endpoints = []string{tenantA}, Endpoints{Authorization: there, Token: there, Keys: there}
		}, "discovery_url"},
		"key that is not there": {func(c *Config) { c.Credentials = oauthclient.Credentials{KeyFile: "/nowhere/key.pem"} }, "client_key_file"},
		"two ways":              {func(c *Config) { c.Credentials.KeyFile = "/nowhere/key.pem" }, "client_secret"},
		"rule without a value":  {func(c *Config) { c.Allow = claims.Rules{{Kind: claims.RuleGroup}} }, "allow"},
		"prefix with a colon":   {func(c *Config) { c.Claims.UserNamePrefix = "corp:" }, "prefix"},
	} {
		c := Config{ID: "corp", Issuer: "https://id.example.com", ClientID: clientID, Credentials: oauthclient.Credentials{Secret: clientSecret}}
		tc.change(&c)
		m, err := New(c)
		if (err != nil) != (tc.want != "") || err != nil && !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), clientSecret) {
			t.Errorf("%s: the error tells the secret", name)
		}
		if err == nil && (m.ID() != "corp" || m.Label() != "corp" || m.RedirectURI() != "" || m.Exposes() != login.Exposed{}) {
			t.Errorf("%s: %s %s %s", name, m.ID(), m.Label(), m.RedirectURI())
		}
	}
}
