package caddymodule

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-multi-session/gateway/internal/gate"
	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// tokenStub has the tokens of every session with a grant, as far as they are exposed. It counts how
// often it was asked.
type tokenStub struct {
	login.Tokens
	asked int
}

func (t *tokenStub) Exposed(*session.Session) login.Tokens {
	t.asked++
	return t.Tokens
}

func (*tokenStub) Current(_ context.Context, e session.Entry) (session.Entry, bool) { return e, true }

var granted = &session.Grant{Sealed: []byte("sealed")}

func TestTokenPlaceholders(t *testing.T) {
	both := login.Tokens{Access: "the-access-token", ID: "the-id-token"}
	for name, test := range map[string]struct {
		grant      *session.Grant
		tokens     gate.Tokens
		access, id string
	}{
		"both are exposed":           {granted, &tokenStub{Tokens: both}, "the-access-token", "the-id-token"},
		"the access token alone":     {granted, &tokenStub{Tokens: login.Tokens{Access: "the-access-token"}}, "the-access-token", ""},
		"the ID token alone":         {granted, &tokenStub{Tokens: login.Tokens{ID: "the-id-token"}}, "", "the-id-token"},
		"none is exposed":            {granted, &tokenStub{}, "", ""},
		"a session without tokens":   {nil, &tokenStub{Tokens: both}, "", ""},
		"a request for the portal":   {granted, nil, "", ""},
		"a gateway without a keeper": {nil, nil, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := prepared(make(http.Header))
			identity := &session.Identity{Account: session.Account{Method: "corp", Subject: "alice"}, UserName: "alice"}
			server{}.SetUser(r, session.Entry{Session: &session.Session{Grant: test.grant}, Identity: identity}, test.tokens)
			repl := r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)
			for placeholder, want := range map[string]string{"access_token": test.access, "id_token": test.id} {
				got, known := repl.GetString("http.auth.user." + placeholder)
				if got != want || known != (want != "") {
					t.Errorf("%s is %q, known %v; want %q", placeholder, got, known, want)
				}
			}
			if got, known := repl.GetString("http.auth.user.refresh_token"); known {
				t.Errorf("there is a refresh token: %q", got)
			}
		})
	}
}

// TestTokensReachTheUpstreamOnly has requests of an account with tokens, and of one without, at a site
// that passes the access token on.
func TestTokensReachTheUpstreamOnly(t *testing.T) {
	app, ctx := provisionedApp(t, aliceLogin)
	bearer := handlerFor(t, ctx, &Handler{Headers: []IdentityHeader{{Name: "Authorization", Value: "Bearer {http.auth.user.access_token}"}}})
	plain := handlerFor(t, ctx, &Handler{})
	g, err := app.running()
	if err != nil {
		t.Fatal(err)
	}
	keeper := &tokenStub{Tokens: login.Tokens{Access: "the-access-token"}}
	g.Gate.Tokens = keeper

	for name, test := range map[string]struct {
		handler *Handler
		path    string
		grant   *session.Grant
		want    string
		asked   int
	}{
		"a site that asks":                        {bearer, "/", granted, "Bearer the-access-token", 1},
		"a site that asks, of a password account": {bearer, "/", nil, "", 0},
		"a site that does not ask":                {plain, "/", granted, "", 0},
		"the portal of a site that asks":          {bearer, "/.auth/accounts", granted, "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			keeper.asked = 0
			header := make(http.Header)
			header.Set("Cookie", signedInWith(t, app, test.grant))
			header.Set("Authorization", "Bearer forged")
			r := httptest.NewRequest(http.MethodGet, "http://localhost"+test.path, http.NoBody)
			r.Header = header
			repl := caddy.NewReplacer()
			w := httptest.NewRecorder()
			r = caddyhttp.PrepareRequest(r, repl, w, nil)
			var got string
			reached := false
			err := test.handler.ServeHTTP(w, r, caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error {
				reached, got = true, r.Header.Get("Authorization")
				return nil
			}))
			if err != nil || reached != (test.path == "/") || got != test.want {
				t.Errorf("upstream reached %v with %q, %v; want %q", reached, got, err, test.want)
			}
			if keeper.asked != test.asked {
				t.Errorf("the tokens were looked up %d times, want %d", keeper.asked, test.asked)
			}
			if token, known := repl.GetString("http.auth.user.access_token"); !reached && known {
				t.Errorf("the portal's request has the token %q", token)
			}
		})
	}
}

// What the proxies in front say about a request, as they spell it.
func TestForwardedScheme(t *testing.T) {
	for name, test := range map[string]struct {
		trusted bool
		proto   []string
		want    string
	}{
		"nothing":                        {true, nil, "http"},
		"one value":                      {true, []string{"https"}, "https"},
		"upper case":                     {true, []string{"HTTPS"}, "https"},
		"a list":                         {true, []string{"https, https"}, "https"},
		"a list without spaces":          {true, []string{"https,https"}, "https"},
		"two fields":                     {true, []string{"https", "https"}, "https"},
		"the client's word before ours":  {true, []string{"https, http"}, "http"},
		"the client's field before ours": {true, []string{"https", "http"}, "http"},
		"the last hop over plain HTTP":   {true, []string{"http, https"}, "https"},
		"something else":                 {true, []string{"wss"}, "http"},
		"an empty end":                   {true, []string{"https,"}, "http"},
		"a client that nobody trusts":    {false, []string{"https"}, "http"},
	} {
		t.Run(name, func(t *testing.T) {
			r := prepared(http.Header{"X-Forwarded-Proto": test.proto, "X-Forwarded-Host": {"other.example, App.example.com:8443"}})
			r.Host = "inner:8080"
			caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, test.trusted)
			scheme, host := server{}.Site(r)
			if scheme != test.want {
				t.Errorf("the scheme is %s, want %s", scheme, test.want)
			}
			if want := map[bool]string{true: "app.example.com:8443", false: "inner:8080"}[test.trusted]; host != want {
				t.Errorf("the host is %s, want %s", host, want)
			}
		})
	}
}
