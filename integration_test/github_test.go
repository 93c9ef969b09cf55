package integration

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestGitHub: its accounts have their verified primary address, and organisations and teams as groups.
func TestGitHub(t *testing.T) {
	r := newReliant(t)
	g := newGitHub(t)
	r.serve(g.login("github") + g.login("acme", "group_prefix off", "allow group acme", "user_name_prefix acme-") + g.login("verified", "allow email_domain example.com", "user_name_prefix verified-"))
	b := r.browser()
	h := b.signInAt("github", "alice").seen(t).Header
	for field, want := range map[string]string{"Remote-User": "alice", "Remote-Name": "Alice of GitHub", "Remote-Email": "alice@example.com"} {
		if got := h.Get(field); got != want {
			t.Errorf("the upstream saw %s: %q, want %q", field, got, want)
		}
	}
	groups := strings.Split(h.Get("Remote-Groups"), ",")
	for _, want := range []string{"github:acme", "github:org-103", "github:acme/ops", "github:acme/web"} {
		if !slices.Contains(groups, want) {
			t.Errorf("%s is not among the %d groups", want, len(groups))
		}
	}
	var e entry
	b.get(getActivePath).json(t, &e)
	if e.User.ID != "github:583231" || !e.User.EmailVerified {
		t.Errorf("the API says %+v", e.User)
	}

	// Nobody has verified bob's address, and he has given no name.
	if got := b.signInAt("github", "bob").seen(t).Header; got.Get("Remote-User") != "bob" || got.Get("Remote-Email") != "" {
		t.Errorf("the upstream saw %v", got)
	}
	b.get(getActivePath).json(t, &e)
	if e.User.EmailVerified || e.User.Name == "" {
		t.Errorf("the API says %+v", e.User)
	}
	b.wants("github:583231", "github:583232")
	for id, in := range map[string][]string{"acme": {"alice", "carol"}, "verified": {"alice"}} {
		for _, user := range []string{"alice", "bob", "carol"} {
			at := b.travel(b.visit(b.back(b.depart(id, nil), user)), "")
			if slices.Contains(in, user) {
				at.seen(t)
			} else {
				at.isPage(t, http.StatusForbidden, "no access here")
			}
		}
	}
	noErrors(t, r.gateway)
}

// TestGitHubRefusals: they come as answers of success.
func TestGitHubRefusals(t *testing.T) {
	r := newReliant(t)
	g := newGitHub(t)
	r.serve(g.login("github") + strings.Replace(g.login("misspelt"), "s3cret", "another", 1))
	b := r.browser()
	attacked{503, "PROVIDER_MISCONFIGURED"}.check(t, r, b, b.visit(b.back(b.depart("misspelt", nil), "alice")))
	if !strings.Contains(r.log.String(), "incorrect_client_credentials") {
		t.Error("the log does not say what is wrong")
	}

	back := b.back(b.depart("github", nil), "alice")
	query := queryOf(t, back)
	query.Set("code", "made up")
	attacked{400, "code"}.check(t, r, b, b.visit(strings.Split(back, "?")[0]+"?"+query.Encode()))

	page := b.travel(b.visit(b.depart("github", nil)), "")
	attacked{403, "ACCESS_DENIED"}.check(t, r, b, b.fill(page, url.Values{"cancel": {"1"}}, ""))
	g.server.Close()
	page = b.open(signInPage)
	page.isPage(t, http.StatusOK)
	for _, secret := range append(g.told(), clientSecret) {
		if strings.Contains(r.log.String(), secret) {
			t.Errorf("%q is in the log", secret)
		}
	}
}

// TestAttackGitHubAnswer: what holds for OpenID providers holds for others, as far as they can be told.
func TestAttackGitHubAnswer(t *testing.T) {
	r := newReliant(t)
	g := newGitHub(t)
	r.serve(g.login("github") + g.login("second", "user_name_prefix second-"))
	mallory, victim := r.browser(), r.browser()
	back := mallory.back(mallory.depart("github", nil), "bob")
	attacked{400, "no flow"}.check(t, r, victim, victim.visit(back))
	attacked{400, "mix-up"}.check(t, r, mallory, mallory.visit(strings.Replace(back, "/callback/github", "/callback/second", 1)))
	attacked{400, "no flow"}.check(t, r, mallory, mallory.visit(back))

	// A code that was issued for another request lacks this one's verifier.
	first, second := r.browser(), r.browser()
	stolen := queryOf(t, first.back(first.depart("github", nil), "alice")).Get("code")
	own := second.back(second.depart("github", nil), "bob")
	query := queryOf(t, own)
	query.Set("code", stolen)
	attacked{400, "code"}.check(t, r, second, second.visit(strings.Split(own, "?")[0]+"?"+query.Encode()))
}
