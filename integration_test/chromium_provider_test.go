package integration

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// awaits returns when the page that the browser has been sent on to has an element.
func (b *tab) awaits(role, name string) {
	b.t.Helper()
	defer func() {
		if b.t.Failed() {
			b.t.Log(b.outline())
		}
	}()
	await(b.t, role+" "+name, func() bool { _, ok := b.lookup(role, name); return ok })
}

// signInAt goes from the sign-in page to a provider, in signs a user there, and comes back to a page
// with the heading.
func (b *tab) signInAt(provider, user, heading string) {
	b.t.Helper()
	b.follow("button", "Continue with "+provider)
	b.awaits("button", whoButton)
	b.fill(whoField, user)
	b.follow("button", whoButton)
	b.awaits("heading", heading)
}

// picture keeps what the tab shows in the directory that SCREENSHOTS names, for somebody to look at.
func (b *tab) picture(name string) {
	b.t.Helper()
	dir := os.Getenv("SCREENSHOTS")
	if dir == "" {
		return
	}
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	b.must(err)
	b.must(os.MkdirAll(dir, 0o755))
	b.must(os.WriteFile(filepath.Join(dir, name+".png"), shot, 0o644))
}

// TestChromiumProviders walks the whole flow as people do: to two providers on another site and back,
// beside an account with a password, and out again.
func TestChromiumProviders(t *testing.T) {
	checker := axe(t)
	startChromium(t)
	first := newIDP(t, idpOptions{Gateway: frontOrigin, IDs: []string{"corp"}})
	second := newIDP(t, idpOptions{Gateway: frontOrigin, IDs: []string{"club"}})
	g := startFrontWith(t, first.login("corp", `name "Example Corp"`, "user_name_prefix corp-")+second.login("club", "name Club", "user_name_prefix club-")+passwords, "multi_session")
	b := newTab(t)
	seen := func(state string) {
		t.Helper()
		b.axe(state, checker)
		b.fits(320, 640)
		b.picture(state + "-narrow")
		b.resize(1280, 800, 1)
		b.picture(state)
	}

	b.scheme("dark")
	b.open(frontOrigin + "/notes?x=1")
	seen("sign-in")
	b.signInAt("Example Corp", "alice", "Hello, corp-alice")
	b.at(frontOrigin + "/notes?x=1")
	if jar := b.jarOf(frontOrigin); !strings.HasPrefix(jar, "__Host-") {
		t.Errorf("the cookie is %s", jar)
	}

	// The provider knows the browser, and asks who it is to be all the same.
	b.open(frontOrigin + "/.auth/accounts?return_to=/notes")
	b.follow("link", "Add another account")
	b.signInAt("Example Corp", "bob", "Hello, corp-bob")
	b.open(frontOrigin + "/.auth/sign-in?return_to=/notes")
	b.signInAt("Club", "carol", "Hello, club-carol")
	b.open(frontOrigin + "/.auth/sign-in?return_to=/notes")
	b.signIn(http.StatusOK, "carol", password("carol"))
	b.at(frontOrigin + "/notes")

	b.open(frontOrigin + "/.auth/accounts?return_to=/notes")
	seen("chooser")
	b.scheme("light")
	b.follow("button", "Switch to Bob Provided bob@example.com Example Corp")
	b.find("heading", "Hello, corp-bob")

	// Somebody changes their mind.
	b.open(frontOrigin + "/.auth/sign-in?return_to=/notes")
	b.follow("button", "Continue with Example Corp")
	b.awaits("button", refusalButton)
	b.followAs(http.StatusForbidden, "button", refusalButton)
	b.says("You were not signed in")
	seen("cancelled")

	// Signed out at the provider as well, and back.
	b.open(frontOrigin + "/.auth/accounts?return_to=/notes")
	b.follow("button", "Remove Carol Provided, Club")
	if got := len(second.keep.sids("carol")); got != 1 {
		t.Errorf("removed from the chooser, and %d sessions at the provider", got)
	}
	b.follow("button", "Sign out Bob Provided, Example Corp")
	b.awaits("link", "Continue as Carol Example Active carol@example.com Password")
	b.says("signed out")
	if got := first.keep.sids("bob"); len(got) != 0 {
		t.Errorf("the sessions %v at the provider", got)
	}
	b.follow("button", "Sign out of all accounts")
	b.awaits("heading", "Sign in")
	b.says("You are signed out.")
	if got := first.keep.sids("alice"); len(got) != 0 {
		t.Errorf("the sessions %v at the provider", got)
	}
	if jar := b.jarOf(frontOrigin); jar != "" {
		t.Errorf("the cookie %s is left", jar)
	}
	noErrors(t, g)
}

// jarOf is the name of the one lasting cookie that the browser has for the gateway's site, or empty.
func (b *tab) jarOf(origin string) string {
	b.t.Helper()
	var names []string
	for _, c := range b.lasting() {
		if strings.HasSuffix(c.Name, "_view") {
			continue
		}
		if c.Domain == strings.TrimPrefix(origin, "https://") {
			names = append(names, c.Name)
		}
	}
	if len(names) > 1 {
		b.t.Errorf("the site's cookies are %v", names)
	}
	return strings.Join(names, " ")
}

// TestChromiumProviderByKeyboard goes the same way without scripts and without a mouse.
func TestChromiumProviderByKeyboard(t *testing.T) {
	startChromium(t)
	p := newIDP(t, idpOptions{Gateway: frontOrigin})
	startFrontWith(t, p.login("idp", "name Example"), "multi_session")
	b := newTab(t)
	b.disableScripts()
	b.open(frontOrigin + "/notes")
	b.must(b.run(press(kb.Tab)))
	b.focusedIs("button", "Continue with Example")
	b.arrive(http.StatusOK, press(kb.Enter))
	b.awaits("button", whoButton)
	b.must(b.run(chromedp.KeyEvent("alice")))
	b.arrive(http.StatusOK, press(kb.Enter))
	b.awaits("heading", "Hello, alice")
	b.at(frontOrigin + "/notes")
}

// TestChromiumStraightToTheProvider: where there is one way to sign in, the page that offers it can be
// left out.
func TestChromiumStraightToTheProvider(t *testing.T) {
	startChromium(t)
	p := newIDP(t, idpOptions{Gateway: frontOrigin})
	startFrontWith(t, "skip_sign_in_page\n"+p.login("idp", "name Example"), "multi_session")
	b := newTab(t)
	// A site that leads through itself to another, and keeps a cookie, is what Chromium takes trackers for.
	b.refusals[`issue: BounceTrackingIssue {"bounceTrackingIssueDetails":{"trackingSites":["example.com"]}}`] = true
	b.open(frontOrigin + "/notes")
	b.awaits("button", whoButton)
	b.fill(whoField, "alice")
	b.follow("button", whoButton)
	b.awaits("heading", "Hello, alice")
	b.at(frontOrigin + "/notes")
	// Who has an account is asked what they want.
	b.open(frontOrigin + "/.auth/sign-in")
	b.find("button", "Continue with Example")
	b.open(frontOrigin + "/.auth/accounts")
	b.follow("button", "Sign out Alice Provided")
	b.awaits("heading", "Sign in")
	b.says("You are signed out.") // and is not signed in again at once
}
