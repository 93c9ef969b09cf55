package integration

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/oidc"
)

// What providers of other makes do about prompts.
var (
	// Doorkeeper, at GitLab, has no page to choose an account at.
	likeGitLab = idpHabits{Refuses: map[string]func() *oidc.Error{"select_account": accountSelectionRequired}}

	// Keycloak has one account for each browser.
	likeKeycloak = idpHabits{Supports: []string{"none", "login", "consent"}, Sticks: true}

	// dex and Authelia have releases that ask nobody whom they know.
	likeDex = idpHabits{Ignores: true}

	// Some know no prompt, as OAuth 2.0 has none.
	withoutPrompts = idpHabits{Refuses: map[string]func() *oidc.Error{"select_account": oidc.ErrInvalidRequest, "login": oidc.ErrInvalidRequest}}
)

func accountSelectionRequired() *oidc.Error {
	return &oidc.Error{ErrorType: "account_selection_required"}
}

// add presses a provider's button on the sign-in page, as somebody does who has accounts.
func (b *browser) add(id string) reply {
	b.t.Helper()
	return b.travel(b.submit(signInPage, url.Values{"method": {id}, "return_to": {"/x"}}), "")
}

// TestProviderAnotherAccount: whatever a provider does about prompts, somebody who has an account there
// can add a second one.
func TestProviderAnotherAccount(t *testing.T) {
	again := url.Values{"ask": {"login"}}
	leave := url.Values{"sign_out": {"1"}}
	cases := map[string]struct {
		habits   idpHabits
		requests int // to add an account, until the provider asks or answers
		asks     bool
		steps    func(b *browser, at reply) reply // from there until the provider's session is over
	}{
		"gitlab": {likeGitLab, 2, true, nil},
		"keycloak": {likeKeycloak, 1, true, func(b *browser, at reply) reply {
			at = b.fill(at, url.Values{"user": {"bob"}}, "")
			at.isPage(t, http.StatusOK, "Somebody else is signed in")
			at = b.fill(at, url.Values{"user": {"alice"}}, "")
			at.isPage(t, http.StatusOK, "signed in already", "once more", "Alice Provided")
			return b.fill(at, leave, "")
		}},
		"dex": {likeDex, 1, false, func(b *browser, at reply) reply {
			at = b.fill(at, again, "")
			at.isPage(t, http.StatusOK, "signed in already", "once more")
			return b.fill(at, leave, "")
		}},
		"without": {withoutPrompts, 3, false, func(b *browser, at reply) reply { return b.fill(at, leave, "") }},
	}
	r := newReliant(t)
	providers := map[string]*idp{}
	var logins string
	for id, c := range cases {
		providers[id] = newIDP(t, idpOptions{Gateway: r.address, IDs: []string{id}, Habits: c.habits})
		logins += providers[id].login(id, "name Like-"+id, "user_name_prefix "+id+"-")
	}
	r.serve(logins)
	for id, c := range cases {
		t.Run(id, func(t *testing.T) {
			p, b := providers[id], r.browser()
			b.signInAt(id, "alice")
			before := p.count("/authorize")
			at := b.add(id)
			if got := p.count("/authorize") - before; got != c.requests {
				t.Errorf("%d requests to add an account, want %d", got, c.requests)
			}
			if !c.asks {
				at.isPage(t, http.StatusOK, "signed in already", "Like-"+id, "Alice Provided", "Continue as", `href="/x"`)
				b.wants(account(id, "alice"))
			}
			if c.steps != nil {
				at = c.steps(b, at)
				// Back from the provider's sign-out, the account is here still.
				at.isPage(t, http.StatusOK, "Continue with", "Like-"+id)
				b.wants(account(id, "alice"))
				at = b.fill(at, url.Values{"method": {id}}, "")
			}
			at.isPage(t, http.StatusOK, whoField)
			if got := b.fill(at, url.Values{"user": {"bob"}}, "").seen(t); got.URI != "/x" || got.Header.Get("Remote-User") != id+"-bob" {
				t.Errorf("the upstream saw %+v", got)
			}
			b.wants(account(id, "alice"), account(id, "bob"))
		})
	}
	noErrors(t, r.gateway)
}

// TestProviderAnotherAccountByAPI: clients of the API are led on in the same way, and back to their own
// addresses.
func TestProviderAnotherAccountByAPI(t *testing.T) {
	r := newReliant(t)
	gitlab := newIDP(t, idpOptions{Gateway: r.address, IDs: []string{"gitlab"}, Habits: likeGitLab})
	dex := newIDP(t, idpOptions{Gateway: r.address, IDs: []string{"dex"}, Habits: likeDex})
	r.serve(gitlab.login("gitlab", "user_name_prefix gitlab-") + dex.login("dex", "user_name_prefix dex-"))
	b := r.browser()
	b.signInAt("gitlab", "alice")
	at := b.travel(b.visit(b.depart("gitlab", object{"callbackURL": "/x"})), "")
	if got := b.fill(at, url.Values{"user": {"bob"}}, "").seen(t); got.URI != "/x" {
		t.Errorf("the second account leads to %s", got.URI)
	}
	b.signInAt("dex", "alice")
	if got := b.signInAt("dex", "alice").seen(t); got.URI != "/" {
		t.Errorf("the same account leads to %s", got.URI)
	}
	b.wants(account("gitlab", "alice"), account("gitlab", "bob"), account("dex", "alice"))
}

// TestCertifiedWithoutPromptToChoose: the certified provider refuses prompts that it is not set up for.
func TestCertifiedWithoutPromptToChoose(t *testing.T) {
	r := newReliant(t)
	p := newCertified(t, certifiedOptions{Gateway: r.address, Quiet: true, Plain: true})
	r.serve(p.login("certified"))
	b := r.browser()
	b.signInAt("certified", "alice")
	at := b.add("certified")
	at.isPage(t, http.StatusOK, whoField)
	if got := b.fill(at, url.Values{"user": {"bob"}}, "").seen(t); got.Header.Get("Remote-User") != "bob" {
		t.Errorf("the upstream saw %+v", got)
	}
	b.wants(account("certified", "alice"), account("certified", "bob"))
}

// TestCertifiedWithoutPostLogoutRedirect: where no address is registered to come back to, a sign-out
// that names one ends nothing there. Without it, it does.
func TestCertifiedWithoutPostLogoutRedirect(t *testing.T) {
	r := newReliant(t)
	p := newCertified(t, certifiedOptions{Gateway: r.address, Quiet: true, Stranded: true})
	first := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(first.login("idp", "user_name_prefix idp-") + p.login("certified", "post_logout_redirect off"))
	b := r.browser()
	b.signInAt("idp", "alice")
	b.signInAt("certified", "bob")
	at := b.act("sign-out-all", "") // the newest account's provider would lead nowhere, so it comes last
	if got := first.keep.sids("alice"); len(got) != 0 {
		t.Errorf("alice has the sessions %v at the provider", got)
	}
	if !strings.HasPrefix(at.Request.URL.String(), p.issuer) {
		t.Fatalf("at %s", at.Request.URL)
	}
	at = b.fill(at, url.Values{"logout": {"yes"}}, "")
	at.isPage(t, http.StatusOK, "Signed out")
	b.wants()
	if page := b.travel(b.visit(b.depart("certified", nil)), ""); !strings.Contains(page.body, whoField) {
		t.Errorf("the provider knows the browser still: %s\n%s", page.Status, page.body)
	}
}

// TestCertifiedFormPost: the answer comes by a form of the provider's page, to which browsers add no
// cookies.
func TestCertifiedFormPost(t *testing.T) {
	r := newReliant(t)
	p := newCertified(t, certifiedOptions{Gateway: r.address, Quiet: true})
	r.serve(p.login("certified", "response_mode form_post"))
	b := r.browser()
	stop := b.base + "/.auth/callback/"
	at := b.travel(b.visit(b.depart("certified", object{"callbackURL": "/x"})), "")
	at = b.fill(at, url.Values{"user": {"alice"}}, stop)
	if at.StatusCode != http.StatusOK || !strings.Contains(at.body, "form") {
		t.Fatalf("the provider answers %s\n%s", at.Status, at.body)
	}
	if got := b.travel(at, "").seen(t); got.URI != "/x" || got.Header.Get("Remote-User") != "alice" {
		t.Errorf("the upstream saw %+v", got)
	}
}

// TestProviderFrontChannelLogout: a frame on the provider's page ends its session here.
func TestProviderFrontChannelLogout(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	b, other := r.browser(), r.browser()
	b.signInAt("idp", "alice")
	b.signInAt("idp", "bob")
	other.signInAt("idp", "alice")
	sids := p.keep.sids("alice")
	frame := func(sid string) reply {
		return r.browser().visit("http://" + r.address + "/.auth/oidc/idp/frontchannel-logout?" + url.Values{"iss": {p.issuer}, "sid": {sid}}.Encode())
	}
	if at := frame("sid-guess"); at.StatusCode != http.StatusOK {
		t.Errorf("a session that is not there: %s", at.Status)
	}
	b.wants(account("idp", "alice"), account("idp", "bob"))
	at := frame(sids[0])
	if policy := at.Header.Get("Content-Security-Policy"); at.StatusCode != http.StatusOK || !strings.HasSuffix(policy, "frame-ancestors "+p.issuer) {
		t.Errorf("%s with %s", at.Status, policy)
	}
	b.wants(account("idp", "bob"))
	other.wants(account("idp", "alice"))
	if lines := r.audit("front-channel-logout"); len(lines) != 2 {
		t.Errorf("audit lines %v", lines)
	}
}

// TestProviderLink: a link leads straight to one of several providers.
func TestProviderLink(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp", "name Corp", "user_name_prefix idp-") + passwords)
	b := r.browser()
	link := "http://" + r.address + signInPage + "?" + url.Values{"provider": {"idp"}, "return_to": {"/x"}, "login_hint": {"alice@example.com"}}.Encode()
	at := b.travel(b.visit(link), "")
	at.isPage(t, http.StatusOK, whoField, `value="alice@example.com"`)
	if got := b.fill(at, url.Values{"user": {"alice"}}, "").seen(t); got.URI != "/x" || got.Header.Get("Remote-User") != "idp-alice" {
		t.Errorf("the upstream saw %+v", got)
	}
	// Another site cannot change who is active.
	at = b.travel(b.visit(link), "")
	at.isPage(t, http.StatusOK, "Continue with", "Corp")
	if at.Request.URL.Host != r.address {
		t.Errorf("at %s", at.Request.URL)
	}
}
