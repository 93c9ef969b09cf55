package integration

import (
	"net/http"
	"net/url"
	"testing"
)

// TestChromiumAnAccountForEachHost has somebody go from host to host of a domain, and choose on each.
func TestChromiumAnAccountForEachHost(t *testing.T) {
	checker := axe(t)
	startChromium(t)
	p := startPinned(t, ";active per_host")
	wiki, ops := "http://wiki.example.test:"+port(p.address), "http://ops.example.test:"+port(p.address)
	b := newFaultyTab(t) // Chromium reports that document.cookie is read
	believes := func(origin, user string) {
		t.Helper()
		b.open(origin + "/")
		if got := evaluate[string](b, `document.querySelector("h1").textContent`); got != user {
			t.Fatalf("on %s the app believes %q, want %q", origin, got, user)
		}
		if got := evaluate[string](b, `document.cookie`); got != "csrf=csrf-of-"+user {
			t.Fatalf("on %s scripts read %q, want that of %q", origin, got, user)
		}
	}
	signIn := func(origin, user string) {
		t.Helper()
		b.open(origin + "/.auth/sign-in?return_to=/")
		b.signIn(http.StatusOK, user, password(user))
	}
	signIn(wiki, "alice")
	believes(wiki, "alice")
	b.open(ops + "/")
	b.find("heading", "Continue on this site?")
	b.inspect("continue at a host", checker)
	b.follow("button", "Continue as Alice Example alice@example.com Active wherever no other was chosen")
	b.at(ops + "/")
	believes(ops, "alice")
	signIn(ops, "bob")
	believes(ops, "bob")
	believes(wiki, "alice")

	b.open(wiki + "/.auth/accounts?return_to=/")
	b.find("heading", "Choose an account on wiki.example.test")
	b.find("link", "Continue as Alice Example Active alice@example.com Active wherever no other was chosen")
	b.inspect("chooser of a host", checker)
	b.follow("button", "Switch to Bob Example bob@example.com Active on ops.example.test")
	b.at(wiki + "/")
	believes(wiki, "bob")
	believes(ops, "bob")

	// The chooser of one host, on the way to another one.
	b.open(wiki + "/.auth/accounts?return_to=" + url.QueryEscape(ops+"/"))
	b.find("heading", "Choose an account on ops.example.test")
	b.follow("button", "Switch to Alice Example alice@example.com Active wherever no other was chosen")
	b.at(ops + "/")
	believes(ops, "alice")
	believes(wiki, "bob")

	b.open(wiki + "/.auth/accounts")
	b.follow("button", "Sign out Bob Example")
	believes(wiki, "alice")
	signIn(ops, "carol")
	b.open(wiki + "/.auth/accounts")
	b.follow("button", "Sign out Alice Example")
	b.open("http://third.example.test:" + port(p.address) + "/")
	b.find("heading", "Continue on this site?")
	b.inspect("continue at a host with none active", checker)
	b.follow("button", "Continue as Carol Example carol@example.com Active on ops.example.test, wiki.example.test")
	believes("http://third.example.test:"+port(p.address), "carol")
}
