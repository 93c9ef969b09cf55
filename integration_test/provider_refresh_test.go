package integration

import (
	"net/http"
	"sync"
	"testing"
	"time"
)

// tokenLifetime is how long access tokens of most of these tests live.
const tokenLifetime = 3 * time.Second

// newRenewing returns a gateway whose app is told the access token, and a provider whose access tokens
// have a lifetime, before the last fifth of which they are renewed.
func newRenewing(t *testing.T, lifetime time.Duration) (*reliant, *idp) {
	t.Helper()
	r := newReliant(t)
	p := newIDP(t, idpOptions{Gateway: r.address, Lifetime: lifetime})
	r.serve(p.login("idp", "expose access_token", "user_name_prefix idp-")+passwords,
		"multi_session {\n\t\theader X-Access {http.auth.user.access_token}\n\t}")
	return r, p
}

// access is the token that the app is told. It fails the test unless the browser is signed in.
func (b *browser) access() string {
	b.t.Helper()
	answer := b.get("/")
	if answer.StatusCode != http.StatusOK {
		b.t.Fatalf("signed out: %s", answer.Status)
	}
	return answer.seen(b.t).Header.Get("X-Access")
}

// TestRenewalInTheBackground: who uses the app does not wait for the provider while the token is good,
// and is never without one; and the provider sees each refresh token once.
func TestRenewalInTheBackground(t *testing.T) {
	const lifetime = 8 * time.Second
	r, p := newRenewing(t, lifetime)
	release := make(chan struct{})
	p.override(renewals, func(w http.ResponseWriter, request *http.Request) {
		select {
		case <-release:
		case <-request.Context().Done():
		}
		p.provider.ServeHTTP(w, request)
	})
	b := r.browser()
	begun := time.Now()
	b.signInAt("idp", "alice")
	first := b.access()
	await(t, "a renewal", func() bool { b.access(); return p.count(renewals) > 0 })
	// While the provider still thinks about it the old token does. A machine that has stood still until
	// that expired has seen the other way, on which requests wait.
	if token := b.access(); token != first && time.Since(begun) < lifetime {
		t.Errorf("the token is %q, was %q, and the provider has not answered", token, first)
	}
	close(release)
	p.override(renewals, nil)
	await(t, "the new token", func() bool { token := b.access(); return token != "" && token != first })
	if n := p.count(renewals); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	noErrors(t, r.gateway)
}

// TestRenewalOfMany: however many ask with an expired token, the provider is asked once.
func TestRenewalOfMany(t *testing.T) {
	r, p := newRenewing(t, tokenLifetime)
	b := r.browser()
	b.signInAt("idp", "alice")
	first := b.access()
	expiry := time.Now().Add(tokenLifetime)
	await(t, "the token to expire", func() bool { return time.Now().After(expiry) })
	var wait sync.WaitGroup
	tokens := make([]string, 20)
	for i := range tokens {
		wait.Go(func() {
			if answer, err := b.do(b.request(http.MethodGet, "/", nil)); err == nil && answer.StatusCode == http.StatusOK {
				tokens[i] = answer.seen(t).Header.Get("X-Access")
			}
		})
	}
	wait.Wait()
	for i, token := range tokens {
		if token == "" || token == first || token != tokens[0] {
			t.Errorf("request %d was made with %q, and the first with %q", i, token, tokens[0])
		}
	}
	if n := p.count(renewals); n != 1 {
		t.Errorf("the provider was asked %d times", n)
	}
	// The new refresh token outlives a crash.
	r.kill()
	r.start(r.config)
	if token := b.access(); token == first {
		t.Error("the tokens are the first ones again")
	}
	await(t, "another renewal", func() bool { return b.access() != tokens[0] && p.count(renewals) >= 2 })
}

// TestRenewalRefused: who is refused is signed out, in this session and no other of the browser.
func TestRenewalRefused(t *testing.T) {
	r, p := newRenewing(t, tokenLifetime)
	b := r.browser()
	b.signIn("alice")
	b.signInAt("idp", "alice")
	b.signInAt("idp", "bob")
	p.keep.refuse("bob")
	await(t, "bob to be signed out", func() bool { return b.get("/").StatusCode == http.StatusUnauthorized })
	if got := b.active(); got != "" {
		t.Errorf("active is %q", got)
	}
	b.wants("alice", account("idp", "alice"))
	b.become(account("idp", "alice"))
	if got := b.user(); got != "idp-alice" {
		t.Errorf("the upstream sees %q", got)
	}
	lines := r.audit("refresh")
	if len(lines) != 1 || lines[0]["outcome"] != "failure" || lines[0]["account"] != account("idp", "bob") || lines[0]["reason"] != "REFUSED" {
		t.Errorf("audit lines %v", lines)
	}
	noErrors(t, r.gateway)
}

// TestRenewalWhileTheProviderIsDown: nobody is signed out by an outage, and tokens are renewed when it
// is over. Meanwhile the app is given no token that has expired.
func TestRenewalWhileTheProviderIsDown(t *testing.T) {
	r, p := newRenewing(t, tokenLifetime)
	b := r.browser()
	b.signInAt("idp", "alice")
	first := b.access()
	p.down()
	await(t, "the token to expire", func() bool { return b.access() == "" })
	if got := b.user(); got != "idp-alice" {
		t.Fatalf("the upstream sees %q", got)
	}
	p.up()
	await(t, "a new token", func() bool { token := b.access(); return token != "" && token != first })

	// A provider that is up and out of order is no different.
	p.override(renewals, failing(http.StatusServiceUnavailable))
	await(t, "the token to expire", func() bool { return b.access() == "" })
	p.override(renewals, nil)
	await(t, "a new token", func() bool { return b.access() != "" })
	noErrors(t, r.gateway)
}

// TestRenewalTellsWhoItIsNow: what the provider has changed about somebody holds from the next renewal.
func TestRenewalTellsWhoItIsNow(t *testing.T) {
	r, p := newRenewing(t, tokenLifetime)
	b := r.browser()
	b.signInAt("idp", "alice")
	p.keep.change("alice", func(p *person) { p.Name, p.Groups = "Alice Renamed", []string{"former"} })
	await(t, "the new name", func() bool { return b.told("Remote-Name") == "Alice Renamed" })
	if got := b.told("Remote-Groups"); got != "former" {
		t.Errorf("groups %q", got)
	}
}
