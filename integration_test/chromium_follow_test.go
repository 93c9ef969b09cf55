package integration

import (
	"context"
	"fmt"
	"net/http"
	"strings"
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

// signInAs has users sign in one after the other, the last of whom is active then.
func (b *tab) signInAs(portal string, users ...string) {
	b.t.Helper()
	for _, user := range users {
		b.open(portal + "/sign-in")
		b.signIn(http.StatusOK, user, password(user))
	}
}

const followGates = `multi_session {
		isolate_cookies off
		ambiguous_paths allow
	}
	multi_session /admin* {
		require group admin
		ambiguous_paths allow
	}`

// TestChromiumPagesFollow has pages of the portal open in several tabs while something happens in another
// one.
func TestChromiumPagesFollow(t *testing.T) {
	checker := axe(t)
	g := startFront(t, "\n\tsign_up", followGates)
	acting := newTab(t)
	portal := frontOrigin + "/.auth"
	acting.signInAs(portal, "alice", "bob")

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

// TestChromiumAFormOnItsWayIsNotInterrupted has somebody send a form whose answer takes long. To draw the page
// anew meanwhile would give up on the answer, and on the new cookie that comes with one to a sign-in.
func TestChromiumAFormOnItsWayIsNotInterrupted(t *testing.T) {
	startFront(t, "", followGates)
	portal := frontOrigin + "/.auth"
	acting := newTab(t)
	acting.signInAs(portal, "alice", "bob")
	sending, other := acting.another(), acting.another()
	for _, b := range []*tab{sending, other} {
		b.open(portal + "/accounts")
		b.must(b.run(chromedp.Evaluate[chromedp.Void](`document.body.id = "first"`)))
	}
	// The browser has yet to hear of the answer: to the page that is the same as if it did not send.
	sending.must(sending.run(chromedp.Evaluate[chromedp.Void](`addEventListener("submit", event => event.preventDefault())`),
		sending.click(sending.find("button", "Sign out Alice Example"))))
	for _, name := range []string{"Alice Example", "Bob Example", "Alice Example"} {
		acting.open(portal + "/accounts")
		acting.follow("button", "Switch to "+name+" "+strings.ToLower(strings.Fields(name)[0])+"@example.com")
		await(t, "the other page to follow", func() bool {
			now, err := chromedp.Run(other.ctx, chromedp.Evaluate[string](`document.readyState === "complete" ? document.querySelector("[aria-current] .name").textContent : ""`))
			return err == nil && now == name
		})
	}
	if id := evaluate[string](other, "document.body.id"); id != "" {
		t.Errorf("the other page is still the %s", id)
	}
	if id := evaluate[string](sending, "document.body.id"); id != "first" {
		t.Error("the page that sent a form was drawn anew")
	}
	// Were it to come back out of the browser's memory, it would follow.
	sending.must(sending.run(chromedp.Evaluate[chromedp.Void](`dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}))`)))
	sending.awaitText("Bob Example\nbob@example.com\nSign out")
}

// TestChromiumAFormIsSentOnce: a double click would drop the answer to the first request, and the
// cookie that comes with it. A page that the browser restores sends again.
func TestChromiumAFormIsSentOnce(t *testing.T) {
	startFront(t, "", "multi_session")
	b := newTab(t)
	b.open(frontOrigin + "/.auth/sign-in")
	b.fill(identifierField, "alice")
	b.fill(passwordField, password("alice"))
	// The answer takes long: to the page that is the same as if the browser did not send.
	b.must(b.run(chromedp.Evaluate[chromedp.Void](`
		window.sent = 0;
		addEventListener("submit", event => {
			if (!event.defaultPrevented) sent++;
			event.preventDefault();
		})`)))
	press := func(want int) {
		t.Helper()
		for range 2 {
			b.must(b.run(b.click(b.find("button", "Sign in"))))
		}
		if got := evaluate[int](b, "sent"); got != want {
			t.Errorf("the form is sent %d times, want %d", got, want)
		}
	}
	press(1)
	b.must(b.run(chromedp.Evaluate[chromedp.Void](`dispatchEvent(new PageTransitionEvent("pageshow", {persisted: true}))`)))
	press(2)
}

// TestChromiumTheFragmentIsKept: it is the browser's own, and no server sees it. Apps keep in it which
// of their pages is shown.
func TestChromiumTheFragmentIsKept(t *testing.T) {
	startFront(t, "", followGates)
	portal := frontOrigin + "/.auth"
	b := newTab(t)
	const wanted = frontOrigin + "/app?x=1#/view/CI01"
	b.open(wanted)
	b.signIn(http.StatusUnauthorized, "bob", "wrong")
	b.signIn(http.StatusOK, "bob", password("bob"))
	b.at(wanted)

	// Another account is added on the way to a page that this one has no access to.
	const refused = frontOrigin + "/admin/a%2Fb?x=%20&y=+#a/b?c"
	b.openAs(http.StatusForbidden, refused)
	b.follow("link", "Add another account")
	b.signIn(http.StatusOK, "alice", password("alice"))
	b.at(refused)

	b.open(portal + "/accounts")
	b.follow("button", "Switch to Bob Example bob@example.com")
	b.openAs(http.StatusForbidden, refused)
	b.follow("link", "All accounts")
	b.follow("button", "Switch to Alice Example alice@example.com")
	b.at(refused)
	b.awaitText("Hello, alice")

	b.openAs(http.StatusOK, portal+"/accounts?return_to=%2Fapp#/view/CI02")
	b.follow("link", "Continue as Alice Example Active alice@example.com")
	b.at(frontOrigin + "/app#/view/CI02")
}
