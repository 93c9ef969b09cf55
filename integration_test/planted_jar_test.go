package integration

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// sharedJarSite serves every host of example.com over HTTPS, with one jar for all of them.
const sharedJarSite = `{
	auto_https disable_redirects
	multi_session {
		cookie_domain example.com
		login password {
			throttle off
			%s
		}
	}
}
%s {
	tls internal
	@open path /open*
	@closed not path /open*
	multi_session @open {
		optional
	}
	multi_session @closed
	reverse_proxy %s
}
`

// jarOf returns the value of the cookie that names the browser's jar on example.com.
func (b *browser) jarOf() string {
	b.t.Helper()
	return b.holds("__Secure-multi_session")
}

// plant does what a script on a sibling host can do: it drops the jar's cookie, which filling the
// browser with cookies achieves, and sets another one for the whole domain.
func (b *browser) plant(jar string) {
	b.t.Helper()
	at := b.request(http.MethodGet, "/", nil).URL
	b.client.Jar.SetCookies(at, []*http.Cookie{{Name: "__Secure-multi_session", Value: jar, Domain: "example.com", Path: "/", Secure: true}})
	if got := b.jarOf(); got != jar {
		b.t.Fatalf("the browser has the jar %q", got)
	}
}

// TestAttackPlantedJar: a script on a sibling host plants the attacker's live jar in the browser of alice.
// None of her requests is made as carol, and nothing of carol's account is changed from her pages.
func TestAttackPlantedJar(t *testing.T) {
	up := newWiretap(t)
	address := freeAddress(t)
	a, b := "https://a.example.com:"+port(address), "https://b.example.com:"+port(address)
	g := startGateway(t, fmt.Sprintf(sharedJarSite, userOptions, a+", "+b, up.address))
	awaitTLS(t, address, "a.example.com", "b.example.com")

	victim := named(t, address, a)
	victim.signIn("alice")
	victim.at(b).confirm()
	attacker := named(t, address, a)
	carol := attacker.signIn("carol")
	attacker.at(b).confirm() // what the attacker confirms is confirmed in the attacker's browser
	hers := victim.jarOf()

	for _, host := range []string{a, b} {
		t.Run(host, func(t *testing.T) {
			v := victim.at(host)
			v.plant(attacker.jarOf())
			before := up.requests.Load()
			v.wantUnconfirmed()
			if page := v.open("/.auth/accounts"); !strings.Contains(page.body, "Continue on this site?") || !strings.Contains(page.body, "Carol Example") {
				t.Errorf("the page does not ask: %s", page.body)
			}
			for name, request := range map[string]*http.Request{
				"a form":       v.request(http.MethodPost, "/transfer", strings.NewReader("amount=1")),
				"a web socket": v.request(http.MethodGet, "/socket", nil),
				"a prefetch":   v.request(http.MethodGet, "/page", nil),
			} {
				switch name {
				case "a web socket":
					request.Header.Set("Connection", "Upgrade")
					request.Header.Set("Upgrade", "websocket")
				case "a prefetch":
					request.Header.Set("Sec-Purpose", "prefetch")
				}
				request.Header.Set("Origin", host)
				if answer := v.must(request); answer.StatusCode != http.StatusUnauthorized {
					t.Errorf("%s is answered %s: %s", name, answer.Status, answer.body)
				}
			}
			for path, body := range map[string]object{
				"multi-session/set-active": {"sessionToken": carol},
				"update-user":              {"name": "Alice"},
				"change-password":          {"currentPassword": password("alice"), "newPassword": "correct horse battery"},
				"revoke-other-sessions":    {},
			} {
				if answer := v.post("/.auth/"+path, body); answer.StatusCode != http.StatusUnauthorized || answer.code() != "CONTINUE_REQUIRED" {
					t.Errorf("%s: %s %s", path, answer.Status, answer.body)
				}
			}
			if got := up.requests.Load(); got != before {
				t.Errorf("the upstream saw %d requests", got-before)
			}
			if open, ok := v.get("/open").wire(); !ok || len(open.values("Remote-User")) != 0 {
				t.Errorf("an open page is asked for as %v, %t", open.values("Remote-User"), ok)
			}
			v.plant(hers)
			if got := v.active(); got != "alice" {
				t.Errorf("with her own jar again she is %q", got)
			}
		})
	}

	// Carol signs in with the planted jar on the way to the page that alice opens. That is no sign-in of
	// alice's browser.
	onB := victim.at(b)
	onB.plant(attacker.jarOf())
	answer := attacker.submit("/.auth/sign-in", url.Values{"identifier": {"carol"}, "password": {password("carol")}, "return_to": {b + "/x?y"}})
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != b+"/x?y" {
		t.Fatalf("the attacker's sign-in: %s to %q", answer.Status, answer.Header.Get("Location"))
	}
	onB.plant(attacker.jarOf())
	onB.wantUnconfirmed()

	// Alice signs in instead. What the attacker knows is worth nothing then.
	onB.signIn("alice")
	if got := onB.active(); got != "alice" {
		t.Errorf("after her sign-in she is %q", got)
	}
	if got := attacker.accounts(); len(got) != 0 {
		t.Errorf("the attacker has %v", got)
	}
	noErrors(t, g)
}

// TestSignInAtAProviderOfAnotherHost: the provider sends browsers to one host of the domain. Whoever
// began to sign in at another one is not asked there.
func TestSignInAtAProviderOfAnotherHost(t *testing.T) {
	address := freeAddress(t)
	auth, wiki := "http://auth.example.test:"+port(address), "http://wiki.example.test:"+port(address)
	p := newIDP(t, idpOptions{Gateway: auth, IDs: []string{"corp"}})
	up := newEcho(t)
	g := startGateway(t, fmt.Sprintf("{\n\tmulti_session {\n\tcookie_domain example.test\n\tinsecure_http\n%s\n\t}\n}\nhttp://:%s {\n\tmulti_session\n\treverse_proxy %s\n}\n",
		p.login("corp", "redirect_uri "+callback(auth, "corp")), port(address), up.address()))

	browse := func(origin string) *browser {
		b := newBrowser(t, origin)
		b.client.Transport.(*http.Transport).DialContext = func(ctx context.Context, network, to string) (net.Conn, error) {
			if host, _, _ := net.SplitHostPort(to); strings.HasSuffix(host, ".example.test") {
				to = address
			}
			return new(net.Dialer).DialContext(ctx, network, to)
		}
		return b
	}
	b := browse(wiki)
	departure := b.depart("corp", object{"callbackURL": "/who"})
	// The answer comes to the other host, which is where the browser has to stop.
	onAuth := b.at(auth)
	at := onAuth.travel(onAuth.visit(onAuth.back(departure, "alice")), "")
	if at.StatusCode != http.StatusOK || at.Request.URL.String() != wiki+"/who" {
		t.Fatalf("the sign-in ends with %s at %s\n%s", at.Status, at.Request.URL, at.body)
	}
	if got := at.seen(t).Header.Get("Remote-User"); got == "" || b.active() == "" || onAuth.active() == "" {
		t.Errorf("the app is told %q; active are %q and %q", got, b.active(), onAuth.active())
	}
	files := b.at("http://files.example.test:" + port(address))
	files.wantUnconfirmed()

	// Another browser with the same jar has not begun anything.
	other := browse(wiki)
	other.client.Jar.SetCookies(other.request(http.MethodGet, "/", nil).URL, []*http.Cookie{{Name: "multi_session", Value: b.holds("multi_session"), Domain: "example.test", Path: "/"}})
	other.wantUnconfirmed()
	noErrors(t, g)
}
