package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// act presses a button of the chooser, and goes where it leads.
func (b *browser) act(action, account string) reply {
	b.t.Helper()
	fields := url.Values{"action": {action}, "return_to": {"/x"}}
	if account != "" {
		fields.Set("session", b.handles()[account])
	}
	return b.travel(b.submit(chooserPage, fields), "")
}

// TestProviderLogout: who signs out is signed out at the provider too, and comes back. A mere removal
// from the chooser is none.
func TestProviderLogout(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address, IDs: []string{"idp", "staying"}})
	r.serve(p.login("idp", "user_name_prefix idp-") + p.login("staying", "logout off", "user_name_prefix staying-") + passwords)
	b := r.browser()
	b.signIn("carol")
	b.signInAt("idp", "bob")
	b.signInAt("idp", "alice")

	at := b.act("remove", account("idp", "bob"))
	at.isPage(t, http.StatusOK)
	if got := len(p.keep.sids("bob")); got != 1 {
		t.Errorf("bob was removed and has %d sessions at the provider", got)
	}
	b.wants("carol", account("idp", "alice"))

	at = b.act("sign-out", account("idp", "alice"))
	at.isPage(t, http.StatusOK, "signed out")
	if !strings.HasPrefix(at.Request.URL.String(), b.base+chooserPage+"?") || at.Request.URL.Query().Get("return_to") != "/x" {
		t.Errorf("back at %s", at.Request.URL)
	}
	if got := p.keep.sids("alice"); len(got) != 0 {
		t.Errorf("alice signed out and has the sessions %v at the provider", got)
	}
	b.wants("carol")
	if n := p.count("/end_session"); n != 1 {
		t.Errorf("the provider was asked %d times to end a session", n)
	}

	b.signInAt("staying", "alice")
	b.act("sign-out", account("staying", "alice"))
	if got := len(p.keep.sids("alice")); got != 1 {
		t.Errorf("with logout off alice has %d sessions at the provider", got)
	}
	b.wants("carol")
	noErrors(t, r.gateway)
}

// TestProviderLogoutOfAll: out of all accounts is out at all providers, one after the other.
func TestProviderLogoutOfAll(t *testing.T) {
	r := newReliant(t)
	first := newIDP(t, idpOptions{Gateway: r.address})
	second := newCertified(t, certifiedOptions{Gateway: r.address})
	r.serve(first.login("idp", "user_name_prefix idp-") + second.login("certified", "user_name_prefix certified-") + passwords)
	b := r.browser()
	b.signIn("carol")
	b.signInAt("idp", "alice")
	b.signInAt("certified", "bob")
	at := b.act("sign-out-all", "")
	// Here it is over, whatever becomes of the rest of the way.
	b.wants()
	for range 2 {
		if strings.HasPrefix(at.Request.URL.String(), second.issuer) {
			at = b.fill(at, url.Values{"logout": {"yes"}}, "")
		}
	}
	at.isPage(t, http.StatusOK, "signed out")
	if !strings.HasPrefix(at.Request.URL.String(), b.base+signInPage) {
		t.Errorf("back at %s", at.Request.URL)
	}
	if got := first.keep.sids("alice"); len(got) != 0 {
		t.Errorf("alice has the sessions %v at the provider", got)
	}
	for _, id := range []string{"idp", "certified"} {
		if page := b.travel(b.visit(b.depart(id, nil)), ""); !strings.Contains(page.body, whoField) {
			t.Errorf("%s knows the browser still: %s\n%s", id, page.Status, page.body)
		}
	}
	noErrors(t, r.gateway)
}

// TestProviderLogoutByAPI: the stock client signs out here. Where its user can be signed out at the
// provider as well, a page that wants to can lead there.
func TestProviderLogoutByAPI(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	b := r.browser()
	b.signInAt("idp", "alice")
	var out struct {
		Success bool
		URL     string
	}
	b.post(signOutPath, object{}).json(t, &out)
	if !out.Success {
		t.Error("signing out is no success")
	}
	b.wants()
	if got := len(p.keep.sids("alice")); got != 1 {
		t.Errorf("%d sessions at the provider", got)
	}
	b.travel(b.visit(out.URL), "").isPage(t, http.StatusOK, "You are signed out.")
	if got := len(p.keep.sids("alice")); got != 0 {
		t.Errorf("%d sessions at the provider", got)
	}
	out.URL = ""
	if b.post(signOutPath, object{}).json(t, &out); !out.Success || out.URL != "" {
		t.Errorf("signed out already: %+v", out)
	}
}

// TestProviderLogoutWhileItIsDown: here the account is signed out all the same.
func TestProviderLogoutWhileItIsDown(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	b := r.browser()
	b.signInAt("idp", "alice")
	handle := b.handles()[account("idp", "alice")]
	p.down()
	answer := b.submit(chooserPage, url.Values{"action": {"sign-out"}, "session": {handle}})
	if answer.StatusCode >= http.StatusInternalServerError {
		t.Errorf("%s: %s", answer.Status, answer.body)
	}
	b.wants()
}
