package integration

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// TestLiveConnectionsEndWithTheirTime: nobody does anything, and neither a connection that is open nor what
// is said over it counts as a use of the session.
func TestLiveConnectionsEndWithTheirTime(t *testing.T) {
	const lasts = 10 * time.Second
	for _, option := range []string{"lifetime", "idle_timeout"} {
		s := newLiveSite(t, fmt.Sprintf("%s %s", option, lasts), "multi_session")
		late := watchLag(t)
		t.Run(option, func(t *testing.T) {
			lines := make(map[*line]moment) // and when their session was used last
			for _, protocol := range protocols {
				b := s.browser(t, protocol)
				b.signIn("alice")
				all := b.lines(t, s.app)
				for _, l := range all {
					lines[l] = late.now()
				}
			}
			for l := range lines {
				if l.kind.name != "poll" {
					l.alive()
				}
			}
			for l, used := range lines {
				used.at = used.at.Add(lasts)
				l.ended(used, late)
			}
			s.calm(t)
		})
	}
}

// newLiveReliant is a gateway in front of a liveApp, with a provider whose access tokens have a lifetime,
// and the browser's lines as bob of the provider and as somebody else of the same jar.
func newLiveReliant(t *testing.T, lifetime time.Duration) (r *reliant, p *idp, bobs, others []*line) {
	t.Helper()
	r = newReliant(t)
	app := newLiveApp(t)
	p = newIDP(t, idpOptions{Gateway: r.address, Lifetime: lifetime})
	r.start(fmt.Sprintf("{\n\tmulti_session {\n%s%s\n\t}\n}\nhttp://%s {\n\tmulti_session\n\treverse_proxy %s\n}\n",
		p.login("idp", "user_name_prefix idp-"), passwords, r.address, app.address()))
	b := r.browser()
	b.signIn("alice")
	others = b.lines(t, app)
	b.signInAt("idp", "bob")
	bobs = b.lines(t, app)
	return r, p, bobs, others
}

// TestLiveConnectionsEndWithTheProvidersSession ends them by a back-channel logout.
func TestLiveConnectionsEndWithTheProvidersSession(t *testing.T) {
	r, p, bobs, others := newLiveReliant(t, 0)
	late := watchLag(t)
	r.heard(r.logout("idp", p.logoutToken(object{"sid": p.keep.sids("bob")[0]})))
	over := late.now()
	allEnded(bobs, over, late)
	allAlive(others)
}

// TestLiveConnectionsEndWhenTheProviderRefuses: tokens are renewed while something is live, as they are for
// requests, and who is refused has nothing that is live any more. No request is made meanwhile.
func TestLiveConnectionsEndWhenTheProviderRefuses(t *testing.T) {
	r, p, bobs, others := newLiveReliant(t, tokenLifetime)
	late := watchLag(t)
	before := p.count(renewals)
	await(t, "the tokens to be renewed", func() bool { return p.count(renewals) > before })
	for _, l := range bobs {
		if l.kind.name != "poll" {
			l.alive()
		}
	}
	p.keep.refuse("bob")
	await(t, "the provider to refuse", func() bool { return len(r.audit("refresh")) > 0 })
	over := late.now()
	allEnded(bobs, over, late)
	allAlive(others)
}

// TestLiveConnectionsWhileTheProviderIsDown: an outage ends nothing.
func TestLiveConnectionsWhileTheProviderIsDown(t *testing.T) {
	_, p, bobs, _ := newLiveReliant(t, tokenLifetime)
	p.override(renewals, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	before := p.count(renewals)
	await(t, "a renewal to fail twice", func() bool { return p.count(renewals) >= before+2 })
	allAlive(bobs)
}
