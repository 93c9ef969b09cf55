package integration

import (
	"net/http"
	"testing"
)

// TestFirstPageAfterASwitchIsPreceded: by one of the gateway's, once, and nothing but a page of a tab is.
func TestFirstPageAfterASwitchIsPreceded(t *testing.T) {
	app := newEcho(t)
	address := freeAddress(t)
	startGateway(t, site(address, app.address(), "", publicStatic))
	b := newBrowser(t, "http://"+address)
	ask := func(method, path, mode, dest string) reply {
		t.Helper()
		request := b.request(method, path, nil)
		request.Header.Set("Sec-Fetch-Mode", mode)
		request.Header.Set("Sec-Fetch-Dest", dest)
		request.Header.Set("Sec-Fetch-Site", "same-origin")
		return b.must(request)
	}
	passes := func(how string, answer reply) {
		t.Helper()
		if answer.Header.Get("Refresh") != "" || answer.Header.Get("Clear-Site-Data") != "" || answer.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %v", how, answer.Status, answer.Header)
		}
	}
	alice := b.signIn("alice")
	passes("the first page of all", ask("GET", "/", "navigate", "document"))
	passes("the next", ask("GET", "/", "navigate", "document"))
	for _, user := range []string{"bob", "alice"} {
		if user == "bob" {
			b.signIn(user)
		} else {
			b.post("/.auth/multi-session/set-active", map[string]any{"sessionToken": alice})
		}
		passes("a form", ask("POST", "/", "navigate", "document"))
		passes("a frame", ask("GET", "/", "navigate", "iframe"))
		passes("a script", ask("GET", "/", "cors", "empty"))
		passes("what is public", ask("GET", "/static/", "navigate", "document"))
		passes("a client that is no browser", ask("GET", "/", "", ""))
		before := app.requests.Load()
		got := ask("GET", "//evil.example/?x=1", "navigate", "document")
		for name, want := range map[string]string{
			"Refresh": "0", "Clear-Site-Data": `"cache"`, "Cache-Control": "no-store", "Location": "",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp", "X-Content-Type-Options": "nosniff",
		} {
			if got.Header.Get(name) != want {
				t.Errorf("%s is %q, want %q", name, got.Header.Get(name), want)
			}
		}
		if app.requests.Load() != before {
			t.Error("the app has seen a request that it did not answer")
		}
		passes("the page that was asked for", ask("GET", "//evil.example/?x=1", "navigate", "document"))
		passes("and the next", ask("GET", "/", "navigate", "document"))
	}
}
