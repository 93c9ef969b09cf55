package portal

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/session"
)

func perHost(s *setup) { s.cookieDomain, s.perHost = "example.com", true }

// done checks that a request succeeded.
func (b *browser) done(w *httptest.ResponseRecorder) {
	b.t.Helper()
	if w.Code != http.StatusOK {
		b.t.Fatalf("%d %s", w.Code, w.Body)
	}
}

// on makes the browser send its next requests to a host.
func (b *browser) on(host string) *browser {
	b.host = host
	return b
}

// wantOn compares who is active on each host according to the gate, get-session and the chooser.
func (b *browser) wantOn(when string, want map[string]string) {
	b.t.Helper()
	was := b.host
	defer func() { b.host = was }()
	for host, name := range want {
		b.host = host
		gate := ""
		if e, ok := b.visitor(b.request(http.MethodGet, "/", "")).Visit.Active(); ok {
			gate = e.Identity.UserName
		}
		if gate != name {
			b.t.Errorf("%s: the gate has %q on %s, want %q", when, gate, host, name)
		}
		answer := b.get("/.auth/get-session").Body.String()
		if name == "" && answer != "null" || !strings.Contains(answer, `"username":"`+name+`"`) && name != "" {
			b.t.Errorf("%s: get-session on %s says %s, want %q", when, host, answer, name)
		}
		page := b.get("/.auth/accounts").Body.String()
		if got := strings.Contains(page, `aria-current="true"`); got != (name != "") {
			b.t.Errorf("%s: the chooser on %s marks one as active: %t, want %q", when, host, got, name)
		}
	}
}

func TestEachHostHasItsAccount(t *testing.T) {
	b := newGateway(t, perHost).browser()
	const grafana, wiki, files, outside = "grafana.example.com", "wiki.example.com", "files.example.com:8443", "app.example.org"
	alice := b.on(wiki).signInAs("alice")
	bob := b.on(grafana).signInAs("bob")
	b.wantOn("signed in", map[string]string{wiki: "alice", grafana: "bob", files: "alice"})

	wantPage(t, b.on(grafana).get("/.auth/accounts"), http.StatusOK, "Choose an account on <bdi>grafana.example.com</bdi>", "Active wherever no other was chosen")
	wantPage(t, b.on(wiki).get("/.auth/accounts"), http.StatusOK, "on <bdi>wiki.example.com</bdi>", "Active on <bdi>grafana.example.com</bdi>")

	b.done(b.on(files).post("/.auth/multi-session/set-active", `{"sessionToken":"`+bob+`"}`))
	b.wantOn("switched by the API", map[string]string{wiki: "alice", grafana: "bob", files: "bob"})
	wantRedirect(t, b.on(grafana).submit("/.auth/accounts", "action", "switch", "session", alice), "/")
	b.wantOn("switched by the chooser", map[string]string{wiki: "alice", grafana: "alice", files: "bob"})
	b.done(b.on(files).post("/.auth/multi-session/revoke", `{"sessionToken":"`+bob+`"}`))
	b.wantOn("revoked", map[string]string{wiki: "alice", grafana: "alice", files: "alice"})

	b.done(b.on(wiki).post("/.auth/sign-out", `{}`))
	b.wantOn("signed out", map[string]string{wiki: "", grafana: "", files: ""})

	// A host outside the domain has a jar of its own, with one active session.
	b.on(outside).signInAs("carol")
	wantPage(t, b.get("/.auth/accounts"), http.StatusOK, "<h1>Choose an account</h1>")
}

func TestRevokedElsewhereIsNobodyHere(t *testing.T) {
	b := newGateway(t, perHost).browser()
	b.on("wiki.example.com").signInAs("alice")
	bob := b.on("grafana.example.com").signInAs("bob")
	b.on("files.example.com").submit("/.auth/accounts", "action", "switch", "session", bob)
	wantRedirect(t, b.on("grafana.example.com").submit("/.auth/accounts", "action", "sign-out", "session", bob), "/.auth/accounts?signed_out=1")
	b.wantOn("signed out", map[string]string{"grafana.example.com": "alice", "files.example.com": "", "wiki.example.com": "alice"})
	b.on("files.example.com")
	w := b.challenge(b.request(http.MethodGet, "/", "", "Sec-Fetch-Mode", "navigate"), "/x")
	wantRedirect(t, w, "/.auth/accounts?return_to=%2Fx")
	wantPage(t, b.get("/.auth/accounts"), http.StatusOK, "No account is active on <bdi>files.example.com</bdi>")
}

// TestChoosingOnTheWayToAnotherHost: a page that leads to another host of the domain shows and
// changes what is active there.
func TestChoosingOnTheWayToAnotherHost(t *testing.T) {
	const auth, wiki, to = "auth.example.com", "wiki.example.com", "https://wiki.example.com/page"
	b := newGateway(t, perHost, func(s *setup) { s.origins = []string{"https://spa.example.org", "http://old.example.com"} }).browser()
	alice := b.on(auth).signInAs("alice")
	query := "?return_to=" + url.QueryEscape(to)

	wantRedirect(t, b.submit("/.auth/sign-in", "identifier", "bob", "password", "bob-password", "return_to", to), to)
	b.wantOn("signed in on the way", map[string]string{auth: "alice", wiki: "bob"})
	wantPage(t, b.get("/.auth/accounts"+query), http.StatusOK, "Choose an account on <bdi>wiki.example.com</bdi>")
	wantPage(t, b.get("/.auth/account"+query), http.StatusOK, "Bob Example")
	wantPage(t, b.get("/.auth/account"), http.StatusOK, "Alice Example")
	wantRedirect(t, b.submit("/.auth/accounts", "action", "switch", "session", alice, "return_to", to), to)
	b.wantOn("switched on the way", map[string]string{auth: "alice", wiki: "alice"})
	carol := b.on(wiki).signInAs("carol")
	b.on(auth)

	for name, elsewhere := range map[string]string{
		"a path":                       "/page",
		"this host":                    "https://auth.example.com/page",
		"out of the domain":            "https://spa.example.org/",
		"where the cookie is not sent": "http://old.example.com/",
	} {
		t.Run(name, func(t *testing.T) {
			wantPage(t, b.get("/.auth/accounts?return_to="+url.QueryEscape(elsewhere)), http.StatusOK, "Choose an account on <bdi>auth.example.com</bdi>")
			wantRedirect(t, b.submit("/.auth/accounts", "action", "switch", "session", carol, "return_to", elsewhere), elsewhere)
			b.wantOn(name, map[string]string{auth: "carol", wiki: "carol", "old.example.com": "alice"})
			b.submit("/.auth/accounts", "action", "switch", "session", alice)
		})
	}
	// Hosts that share the active account share it here too.
	shared := newGateway(t, func(s *setup) { s.cookieDomain = "example.com" }).browser()
	shared.on(auth).signInAs("alice")
	wantRedirect(t, shared.submit("/.auth/sign-in", "identifier", "bob", "password", "bob-password", "return_to", to), to)
	shared.wantOn("shared", map[string]string{auth: "bob", wiki: "bob"})
}

// TestProviderLeadsBackToAnotherHost: a sign-in is for the host where it began, although the
// provider sends the browser back to another one.
func TestProviderLeadsBackToAnotherHost(t *testing.T) {
	corp := newIDP("corp")
	corp.redirectURI = "https://auth.example.com/.auth/callback/corp"
	b := newGateway(t, withProviders(corp), perHost).browser()
	b.on("auth.example.com").signInAs("alice")
	b.audited()

	state := b.on("wiki.example.com").begin("corp", "return_to", "/page")
	wantRedirect(t, b.on("auth.example.com").comeBack("corp", state, "bob"), "https://wiki.example.com/page")
	b.wantOn("begun on the wiki", map[string]string{"auth.example.com": "alice", "wiki.example.com": "bob", "files.example.com": "alice"})
	if line := b.audited()[0]; line["event"] != eventSignIn || line["host"] != "wiki.example.com" {
		t.Errorf("the line is %v", line)
	}
	state = b.on("auth.example.com").begin("corp", "return_to", "https://files.example.com/")
	wantRedirect(t, b.comeBack("corp", state, "carol"), "https://files.example.com/")
	b.wantOn("begun on the way to the files", map[string]string{"auth.example.com": "alice", "wiki.example.com": "bob", "files.example.com": "carol"})
}

// TestFlowOfAnotherConfiguration: a reload during a sign-in at a provider may turn "active
// per_host" on or off.
func TestFlowOfAnotherConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		begun, now session.Site
		want       session.Site
	}{
		"not any more": {"wiki.example.com", "", ""},
		"only now":     {"", "auth.example.com", "auth.example.com"},
		"both":         {"wiki.example.com", "auth.example.com", "wiki.example.com"},
	} {
		v := Visitor{Visit: session.Visit{}.At(c.now)}
		if got := v.at(c.begun).Visit.Site(); got != c.want {
			t.Errorf("%s: the account is active at %q, want %q", name, got, c.want)
		}
	}
}

func TestAuditNamesTheHost(t *testing.T) {
	b := newGateway(t, perHost).browser()
	alice := b.on("wiki.example.com").signInAs("alice")
	b.on("grafana.example.com").signInAs("bob")
	b.submit("/.auth/accounts", "action", "switch", "session", alice)
	b.submit("/.auth/accounts", "action", "sign-out", "session", alice)
	var got []string
	for _, line := range b.audited() {
		got = append(got, line["event"].(string)+" "+line["host"].(string))
	}
	if want := "sign-in wiki.example.com, sign-in grafana.example.com, switch grafana.example.com, revoke grafana.example.com"; strings.Join(got, ", ") != want {
		t.Errorf("lines are %q", got)
	}
	shared := newGateway(t).browser()
	shared.signInAs("alice")
	if line := shared.audited()[0]; line["host"] != nil {
		t.Errorf("without per_host the line is %v", line)
	}
}

// TestRefusalOffersByHost: the page offers what the host does not have already.
func TestRefusalOffersByHost(t *testing.T) {
	b := newGateway(t, perHost).browser()
	b.on("wiki.example.com").signInAs("alice")
	b.on("grafana.example.com").signInAs("bob")
	rule := session.Rule{Kind: session.RequireGroup, Values: []string{"admin"}}
	r, w := b.request(http.MethodGet, "/admin", "", "Sec-Fetch-Mode", "navigate"), httptest.NewRecorder()
	b.Refuse(w, r, b.visitor(r), session.Policy{rule}, rule)
	wantPage(t, w, http.StatusForbidden, "Bob Example", "Alice Example", `value="switch"`, `value="/admin"`)
}
