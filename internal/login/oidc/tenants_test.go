package oidc

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-multi-session/gateway/internal/login"
)

const (
	tenantA   = "5f3c0f4e-17b3-4c0a-9b11-1a2b3c4d5e6f"
	tenantB   = "72f988bf-86f1-41af-91ab-2d7cd011db47"
	strangers = "11111111-2222-3333-4444-555555555555"
)

// tenanted is a world whose provider has many tenants, as Microsoft Entra ID has them.
func tenanted(t *testing.T) *world {
	w := newWorld(t)
	w.say("issuer", w.issuer()+"/{tenantid}/v2.0")
	w.respond("/organizations/v2.0"+pathDiscovery, func(out http.ResponseWriter, _ *http.Request) { w.serve(out, w.metadata()) })
	return w
}

// of changes claims to those of a tenant.
func (w *world) of(tenant string) object {
	return object{"iss": w.issuer() + "/" + tenant + "/v2.0", "tid": tenant}
}

func (w *world) tenantMethod(change ...func(*Config)) *Method {
	w.t.Helper()
	return w.method(append([]func(*Config){func(c *Config) {
		c.Issuer, c.Tenants = w.issuer()+"/organizations/v2.0", []string{tenantA, tenantB}
	}}, change...)...)
}

func TestTenants(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(w *world) object
		want   string
	}{
		"one that is listed":     {func(w *world) object { return w.of(tenantA) }, "accepted"},
		"another that is listed": {func(w *world) object { return w.of(tenantB) }, "accepted"},

		"attack: one that is not listed": {func(w *world) object { return w.of(strangers) }, "not allowed"},
		"attack: tid of a listed one":    {func(w *world) object { return with(w.of(strangers), object{"tid": tenantA}) }, "iss"},
		"attack: issuer of a listed one": {func(w *world) object {
			return with(w.of(strangers), object{"iss": w.issuer() + "/" + tenantA + "/v2.0"})
		}, "iss"},
		"attack: tid missing":              {func(w *world) object { return with(w.of(tenantA), object{"tid": nil}) }, "tid"},
		"attack: tid a number":             {func(w *world) object { return with(w.of(tenantA), object{"tid": 1}) }, "tid"},
		"attack: tid a list":               {func(w *world) object { return with(w.of(tenantA), object{"tid": []string{tenantA}}) }, "tid"},
		"attack: tid is the placeholder":   {func(w *world) object { return w.of("{tenantid}") }, "tid"},
		"attack: tid in capitals":          {func(w *world) object { return w.of(strings.ToUpper(tenantA)) }, "not allowed"},
		"attack: tid goes up":              {func(w *world) object { return w.of("../" + tenantA) }, "tid"},
		"attack: issuer is the template":   {func(w *world) object { return with(w.of(tenantA), object{"iss": w.issuer() + "/{tenantid}/v2.0"}) }, "iss"},
		"attack: issuer is the configured": {func(w *world) object { return with(w.of(tenantA), object{"iss": w.issuer() + "/organizations/v2.0"}) }, "iss"},
		"attack: issuer of another site": {func(w *world) object {
			return with(w.of(tenantA), object{"iss": "https://evil.example.com/" + tenantA + "/v2.0"})
		}, "iss"},
		"attack: issuer missing":              {func(w *world) object { return with(w.of(tenantA), object{"iss": nil}) }, "iss"},
		"attack: tenant of the configuration": {func(w *world) object { return w.of("organizations") }, "not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := tenanted(t)
			m := w.tenantMethod()
			granted, err := w.signIn(m, tc.change(w))
			wantReason(t, err, tc.want)
			if err != nil {
				return
			}
			tenant, _ := tc.change(w)["tid"].(string)
			id := granted.Identity
			if id.Account.Subject != tenant+"/"+alice || id.Issuer != w.issuer()+"/organizations/v2.0" {
				t.Errorf("signed in as %+v of %s", id.Account, id.Issuer)
			}
			if _, ok := m.Current(id); !ok {
				t.Error("does not count as signed in")
			}
		})
	}
}

// A tenant that is taken off the list has no sessions any more, and its tokens are not renewed.
func TestTenantIsTakenOffTheList(t *testing.T) {
	w := tenanted(t)
	granted, err := w.signIn(w.tenantMethod(), w.of(tenantA))
	if err != nil {
		t.Fatal(err)
	}
	m := w.tenantMethod(func(c *Config) { c.Tenants = []string{tenantB} })
	if _, ok := m.Current(granted.Identity); ok {
		t.Error("counts as signed in")
	}
	before := w.asked(pathToken)
	_, err = m.Renew(t.Context(), granted.Identity, granted.Tokens)
	wantReason(t, err, "not allowed")
	wantAsked(t, w, pathToken, before)
}

func TestTenantAtARenewal(t *testing.T) {
	for name, tc := range map[string]struct {
		tenant string // of the renewed ID token; empty: none comes
		want   string
	}{
		"the same":           {tenantA, "accepted"},
		"no ID token":        {"", "accepted"},
		"another, listed":    {tenantB, "tid"},
		"another, no member": {strangers, "not allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := tenanted(t)
			m := w.tenantMethod()
			granted, err := w.signIn(m, w.of(tenantA))
			if err != nil {
				t.Fatal(err)
			}
			w.pass(time.Hour)
			w.idToken = nil
			if tc.tenant != "" {
				w.idToken = func() string { return w.sign(with(w.claims(), w.of(tc.tenant))) }
			}
			renewed, err := m.Renew(t.Context(), granted.Identity, granted.Tokens)
			wantReason(t, err, tc.want)
			if err == nil && renewed.Identity.Account != granted.Identity.Account {
				t.Errorf("renewed to %+v", renewed.Identity.Account)
			}
		})
	}
}

func TestTenantOfALogout(t *testing.T) {
	w := tenanted(t)
	m := w.tenantMethod()
	logout, err := m.VerifyLogout(t.Context(), w.sign(with(w.logoutClaims(), w.of(tenantA))))
	if err != nil || logout.Subject != tenantA+"/"+alice {
		t.Errorf("%+v, %v", logout, err)
	}
	_, err = m.VerifyLogout(t.Context(), w.sign(with(w.logoutClaims(), w.of(strangers))))
	wantReason(t, err, "tid")
	for tenant, ok := range map[string]bool{tenantA: true, strangers: false, "organizations": false, "{tenantid}": false} {
		query := url.Values{"iss": {w.issuer() + "/" + tenant + "/v2.0"}, "sid": {"session-1"}}
		if _, err := m.FrontChannelLogout(query); (err == nil) != ok {
			t.Errorf("front-channel logout of %s: %v", tenant, err)
		}
	}
}

func TestAnswersOfTenants(t *testing.T) {
	for issuer, want := range map[string]string{
		"/" + tenantA + "/v2.0": "accepted", "/" + strangers + "/v2.0": "iss", "/organizations/v2.0": "accepted", "/{tenantid}/v2.0": "iss",
	} {
		w := tenanted(t)
		m := w.tenantMethod()
		query, pending := w.authorize(m, login.AuthorizationRequest{})
		w.idToken = func() string {
			return w.sign(with(with(w.claims(), w.of(tenantA)), object{"nonce": query.Get("nonce")}))
		}
		_, err := m.Redeem(t.Context(), pending, url.Values{"code": {"code-1"}, "iss": {w.issuer() + issuer}})
		if got := reason(err); got != want {
			t.Errorf("answer of %s: %s, want %s", issuer, got, want)
		}
	}
}

// Each key says whose it is. A key for the accounts of one tenant must not vouch for those of another.
func TestAttackKeyOfAnotherTenant(t *testing.T) {
	for name, tc := range map[string]struct{ issuer, want string }{
		"of all":        {"/{tenantid}/v2.0", "accepted"},
		"of the tenant": {"/" + tenantA + "/v2.0", "accepted"},
		"of another":    {"/" + tenantB + "/v2.0", "kid"},
		"not said":      {"", "accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			w := tenanted(t)
			w.respond(pathKeys, func(out http.ResponseWriter, _ *http.Request) {
				text, _ := (&jose.JSONWebKey{Key: w.signer.Public(), KeyID: w.kid, Use: "sig"}).MarshalJSON()
				if tc.issuer != "" {
					text = append(text[:len(text)-1], `,"issuer":"`+w.issuer()+tc.issuer+`"}`...)
				}
				out.Write([]byte(`{"keys":[` + string(text) + `]}`))
			})
			_, err := w.signIn(w.tenantMethod(), w.of(tenantA))
			wantReason(t, err, tc.want)
		})
	}
}

func TestIssuerOfManyTenants(t *testing.T) {
	for name, tc := range map[string]struct {
		says   string // as its issuer
		change func(*Config)
		want   string // part of the error
	}{
		"tenants are needed":       {"/{tenantid}/v2.0", func(c *Config) { c.Tenants = nil }, "tenants says which"},
		"one tenant's":             {"/organizations/v2.0", nil, "not that of many tenants"},
		"another path":             {"/{tenantid}/v1.0", nil, "not that of many tenants"},
		"two placeholders":         {"/{tenantid}/{tenantid}", nil, "not that of many tenants"},
		"part of a segment":        {"/org{tenantid}/v2.0", nil, "not that of many tenants"},
		"attack: another provider": {"@evil.example.com/{tenantid}/v2.0", nil, "not that of many tenants"},
	} {
		t.Run(name, func(t *testing.T) {
			w := tenanted(t)
			w.say("issuer", w.issuer()+tc.says)
			m := w.tenantMethod(func(c *Config) {
				if tc.change != nil {
					tc.change(c)
				}
			})
			if err := authorizeError(m, t); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%v, want %q", err, tc.want)
			}
		})
	}
}
