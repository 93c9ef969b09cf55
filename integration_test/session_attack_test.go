package integration

import (
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// cookie returns the value of the browser's jar cookie, empty where it has none.
func (b *browser) cookie() string {
	for _, c := range b.client.Jar.Cookies(b.request(http.MethodGet, "/", nil).URL) {
		if c.Name == "multi_session" {
			return c.Value
		}
	}
	return ""
}

// as sends a request with the given Cookie lines and no other, and returns whom the app behind the
// gateway saw: a user name, or "" where the gateway did not let it through.
func (b *browser) as(cookies ...string) string {
	b.t.Helper()
	request := b.request(http.MethodGet, "/", nil)
	request.Header["Cookie"] = cookies
	bare := &browser{t: b.t, base: b.base, portal: b.portal, client: &http.Client{Transport: b.client.Transport, CheckRedirect: b.client.CheckRedirect}}
	answer := bare.must(request)
	for _, set := range answer.Header["Set-Cookie"] {
		if name, _, _ := strings.Cut(set, "="); answer.StatusCode != http.StatusOK || name == "multi_session" {
			b.t.Errorf("a request with %q was answered with the cookie %q", cookies, set)
		}
	}
	if answer.StatusCode != http.StatusOK {
		return ""
	}
	return answer.seen(b.t).Header.Get("Remote-User")
}

// TestCookiesInDoubtAreNobody has every way in which a cookie can be wrong, beside the one that is
// right.
func TestCookiesInDoubtAreNobody(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, plain(address, up.address()))
	alice, mallory := newBrowser(t, "http://"+address), newBrowser(t, "http://"+address)
	alice.signIn("alice")
	mallory.signIn("bob")
	good, planted := alice.cookie(), mallory.cookie()

	if got := alice.as("multi_session=" + good); got != "alice" {
		t.Fatalf("the right cookie is %q", got)
	}
	if got := alice.as("a=b; multi_session="+good+" ; c=d", "e=f"); got != "alice" {
		t.Errorf("the right cookie among others is %q", got)
	}
	for name, cookies := range map[string][]string{
		"the same twice":                {"multi_session=" + good + "; multi_session=" + good},
		"beside a malformed one":        {"multi_session=" + good + "; multi_session=x"},
		"beside an empty one":           {"multi_session=" + good + "; multi_session="},
		"beside a bare name":            {"multi_session; multi_session=" + good},
		"beside one of another gateway": {"multi_session=" + strings.Repeat("A", 43), "multi_session=" + good},
	} {
		if got := alice.as(cookies...); got != "alice" {
			t.Errorf("%s: the right cookie is %q", name, got)
		}
	}
	// The last character stands for four bits of the token and two that are nothing.
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	stray := good[:42] + string(alphabet[strings.IndexByte(alphabet, good[42])+1])
	tests := map[string][]string{
		"none":                         {"a=b"},
		"empty":                        {"multi_session="},
		"without an equals sign":       {"multi_session"},
		"two in a line":                {"multi_session=" + good + "; multi_session=" + planted},
		"two in a line, turned round":  {"multi_session=" + planted + "; multi_session=" + good},
		"two lines":                    {"multi_session=" + good, "multi_session=" + planted},
		"in quotes":                    {`multi_session="` + good + `"`},
		"in another case":              {"Multi_Session=" + good},
		"with a value in upper case":   {"multi_session=" + strings.ToUpper(good)},
		"padded":                       {"multi_session=" + good + "="},
		"cut short":                    {"multi_session=" + good[:42]},
		"too long":                     {"multi_session=" + good + "A"},
		"with stray bits":              {"multi_session=" + stray},
		"unknown":                      {"multi_session=" + strings.Repeat("A", 43)},
		"oversized":                    {"multi_session=" + strings.Repeat("A", 60_000)},
		"escaped":                      {"multi_session=" + url.QueryEscape(good[:42]+"%")},
		"the name that is for HTTPS":   {"__Host-Http-multi_session=" + good},
		"the name that is for domains": {"__Secure-multi_session=" + good},
		"behind a comma":               {"a=b, multi_session=" + good},
	}
	for name, cookies := range tests {
		t.Run(name, func(t *testing.T) {
			seen := up.requests.Load()
			if got := alice.as(cookies...); got != "" {
				t.Errorf("is %q", got)
			}
			if up.requests.Load() != seen {
				t.Error("the upstream saw it")
			}
		})
	}
	if got := alice.as("multi_session=" + good); got != "alice" {
		t.Errorf("afterwards the right cookie is %q", got)
	}
}

// TestFixationIsWorthNothing has an attacker plant his own cookie in a victim's browser, wait for the
// victim to sign in, and come back with it.
func TestFixationIsWorthNothing(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, plain(address, up.address()))
	attacker, victim := newBrowser(t, "http://"+address), newBrowser(t, "http://"+address)
	attacker.signIn("bob")
	planted := attacker.cookie()
	home := victim.request(http.MethodGet, "/", nil).URL
	victim.client.Jar.SetCookies(home, []*http.Cookie{{Name: "multi_session", Value: planted, Path: "/"}})

	victim.signIn("alice")
	if got := victim.active(); got != "alice" {
		t.Fatalf("the victim is %q", got)
	}
	if victim.cookie() == planted {
		t.Fatal("the victim kept the planted cookie")
	}
	if got := attacker.as("multi_session=" + planted); got != "" {
		t.Errorf("the planted cookie is %q after the victim signed in", got)
	}
	if got := attacker.accounts(); len(got) != 0 {
		t.Errorf("with the planted cookie the attacker sees %v", got)
	}
	// Signing in with it begins a jar of its own.
	attacker.signIn("carol")
	if got := attacker.accounts(); !slices.Equal(got, []string{"carol"}) {
		t.Errorf("and after another sign-in %v", got)
	}
}

// TestHandlesAreWorthNothingElsewhere has a stolen handle used from browsers that are not its own.
func TestHandlesAreWorthNothingElsewhere(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, plain(address, up.address()))
	victim, attacker, nobody := newBrowser(t, "http://"+address), newBrowser(t, "http://"+address), newBrowser(t, "http://"+address)
	stolen := victim.signIn("alice")
	own := attacker.signIn("bob")

	for name, handle := range map[string]string{
		"another browser's":           stolen,
		"made up":                     "AAAAAAAAAAAAAAAAAAAAAA",
		"malformed":                   "../../etc/passwd",
		"empty":                       "",
		"very long":                   strings.Repeat("A", 8000),
		"its own with another ending": own[:len(own)-1] + "_",
		"its own in another case":     strings.ToUpper(own) + "",
	} {
		t.Run(name, func(t *testing.T) {
			for _, path := range []string{"/.auth/multi-session/set-active", "/.auth/multi-session/revoke"} {
				answer := attacker.post(path, map[string]any{"sessionToken": handle})
				if answer.StatusCode != http.StatusUnauthorized || answer.code() != "INVALID_SESSION_TOKEN" {
					t.Errorf("%s: %s: %s", path, answer.Status, answer.body)
				}
			}
			if got := attacker.active(); got != "bob" {
				t.Errorf("the attacker is %q", got)
			}
		})
	}
	for _, path := range []string{"/.auth/multi-session/set-active", "/.auth/multi-session/revoke"} {
		if answer := nobody.post(path, map[string]any{"sessionToken": stolen}); answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("without a cookie, %s: %s: %s", path, answer.Status, answer.body)
		}
	}
	if got := victim.active(); got != "alice" {
		t.Errorf("the victim is %q", got)
	}
}

// TestRevokedIsDead has everything that named a session after it was revoked.
func TestRevokedIsDead(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, plain(address, up.address()))
	b := newBrowser(t, "http://"+address)
	first := b.signIn("alice")
	before := b.cookie()
	second := b.signIn("bob")
	if got := b.as("multi_session=" + before); got != "" {
		t.Errorf("the cookie from before the second sign-in is %q", got)
	}
	if answer := b.post("/.auth/multi-session/revoke", map[string]any{"sessionToken": second}); answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", answer.Status, answer.body)
	}
	if got := b.active(); got != "alice" {
		t.Errorf("after revoking the active one the browser is %q", got)
	}
	if answer := b.post("/.auth/multi-session/set-active", map[string]any{"sessionToken": second}); answer.code() != "INVALID_SESSION_TOKEN" {
		t.Errorf("the revoked handle: %s: %s", answer.Status, answer.body)
	}
	again := b.signIn("alice")
	if again == first {
		t.Error("signing in again left the handle as it was")
	}
	if answer := b.post("/.auth/multi-session/set-active", map[string]any{"sessionToken": first}); answer.code() != "INVALID_SESSION_TOKEN" {
		t.Errorf("the replaced handle: %s: %s", answer.Status, answer.body)
	}
	stale := b.cookie()
	if answer := b.post("/.auth/sign-out", map[string]any{}); answer.StatusCode != http.StatusOK || answer.body != `{"success":true}` {
		t.Errorf("sign-out: %s: %s", answer.Status, answer.body)
	}
	if got := b.as("multi_session=" + stale); got != "" {
		t.Errorf("the cookie from before signing out is %q", got)
	}
	if answer := b.post("/.auth/sign-out", map[string]any{}); answer.StatusCode != http.StatusOK {
		t.Errorf("signing out again: %s: %s", answer.Status, answer.body)
	}
}

// TestParallelSignInsKeepTheLimit has fifty sign-ins at once from one browser. Whatever jars come of
// it, none holds more than the limit, and each answer's session is in its answer's jar.
func TestParallelSignInsKeepTheLimit(t *testing.T) {
	const users, limit = 10, 3
	var accounts strings.Builder
	for i := range users {
		fmt.Fprintf(&accounts, "user user%d $2a$04$AqTiFTywa04anej1aaKN4.VF5TWAsoaRFo0AdbWAkmIVMDmQwNKcK\n", i)
	}
	for _, mode := range []string{"evict", "reject"} {
		t.Run(mode, func(t *testing.T) {
			up := newEcho(t)
			address := freeAddress(t)
			options := fmt.Sprintf("max_sessions %d %s", limit, mode)
			startGateway(t, strings.Replace(site(address, up.address(), options, "multi_session"), userOptions, accounts.String(), 1))
			base := "http://" + address
			b := newBrowser(t, base)
			signIn := func(user int) (reply, error) {
				return b.do(b.jsonRequest("/.auth/sign-in/username", map[string]any{"username": fmt.Sprintf("user%d", user), "password": password("alice")}))
			}
			if answer, err := signIn(0); err != nil || answer.StatusCode != http.StatusOK {
				t.Fatalf("%v %s", err, answer.body)
			}

			var mu sync.Mutex
			jars := make(map[string][]string) // the tokens of the answers' jars, and the handles of their sessions
			var group sync.WaitGroup
			for i := range 50 {
				group.Go(func() {
					answer, err := signIn(i % users)
					if err != nil {
						t.Error(err)
						return
					}
					switch {
					case answer.StatusCode == http.StatusOK:
					case mode == "reject" && answer.StatusCode == http.StatusConflict:
						return
					default:
						t.Errorf("%s: %s", answer.Status, answer.body)
						return
					}
					var signedIn struct{ Token string }
					answer.json(t, &signedIn)
					mu.Lock()
					defer mu.Unlock()
					for _, c := range answer.Cookies() {
						jars[c.Value] = append(jars[c.Value], signedIn.Token)
					}
				})
			}
			group.Wait()
			if len(jars) == 0 {
				t.Fatal("nobody was signed in")
			}
			for token, made := range jars {
				other := newBrowser(t, base)
				other.client.Jar.SetCookies(other.request(http.MethodGet, "/", nil).URL, []*http.Cookie{{Name: "multi_session", Value: token, Path: "/"}})
				var entries []entry
				other.get("/.auth/multi-session/list-device-sessions").json(t, &entries)
				if len(entries) == 0 {
					continue // its token was replaced by a sign-in after it
				}
				if len(entries) > limit {
					t.Errorf("a jar holds %d sessions", len(entries))
				}
				handles := make(map[string]bool)
				for _, e := range entries {
					handles[e.Session.Token] = true
				}
				if !slices.ContainsFunc(made, func(handle string) bool { return handles[handle] }) {
					t.Errorf("no session that was just made is among %v", slices.Collect(maps.Keys(handles)))
				}
			}
			// The limit holds one after the other too.
			for i := range users {
				if _, err := signIn(i); err != nil {
					t.Fatal(err)
				}
			}
			if got := b.accounts(); len(got) != limit {
				t.Errorf("the browser holds %v", got)
			}
		})
	}
}
