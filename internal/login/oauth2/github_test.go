package oauth2

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/claims"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// outcome is how an error is classified.
func outcome(err error) string {
	var rejected *login.RejectedError
	var denied *login.DeniedError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &rejected):
		return rejected.Reason
	case errors.As(err, &denied):
		return "denied: " + denied.Code
	case errors.Is(err, login.ErrNotAllowed):
		return "not allowed"
	case errors.Is(err, login.ErrRefused):
		return "refused"
	case errors.Is(err, login.ErrProviderUnavailable):
		return "unavailable"
	}
	return "unclassified"
}

func TestGitHubSignIn(t *testing.T) {
	h := newHub(t)
	m := h.method(nil)
	pending, answer := h.consent(m)
	granted, err := m.Redeem(t.Context(), pending, answer)
	if err != nil {
		t.Fatal(err)
	}
	id := granted.Identity
	want := &session.Identity{
		Account:       session.Account{Method: "hub", Subject: "583231"},
		Issuer:        h.server.URL,
		UserName:      "octocat",
		Name:          "The Octocat",
		Email:         "octocat@github.example",
		EmailVerified: true,
		Picture:       "https://avatars.example/u/583231?v=4",
		Groups:        []string{"github", "acme", "github/justice-league", "acme/ops"},
	}
	kept := id.Claims
	id.Claims = nil
	if !reflect.DeepEqual(id, want) {
		t.Errorf("got  %+v\nwant %+v", id, want)
	}
	if kept["company"] != "@github" || kept["plan"] != nil || kept["private_gists"] != nil {
		t.Errorf("claims: %v", kept)
	}
	if granted.Tokens != (login.Tokens{}) {
		t.Error("tokens are kept that nobody needs")
	}
	if now, ok := m.Current(id); !ok || now != id {
		t.Errorf("Current: %v, %t", now, ok)
	}
	if shared := h.method(func(c *Config) { c.SharedUserNames = true }); m.SharesUserNames() || !shared.SharesUserNames() {
		t.Error("user names are shared where they are not, or the other way round")
	}
	if m.ID() != "hub" || m.Label() != "GitHub" || !m.Available() || m.RedirectURI() != "" || m.Exposes() != (login.Exposed{}) {
		t.Errorf("%s, %s, %t, %s, %v", m.ID(), m.Label(), m.Available(), m.RedirectURI(), m.Exposes())
	}
}

func TestGitHubEmail(t *testing.T) {
	email := func(address string, primary, verified bool) map[string]any {
		return map[string]any{"email": address, "primary": primary, "verified": verified, "visibility": nil}
	}
	for name, tc := range map[string]struct {
		profile  any
		emails   []map[string]any
		broken   http.HandlerFunc
		want     string
		verified bool
	}{
		"primary and verified":         {nil, []map[string]any{email("a@x.example", false, true), email("b@x.example", true, true)}, nil, "b@x.example", true},
		"another one in the profile":   {"p@x.example", []map[string]any{email("b@x.example", true, true)}, nil, "b@x.example", true},
		"unverified":                   {nil, []map[string]any{email("a@x.example", true, false)}, nil, "a@x.example", false},
		"unverified, another verified": {nil, []map[string]any{email("a@x.example", true, false), email("b@x.example", false, true)}, nil, "a@x.example", false},
		"none is primary":              {nil, []map[string]any{email("b@x.example", false, true)}, nil, "b@x.example", false},
		"none at all":                  {nil, nil, nil, "", false},
		"profile only":                 {"p@x.example", nil, nil, "p@x.example", false},
		"scope not given":              {"p@x.example", nil, status(404, nil), "p@x.example", false},
		"permission not given":         {nil, nil, status(403, nil), "", false},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.user["email"], h.user["email_verified"] = tc.profile, true // whatever somebody's profile says
			h.emails = tc.emails
			h.breaks("/api/v3/user/emails", tc.broken)
			m := h.method(nil)
			pending, answer := h.consent(m)
			granted, err := m.Redeem(t.Context(), pending, answer)
			if err != nil {
				t.Fatal(err)
			}
			if id := granted.Identity; id.Email != tc.want || id.EmailVerified != tc.verified {
				t.Errorf("got %q, verified: %t, want %q, %t", id.Email, id.EmailVerified, tc.want, tc.verified)
			}
		})
	}
}

func TestGitHubGroups(t *testing.T) {
	t.Run("of many pages", func(t *testing.T) {
		h := newHub(t)
		h.orgs, h.teams = nil, nil
		for i := range 250 {
			h.orgs = append(h.orgs, fmt.Sprint("org", i))
		}
		m := h.method(nil)
		pending, answer := h.consent(m)
		granted, err := m.Redeem(t.Context(), pending, answer)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(granted.Identity.Groups, h.orgs) {
			t.Errorf("%d groups, want %d", len(granted.Identity.Groups), len(h.orgs))
		}
	})
	t.Run("of endless pages", func(t *testing.T) {
		h := newHub(t)
		asked := 0
		h.breaks("/api/v3/user/orgs", func(w http.ResponseWriter, _ *http.Request) {
			asked++
			w.Header().Set("Link", `<https://api.example/user/orgs?page=2>; rel="next"`)
			answer(w, []any{map[string]any{"login": "acme"}})
		})
		m := h.method(nil)
		pending, back := h.consent(m)
		granted, err := m.Redeem(t.Context(), pending, back)
		if err != nil || asked != githubMaxPages {
			t.Errorf("%v, after %d pages", err, asked)
		}
		if err == nil && !slices.Equal(granted.Identity.Groups, []string{"acme", "github/justice-league", "acme/ops"}) {
			t.Errorf("groups: %q", granted.Identity.Groups)
		}
	})
	t.Run("names that read as a team's", func(t *testing.T) {
		h := newHub(t)
		h.orgs, h.teams = []string{"acme/ops", "", "evil,admin"}, [][2]string{{"evil", "acme/ops"}, {"acme/ops", "x"}, {"", "ops"}, {"acme", ""}}
		m := h.method(nil)
		pending, answer := h.consent(m)
		granted, err := m.Redeem(t.Context(), pending, answer)
		if err != nil {
			t.Fatal(err)
		}
		if len(granted.Identity.Groups) > 0 {
			t.Errorf("groups: %q", granted.Identity.Groups)
		}
	})
	for name, handler := range map[string]http.HandlerFunc{"403": status(403, nil), "404": status(404, nil)} {
		t.Run("scope not given, "+name, func(t *testing.T) {
			h := newHub(t)
			h.breaks("/api/v3/user/orgs", handler)
			h.breaks("/api/v3/user/teams", handler)
			m := h.method(nil)
			pending, answer := h.consent(m)
			granted, err := m.Redeem(t.Context(), pending, answer)
			if err != nil || len(granted.Identity.Groups) > 0 {
				t.Errorf("%+v, %v", granted, err)
			}
		})
	}
}

// TestGitHubBroken is what comes of each part of the API that fails, at a sign-in and at a renewal.
func TestGitHubBroken(t *testing.T) {
	limited := map[string]string{"X-RateLimit-Remaining": "0"}
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(text)) }
	}
	for name, tc := range map[string]struct {
		path    string
		handler http.HandlerFunc
		redeem  string
		renew   string
	}{
		"token endpoint down":          {"/login/oauth/access_token", status(502, nil), "unavailable", "unavailable"},
		"nothing":                      {"/login/oauth/access_token", nil, "ok", "ok"},
		"token that is no good":        {"/api/v3/user", status(401, nil), "userinfo", "userinfo"},
		"suspended":                    {"/api/v3/user", status(403, nil), "userinfo", "userinfo"},
		"no requests left":             {"/api/v3/user", status(403, limited), "unavailable", "ok"},
		"too many requests":            {"/api/v3/user", status(429, nil), "unavailable", "ok"},
		"down":                         {"/api/v3/user", status(500, nil), "unavailable", "ok"},
		"gone":                         {"/api/v3/user", status(404, nil), "userinfo", "ok"},
		"no JSON":                      {"/api/v3/user", raw("<html>"), "userinfo", "ok"},
		"no object":                    {"/api/v3/user", raw("[]"), "userinfo", "ok"},
		"null":                         {"/api/v3/user", raw("null"), "userinfo", "ok"},
		"two values":                   {"/api/v3/user", raw(`{"id": 583231, "login": "octocat"}{"id": 1}`), "userinfo", "ok"},
		"no id":                        {"/api/v3/user", raw(`{"login": "octocat"}`), "userinfo", "ok"},
		"no login":                     {"/api/v3/user", raw(`{"id": 583231}`), "userinfo", "ok"},
		"a login with a newline":       {"/api/v3/user", raw(`{"id": 583231, "login": "a\r\nRemote-User: admin"}`), "userinfo", "ok"},
		"somebody else":                {"/api/v3/user", raw(`{"id": 1, "login": "octocat"}`), "ok", "sub"},
		"e-mail addresses limited":     {"/api/v3/user/emails", status(403, limited), "unavailable", "ok"},
		"organisations down":           {"/api/v3/user/orgs", status(503, nil), "unavailable", "ok"},
		"teams limited for the moment": {"/api/v3/user/teams", status(403, map[string]string{"Retry-After": "60"}), "unavailable", "ok"},
		"organisations no list":        {"/api/v3/user/orgs", raw(`{"login": "admin"}`), "userinfo", "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			h.expires = true
			m := h.method(func(c *Config) { c.Refresh = true })
			pending, answer := h.consent(m)
			before, err := m.Redeem(t.Context(), pending, answer)
			if err != nil {
				t.Fatal(err)
			}
			h.breaks(tc.path, tc.handler)

			pending, answer = h.consent(m)
			if _, err := m.Redeem(t.Context(), pending, answer); outcome(err) != tc.redeem {
				t.Errorf("Redeem: %s (%v), want %s", outcome(err), err, tc.redeem)
			}
			after, err := m.Renew(t.Context(), before.Identity, before.Tokens)
			if outcome(err) != tc.renew {
				t.Fatalf("Renew: %s (%v), want %s", outcome(err), err, tc.renew)
			}
			if err == nil {
				if after.Identity != before.Identity {
					t.Errorf("Renew: somebody else: %+v", after.Identity)
				}
				if next := after.Tokens.Refresh; next == "" || next == before.Tokens.Refresh {
					t.Errorf("Renew: the new refresh token is lost, for %q", next)
				}
			}
		})
	}
}

func TestGitHubRenewal(t *testing.T) {
	h := newHub(t)
	h.expires = true
	m := h.method(func(c *Config) {
		c.Refresh, c.Expose.Access = true, true
		c.Allow = claims.Rules{{Kind: claims.RuleGroup, Values: []string{"acme"}}}
		c.Now = func() time.Time { return now }
	})
	pending, answer := h.consent(m)
	granted, err := m.Redeem(t.Context(), pending, answer)
	if err != nil {
		t.Fatal(err)
	}
	if tokens := granted.Tokens; tokens.Access != "gho_1" || tokens.Refresh != "ghr_1" || time.Until(tokens.Expiry).Round(time.Hour) != 8*time.Hour {
		t.Errorf("tokens: %+v", tokens)
	}
	recorded := granted.Identity
	recorded.CreatedAt, recorded.UpdatedAt = now.Add(-time.Hour), now.Add(-time.Hour)

	granted, err = m.Renew(t.Context(), recorded, granted.Tokens)
	if err != nil {
		t.Fatal(err)
	}
	if granted.Identity != recorded || granted.Tokens.Access != "gho_2" || granted.Tokens.Refresh != "ghr_2" {
		t.Errorf("nothing has changed, and yet: %+v", granted)
	}

	h.orgs, h.user["login"] = []string{"acme", "new"}, "hubot"
	granted, err = m.Renew(t.Context(), recorded, granted.Tokens)
	if err != nil {
		t.Fatal(err)
	}
	if id := granted.Identity; id.UserName != "hubot" || !slices.Contains(id.Groups, "new") || !id.CreatedAt.Equal(recorded.CreatedAt) || !id.UpdatedAt.Equal(now) {
		t.Errorf("got %+v", id)
	}
	if slices.Contains(recorded.Groups, "new") {
		t.Error("the recorded identity, which is shared, was changed")
	}

	h.orgs = []string{"elsewhere"}
	if _, err := m.Renew(t.Context(), recorded, granted.Tokens); outcome(err) != "not allowed" {
		t.Errorf("out of the organisation: %v", err)
	}
	if _, err := m.Renew(t.Context(), recorded, granted.Tokens); outcome(err) != "refused" {
		t.Errorf("a refresh token used twice: %v", err)
	}
	if _, err := m.Renew(t.Context(), recorded, login.Tokens{Access: "gho_1"}); outcome(err) != "refused" {
		t.Errorf("no refresh token: %v", err)
	}
}

// TestAttackRenewAtAnotherService: a method that was pointed elsewhere must not send there what the
// old service gave.
func TestAttackRenewAtAnotherService(t *testing.T) {
	old, other := newHub(t), newHub(t)
	m := other.method(func(c *Config) { c.Refresh = true })
	recorded := &session.Identity{Account: session.Account{Method: "hub", Subject: "583231"}, Issuer: old.server.URL, UserName: "octocat"}
	if _, err := m.Renew(t.Context(), recorded, login.Tokens{Refresh: "ghr_1"}); outcome(err) != "refused" {
		t.Errorf("got %v", err)
	}
	if len(other.requested) > 0 {
		t.Errorf("asked: %q", other.requested)
	}
	if _, ok := m.Current(recorded); ok {
		t.Error("its sessions live on")
	}
}

func TestAttackCodes(t *testing.T) {
	h := newHub(t)
	m := h.method(nil)
	t.Run("made up", func(t *testing.T) {
		pending, _ := h.consent(m)
		if _, err := m.Redeem(t.Context(), pending, url.Values{"code": {"made-up"}}); outcome(err) != "code" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("of another browser", func(t *testing.T) {
		_, stolen := h.consent(m)
		pending, _ := h.consent(m)
		if _, err := m.Redeem(t.Context(), pending, stolen); outcome(err) != "code" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("twenty times at once", func(t *testing.T) {
		pending, answer := h.consent(m)
		outcomes := make(chan string, 20)
		var browsers sync.WaitGroup
		for range 20 {
			browsers.Go(func() {
				_, err := m.Redeem(t.Context(), pending, answer)
				outcomes <- outcome(err)
			})
		}
		browsers.Wait()
		close(outcomes)
		counts := make(map[string]int)
		for o := range outcomes {
			counts[o]++
		}
		if counts["ok"] != 1 || counts["code"] != 19 {
			t.Errorf("got %v", counts)
		}
	})
}

func TestWrongSecretIsLogged(t *testing.T) {
	h := newHub(t)
	core, logs := observer.New(zap.DebugLevel)
	m := h.method(func(c *Config) { c.ClientSecret, c.Log = "another", zap.New(core) })
	pending, answer := h.consent(m)
	_, err := m.Redeem(t.Context(), pending, answer)
	if outcome(err) != "unavailable" {
		t.Errorf("got %v", err)
	}
	entries := logs.FilterLevelExact(zap.ErrorLevel).All()
	if len(entries) != 1 || !strings.Contains(fmt.Sprint(entries[0].ContextMap()), "client_secret") {
		t.Errorf("logged: %v", entries)
	}
	for _, entry := range logs.All() {
		if text := fmt.Sprint(entry.Message, entry.ContextMap()); strings.Contains(text, answer.Get("code")) || strings.Contains(text, "another") {
			t.Errorf("a secret is logged: %s", text)
		}
	}
}

func TestGitHubAddresses(t *testing.T) {
	for base, want := range map[string][2]string{
		"":                          {"https://github.com", "https://api.github.com"},
		"https://GitHub.com/":       {"https://github.com", "https://api.github.com"},
		"https://octo.ghe.com":      {"https://octo.ghe.com", "https://api.octo.ghe.com"},
		"https://git.corp.example/": {"https://git.corp.example", "https://git.corp.example/api/v3"},
	} {
		m, err := New(Config{ID: "hub", Preset: PresetGitHub, BaseURL: base, ClientID: clientID, ClientSecret: clientSecret})
		if err != nil {
			t.Errorf("%q: %v", base, err)
			continue
		}
		if got := [2]string{m.issuer, m.config.api()}; got != want || m.oauth.Endpoint.AuthURL != want[0]+"/login/oauth/authorize" {
			t.Errorf("%q: %v, %s", base, got, m.oauth.Endpoint.AuthURL)
		}
	}
}
