package integration

import (
	"strings"
	"testing"
)

// The files of scenarios about providers: what Better Auth does too, and what it does not.
var (
	socialScenarios = []string{"social.mjs"}
	hintScenarios   = []string{"hint.mjs"}
)

// TestStockClientSocial has the npm client sign people in at a provider.
func TestStockClientSocial(t *testing.T) {
	nodePackages(t)
	t.Setenv("PROVIDER", "idp")
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	runScenarios(t, "http://"+r.address, socialScenarios...)
	runScenarios(t, "http://"+r.address, hintScenarios...)
	noErrors(t, r.gateway)
}

// TestStockClientSocialReference has the same scenarios hold of Better Auth itself.
func TestStockClientSocialReference(t *testing.T) {
	nodePackages(t)
	t.Setenv("PROVIDER", "idp")
	p := newIDP(t, idpOptions{})
	origin := startReference(t, "ISSUER="+p.issuer, "CLIENT_ID="+clientID, "CLIENT_SECRET="+clientSecret)
	p.keep.register(strings.TrimPrefix(origin, "http://"))
	runScenarios(t, origin, socialScenarios...)
}
