package integration

import (
	"net/http"
	"net/url"
	"testing"
)

// TestProviderDownAtStart: the gateway serves, people sign in the other way and are told about this one,
// which works as soon as the provider does.
func TestProviderDownAtStart(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	p.down()
	r.serve(p.login("idp", "user_name_prefix idp-") + passwords)
	b := r.browser()
	await(t, "the page to say that the provider is away", func() bool {
		page := b.open(signInPage)
		page.isPage(t, http.StatusOK)
		return containsAll(page.body, "Not reachable right now")
	})
	answer := b.post(socialPath, object{"provider": "idp"})
	if answer.StatusCode != http.StatusServiceUnavailable || answer.code() != "TEMPORARILY_UNAVAILABLE" || answer.Header.Get("Retry-After") == "" {
		t.Errorf("the API: %s %v %s", answer.Status, answer.Header, answer.body)
	}
	b.fill(b.open(signInPage), url.Values{"method": {"idp"}}, "").isPage(t, http.StatusServiceUnavailable, "cannot be reached")
	b.signIn("bob")
	if got := b.user(); got != "bob" {
		t.Errorf("with a password the upstream sees %q", got)
	}

	p.up()
	await(t, "the provider to be found", func() bool { return !containsAll(b.open(signInPage).body, "Not reachable right now") })
	b.signInAt("idp", "alice")
	b.wants("bob", account("idp", "alice"))
	for _, line := range r.audit("sign-in") {
		if line["outcome"] == "failure" && (line["method"] != "idp" || line["reason"] != "TEMPORARILY_UNAVAILABLE") {
			t.Errorf("audit line %v", line)
		}
	}
}

// TestProviderGoneAfterwards: who is signed in stays so, and who comes back from a provider that is
// gone is told.
func TestProviderGoneAfterwards(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	b := r.browser()
	b.signInAt("idp", "alice")
	back := b.back(b.depart("idp", nil), "bob")
	p.down()
	b.visit(back).isPage(t, http.StatusServiceUnavailable, "cannot be reached")
	b.wants(account("idp", "alice"))
	r.stop()
	r.start(r.config)
	b.wants(account("idp", "alice"))
	if got := b.user(); got != "alice" {
		t.Errorf("the upstream sees %q", got)
	}
	// The code was not used, but its flow was.
	p.up()
	b.visit(back).isPage(t, http.StatusBadRequest)
	b.wants(account("idp", "alice"))
}

// TestProviderKeysRotated: a key that signs for the first time is looked for, also with the old ones
// withdrawn, and a sign-in costs no more requests than that.
func TestProviderKeysRotated(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	r.browser().signInAt("idp", "alice")
	for i, keepOld := range []bool{true, false} {
		before := p.count(keysEndpoint)
		p.keep.rotate(t, keepOld)
		for range 3 {
			b := r.browser()
			b.signInAt("idp", "alice")
			b.wants(account("idp", "alice"))
		}
		if got := p.count(keysEndpoint) - before; got != 1 {
			t.Errorf("rotation %d: the keys were asked for %d times", i, got)
		}
	}
	// A logout token by a key that was not seen yet.
	b := r.browser()
	b.signInAt("idp", "bob")
	p.keep.rotate(t, false)
	if answer := r.logout("idp", p.logoutToken(object{"sub": subjectOf("bob")})); answer.StatusCode != http.StatusOK {
		t.Errorf("a logout token by the new key: %s %s", answer.Status, answer.body)
	}
	b.wants()
}
