package integration

import (
	"fmt"
	"html"
	"net/http"
	"net/url"
	"testing"
)

// TestChromiumAnotherAccount adds a second account at a provider that answers with the one it knows, and
// signs out at providers that do not lead back.
func TestChromiumAnotherAccount(t *testing.T) {
	checker := axe(t)
	startChromium(t)
	corp := newIDP(t, idpOptions{Gateway: frontOrigin, IDs: []string{"corp"}, Habits: likeDex})
	club := newIDP(t, idpOptions{Gateway: frontOrigin, IDs: []string{"club"}})
	team := newIDP(t, idpOptions{Gateway: frontOrigin, IDs: []string{"team"}})
	g := startFrontWith(t, corp.login("corp", `name "Example Corp"`, "user_name_prefix corp-")+
		club.login("club", "name Club", "user_name_prefix club-", "response_mode form_post", "post_logout_redirect off")+
		team.login("team", "name Team", "user_name_prefix team-", "post_logout_redirect off"), "multi_session")
	b := newTab(t)
	look := func(state string) {
		t.Helper()
		b.inspect(state, checker)
		for _, scheme := range []string{"light", "dark"} {
			b.scheme(scheme)
			b.picture(state + "-" + scheme)
		}
		b.resize(320, 640, 1)
		b.picture(state + "-narrow")
		b.resize(1280, 800, 1)
	}
	const same = "This account is signed in already"

	b.open(frontOrigin + "/notes")
	b.signInAt("Example Corp", "alice", "Hello, corp-alice")
	b.open(frontOrigin + "/.auth/accounts?return_to=/notes")
	b.follow("link", "Add another account")
	b.follow("button", "Continue with Example Corp")
	b.awaits("heading", same)
	look("same-account")
	b.follow("button", "Sign in as someone else")
	b.awaits("heading", same)
	b.says("once more")
	look("same-account-again")
	b.follow("button", "Sign out at Example Corp first")
	b.awaits("button", "Continue with Example Corp")
	b.signInAt("Example Corp", "bob", "Hello, corp-bob")
	b.at(frontOrigin + "/notes")

	// The answer of this one is a form of its page, which browsers send without the site's cookies.
	b.open(frontOrigin + "/.auth/sign-in?provider=club&return_to=/notes")
	b.awaits("button", whoButton)
	b.fill(whoField, "carol")
	b.follow("button", whoButton)
	b.awaits("heading", "Hello, club-carol")
	b.open(frontOrigin + "/.auth/sign-in?return_to=/notes")
	b.signInAt("Team", "alice", "Hello, team-alice")

	// A failed sign-in leads to the same one again.
	b.open(frontOrigin + "/.auth/sign-in?return_to=/notes")
	b.follow("button", "Continue with Team")
	b.awaits("button", refusalButton)
	b.followAs(http.StatusForbidden, "button", refusalButton)
	b.says("You were not signed in")
	b.follow("button", "Try again")
	b.awaits("button", whoButton)
	b.fill(whoField, "bob")
	b.follow("button", whoButton)
	b.awaits("heading", "Hello, team-bob")
	b.at(frontOrigin + "/notes")

	// A frame on a page of the provider ends its session here.
	corp.override("/signed-out", func(w http.ResponseWriter, _ *http.Request) {
		there := frontOrigin + "/.auth/oidc/corp/frontchannel-logout?" + url.Values{"iss": {corp.issuer}, "sid": {corp.keep.sids("bob")[0]}}.Encode()
		writePage(w, "Signed out", fmt.Sprintf(`<iframe title="the app" src="%s"></iframe>`, html.EscapeString(there)))
	})
	b.open(corp.issuer + "/signed-out")
	await(t, "the end of the session", func() bool { return len(g.audit("front-channel-logout")) == 1 })
	b.open(frontOrigin + "/.auth/accounts?return_to=/notes")
	b.lacks("button", "Sign out Bob Provided, Example Corp")
	b.find("button", "Sign out Alice Provided, Example Corp")

	b.follow("button", "Sign out of all accounts")
	b.awaits("heading", "You are signed out here")
	b.find("link", "Sign out at Club (opens in a new tab)")
	b.find("link", "Sign out at Team (opens in a new tab)")
	look("signed-out")
	b.follow("link", "Continue")
	b.says("You are signed out.")
	noErrors(t, g)
}
