package oidc

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// TestLogoutToken is what a logout token may and must say (OpenID Connect Back-Channel Logout 1.0,
// sections 2.4 and 2.6).
func TestLogoutToken(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	now := w.clock().Unix()
	event := object{logoutEvent: object{}}
	for name, tc := range map[string]struct {
		change object
		want   string
	}{
		"all in order": {nil, "accepted"},

		"iss of another": {object{"iss": "https://evil.example.com"}, "iss"},
		"iss missing":    {object{"iss": nil}, "iss"},
		"aud of another": {object{"aud": "other"}, "aud"},
		"aud missing":    {object{"aud": nil}, "aud"},
		"several aud":    {object{"aud": []string{"other", clientID}}, "accepted"},

		"iat long ago":      {object{"iat": now - 300}, "iat"},
		"iat a while ago":   {object{"iat": now - 299}, "accepted"},
		"iat far ahead":     {object{"iat": now + 301}, "iat"},
		"iat a bit ahead":   {object{"iat": now + 300, "exp": now + 600}, "accepted"},
		"iat missing":       {object{"iat": nil}, "iat"},
		"iat text":          {object{"iat": "now"}, "iat"},
		"exp missing":       {object{"exp": nil}, "accepted"},
		"exp null":          {object{"exp": null}, "exp"},
		"exp passed":        {object{"iat": now - 200, "exp": now - 60}, "exp"},
		"exp within leeway": {object{"iat": now - 200, "exp": now - 59}, "accepted"},

		"events missing":        {object{"events": nil}, "events"},
		"events null":           {object{"events": null}, "events"},
		"events empty":          {object{"events": object{}}, "events"},
		"events text":           {object{"events": logoutEvent}, "events"},
		"events a list":         {object{"events": []string{logoutEvent}}, "events"},
		"event of another kind": {object{"events": object{"http://schemas.openid.net/event/other": object{}}}, "events"},
		"event and another":     {object{"events": object{logoutEvent: object{}, "x": object{}}}, "accepted"},
		"event and no object":   {object{"events": object{logoutEvent: object{}, "x": true}}, "accepted"},
		"two other events":      {object{"events": object{"x": object{}, "y": object{}}}, "events"},
		"event null":            {object{"events": object{logoutEvent: nil}}, "events"},
		"event true":            {object{"events": object{logoutEvent: true}}, "events"},
		"event a list":          {object{"events": object{logoutEvent: []any{}}}, "events"},
		"event with members":    {object{"events": object{logoutEvent: object{"x": 1}}}, "accepted"},
		"events in capitals":    {object{"events": nil, "Events": event}, "events"},

		"nonce":           {object{"nonce": "n"}, "nonce"},
		"nonce null":      {object{"nonce": null}, "nonce"},
		"nonce empty":     {object{"nonce": ""}, "nonce"},
		"jti missing":     {object{"jti": nil}, "jti"},
		"jti empty":       {object{"jti": ""}, "jti"},
		"jti a number":    {object{"jti": 1}, "jti"},
		"jti endless":     {object{"jti": strings.Repeat("x", maxNameBytes+1)}, "jti"},
		"sub alone":       {object{"sid": nil}, "accepted"},
		"sid alone":       {object{"sub": nil}, "accepted"},
		"neither":         {object{"sub": nil, "sid": nil}, "sub"},
		"sub a number":    {object{"sub": 1}, "sub"},
		"sub a list":      {object{"sub": []string{alice}}, "sub"},
		"sub null":        {object{"sub": null}, "sub"},
		"sub empty":       {object{"sub": ""}, "sub"},
		"sid a number":    {object{"sid": 1}, "sid"},
		"sid null":        {object{"sid": null}, "sid"},
		"sid empty":       {object{"sid": ""}, "sid"},
		"sid in capitals": {object{"sub": nil, "sid": nil, "SID": "session-1"}, "sub"},
	} {
		t.Run(name, func(t *testing.T) {
			logout, err := m.VerifyLogout(t.Context(), w.signAs(object{"typ": "logout+jwt"}, with(w.logoutClaims(), tc.change)))
			wantReason(t, err, tc.want)
			if err == nil && logout.Subject == "" && logout.SID == "" {
				t.Error("says of nobody that a session is over")
			}
		})
	}
}

func TestLogoutSaysWhoseSessionIsOver(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	now := w.clock().Truncate(time.Second)
	for name, tc := range map[string]struct {
		change object
		want   login.Logout
	}{
		"both":         {nil, login.Logout{Subject: alice, SID: "session-1", JTI: "logout-1", Expiry: now.Add(3 * time.Minute)}},
		"subject":      {object{"sid": nil}, login.Logout{Subject: alice, JTI: "logout-1", Expiry: now.Add(3 * time.Minute)}},
		"session":      {object{"sub": nil}, login.Logout{SID: "session-1", JTI: "logout-1", Expiry: now.Add(3 * time.Minute)}},
		"without exp":  {object{"exp": nil}, login.Logout{Subject: alice, SID: "session-1", JTI: "logout-1", Expiry: now.Add(5 * time.Minute)}},
		"with far exp": {object{"exp": now.Unix() + 9000}, login.Logout{Subject: alice, SID: "session-1", JTI: "logout-1", Expiry: now.Add(5 * time.Minute)}},
	} {
		logout, err := m.VerifyLogout(t.Context(), w.sign(with(w.logoutClaims(), tc.change)))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if !logout.Expiry.Equal(tc.want.Expiry) {
			t.Errorf("%s: is accepted until %s, want %s", name, logout.Expiry, tc.want.Expiry)
		}
		if logout.Expiry = tc.want.Expiry; *logout != tc.want {
			t.Errorf("%s: %+v, want %+v", name, *logout, tc.want)
		}
	}
}

// TestAttackReplayAfterItIsForgotten replays a logout token when its caller has forgotten it.
func TestAttackReplayAfterItIsForgotten(t *testing.T) {
	for _, exp := range []any{nil, 120, 9000} {
		w := newWorld(t)
		m := w.method()
		change := object{"exp": nil}
		if seconds, ok := exp.(int); ok {
			change["exp"] = w.clock().Unix() + int64(seconds)
		}
		raw := w.sign(with(w.logoutClaims(), change))
		logout, err := m.VerifyLogout(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		w.pass(logout.Expiry.Sub(w.clock()) - time.Nanosecond)
		if _, err := m.VerifyLogout(t.Context(), raw); err != nil {
			t.Errorf("exp %v: refused while it is remembered: %v", exp, err)
		}
		w.pass(time.Nanosecond)
		if _, err := m.VerifyLogout(t.Context(), raw); err == nil {
			t.Errorf("exp %v: accepted again", exp)
		}
	}
}

func TestAttackOtherTokensAsLogoutTokens(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	granted := w.mustSignIn(m, nil)
	for name, tc := range map[string]struct {
		raw, want string
	}{
		"ID token":                      {granted.Tokens.ID, "events"},
		"ID token of a refresh":         {w.sign(w.claims()), "events"},
		"access token":                  {w.signAs(object{"typ": "at+jwt"}, with(w.logoutClaims(), nil)), "typ"},
		"access token with the type":    {w.signAs(object{"typ": "application/at+jwt"}, w.logoutClaims()), "typ"},
		"access token without a type":   {w.signAs(object{"typ": nil}, object{"iss": w.issuer(), "aud": clientID, "sub": alice, "iat": w.clock().Unix(), "jti": "1"}), "events"},
		"security event":                {w.signAs(object{"typ": "secevent+jwt"}, w.logoutClaims()), "typ"},
		"type a list":                   {w.signAs(object{"typ": []string{"logout+jwt"}}, w.logoutClaims()), "typ"},
		"type null":                     {w.signAs(object{"typ": null}, w.logoutClaims()), "accepted"},
		"type empty":                    {w.signAs(object{"typ": ""}, w.logoutClaims()), "typ"},
		"logout token":                  {w.signAs(object{"typ": "logout+jwt"}, w.logoutClaims()), "accepted"},
		"logout token, whole type":      {w.signAs(object{"typ": "application/logout+jwt"}, w.logoutClaims()), "accepted"},
		"logout token, capitals":        {w.signAs(object{"typ": "Logout+JWT"}, w.logoutClaims()), "accepted"},
		"logout token without a type":   {w.signAs(object{"typ": nil}, w.logoutClaims()), "accepted"},
		"logout token that nobody made": {signWith(t, nil, object{"alg": "none"}, w.logoutClaims()), "alg"},
		"logout token by the secret":    {signWith(t, []byte(clientSecret), object{"alg": "HS256"}, w.logoutClaims()), "alg"},
		"logout token of another":       {signWith(t, ecKey(t), object{"alg": "ES256", "kid": w.kid}, w.logoutClaims()), "signature"},
		"nothing":                       {"", "malformed"},
		"no token":                      {"logout", "malformed"},
	} {
		_, err := m.VerifyLogout(t.Context(), tc.raw)
		if got := reason(err); got != tc.want {
			t.Errorf("%s: %s (%v), want %s", name, got, err, tc.want)
		}
	}
}

// TestAttackFloodOfLogoutTokens sends logout tokens to a gateway that has not reached its provider
// yet, and then with a new name each.
func TestAttackFloodOfLogoutTokens(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	forger := ecKey(t)
	forge := func(i int) string {
		return signWith(t, forger, object{"alg": "ES256", "kid": fmt.Sprint("forged-", i)}, w.logoutClaims())
	}
	w.respond(pathDiscovery, unwell)
	for i := range 100 {
		_, err := m.VerifyLogout(t.Context(), forge(i))
		wantReason(t, err, "unavailable")
	}
	wantAsked(t, w, pathDiscovery, 1)
	w.respond(pathDiscovery, nil)
	w.pass(retryAfter)
	for i := range 100 {
		if _, err := m.VerifyLogout(t.Context(), forge(i)); err == nil {
			t.Fatal("accepted")
		}
	}
	wantAsked(t, w, pathDiscovery, 2)
	wantAsked(t, w, pathKeys, 1+budgets[forLogout])
	w.mustSignIn(m, nil)
}

func TestEndSession(t *testing.T) {
	const back = "https://app.example.com/.auth/signed-out"
	tokens := login.Tokens{ID: "header.payload.signature"}
	for name, tc := range map[string]struct {
		endpoint string
		off      bool
		tokens   login.Tokens
		back     string
		want     string // after the issuer; empty: not possible
	}{
		"whole": {"/logout", false, tokens, back,
			"/logout?client_id=gateway&id_token_hint=header.payload.signature&post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2F.auth%2Fsigned-out&state=s+1"},
		"endpoint with a query": {"/logout?tenant=1&client_id=x", false, tokens, back,
			"/logout?client_id=gateway&id_token_hint=header.payload.signature&post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2F.auth%2Fsigned-out&state=s+1&tenant=1"},
		"no ID token": {"/logout", false, login.Tokens{}, back,
			"/logout?client_id=gateway&post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2F.auth%2Fsigned-out&state=s+1"},
		"ID token that is too long": {"/logout", false, login.Tokens{ID: strings.Repeat("x", maxHintBytes+1)}, back,
			"/logout?client_id=gateway&post_logout_redirect_uri=https%3A%2F%2Fapp.example.com%2F.auth%2Fsigned-out&state=s+1"},
		"no way back":    {"/logout", false, tokens, "", "/logout?client_id=gateway&id_token_hint=header.payload.signature"},
		"no endpoint":    {"", false, tokens, back, ""},
		"not wanted":     {"/logout", true, tokens, back, ""},
		"not discovered": {"unknown", false, tokens, back, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			m := w.method(func(c *Config) { c.Logout = !tc.off })
			if tc.endpoint != "" {
				w.say("end_session_endpoint", w.issuer()+tc.endpoint)
			}
			if tc.endpoint != "unknown" {
				w.authorize(m, login.AuthorizationRequest{})
			}
			location, ok := m.EndSession(tc.tokens, tc.back, "s 1")
			if ok != (tc.want != "") {
				t.Fatalf("%q, %t", location, ok)
			}
			if ok && location != w.issuer()+tc.want {
				t.Errorf("%s, want %s", location, w.issuer()+tc.want)
			}
			if _, err := url.Parse(location); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestFrontChannelLogout(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	for name, tc := range map[string]struct {
		query url.Values
		want  string // the sid, or the reason of the refusal
	}{
		"both":               {url.Values{"iss": {w.issuer()}, "sid": {"s-1"}}, "s-1"},
		"and more":           {url.Values{"iss": {w.issuer()}, "sid": {"s-1"}, "x": {"y"}}, "s-1"},
		"no issuer":          {url.Values{"sid": {"s-1"}}, "iss"},
		"another issuer":     {url.Values{"iss": {w.issuer() + "/"}, "sid": {"s-1"}}, "iss"},
		"two issuers":        {url.Values{"iss": {w.issuer(), w.issuer()}, "sid": {"s-1"}}, "iss"},
		"no sid":             {url.Values{"iss": {w.issuer()}}, "sid"},
		"an empty sid":       {url.Values{"iss": {w.issuer()}, "sid": {""}}, "sid"},
		"two sids":           {url.Values{"iss": {w.issuer()}, "sid": {"s-1", "s-2"}}, "sid"},
		"a sid of any bytes": {url.Values{"iss": {w.issuer()}, "sid": {strings.Repeat("x", maxNameBytes+1)}}, "sid"},
	} {
		logout, err := m.FrontChannelLogout(tc.query)
		var rejection *login.RejectedError
		switch {
		case err == nil && (logout.SID != tc.want || logout.Subject != ""):
			t.Errorf("%s: %+v", name, logout)
		case err != nil && (!errors.As(err, &rejection) || rejection.Reason != tc.want):
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
}

func TestPageOrigins(t *testing.T) {
	for name, tc := range map[string]struct {
		endSession string
		want       []string // beside the issuer's
	}{
		"no logout page": {"", nil},
		"same origin":    {"/logout", nil},
		"another origin": {"http://127.0.0.1:1/logout", []string{"http://127.0.0.1:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			m := w.method()
			if got := m.PageOrigins(); !slices.Equal(got, []string{w.issuer()}) {
				t.Errorf("before discovery: %q", got)
			}
			if tc.endSession != "" {
				there := tc.endSession
				if there[0] == '/' {
					there = w.issuer() + there
				}
				w.say("end_session_endpoint", there)
			}
			w.authorize(m, login.AuthorizationRequest{})
			if got := m.PageOrigins(); !slices.Equal(got, append([]string{w.issuer()}, tc.want...)) {
				t.Errorf("%q", got)
			}
		})
	}
}

func TestSendsBack(t *testing.T) {
	w := newWorld(t)
	if !w.method().SendsBack() || w.method(func(c *Config) { c.LogoutEndsThere = true }).SendsBack() {
		t.Error("the option does not decide it")
	}
}
