package integration

import (
	"net/http"
	"strings"
	"testing"
)

// TestExpectedSession names the session that a request is meant for: where that is not the active one
// the app must not see the request, and it never sees the name.
func TestExpectedSession(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, site(address, up.address(), "", "multi_session /private* {\n\t}\n\tmulti_session /open* {\n\t\toptional\n\t}"))
	b := newBrowser(t, "http://"+address)
	alice := b.signIn("alice")
	bob := b.signIn("bob")
	stranger := newBrowser(t, "http://"+address)
	other := stranger.signIn("carol")
	nobody := newBrowser(t, "http://"+address)
	for _, c := range []struct {
		name    string
		browser *browser
		expect  []string
		status  int
	}{
		{"nothing", b, nil, http.StatusOK},
		{"the active one", b, []string{bob}, http.StatusOK},
		{"another of the jar", b, []string{alice}, http.StatusConflict},
		{"one of another jar", b, []string{other}, http.StatusConflict},
		{"nobody", b, []string{""}, http.StatusConflict},
		{"the active one in other letters", b, []string{strings.ToUpper(bob)}, http.StatusConflict},
		{"the active one twice", b, []string{bob, bob}, http.StatusConflict},
		{"the active one and another", b, []string{bob, alice}, http.StatusConflict},
		{"a list", b, []string{bob + ", " + alice}, http.StatusConflict},
		{"one while signed out", nobody, []string{bob}, http.StatusConflict},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, path := range []string{"/private", "/open", "/neither"} {
				before := up.requests.Load()
				request := c.browser.request(http.MethodPost, path, strings.NewReader("x"))
				if c.expect != nil {
					request.Header["Multi-Session-Expect"] = c.expect
				}
				answer := c.browser.must(request)
				if answer.StatusCode != c.status {
					t.Fatalf("%s: %s: %s", path, answer.Status, answer.body)
				}
				if c.status == http.StatusConflict {
					if answer.code() != "SESSION_CHANGED" || answer.Header.Get("Content-Type") != "application/json" || answer.Header.Get("Cache-Control") != "no-store" {
						t.Errorf("%s: %v: %s", path, answer.Header, answer.body)
					}
					if up.requests.Load() != before {
						t.Errorf("%s: the app saw the request", path)
					}
					continue
				}
				for name := range answer.seen(t).Header {
					if strings.Contains(strings.ToLower(name), "expect") {
						t.Errorf("%s: the app saw %s", path, name)
					}
				}
			}
		})
	}
	// Its spellings that an app could take for it go too, and expect nothing.
	request := b.request(http.MethodGet, "/private", nil)
	request.Header["multi_session_expect"] = []string{alice}
	if answer := b.must(request); answer.StatusCode != http.StatusOK || strings.Contains(strings.ToLower(answer.body), "session_expect") {
		t.Errorf("%s: %s", answer.Status, answer.body)
	}
}
