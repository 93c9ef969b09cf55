package portal

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestEachChangeOfTheActiveSessionShowsItsView: every answer that changes the active session sets
// that session's view, for forms and the API.
func TestEachChangeOfTheActiveSessionShowsItsView(t *testing.T) {
	b := newGateway(t).browser()
	seen := map[string]string{}
	at := func(how, user string) {
		t.Helper()
		r := b.request(http.MethodGet, "/", "")
		v := b.visitor(r)
		shown := v.Cookies.ReadView()
		if want := v.Visit.View(); shown != want {
			t.Errorf("%s: the browser is at the view %q, want %q", how, shown, want)
		}
		if before, ok := seen[user]; ok && before != shown {
			t.Errorf("%s: the view of %s changed", how, user)
		}
		for other, view := range seen {
			if other != user && view == shown {
				t.Errorf("%s: the view of %q is that of %q", how, user, other)
			}
		}
		seen[user] = shown
	}
	do := func(how, user string, w *httptest.ResponseRecorder) {
		t.Helper()
		b.setCookie(w)
		at(how, user)
	}
	at("at first", "")
	alice := b.signInAs("alice")
	at("sign-in", "alice")
	bob := b.signInAs("bob")
	at("another sign-in", "bob")
	do("switch by the API", "alice", b.post("/.auth/multi-session/set-active", `{"sessionToken":"`+alice+`"}`))
	do("a switch that fails", "alice", b.post("/.auth/multi-session/set-active", `{"sessionToken":"nobody's"}`))
	do("switch by the form", "bob", b.submit("/.auth/accounts", "action", "switch", "session", bob))
	do("revoke of the other", "bob", b.post("/.auth/multi-session/revoke", `{"sessionToken":"`+alice+`"}`))
	delete(seen, "alice")
	alice = b.signInAs("alice")
	at("a new session of alice", "alice")
	do("revoke of the active one", "bob", b.post("/.auth/multi-session/revoke", `{"sessionToken":"`+alice+`"}`))
	do("sign-out by the form", "", b.submit("/.auth/accounts", "action", "sign-out", "session", bob))
	delete(seen, "alice")
	b.signInAs("alice")
	do("sign-out of all", "", b.post("/.auth/sign-out", `{}`))
}
