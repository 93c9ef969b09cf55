package integration

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// TestProviderStory is what this is for, by forms and without a browser's JavaScript: two accounts of
// one provider and one with a password in one browser, and an app that sees who it is each time.
func TestProviderStory(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp", "name Example", "user_name_prefix corp-") + passwords)
	b := r.browser()

	away := b.open("/dashboard?tab=2")
	page := b.travel(away, "")
	page.isPage(t, http.StatusOK, "Continue with", "Example", `name="password"`)
	if r.up.requests.Load() != 0 {
		t.Fatal("the upstream saw a request of somebody who is not signed in")
	}
	login := b.fill(page, url.Values{"method": {"idp"}}, "")
	login.isPage(t, http.StatusOK, whoField)
	greeted := b.fill(login, url.Values{"user": {"alice"}}, "").seen(t)
	if got := greeted.Header.Get("Remote-User"); got != "corp-alice" || greeted.URI != "/dashboard?tab=2" {
		t.Fatalf("the upstream saw %q at %s", got, greeted.URI)
	}
	for field, want := range map[string]string{"Remote-Name": "Alice Provided", "Remote-Email": "alice@example.com", "Remote-Groups": "admin,dev", "Cookie": ""} {
		if got := greeted.Header.Get(field); got != want {
			t.Errorf("the upstream saw %s: %q, want %q", field, got, want)
		}
	}

	// The provider knows the browser by now, and is to let its user choose all the same.
	page = b.open(signInPage + "?return_to=%2Fsecond")
	login = b.fill(page, url.Values{"method": {"idp"}}, "")
	login.isPage(t, http.StatusOK, whoField)
	if got := b.fill(login, url.Values{"user": {"bob"}}, "").seen(t); got.Header.Get("Remote-User") != "corp-bob" || got.URI != "/second" {
		t.Fatalf("the upstream saw %q at %s", got.Header.Get("Remote-User"), got.URI)
	}
	b.signIn("alice") // another alice
	b.wants(account("idp", "alice"), account("idp", "bob"), "alice")

	sees := func(want string) {
		t.Helper()
		if got := b.user(); got != want {
			t.Fatalf("the upstream sees %q, want %q", got, want)
		}
	}
	sees("alice")
	for id, user := range map[string]string{account("idp", "alice"): "corp-alice", account("idp", "bob"): "corp-bob", "password:alice": "alice"} {
		b.become(id)
		sees(user)
	}
	b.become(account("idp", "bob"))
	r.stop()
	r.start(r.config)
	sees("corp-bob")
	if answer := b.post(revokePath, object{"sessionToken": b.handles()[account("idp", "bob")]}); answer.StatusCode != http.StatusOK {
		t.Fatalf("revoke: %s", answer.Status)
	}
	b.wants(account("idp", "alice"), "alice")
	noErrors(t, r.gateway)
}

// TestTwoProviders has accounts of providers of two makes in one browser. The second names itself in
// its answers, and the first does not.
func TestTwoProviders(t *testing.T) {
	r := newReliant(t)
	first := newIDP(t, idpOptions{Gateway: r.address})
	second := newCertified(t, certifiedOptions{Gateway: r.address})
	r.serve(first.login("idp") + second.login("certified", "user_name_prefix certified-"))
	b := r.browser()
	b.signInAt("idp", "alice")
	if got := b.signInAt("certified", "alice").seen(t).Header.Get("Remote-User"); got != "certified-alice" {
		t.Errorf("the upstream saw %q", got)
	}
	b.wants(account("idp", "alice"), account("certified", "alice"))
	b.become(account("idp", "alice"))
	if got := b.user(); got != "alice" {
		t.Errorf("the upstream sees %q", got)
	}
	var e entry
	b.get(getActivePath).json(t, &e)
	if e.User.Email != "alice@example.com" || !e.User.EmailVerified || e.User.Name != "Alice Provided" {
		t.Errorf("the API says %+v", e.User)
	}
	// The same account again is the same one, with another handle.
	before := b.handles()[account("idp", "alice")]
	b.signInAt("idp", "alice")
	b.wants(account("certified", "alice"), account("idp", "alice"))
	if b.handles()[account("idp", "alice")] == before {
		t.Error("the handle is the one of before")
	}
	noErrors(t, r.gateway)
}

// TestProviderParallelTabs begins in three tabs, and comes back in another order.
func TestProviderParallelTabs(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	b := r.browser()
	var backs []string
	for _, user := range []string{"alice", "bob", "carol"} {
		departure := b.depart("idp", object{"callbackURL": "/of/" + user, "additionalParams": map[string]string{"prompt": "login"}})
		backs = append(backs, b.back(departure, user))
	}
	for i, user := range map[int]string{0: "alice", 1: "bob", 2: "carol"} {
		got := b.travel(b.visit(backs[i]), "").seen(t)
		if got.URI != "/of/"+user || got.Header.Get("Remote-User") != user {
			t.Errorf("%s came to %s as %s", user, got.URI, got.Header.Get("Remote-User"))
		}
	}
	if got := len(b.accounts()); got != 3 {
		t.Errorf("%d accounts", got)
	}
}

// TestProviderManyTabs: what people leave undone does not pile up in their browser, and the latest goes on.
func TestProviderManyTabs(t *testing.T) {
	const most, maxBytes = 8, 3 << 10
	r := newReliant(t)
	h := newHostile(t)
	r.serve(h.login("hostile"))
	b := r.browser()
	var backs []string
	for range 2 * most {
		backs = append(backs, b.back(b.depart("hostile", nil), ""))
	}
	header := b.cookieHeader()
	kept := strings.Count(header, "=")
	if kept > most || len(header) > maxBytes || len(header)*(kept+1) <= maxBytes*kept && kept < most {
		t.Errorf("the browser has %d cookies of %d bytes", kept, len(header))
	}
	b.visit(backs[0]).isPage(t, http.StatusBadRequest)
	for _, back := range backs[len(backs)-kept:] {
		if at := b.visit(back); at.StatusCode != http.StatusSeeOther {
			t.Errorf("one of the latest: %s", at.Status)
		}
	}
	b.wants("hostile:mallory-1")
}

// TestProviderReturnTo: a sign-in leads where it was begun for, and nowhere else.
func TestProviderReturnTo(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	for _, to := range []string{"/a/b?x=1&y=%26#part", "http://" + r.address + "/deep?q=%C3%A4", "/?error=1"} {
		b := r.browser()
		at := b.visit(b.back(b.depart("idp", object{"callbackURL": to}), "alice"))
		if got := at.Header.Get("Location"); at.StatusCode != http.StatusSeeOther || got != to {
			t.Errorf("for %s: %s to %q", to, at.Status, got)
		}
	}
	for name, code := range map[string]string{"callbackURL": "INVALID_CALLBACK_URL", "errorCallbackURL": "INVALID_ERROR_CALLBACK_URL", "newUserCallbackURL": "INVALID_NEW_USER_CALLBACK_URL"} {
		for _, to := range []string{"https://evil.example/", "//evil.example/", `/\evil.example/`, "javascript:alert(1)"} {
			b := r.browser()
			answer := b.post(socialPath, object{"provider": "idp", "callbackURL": "/", name: to})
			if answer.StatusCode == http.StatusOK || answer.code() != code {
				t.Errorf("%s %s: %s %s", name, to, answer.Status, answer.body)
			}
		}
	}
	b := r.browser()
	if answer := b.post(socialPath, object{"provider": "nobody"}); answer.StatusCode != http.StatusNotFound || answer.code() != "PROVIDER_NOT_FOUND" {
		t.Errorf("an unknown provider: %s %s", answer.Status, answer.body)
	}
	// A client that goes there by itself has nothing to do with the status.
	if answer := b.post(socialPath, object{"provider": "idp", "callbackURL": "/", "disableRedirect": true}); !strings.Contains(answer.body, `"redirect":false`) || answer.Header.Get("Location") != "" {
		t.Errorf("disableRedirect: %v %s", answer.Header, answer.body)
	}
}

// TestProviderErrorCallback: a client of the API is told by its own page, and people by the gateway's.
func TestProviderErrorCallback(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	cancel := func(b *browser, more object) reply {
		t.Helper()
		page := b.travel(b.visit(b.depart("idp", more)), "")
		return b.fill(page, url.Values{"cancel": {"1"}}, b.base+"/oops")
	}
	b := r.browser()
	at := cancel(b, object{"errorCallbackURL": "/oops?from=app#end"})
	if got := at.Header.Get("Location"); got != "/oops?from=app&error=access_denied&error_description=%3Cb%3Ethey%3C%2Fb%3E+did+not+want+to#end" {
		t.Errorf("the client's page for errors is %q", got)
	}
	at = cancel(b, nil)
	at.isPage(t, http.StatusForbidden)
	if strings.Contains(at.body, "did not want to") {
		t.Errorf("the provider's words are on the page:\n%s", at.body)
	}
	b.wants()
	for _, line := range r.audit("sign-in") {
		if line["outcome"] != "failure" || line["method"] != "idp" || line["reason"] != "ACCESS_DENIED" {
			t.Errorf("audit line %v", line)
		}
	}
	if n := len(r.audit("sign-in")); n != 2 {
		t.Errorf("%d audit lines", n)
	}
}

// TestProviderAnotherAccountThanAsked: somebody is asked to sign in again, and comes back as another.
func TestProviderAnotherAccountThanAsked(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	b := r.browser()
	b.signInAt("idp", "alice")
	page := b.travel(b.visit(b.depart("idp", object{"loginHint": "carol@example.net", "callbackURL": "/x"})), "")
	if fields := b.parse(page).forms[0].fields; fields.Get("user") != "carol@example.net" {
		t.Errorf("the provider was told of %v", fields)
	}
	page = b.fill(page, url.Values{"user": {"bob"}}, "")
	page.isPage(t, http.StatusOK, "Bob Provided", "another account")
	b.wants(account("idp", "alice"), account("idp", "bob"))

	// With a hint about whom the provider knows the browser as, nobody is asked.
	at := b.travel(b.visit(b.depart("idp", object{"loginHint": "bob@example.com", "callbackURL": "/x"})), "")
	if got := at.seen(t); got.URI != "/x" || got.Header.Get("Remote-User") != "bob" {
		t.Errorf("bob again: %+v", got)
	}
}

// TestProviderAllowRules: who is not let in has no session, and is told so. An address that nobody has
// verified is of no domain.
func TestProviderAllowRules(t *testing.T) {
	cases := map[string]struct {
		rules []string
		in    []string
	}{
		"domain":               {[]string{"allow email_domain example.com"}, []string{"alice", "bob"}},
		"domain-of-unverified": {[]string{"allow email_domain example.net"}, nil},
		"domain-in-capitals":   {[]string{"allow email_domain EXAMPLE.com"}, []string{"alice", "bob"}},
		"domain-above":         {[]string{"allow email_domain com"}, nil},
		"group":                {[]string{"allow group admin staff"}, []string{"alice"}},
		"claim":                {[]string{"allow claim preferred_username carol"}, []string{"carol"}},
		"any-line":             {[]string{"allow group admin", "allow claim preferred_username carol"}, []string{"alice", "carol"}},
	}
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address, IDs: slices.Collect(maps.Keys(cases))})
	var logins string
	for id, c := range cases {
		logins += p.login(id, append(c.rules, "user_name_prefix "+id+".")...)
	}
	r.serve(logins)
	for id, c := range cases {
		t.Run(id, func(t *testing.T) {
			for _, user := range []string{"alice", "bob", "carol"} {
				b := r.browser()
				at := b.travel(b.visit(b.back(b.depart(id, nil), user)), "")
				if slices.Contains(c.in, user) {
					if got := at.seen(t).Header.Get("Remote-User"); got != id+"."+user {
						t.Errorf("%s is let in as %q", user, got)
					}
					continue
				}
				at.isPage(t, http.StatusForbidden, "no access here")
				b.wants()
			}
		})
	}
	for _, line := range r.audit("sign-in") {
		if line["outcome"] == "failure" && line["reason"] != "NOT_ALLOWED" {
			t.Errorf("audit line %v", line)
		}
	}
}

// TestProviderUnverifiedEmail: an address that the provider does not vouch for is shown as that.
func TestProviderUnverifiedEmail(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve(p.login("idp"))
	b := r.browser()
	// Upstreams find people by their addresses, and are not told of this one.
	if got, told := b.signInAt("idp", "carol").seen(t).Header["Remote-Email"]; told {
		t.Errorf("the upstream saw %q", got)
	}
	var e entry
	b.get(getActivePath).json(t, &e)
	if e.User.Email != "carol@example.net" || e.User.EmailVerified {
		t.Errorf("the API says %+v", e.User)
	}
}

// TestProviderUserInfo: what the ID token leaves out is asked for.
func TestProviderUserInfo(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address, Lean: true})
	r.serve(p.login("idp"))
	b := r.browser()
	h := b.signInAt("idp", "alice").seen(t).Header
	if h.Get("Remote-User") != "alice" || h.Get("Remote-Groups") != "admin,dev" || h.Get("Remote-Email") != "alice@example.com" {
		t.Errorf("the upstream saw %v", h)
	}
	if n := p.count(userInfoEndpoint); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
}

// TestProviderTokenPlaceholders: upstreams are given the tokens that the login exposes, and no others.
func TestProviderTokenPlaceholders(t *testing.T) {
	cases := map[string]struct {
		options    []string
		access, id bool
	}{
		"none":   {nil, false, false},
		"access": {[]string{"expose access_token"}, true, false},
		"id":     {[]string{"expose id_token"}, false, true},
		"both":   {[]string{"expose access_token id_token"}, true, true},
	}
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address, IDs: slices.Collect(maps.Keys(cases))})
	logins := passwords
	for id, c := range cases {
		logins += p.login(id, append(c.options, "user_name_prefix "+id+".")...)
	}
	r.serve(logins, "multi_session {\n\t\theader X-Access {http.auth.user.access_token}\n\t\theader X-ID {http.auth.user.id_token}\n\t}")
	b := r.browser()
	for id, c := range cases {
		h := b.signInAt(id, "bob").seen(t).Header
		if got := h.Get("X-Access"); (got != "") != c.access || c.access && p.subjectOfAccess(got) != subjectOf("bob") {
			t.Errorf("%s: the access token is %q, of %q", id, got, p.subjectOfAccess(got))
		}
		if got := h.Get("X-ID"); (got != "") != c.id || c.id && strings.Count(got, ".") != 2 {
			t.Errorf("%s: the ID token is %q", id, got)
		}
	}
	b.signIn("alice")
	if h := b.get("/").seen(t).Header; h.Get("X-Access") != "" || h.Get("X-ID") != "" {
		t.Errorf("with a password: %v", h)
	}
}

// TestNothingStoredBeforeSignIn: what people begin at providers and do not end leaves no trace, however
// often they do.
func TestNothingStoredBeforeSignIn(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	h := newHostile(t)
	r.serve(p.login("idp") + h.login("hostile"))
	r.stop()
	before := r.stored()
	r.start(r.config)
	h.tell(lie{claims: setting("nonce", "another")})
	for range 5 {
		b := r.browser()
		b.depart("idp", nil)
		b.fill(b.open(signInPage), url.Values{"method": {"idp"}}, "").isPage(t, http.StatusOK, whoField)
		b.travel(b.visit(b.depart("hostile", nil)), "").isPage(t, http.StatusBadRequest)
		b.visit("http://"+r.address+"/.auth/callback/idp?code=x&state=y").isPage(t, http.StatusBadRequest)
	}
	r.stop()
	if after := r.stored(); !maps.Equal(before, after) {
		t.Errorf("before:\n%q\nafter:\n%q", before, after)
	}
	r.start(r.config)
	r.browser().signInAt("idp", "alice")
	r.stop()
	if after := r.stored(); maps.Equal(before, after) {
		t.Error("a sign-in is not stored")
	}
}

// TestNothingReadableStored: a copy of the database is of no use at the provider.
func TestNothingReadableStored(t *testing.T) {
	r := newReliant(t)
	h := newHostile(t)
	r.serve(h.login("hostile", "expose access_token id_token"))
	b := r.browser()
	b.travel(b.visit(b.depart("hostile", nil)), "").seen(t)
	r.stop()
	for key, value := range r.stored() {
		for _, secret := range append(h.told(), "eyJ") {
			if strings.Contains(value, secret) || strings.Contains(key, secret) {
				t.Errorf("%s has %q: %q", key, secret, value)
			}
		}
	}
}

// TestProviderPrompt: who adds an account is to be asked by the provider which one, as it is configured,
// unless it is said which one it is to be.
func TestProviderPrompt(t *testing.T) {
	cases := map[string]struct {
		options []string
		want    string
	}{
		"default": {nil, "select_account"},
		"login":   {[]string{"prompt login"}, "login"},
		"off":     {[]string{"prompt off"}, ""},
	}
	r := newReliant(t)
	h := newHostile(t)
	logins := passwords
	for id, c := range cases {
		logins += h.login(id, c.options...)
	}
	r.serve(logins)
	b := r.browser()
	prompt := func(id string, more object) string { return queryOf(t, b.depart(id, more)).Get("prompt") }
	for id := range cases {
		if got := prompt(id, nil); got != "" {
			t.Errorf("%s: the first account is asked for with the prompt %q", id, got)
		}
	}
	b.signIn("alice")
	for id, c := range cases {
		if got := prompt(id, nil); got != c.want {
			t.Errorf("%s: another account is asked for with the prompt %q", id, got)
		}
		if got := prompt(id, object{"loginHint": "alice"}); got != "" {
			t.Errorf("%s: a known account is asked for with the prompt %q", id, got)
		}
	}
}

// TestProviderSkipsSignInPage: a browser without accounts is sent straight to the only provider.
func TestProviderSkipsSignInPage(t *testing.T) {
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address})
	r.serve("skip_sign_in_page\n" + p.login("idp"))
	b := r.browser()
	at := b.travel(b.open("/x"), "")
	at.isPage(t, http.StatusOK, whoField)
	if got := b.fill(at, url.Values{"user": {"alice"}}, "").seen(t); got.URI != "/x" || got.Header.Get("Remote-User") != "alice" {
		t.Errorf("the upstream saw %+v", got)
	}
	b.open(signInPage).isPage(t, http.StatusOK, "Continue with")
	// Who has just signed out is not signed in again by it.
	at = b.travel(b.submit(chooserPage, url.Values{"action": {"sign-out-all"}}), "")
	at.isPage(t, http.StatusOK, "You are signed out.")
	b.wants()
}
