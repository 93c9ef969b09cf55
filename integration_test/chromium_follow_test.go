package integration

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// awaitText returns when the page says a text. Until then it may become another page at any moment.
func (b *tab) awaitText(text string) {
	b.t.Helper()
	await(b.t, fmt.Sprintf("the page to say %q", text), func() bool {
		ctx, cancel := context.WithTimeout(b.ctx, time.Minute)
		defer cancel()
		says, err := chromedp.Run(ctx, chromedp.Evaluate[bool](fmt.Sprintf("document.readyState === 'complete' && document.body.innerText.includes(%q)", text)))
		return err == nil && says
	})
}

// hide has the page believe that it is seen, or not.
func (b *tab) hide(hidden bool) {
	b.t.Helper()
	evaluate[bool](b, fmt.Sprintf(`Object.defineProperty(document, "visibilityState", {configurable: true, value: %t ? "hidden" : "visible"}),
		document.dispatchEvent(new Event("visibilitychange"))`, hidden))
}

const followGates = `multi_session {
		isolate_cookies off
	}
	multi_session /admin* {
		require group admin
	}`

// TestChromiumPagesFollow has pages of the portal open in several tabs while something happens in another
// one.
func TestChromiumPagesFollow(t *testing.T) {
	checker := axe(t)
	g := startFront(t, "\n\tsign_up", followGates)
	acting := newTab(t)
	portal := frontOrigin + "/.auth"
	for _, user := range []string{"alice", "bob"} {
		acting.open(portal + "/sign-in")
		acting.signIn(http.StatusOK, user, password(user))
	}

	chooser, refusal, account, form := acting.another(), acting.another(), acting.another(), acting.another()
	chooser.open(portal + "/accounts?return_to=%2Fdocuments")
	refusal.openAs(http.StatusForbidden, frontOrigin+"/admin?x=%20y#part")
	account.open(portal + "/account")
	form.open(portal + "/sign-in")
	form.fill(identifierField, "half a na")
	await(t, "one of the pages to listen for all", func() bool { return g.streamGoroutines(t) == 1 })

	acting.open(portal + "/accounts")
	acting.follow("button", "Switch to Alice Example alice@example.com")
	chooser.awaitText("Bob Example\nbob@example.com\nSign out")
	chooser.find("button", "Switch to Bob Example bob@example.com")
	chooser.at(portal + "/accounts?return_to=%2Fdocuments")
	refusal.awaitText("Hello, alice")
	refusal.at(frontOrigin + "/admin?x=%20y#part")
	account.awaitText("alice@example.com")
	form.awaitText("You are now signed in as Alice Example.")
	if typed := evaluate[string](form, "document.getElementById('identifier').value"); typed != "half a na" {
		t.Errorf("of what was typed there is %q", typed)
	}
	for name, b := range map[string]*tab{"chooser": chooser, "refusal": refusal, "account": account, "form": form} {
		times := evaluate[int](b, `JSON.parse(sessionStorage.getItem("multi_session/.auth") ?? "[]").length`)
		if want := map[bool]int{true: 0, false: 1}[b == form]; times != want {
			t.Errorf("%s: was drawn anew %d times", name, times)
		}
	}
	form.inspect("sign-in that somebody types in", checker)
	form.follow("link", "Update this page")
	form.at(portal + "/sign-in")
	form.lacks("link", "Update this page")

	// Nobody is there to see it.
	chooser.hide(true)
	acting.open(portal + "/accounts")
	acting.follow("button", "Switch to Bob Example bob@example.com")
	account.awaitText("bob@example.com")
	chooser.find("button", "Switch to Bob Example bob@example.com")
	chooser.hide(false)
	chooser.awaitText("Alice Example\nalice@example.com\nSign out")
	chooser.find("button", "Switch to Alice Example alice@example.com")

	acting.open(portal + "/accounts")
	acting.follow("button", "Sign out of all accounts")
	chooser.awaitText("Nobody is signed in")
	// Without a jar there is nothing to listen to; the pages tell one another.
	acting.open(portal + "/sign-in")
	acting.signIn(http.StatusOK, "carol", password("carol"))
	acting.open(portal + "/accounts")
	chooser.awaitText("Carol Example")
}

// TestChromiumASignInIsNotInterrupted has the page that sends a form hear of what it brings about before the
// answer is there: to follow then would lose the new cookie.
func TestChromiumASignInIsNotInterrupted(t *testing.T) {
	startFront(t, "", followGates)
	portal := frontOrigin + "/.auth"
	b := newTab(t)
	b.open(portal + "/sign-in")
	b.signIn(http.StatusOK, "alice", password("alice"))
	for range 10 {
		for _, user := range []string{"bob", "alice"} {
			b.open(portal + "/sign-in?return_to=%2Fdocuments")
			b.signIn(http.StatusOK, user, password(user))
			b.at(frontOrigin + "/documents")
			b.awaitText("Hello, " + user)
		}
	}
}

// TestChromiumASwitchKeepsTheFragment: it is the browser's own, and no server sees it.
func TestChromiumASwitchKeepsTheFragment(t *testing.T) {
	startFront(t, "", followGates)
	portal := frontOrigin + "/.auth"
	b := newTab(t)
	for _, user := range []string{"alice", "bob"} {
		b.open(portal + "/sign-in")
		b.signIn(http.StatusOK, user, password(user))
	}
	const refused = frontOrigin + "/admin/a%2Fb?x=%20&y=+#a/b?c"
	b.openAs(http.StatusForbidden, refused)
	b.follow("button", "Switch to Alice Example alice@example.com")
	b.at(refused)
	b.awaitText("Hello, alice")
}
