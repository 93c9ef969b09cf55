package integration

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestResetPage: it comes before the first page after a switch, once, and only before pages of a tab.
func TestResetPage(t *testing.T) {
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
		if precedes(answer) || answer.Header.Get("Clear-Site-Data") != "" || answer.StatusCode != http.StatusOK {
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
			"Clear-Site-Data": `"cache"`, "Cache-Control": "no-store", "Location": "",
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

// switched returns a browser that was shown a page as alice and is bob since.
func switched(t *testing.T) (*browser, *echo) {
	t.Helper()
	app := newEcho(t)
	address := freeAddress(t)
	startGateway(t, site(address, app.address(), "", "multi_session"))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")
	b.open("/")
	b.signIn("bob")
	return b, app
}

// TestAttackResetPageHidesAnotherSite: to the browser the request after the reset page comes from this
// site, though a page of another one led there. So somebody must click first.
func TestAttackResetPageHidesAnotherSite(t *testing.T) {
	b, app := switched(t)
	request := b.request(http.MethodGet, "/transfer?to=eve", nil)
	request.Header.Set("Sec-Fetch-Mode", "navigate")
	request.Header.Set("Sec-Fetch-Dest", "document")
	request.Header.Set("Sec-Fetch-Site", "cross-site")
	before := app.requests.Load()
	answer := b.must(request)
	policy := answer.Header.Get("Content-Security-Policy")
	if !precedes(answer) || app.requests.Load() != before {
		t.Fatalf("%s %v", answer.Status, answer.Header)
	}
	if strings.Contains(answer.body, "<script") || strings.Contains(answer.body, "http-equiv") || answer.Header.Get("Refresh") != "" || strings.Contains(policy, "script-src") {
		t.Errorf("the page goes on by itself: %s\n%s", policy, answer.body)
	}
	if !strings.Contains(answer.body, "You are <bdi>Bob Example</bdi> here now") || !strings.Contains(answer.body, `href=""`) || strings.Contains(answer.body, "eve") {
		t.Errorf("the page says %s", answer.body)
	}
}

// TestResetPageAfterSignIn: after a sign-in at a provider the browser says that the provider's site has
// led to the page. The reset page does not wait for a click there, and waits everywhere else.
func TestResetPageAfterSignIn(t *testing.T) {
	b, _ := switched(t)
	answer := b.submit("/.auth/sign-in", url.Values{"identifier": {"carol"}, "password": {password("carol")}, "return_to": {"/notes?x=1#part"}})
	if answer.StatusCode != http.StatusSeeOther {
		t.Fatal(answer.Status)
	}
	for path, waits := range map[string]bool{"/notes?x=1": false, "/notes?x=2": true} {
		request := b.request(http.MethodGet, path, nil)
		request.Header.Set("Sec-Fetch-Mode", "navigate")
		request.Header.Set("Sec-Fetch-Dest", "document")
		request.Header.Set("Sec-Fetch-Site", "cross-site")
		for _, c := range b.client.Jar.Cookies(request.URL) {
			request.AddCookie(c)
		}
		client := &http.Client{} // does not take the cookie, so the next path gets the page too
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if !precedes(reply{Response: response}) || strings.Contains(string(body), "<script") == waits {
			t.Errorf("%s: %s\n%s", path, response.Status, body)
		}
	}
}

// TestAttackResetForEver: a browser that does not take the cookie comes through.
func TestAttackResetForEver(t *testing.T) {
	b, _ := switched(t)
	request := b.request(http.MethodGet, "/", nil)
	var cookies []string
	for _, c := range b.client.Jar.Cookies(request.URL) {
		cookies = append(cookies, c.Name+"="+c.Value)
	}
	stuck := &http.Client{} // takes no cookie
	for i, want := range []bool{true, false, false} {
		request := b.request(http.MethodGet, "/", nil)
		request.Header.Set("Cookie", strings.Join(cookies, "; "))
		request.Header.Set("Sec-Fetch-Mode", "navigate")
		request.Header.Set("Sec-Fetch-Dest", "document")
		response, err := stuck.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := precedes(reply{Response: response}); got != want {
			t.Errorf("request %d: is preceded: %t, want %t", i, got, want)
		}
	}
}

// TestAttackResetSkippedBySwitchingBack: alice, bob, alice, bob at one address, as fast as it goes. The
// reset page comes with every switch.
func TestAttackResetSkippedBySwitchingBack(t *testing.T) {
	app := newEcho(t)
	address := freeAddress(t)
	startGateway(t, site(address, app.address(), "", "multi_session {\n clear_storage_on_switch\n}"))
	b := newBrowser(t, "http://"+address)
	handles := []string{b.signIn("alice")}
	b.open("/page")
	handles = append(handles, b.signIn("bob"))
	for i := range 6 {
		answer := b.openOnce("/page")
		if !precedes(answer) || answer.Header.Get("Clear-Site-Data") != `"cache", "storage"` {
			t.Fatalf("switch %d: %s %v", i, answer.Status, answer.Header)
		}
		if answer = b.openOnce("/page"); precedes(answer) {
			t.Fatalf("switch %d: it came twice", i)
		}
		b.post("/.auth/multi-session/set-active", map[string]any{"sessionToken": handles[i%2]})
	}
}

// TestAttackPlantedShownCookie: somebody on the network has planted a second cookie for one path. The
// reset page comes before that path with every switch all the same.
func TestAttackPlantedShownCookie(t *testing.T) {
	b, _ := switched(t)
	planted := b.request(http.MethodGet, "/page", nil).URL
	b.client.Jar.SetCookies(planted, []*http.Cookie{{Name: "multi_session_shown", Value: "planted", Path: "/page"}})
	for range 3 {
		for _, want := range []bool{true, false, false} {
			if answer := b.openOnce("/page"); precedes(answer) != want {
				t.Fatalf("is preceded: %t, want %t", precedes(answer), want)
			}
		}
		var entries []entry
		b.get("/.auth/multi-session/list-device-sessions").json(t, &entries)
		for _, e := range entries {
			if active := b.active(); strings.TrimPrefix(e.User.ID, "password:") != active {
				b.post("/.auth/multi-session/set-active", map[string]any{"sessionToken": e.Session.Token})
				break
			}
		}
	}
}
