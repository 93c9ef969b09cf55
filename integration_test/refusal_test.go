package integration

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var offered = regexp.MustCompile(`<input type="hidden" name="session" value="([^"]+)">`)

// offers returns the handles of the accounts that a refusal offers to switch to.
func (r reply) offers(t testing.TB) []string {
	t.Helper()
	if r.StatusCode != http.StatusForbidden {
		t.Fatalf("%s %s: %s: %s", r.Request.Method, r.Request.URL, r.Status, r.body)
	}
	handles := []string{}
	for _, match := range offered.FindAllStringSubmatch(r.body, -1) {
		handles = append(handles, match[1])
	}
	return handles
}

// TestOffersMeetTheRulesOfEveryGate has gates inside of one another, of which each account passes some.
func TestOffersMeetTheRulesOfEveryGate(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, fmt.Sprintf(`{
	multi_session {
		login password {
			throttle off
			%s
		}
	}
}
http://%s {
	route {
		multi_session {
			require group dev
			ambiguous_paths allow
		}
		multi_session /inner* {
			require user alice carol
			ambiguous_paths allow
		}
		multi_session /inner/most* {
			require group admin
			ambiguous_paths allow
		}
		reverse_proxy %s
	}
}
`, userOptions, address, up.address()))
	b := newBrowser(t, "http://"+address)
	alice, carol, bob := b.signIn("alice"), b.signIn("carol"), b.signIn("bob")
	var active string
	become := func(handle string) {
		t.Helper()
		if answer := b.post("/.auth/multi-session/set-active", map[string]any{"sessionToken": handle}); answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s", answer.Status, answer.body)
		}
		active = handle
	}

	tests := map[string]struct {
		as, path string
		want     []string
	}{
		"at the outer gate nothing is known of the inner ones":      {carol, "/inner/most", []string{alice, bob}},
		"at an inner gate who does not pass the outer is no way on": {bob, "/inner", []string{alice}},
		"nor does the gate behind that one change it":               {bob, "/inner/most", []string{alice}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			become(test.as)
			answer := b.open(test.path)
			if got := answer.offers(t); !slices.Equal(got, test.want) {
				t.Errorf("offers %q, want %q", got, test.want)
			}
			if strings.Contains(answer.body, "alice carol") || strings.Contains(answer.body, "alice or carol") {
				t.Error("the page says who has access")
			}
			if got := b.active(); got != map[string]string{alice: "alice", bob: "bob", carol: "carol"}[active] {
				t.Errorf("%s is active after a refusal", got)
			}
		})
	}
	if n := up.requests.Load(); n != 0 {
		t.Errorf("the app saw %d refused requests", n)
	}

	t.Run("only those who go to an address are offered anything", func(t *testing.T) {
		become(bob)
		form := b.request(http.MethodPost, "/inner", strings.NewReader("a=b"))
		form.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		form.Header.Set("Accept", "text/html")
		form.Header.Set("Sec-Fetch-Mode", "navigate")
		if answer := b.get("/inner"); answer.StatusCode != http.StatusForbidden || answer.code() != "FORBIDDEN" || strings.Contains(answer.body, alice) {
			t.Errorf("script: %s: %s", answer.Status, answer.body)
		}
		// What a form sent would be lost on the way back, which is a GET.
		if answer := b.must(form); answer.StatusCode != http.StatusForbidden || !strings.HasPrefix(answer.body, "<!doctype html>") || strings.Contains(answer.body, alice) {
			t.Errorf("form: %s: %s", answer.Status, answer.body)
		}
	})

	t.Run("switching leads back byte for byte", func(t *testing.T) {
		for _, path := range []string{
			"/inner/a%2Fb/%7Ec?x=1&x=%20&y=a+b&z=%C3%BC&&",
			"/inner?return_to=/other&session=x&%22%3E=%3C",
			"/inner?",
			"/inner/a;b=c/?q=%00%0d%0a",
		} {
			become(bob)
			page := b.open(path)
			if got := page.offers(t); !slices.Equal(got, []string{alice}) {
				t.Fatalf("%s offers %q", path, got)
			}
			answer := b.submit("/.auth/accounts", url.Values{"action": {"switch"}, "session": {alice}, "return_to": {returnTo(t, page)}})
			if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != path {
				t.Errorf("from %s to %s %q", path, answer.Status, answer.Header.Get("Location"))
			}
		}
	})

	t.Run("an offer that has ended since", func(t *testing.T) {
		become(bob)
		page := b.open("/inner")
		if got := page.offers(t); !slices.Equal(got, []string{alice}) {
			t.Fatalf("offers %q", got)
		}
		b.post("/.auth/multi-session/revoke", map[string]any{"sessionToken": alice})
		answer := b.submit("/.auth/accounts", url.Values{"action": {"switch"}, "session": {alice}, "return_to": {returnTo(t, page)}})
		if answer.StatusCode != http.StatusConflict || !strings.Contains(answer.body, "not signed in any more") {
			t.Errorf("%s: %s", answer.Status, answer.body)
		}
		if got := b.active(); got != "bob" {
			t.Errorf("%q is active", got)
		}
		if got := b.open("/inner").offers(t); len(got) != 0 {
			t.Errorf("still offers %q", got)
		}
	})
}

// returnTo is where the forms of a page lead in the end.
func returnTo(t testing.TB, page reply) string {
	t.Helper()
	match := regexp.MustCompile(`name="return_to" value="([^"]*)"`).FindStringSubmatch(page.body)
	if match == nil {
		t.Fatalf("no form leads back: %s", page.body)
	}
	return strings.NewReplacer("&amp;", "&", "&#34;", `"`, "&#39;", "'", "&#43;", "+", "&lt;", "<", "&gt;", ">").Replace(match[1])
}
