package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"testing"
)

// hostileReturns reads the return addresses that no site may lead to.
func hostileReturns(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile("../internal/portal/testdata/hostile_return_to.txt")
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		value, err := strconv.Unquote(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		values = append(values, value)
	}
	if len(values) < 100 {
		t.Fatalf("only %d values", len(values))
	}
	return values
}

// staysHere reports whether a Location keeps a browser at its origin, whatever browsers make of odd
// text: there is nothing odd in it.
func staysHere(location, origin string) bool {
	location = strings.TrimPrefix(location, origin)
	if location == "" || location[0] != '/' || strings.HasPrefix(location, "//") {
		return false
	}
	return !strings.ContainsFunc(location, func(c rune) bool { return c <= ' ' || c > '~' || c == '\\' })
}

// TestHostileReturnTo hands every hostile return address to everything that takes one, signed out and
// signed in, at hosts that the addresses try to look like.
func TestHostileReturnTo(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, fmt.Sprintf("{\nservers {\ntrusted_proxies static 127.0.0.1/32\n}\nmulti_session {\nlogin password {\nthrottle off\n%s\n}\n}\n}\nhttp://:%s {\nmulti_session {\nrequire group nobody\n}\nreverse_proxy %s\n}\n", userOptions, port(address), up.address()))
	values := hostileReturns(t)
	for _, host := range []string{address, "app.example.com"} {
		t.Run(host, func(t *testing.T) {
			origin := "http://" + host
			if host != address {
				origin = "https://" + host
			}
			ask := func(b *browser, method, path, contentType, body string) reply {
				t.Helper()
				request := b.request(method, path, strings.NewReader(body))
				request.Host = host
				if host != address {
					request.Header.Set("X-Forwarded-Proto", "https")
				}
				request.Header.Set("Accept", "text/html")
				request.Header.Set("Origin", origin)
				if contentType != "" {
					request.Header.Set("Content-Type", contentType)
				}
				answer := b.must(request)
				if location := answer.Header.Get("Location"); location != "" && !staysHere(location, origin) {
					t.Errorf("%s %s %q: Location %q", method, path, body, location)
				}
				if refresh := answer.Header.Get("Refresh"); refresh != "" {
					t.Errorf("%s %s %q: Refresh %q", method, path, body, refresh)
				}
				return answer
			}
			const form = "application/x-www-form-urlencoded"
			b := newBrowser(t, "http://"+address)
			post := func(path string, fields url.Values) reply {
				return ask(b, http.MethodPost, path, form, fields.Encode())
			}
			credentials := func(returnTo string) url.Values {
				return url.Values{"identifier": {"alice"}, "password": {password("alice")}, "return_to": {returnTo}}
			}
			for _, value := range values {
				if answer := post("/.auth/sign-in", credentials(value)); answer.StatusCode != http.StatusBadRequest || len(answer.Cookies()) > 0 {
					t.Errorf("signed in with %q: %s to %q", value, answer.Status, answer.Header.Get("Location"))
				}
				escaped := url.QueryEscape(value)
				for _, page := range []string{"/.auth/sign-in", "/.auth/accounts"} {
					answer := ask(b, http.MethodGet, page+"?return_to="+escaped, "", "")
					if answer.StatusCode != http.StatusBadRequest {
						t.Errorf("%s with %q: %s", page, value, answer.Status)
					}
					ask(b, http.MethodGet, page+"?return_to=/&return_to="+escaped, "", "")
					ask(b, http.MethodGet, page+"?return_to=%2F&login_hint="+escaped, "", "")
				}
				call, err := json.Marshal(map[string]string{"username": "alice", "password": password("alice"), "callbackURL": value})
				if err != nil {
					t.Fatal(err)
				}
				if answer := ask(b, http.MethodPost, "/.auth/sign-in/username", "application/json", string(call)); answer.code() != "INVALID_CALLBACK_URL" || len(answer.Cookies()) > 0 {
					t.Errorf("callbackURL %q: %s %s", value, answer.Status, answer.body)
				}
			}
			if answer := post("/.auth/sign-in", credentials("/a?b=//c")); answer.Header.Get("Location") != "/a?b=//c" {
				t.Fatalf("with an honest one: %s to %q", answer.Status, answer.Header.Get("Location"))
			}
			for _, value := range values {
				for _, action := range []string{"switch", "sign-out", "sign-out-all"} {
					if answer := post("/.auth/accounts", url.Values{"action": {action}, "session": {"x"}, "return_to": {value}}); answer.StatusCode != http.StatusBadRequest {
						t.Errorf("%s with %q: %s", action, value, answer.Status)
					}
				}
			}
		})
	}
	t.Run("as the request's own target", func(t *testing.T) {
		for _, cookie := range []string{"", signedIn(t, "http://"+address)} {
			for _, target := range []string{
				"//evil.example/", "///evil.example", "/\\evil.example", "/\\/evil.example", "/%2fevil.example", "/%5cevil.example", "/.//evil.example", "/x/..//evil.example", "/%2e//evil.example",
				"http://evil.example/", "http://evil.example//evil.example/", "http:///evil.example", "https://evil.example/", "javascript:alert(1)", "/x\tevil", "/?//evil.example", "/" + strings.Repeat("a", 5000), "//", "*", "evil.example",
			} {
				raw := "GET " + target + " HTTP/1.1\r\nHost: {host}\r\nAccept: text/html\r\n{cookie}{close}\r\n"
				for _, answer := range send(t, address, fill(raw, address, "", cookie)) {
					location := answer.Header.Get("Location")
					if location == "" {
						continue
					}
					if !staysHere(location, "http://"+address) {
						t.Errorf("%q: Location %q", target, location)
					}
					// Where it leads after that.
					if sent, err := url.Parse(location); err != nil {
						t.Errorf("%q: %v", target, err)
					} else if to := sent.Query().Get("return_to"); to != "" && !staysHere(to, "http://"+address) && !strings.HasPrefix(target, "http://evil.example/") {
						t.Errorf("%q: leads to %q in the end", target, to)
					}
				}
			}
		}
	})
	if n := up.requests.Load(); n != 0 {
		t.Errorf("the upstream saw %d requests", n)
	}
}
