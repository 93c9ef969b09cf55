package integration

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// logout sends a logout token as a provider does, which is no browser.
func (r *reliant) logout(id, token string) reply {
	r.t.Helper()
	b := newBrowser(r.t, "http://"+r.address)
	request := b.request(http.MethodPost, "/.auth/oidc/"+id+"/backchannel-logout", strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return b.must(request)
}

// heard fails the test unless a logout token is accepted.
func (r *reliant) heard(answer reply) {
	r.t.Helper()
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Cache-Control") != "no-store" {
		r.t.Errorf("the logout token is answered %s %v: %s", answer.Status, answer.Header, answer.body)
	}
}

// jars are browsers that have accounts of one provider, and other ones.
type jars struct{ home, work, other *browser }

// newJars signs alice in on two browsers, and others beside her.
func newJars(r *reliant) jars {
	j := jars{r.browser(), r.browser(), r.browser()}
	j.home.signIn("alice")
	j.home.signInAt("idp", "bob")
	j.home.signInAt("idp", "alice")
	j.work.signInAt("idp", "alice")
	j.work.signIn("carol")
	j.other.signInAt("idp", "bob")
	return j
}

// TestBackChannelLogoutBySID ends one session of the provider and no other, in a jar that lives on.
func TestBackChannelLogoutBySID(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp", "user_name_prefix idp-") + passwords)
	j := newJars(r)
	sids := p.keep.sids("alice")
	if len(sids) != 2 {
		t.Fatalf("alice has the sessions %v", sids)
	}
	r.heard(r.logout("idp", p.logoutToken(object{"sid": sids[0]})))
	j.home.wants("alice", account("idp", "bob"))
	// She was the active one: nobody takes her place by itself.
	if answer := j.home.get("/"); answer.StatusCode != http.StatusUnauthorized {
		t.Errorf("her browser is answered %s", answer.Status)
	}
	if got := j.home.open("/x").Header.Get("Location"); got != "/.auth/accounts?return_to=%2Fx" {
		t.Errorf("her browser is sent to %q", got)
	}
	j.work.wants(account("idp", "alice"), "carol")
	j.other.wants(account("idp", "bob"))

	// With both given, the subject has to be the session's.
	r.heard(r.logout("idp", p.logoutToken(object{"sid": sids[1], "sub": subjectOf("bob")})))
	j.work.wants(account("idp", "alice"), "carol")
	r.heard(r.logout("idp", p.logoutToken(object{"sid": sids[1], "sub": subjectOf("alice")})))
	j.work.wants("carol")
	if got := j.work.user(); got != "carol" {
		t.Errorf("who was active and stays is now %q", got)
	}
	r.heard(r.logout("idp", p.logoutToken(object{"sid": "of nobody"})))
	j.other.wants(account("idp", "bob"))

	var ended []any
	for _, line := range r.audit("back-channel-logout") {
		if line["outcome"] != "success" {
			t.Errorf("audit line %v", line)
		}
		if line["account"] != nil {
			ended = append(ended, line["account"])
		}
	}
	if !slices.Equal(ended, []any{account("idp", "alice"), account("idp", "alice")}) {
		t.Errorf("the audit log says that %v were ended", ended)
	}
	noErrors(t, r.gateway)
}

// TestBackChannelLogoutBySub ends all sessions of one account, in every jar.
func TestBackChannelLogoutBySub(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp", "user_name_prefix idp-") + passwords)
	j := newJars(r)
	r.heard(r.logout("idp", p.logoutToken(object{"sub": subjectOf("alice")})))
	j.home.wants("alice", account("idp", "bob"))
	j.work.wants("carol")
	j.other.wants(account("idp", "bob"))
	// She can sign in again at once.
	j.work.signInAt("idp", "alice")
	j.work.wants("carol", account("idp", "alice"))
	noErrors(t, r.gateway)
}

// TestAttackBackChannelLogout: what is no logout token of the provider for this client ends nothing, and
// neither does one that was used before.
func TestAttackBackChannelLogout(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address, IDs: []string{"idp", "other"}})
	elsewhere := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp") + elsewhere.login("elsewhere"))
	b := r.browser()
	b.signInAt("idp", "alice")
	sid := p.keep.sids("alice")[0]
	key := p.keep.signer()
	with := func(name string, value any) string { return p.logoutToken(object{"sid": sid, name: value}) }
	typed := func(typ string) string {
		return key.sign(t, typ, object{"iss": p.issuer, "aud": clientID, "iat": time.Now().Unix(), "exp": time.Now().Add(time.Minute).Unix(), "jti": "typed", "sid": sid,
			"events": object{"http://schemas.openid.net/event/backchannel-logout": object{}}})
	}
	stranger := newSigner(t, jose.ES256)
	named := *stranger
	named.id = key.id
	ago, ahead := time.Now().Add(-time.Hour).Unix(), time.Now().Add(time.Hour).Unix()
	for name, c := range map[string]struct{ token, reason string }{
		"empty":                      {"", "no_logout_token"},
		"garbage":                    {"garbage", "malformed"},
		"three parts of garbage":     {"a.b.c", "malformed"},
		"a key of nobody":            {stranger.logoutToken(t, p.issuer, object{"sid": sid}), "kid"},
		"a key under another's name": {named.logoutToken(t, p.issuer, object{"sid": sid}), "signature"},
		"another issuer":             {with("iss", "https://other.example"), "iss"},
		"another provider's":         {elsewhere.logoutToken(object{"sid": sid}), "kid"},
		"another client":             {with("aud", "another"), "aud"},
		"no client":                  {with("aud", nil), "aud"},
		"no time":                    {with("iat", nil), "iat"},
		"long ago":                   {p.logoutToken(object{"sid": sid, "iat": ago, "exp": ago + 120}), "iat"},
		"to come":                    {with("iat", ahead), "iat"},
		"expired":                    {with("exp", ago), "exp"},
		"a nonce":                    {with("nonce", "n"), "nonce"},
		"no events":                  {with("events", nil), "events"},
		"another event":              {with("events", object{"http://example.com/event": object{}}), "events"},
		"an event that is a list":    {with("events", []string{"http://schemas.openid.net/event/backchannel-logout"}), "events"},
		"an event without a value":   {with("events", object{"http://schemas.openid.net/event/backchannel-logout": nil}), "events"},
		"no id":                      {with("jti", nil), "jti"},
		"neither sid nor sub":        {p.logoutToken(nil), "sub"},
		"typ of an ID token":         {typed("at+jwt"), "typ"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(r.audit("back-channel-logout"))
			answer := r.logout("idp", c.token)
			var told struct{ Error string }
			answer.json(t, &told)
			if answer.StatusCode != http.StatusBadRequest || told.Error != "invalid_request" {
				t.Errorf("%s: %s", answer.Status, answer.body)
			}
			b.wants(account("idp", "alice"))
			lines := r.audit("back-channel-logout")
			if len(lines) != before+1 || lines[before]["outcome"] != "failure" || lines[before]["reason"] != c.reason || lines[before]["method"] != "idp" {
				t.Errorf("audit lines %v, want the reason %s", lines[before:], c.reason)
			}
		})
	}

	t.Run("ID token", func(t *testing.T) {
		if answer := r.logout("idp", b.idTokenOf(p)); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", answer.Status, answer.body)
		}
		b.wants(account("idp", "alice"))
	})
	t.Run("wrong door", func(t *testing.T) {
		token := with("jti", "at another door")
		for path, status := range map[string]int{"/.auth/oidc/elsewhere/backchannel-logout": 400, "/.auth/oidc/nobody/backchannel-logout": 404} {
			request := b.request(http.MethodPost, path, strings.NewReader(url.Values{"logout_token": {token}}.Encode()))
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if answer := b.must(request); answer.StatusCode != status {
				t.Errorf("%s: %s", path, answer.Status)
			}
		}
		if answer := b.get("/.auth/oidc/idp/backchannel-logout?logout_token=" + token); answer.StatusCode != http.StatusMethodNotAllowed {
			t.Errorf("GET: %s", answer.Status)
		}
		b.wants(account("idp", "alice"))
	})
	t.Run("replay", func(t *testing.T) {
		token := p.logoutToken(object{"sub": subjectOf("alice")})
		b = r.browser() // which the provider begins another session with
		b.signInAt("idp", "alice")
		r.heard(r.logout("idp", token))
		b.wants()
		b = r.browser()
		b.signInAt("idp", "alice")
		b.wants(account("idp", "alice"))
		if answer := r.logout("idp", token); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("again: %s", answer.Status)
		}
		r.stop()
		r.start(r.config)
		if answer := r.logout("idp", token); answer.StatusCode != http.StatusBadRequest {
			t.Errorf("again after a restart: %s", answer.Status)
		}
		b.wants(account("idp", "alice"))
	})
}

// idTokenOf is an ID token of the provider for this client, about alice.
func (b *browser) idTokenOf(p *idp) string {
	b.t.Helper()
	now := time.Now()
	return p.keep.signer().sign(b.t, "JWT", object{"iss": p.issuer, "sub": subjectOf("alice"), "aud": clientID, "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "sid": p.keep.sids("alice")[0]})
}

// TestBackChannelLogoutWhileSigningIn: a session that the provider ends while it is being made is over.
func TestBackChannelLogoutWhileSigningIn(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	b := r.browser()
	back := b.back(b.depart("idp", nil), "alice")
	var once sync.Once
	p.override(exchanges, func(w http.ResponseWriter, request *http.Request) {
		once.Do(func() { r.heard(r.logout("idp", p.logoutToken(object{"sid": p.keep.sids("alice")[0]}))) })
		p.provider.ServeHTTP(w, request)
	})
	b.visit(back).isPage(t, http.StatusBadRequest)
	b.wants()
}

// TestBackChannelLogoutByCertified: the other provider tells of the end of its session itself, when its
// user signs out there and when somebody else signs in instead.
func TestBackChannelLogoutByCertified(t *testing.T) {
	r := newReliant(t)
	p := newCertified(t, certifiedOptions{Gateway: r.address})
	r.serve(p.login("certified", "user_name_prefix certified-") + passwords)
	b, other := r.browser(), r.browser()
	b.signIn("carol")
	b.signInAt("certified", "alice")
	other.signInAt("certified", "alice")

	// Signed out at the provider, without the gateway.
	page := b.visit(p.issuer + "/session/end")
	b.fill(page, url.Values{"logout": {"yes"}}, "").isPage(t, http.StatusOK, "Signed out")
	b.wants("carol")
	other.wants(account("certified", "alice"))

	// It has one account in a browser.
	b.signInAt("certified", "alice")
	b.signInAt("certified", "bob")
	b.wants("carol", account("certified", "bob"))
	other.wants(account("certified", "alice"))
	r.heard(r.logout("certified", p.logoutToken(t, object{"sub": subjectOf("alice")})))
	other.wants()
	b.wants("carol", account("certified", "bob"))
	if log := p.log.String(); strings.Contains(log, "error") {
		t.Errorf("the provider says\n%s", log)
	}
	noErrors(t, r.gateway)
}
