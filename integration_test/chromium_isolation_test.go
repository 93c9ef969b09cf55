package integration

import (
	"net/http"
	"strings"
	"testing"
)

// TestChromiumScriptsSeeTheActiveAccountsCookies switches accounts in a real browser, in which scripts read
// and change the app's cookie.
func TestChromiumScriptsSeeTheActiveAccountsCookies(t *testing.T) {
	startChromium(t)
	_, app := newStubborn(t)
	address := freeAddress(t)
	startGateway(t, site(address, app, "", "multi_session"))
	origin := "http://" + address
	signInAt := func(b *tab, user string) {
		b.open(origin + "/.auth/sign-in?return_to=/")
		b.signIn(http.StatusOK, user, password(user))
	}
	b := newFaultyTab(t)
	heading := func() string { return evaluate[string](b, `document.querySelector("h1").textContent`) }
	cookies := func() string { return evaluate[string](b, `document.cookie`) }
	check := func(user, readable string) {
		t.Helper()
		if heading() != user || cookies() != readable {
			t.Fatalf("the page is %s's, its scripts read %q; want %s's and %q", heading(), cookies(), user, readable)
		}
	}
	use := func(user string) {
		t.Helper()
		status := evaluate[int](b, `(async () => {
			const list = await (await fetch("/.auth/multi-session/list-device-sessions")).json();
			const one = list.find(e => e.user.email.startsWith("`+user+`"));
			const answer = await fetch("/.auth/multi-session/set-active", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({sessionToken: one.session.token})});
			return answer.status;
		})()`)
		if status != http.StatusOK {
			t.Fatalf("switch to %s: %d", user, status)
		}
		b.open(origin + "/")
	}
	signInAt(b, "alice")
	check("alice", "csrf=csrf-of-alice")
	signInAt(b, "bob")
	check("bob", "csrf=csrf-of-bob")
	evaluate[string](b, `document.cookie = "csrf=changed-by-bob; Path=/"`)
	evaluate[string](b, `document.cookie = "made=by-bob; Path=/"`)
	for range 2 {
		use("alice")
		check("alice", "csrf=csrf-of-alice")
		use("bob")
		check("bob", "csrf=changed-by-bob; made=by-bob")
	}
	// The app sees what scripts do.
	text := evaluate[string](b, `(async () => (await (await fetch("/")).text()))()`)
	if !strings.Contains(text, "made=by-bob") || !strings.Contains(text, "csrf=changed-by-bob") || strings.Contains(text, "ms~") {
		t.Errorf("the app sees %s", text)
	}
	// A page's script has no part in a slot.
	evaluate[string](b, `document.cookie = "ms~AAAAAAAAAAAAAAAAAAAAAA~app_session=~forged; Path=/"`)
	use("alice")
	check("alice", "csrf=csrf-of-alice")
}
