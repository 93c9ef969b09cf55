package oauth2

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/claims"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// service is one that is like no other: its token endpoint knows one code, and its user info is
// about one account.
func service(t *testing.T, about string) (config Config) {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		id, secret, _ := r.BasicAuth()
		secret, _ = url.QueryUnescape(secret) // RFC 6749, section 2.3.1
		if r.PostFormValue("code") != "good" || id != "gateway" || secret != "se:cret" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"error": "invalid_grant"}`)
			return
		}
		_, _ = io.WriteString(w, `{"access_token": "at", "refresh_token": "rt", "token_type": "Bearer", "expires_in": 60}`)
	})
	mux.HandleFunc("GET /me", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer at" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_, _ = io.WriteString(w, about)
	})
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return Config{
		ID: "chat", AuthorizationEndpoint: server.URL + "/authorize?tenant=1", TokenEndpoint: server.URL + "/token", UserInfoEndpoint: server.URL + "/me",
		ClientID: "gateway", ClientSecret: "se:cret", Scopes: []string{"identify", "email"},
		Claims: claims.Mapping{Subject: "user.id", UserName: []string{"user.handle"}, Name: "user.display", Email: "user.mail", EmailVerified: "user.mail_ok", Groups: "roles"},
	}
}

const somebody = `{"user": {"id": 12345678901234567890, "handle": "alice", "display": "Alice", "mail": "alice@x.example", "mail_ok": true}, "roles": ["dev"]}`

func redeem(t *testing.T, config Config, answer url.Values) (*login.Granted, error) {
	t.Helper()
	m, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	_, pending, err := m.Authorize(t.Context(), login.AuthorizationRequest{State: "st", RedirectURI: redirectURI})
	if err != nil {
		t.Fatal(err)
	}
	return m.Redeem(t.Context(), pending, answer)
}

func TestServiceSignIn(t *testing.T) {
	config := service(t, somebody)
	granted, err := redeem(t, config, url.Values{"code": {"good"}, "state": {"st"}, "iss": {"https://anything.example"}})
	if err != nil {
		t.Fatal(err)
	}
	id := granted.Identity
	if id.Account != (session.Account{Method: "chat", Subject: "12345678901234567890"}) || id.Issuer != config.AuthorizationEndpoint ||
		id.UserName != "alice" || id.Name != "Alice" || id.VerifiedEmail() != "alice@x.example" || len(id.Groups) != 1 {
		t.Errorf("got %+v", id)
	}
}

func TestKeptTokens(t *testing.T) {
	for name, tc := range map[string]struct {
		refresh, expose bool
		want            login.Tokens // but for the expiry
	}{
		"none":    {false, false, login.Tokens{}},
		"refresh": {true, false, login.Tokens{Refresh: "rt"}},
		"access":  {false, true, login.Tokens{Access: "at"}},
		"both":    {true, true, login.Tokens{Access: "at", Refresh: "rt"}},
	} {
		config := service(t, somebody)
		config.Refresh, config.Expose.Access = tc.refresh, tc.expose
		granted, err := redeem(t, config, url.Values{"code": {"good"}})
		if err != nil {
			t.Fatal(err)
		}
		if got := granted.Tokens; got.Access != tc.want.Access || got.Refresh != tc.want.Refresh || got.ID != "" || got.Expiry.IsZero() != (tc.want == login.Tokens{}) {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestAnswers(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*Config)
		answer string
		want   string
	}{
		"a code":                        {nil, "code=good&state=st", "ok"},
		"another code":                  {nil, "code=bad", "code"},
		"no code":                       {nil, "state=st", "no_code"},
		"an empty code":                 {nil, "code=", "no_code"},
		"nothing":                       {nil, "", "no_code"},
		"two codes":                     {nil, "code=good&code=good", "no_code"},
		"two states":                    {nil, "code=good&state=st&state=st", "no_code"},
		"an error":                      {nil, "error=access_denied&error_description=no", "denied: access_denied"},
		"an error and a code":           {nil, "error=access_denied&code=good", "denied: access_denied"},
		"two errors":                    {nil, "error=access_denied&error=x", "no_code"},
		"an error that is a page":       {nil, "error=%3Cscript%3E+alert(1)", "denied: invalid_request"},
		"an issuer nobody asked for":    {nil, "code=good&iss=https://evil.example", "ok"},
		"the issuer":                    {func(c *Config) { c.Issuer = "https://x.example" }, "code=good&iss=https://x.example", "ok"},
		"another issuer":                {func(c *Config) { c.Issuer = "https://x.example" }, "code=good&iss=https://evil.example", "iss"},
		"no issuer where there must be": {func(c *Config) { c.Issuer = "https://x.example" }, "code=good", "iss"},
		"two issuers":                   {func(c *Config) { c.Issuer = "https://x.example" }, "code=good&iss=https://x.example&iss=https://evil.example", "iss"},
		"not let in":                    {func(c *Config) { c.Allow = claims.Rules{{Kind: claims.RuleEmailDomain, Values: []string{"y.example"}}} }, "code=good", "not allowed"},
		"let in": {func(c *Config) {
			c.Allow = claims.Rules{{Kind: claims.RuleClaim, Claim: "user.handle", Values: []string{"alice"}}}
			c.Claims.Keep = []string{"roles"}
		}, "code=good", "ok"},
		"the subject is not there": {func(c *Config) { c.Claims.Subject = "id" }, "code=good", "userinfo"},
	} {
		t.Run(name, func(t *testing.T) {
			config := service(t, somebody)
			if tc.change != nil {
				tc.change(&config)
			}
			answer, err := url.ParseQuery(tc.answer)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := redeem(t, config, answer); outcome(err) != tc.want {
				t.Errorf("%s (%v), want %s", outcome(err), err, tc.want)
			}
		})
	}
}

// TestCurrent: the rules of now hold for whoever signed in by those of then.
func TestCurrent(t *testing.T) {
	config := service(t, somebody)
	config.Allow = claims.Rules{{Kind: claims.RuleGroup, Values: []string{"dev"}}}
	granted, err := redeem(t, config, url.Values{"code": {"good"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		change func(*Config)
		want   bool
	}{
		"the same":         {func(*Config) {}, true},
		"no rules":         {func(c *Config) { c.Allow = nil }, true},
		"other rules":      {func(c *Config) { c.Allow = claims.Rules{{Kind: claims.RuleGroup, Values: []string{"ops"}}} }, false},
		"another service":  {func(c *Config) { c.AuthorizationEndpoint = "https://other.example/authorize" }, false},
		"another id":       {func(c *Config) { c.ID = "talk" }, false},
		"another endpoint": {func(c *Config) { c.TokenEndpoint = "https://other.example/token" }, true},
	} {
		changed := config
		tc.change(&changed)
		m, err := New(changed)
		if err != nil {
			t.Fatal(err)
		}
		if now, ok := m.Current(granted.Identity); ok != tc.want || ok && now != granted.Identity {
			t.Errorf("%s: %+v, %t, want %t", name, now, ok, tc.want)
		}
	}
}

func TestAuthorize(t *testing.T) {
	for name, tc := range map[string]struct {
		change  func(*Config)
		request login.AuthorizationRequest
		want    map[string]string // beside those that are always there
	}{
		"ordinary":                 {nil, login.AuthorizationRequest{}, nil},
		"adding":                   {nil, login.AuthorizationRequest{Ask: login.AskAccount}, map[string]string{"prompt": "select_account"}},
		"adding a named one":       {nil, login.AuthorizationRequest{Ask: login.AskAccount, LoginHint: "alice"}, map[string]string{"login_hint": "alice"}},
		"adding, login":            {func(c *Config) { c.Prompt = "login" }, login.AuthorizationRequest{Ask: login.AskAccount}, map[string]string{"prompt": "login"}},
		"adding, off":              {func(c *Config) { c.Prompt = "off" }, login.AuthorizationRequest{Ask: login.AskAccount}, nil},
		"a fixed parameter":        {func(c *Config) { c.Parameters = map[string]string{"access_type": "offline"} }, login.AuthorizationRequest{}, map[string]string{"access_type": "offline"}},
		"a fixed prompt":           {func(c *Config) { c.Parameters = map[string]string{"prompt": "consent"} }, login.AuthorizationRequest{}, map[string]string{"prompt": "consent"}},
		"a fixed prompt, adding":   {func(c *Config) { c.Parameters = map[string]string{"prompt": "consent"} }, login.AuthorizationRequest{Ask: login.AskAccount}, map[string]string{"prompt": "select_account consent"}},
		"a parameter of a client":  {nil, login.AuthorizationRequest{Ask: login.AskAccount, Parameters: map[string]string{"prompt": "login", "ui_locales": "nl"}}, map[string]string{"prompt": "login", "ui_locales": "nl"}},
		"a scope that is one":      {nil, login.AuthorizationRequest{Scopes: []string{"email"}}, nil},
		"somebody else":            {nil, login.AuthorizationRequest{Ask: login.AskLogin}, map[string]string{"prompt": "login"}},
		"somebody else at GitHub":  {func(c *Config) { c.Preset = PresetGitHub }, login.AuthorizationRequest{Ask: login.AskLogin}, map[string]string{"prompt": "select_account"}},
		"GitHub's name for a hint": {func(c *Config) { c.Preset = PresetGitHub }, login.AuthorizationRequest{LoginHint: "alice"}, map[string]string{"login": "alice"}},
	} {
		t.Run(name, func(t *testing.T) {
			config := service(t, somebody)
			if tc.change != nil {
				tc.change(&config)
			}
			if config.Preset != "" {
				config.AuthorizationEndpoint, config.TokenEndpoint, config.UserInfoEndpoint, config.Claims = "", "", "", claims.Mapping{}
			}
			m, err := New(config)
			if err != nil {
				t.Fatal(err)
			}
			tc.request.State, tc.request.RedirectURI = "st&te", redirectURI
			location, pending, err := m.Authorize(t.Context(), tc.request)
			if err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(location)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]string{
				"response_type": "code", "client_id": "gateway", "redirect_uri": redirectURI, "scope": "identify email", "state": "st&te",
				"code_challenge": oauth2.S256ChallengeFromVerifier(pending.Verifier), "code_challenge_method": "S256",
			}
			if config.Preset == "" {
				want["tenant"] = "1" // of the endpoint itself
			}
			for member, value := range tc.want {
				want[member] = value
			}
			got := u.Query()
			if len(got) != len(want) {
				t.Errorf("got %v, want %v", got, want)
			}
			for member, value := range want {
				if len(got[member]) != 1 || got.Get(member) != value {
					t.Errorf("%s = %q, want %q", member, got[member], value)
				}
			}
			if len(pending.Verifier) < 43 || pending.RedirectURI != redirectURI || strings.Contains(location, pending.Verifier) {
				t.Errorf("pending: %+v", pending)
			}
		})
	}
}

func TestAttackParametersOfClients(t *testing.T) {
	m, err := New(service(t, somebody))
	if err != nil {
		t.Fatal(err)
	}
	for name, request := range map[string]login.AuthorizationRequest{
		"scope":         {Scopes: []string{"admin"}},
		"two scopes":    {Scopes: []string{"identify admin"}},
		"redirect_uri":  {Parameters: map[string]string{"redirect_uri": "https://evil.example"}},
		"client_id":     {Parameters: map[string]string{"client_id": "evil"}},
		"state":         {Parameters: map[string]string{"state": "x"}},
		"response_type": {Parameters: map[string]string{"response_type": "token"}},
		"response_mode": {Parameters: map[string]string{"response_mode": "form_post"}},
		"challenge":     {Parameters: map[string]string{"code_challenge": "x"}},
		"request_uri":   {Parameters: map[string]string{"request_uri": "https://evil.example"}},
		"unknown":       {Parameters: map[string]string{"x": "y"}},
		"capitals":      {Parameters: map[string]string{"Prompt": "y"}},
		"a long one":    {Parameters: map[string]string{"prompt": strings.Repeat("x", 1<<20)}},
	} {
		location, _, err := m.Authorize(t.Context(), request)
		var refused *login.ParameterError
		if !errors.As(err, &refused) || location != "" {
			t.Errorf("%s: %q, %v", name, location, err)
		}
	}
}

func TestRefusedConfig(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"no id":                           func(c *Config) { c.ID = "" },
		"an id with a colon":              func(c *Config) { c.ID = "a:b" },
		"no client":                       func(c *Config) { c.ClientID = "" },
		"no secret":                       func(c *Config) { c.ClientSecret = "" },
		"no authorization endpoint":       func(c *Config) { c.AuthorizationEndpoint = "" },
		"no token endpoint":               func(c *Config) { c.TokenEndpoint = "" },
		"no user-info endpoint":           func(c *Config) { c.UserInfoEndpoint = "" },
		"token endpoint by http":          func(c *Config) { c.TokenEndpoint = "http://x.example/token" },
		"user-info endpoint by http":      func(c *Config) { c.UserInfoEndpoint = "http://x.example/me" },
		"an endpoint that is a path":      func(c *Config) { c.AuthorizationEndpoint = "/authorize" },
		"an endpoint that is a script":    func(c *Config) { c.AuthorizationEndpoint = "javascript:alert(1)//" },
		"an endpoint with a fragment":     func(c *Config) { c.AuthorizationEndpoint = "https://x.example/#" },
		"an endpoint with a password":     func(c *Config) { c.TokenEndpoint = "https://a:b@x.example/token" },
		"an endpoint too long":            func(c *Config) { c.AuthorizationEndpoint = "https://x.example/" + strings.Repeat("x", 1024) },
		"redirect_uri of another scheme":  func(c *Config) { c.RedirectURI = "ftp://x.example/" },
		"no subject":                      func(c *Config) { c.Claims.Subject = "" },
		"no user name":                    func(c *Config) { c.Claims.UserName = nil },
		"an id token":                     func(c *Config) { c.Expose.ID = true },
		"another prompt":                  func(c *Config) { c.Prompt = "none" },
		"prompt none as a parameter":      func(c *Config) { c.Parameters = map[string]string{"prompt": "none"} },
		"a parameter of the gateway's":    func(c *Config) { c.Parameters = map[string]string{"state": "x"} },
		"another way to authenticate":     func(c *Config) { c.ClientAuthentication = "private_key_jwt" },
		"two scopes in one":               func(c *Config) { c.Scopes = []string{"a b"} },
		"a rule of nothing":               func(c *Config) { c.Allow = claims.Rules{{Kind: claims.RuleGroup}} },
		"a preset that is none":           func(c *Config) { c.Preset = "gitlab" },
		"a base URL without a preset":     func(c *Config) { c.BaseURL = "https://x.example" },
		"a preset and endpoints":          func(c *Config) { c.Preset, c.Claims = PresetGitHub, claims.Mapping{} },
		"a preset and a subject":          func(c *Config) { *c = preset(claims.Mapping{Subject: "login"}, "") },
		"a preset and an e-mail claim":    func(c *Config) { *c = preset(claims.Mapping{Email: "blog"}, "") },
		"a preset at an address by http":  func(c *Config) { *c = preset(claims.Mapping{}, "http://git.example") },
		"a preset at an address too deep": func(c *Config) { *c = preset(claims.Mapping{}, "https://git.example/hub") },
	} {
		config := service(t, somebody)
		change(&config)
		if m, err := New(config); err == nil {
			t.Errorf("%s: accepted: %+v", name, m.config)
		} else if strings.Contains(err.Error(), "se:cret") {
			t.Errorf("%s: the secret is told: %v", name, err)
		}
	}
}

func preset(m claims.Mapping, base string) Config {
	return Config{ID: "hub", Preset: PresetGitHub, BaseURL: base, ClientID: clientID, ClientSecret: clientSecret, Claims: m}
}

func TestInsecureHTTP(t *testing.T) {
	config := preset(claims.Mapping{}, "http://git.example")
	config.InsecureHTTP = true
	if _, err := New(config); err != nil {
		t.Error(err)
	}
}

// TestAttackRedirectTheToken: a user-info endpoint that redirects elsewhere must not have the token
// sent there.
func TestAttackRedirectTheToken(t *testing.T) {
	stolen := false
	thief := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { stolen = true }))
	defer thief.Close()
	config := service(t, somebody)
	mux := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusFound))
	defer mux.Close()
	config.UserInfoEndpoint = mux.URL
	if _, err := redeem(t, config, url.Values{"code": {"good"}}); outcome(err) != "unavailable" || stolen {
		t.Errorf("%v, stolen: %t", err, stolen)
	}
}

func TestOtherWayToAuthenticate(t *testing.T) {
	config := service(t, somebody)
	config.ClientAuthentication = oauthclient.ClientSecretPost // which this service has not
	if _, err := redeem(t, config, url.Values{"code": {"good"}}); outcome(err) != "code" {
		t.Errorf("got %v", err)
	}
}
