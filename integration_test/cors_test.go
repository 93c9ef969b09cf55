package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// across is a request as a script of another origin sends it, with what the site's cookies are.
func (b *browser) across(origin, method, path, body string) *http.Request {
	b.t.Helper()
	request := b.request(method, path, strings.NewReader(body))
	request.Header.Set("Origin", origin)
	request.Header.Set("Sec-Fetch-Mode", "cors")
	request.Header.Set("Sec-Fetch-Site", "same-site")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	return request
}

// preflight is what a browser asks before it sends such a request.
func (b *browser) preflight(origin, method, path string) *http.Request {
	b.t.Helper()
	request := b.request(http.MethodOptions, path, nil)
	request.Header.Set("Origin", origin)
	request.Header.Set("Access-Control-Request-Method", method)
	request.Header.Set("Access-Control-Request-Headers", "content-type")
	return request
}

// readable reports whether a browser shows a script of the origin an answer that was fetched with
// credentials (Fetch, "CORS check").
func (r reply) readable(origin string) bool {
	allowed, credentials := r.Header.Values("Access-Control-Allow-Origin"), r.Header.Values("Access-Control-Allow-Credentials")
	return slices.Equal(allowed, []string{origin}) && slices.Equal(credentials, []string{"true"})
}

// silent reports whether an answer has no word for other origins.
func (r reply) silent() bool {
	for name := range r.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			return false
		}
	}
	return true
}

// TestCORS has a script of another origin use the whole of the API where it is trusted, and get
// nothing where it is not.
func TestCORS(t *testing.T) {
	const spa, other = "http://127.0.0.1:5173", "http://127.0.0.1:5174"
	up := newEcho(t)
	address := freeAddress(t)
	startGateway(t, site(address, up.address(), "trusted_origins "+spa+" https://spa.example.com", "multi_session"))
	b := newBrowser(t, "http://"+address)

	call := func(origin, method, path, body string) reply {
		t.Helper()
		if method == http.MethodPost {
			asked := b.must(b.preflight(origin, method, path))
			if asked.StatusCode != http.StatusNoContent || !asked.readable(origin) ||
				!slices.Contains(strings.Split(asked.Header.Get("Access-Control-Allow-Methods"), ", "), method) ||
				!strings.Contains(strings.ToLower(asked.Header.Get("Access-Control-Allow-Headers")), "content-type") {
				t.Fatalf("preflight of %s from %s: %s %v", path, origin, asked.Status, asked.Header)
			}
			if vary := strings.Join(asked.Header.Values("Vary"), ", "); vary != "Origin, Access-Control-Request-Method, Access-Control-Request-Headers" {
				t.Errorf("preflight of %s: Vary is %q", path, vary)
			}
		}
		answer := b.must(b.across(origin, method, path, body))
		if !answer.readable(origin) || answer.Header.Get("Vary") != "Origin" {
			t.Errorf("%s %s from %s: %s %v", method, path, origin, answer.Status, answer.Header)
		}
		return answer
	}
	var signedIn struct{ Token string }
	call(spa, "POST", "/.auth/sign-in/username", `{"username":"alice","password":"alice-example"}`).json(t, &signedIn)
	call(spa, "POST", "/.auth/sign-in/email", `{"email":"bob@example.com","password":"bob-example"}`)
	if got := b.active(); got != "bob" {
		t.Fatalf("after the sign-ins the browser is %q", got)
	}
	call(spa, "POST", "/.auth/multi-session/set-active", `{"sessionToken":"`+signedIn.Token+`"}`)
	var active *entry
	call(spa, "GET", "/.auth/get-session", "").json(t, &active)
	if active == nil || active.User.ID != "password:alice" {
		t.Errorf("after the switch: %+v", active)
	}
	call(spa, "HEAD", "/.auth/get-session", "")
	call(spa, "GET", "/.auth/openapi.json", "")
	call("https://spa.example.com", "GET", "/.auth/multi-session/list-device-sessions", "")

	// What went wrong can be read as well.
	for _, refused := range []struct {
		method, path, body string
		status             int
	}{
		{"POST", "/.auth/sign-in/username", `{"username":"alice","password":"x"}`, 401},
		{"POST", "/.auth/sign-in/username", `{"username":"alice","password":"alice-example","callbackURL":"https://evil.example/"}`, 403},
		{"POST", "/.auth/multi-session/set-active", `{"sessionToken":"x"}`, 401},
		{"POST", "/.auth/sign-out", `[]`, 400},
		{"POST", "/.auth/sign-out", `{"x":"` + strings.Repeat("x", 1<<17) + `"}`, 413},
		{"GET", "/.auth/revoke-sessions", "", 405},
		{"GET", "/.auth/nothing", "", 404},
	} {
		if answer := call(spa, refused.method, refused.path, refused.body); answer.StatusCode != refused.status {
			t.Errorf("%s %s: %s", refused.method, refused.path, answer.Status)
		}
	}
	request := b.across(spa, "POST", "/.auth/sign-out", `{}`)
	request.Header.Set("Content-Type", "text/plain")
	if answer := b.must(request); answer.StatusCode != http.StatusUnsupportedMediaType || !answer.readable(spa) {
		t.Errorf("another media type: %s %v", answer.Status, answer.Header)
	}

	// Neither other origins nor what is not the API get a word of it.
	before := b.accounts()
	for _, origin := range []string{
		other, "null", b.base, "http://127.0.0.1", "https://127.0.0.1:5173", "HTTP://127.0.0.1:5173", spa + "/", spa + "0", "http://localhost:5173", "http://spa.example.com", "https://spa.example.com:443", "https://spa.example.com.evil.example", "https://x.spa.example.com",
	} {
		for path, method := range map[string]string{
			"/.auth/get-session": "GET", "/.auth/multi-session/list-device-sessions": "GET", "/.auth/sign-in/username": "POST",
			"/.auth/sign-out": "POST", "/.auth/multi-session/set-active": "POST", "/.auth/multi-session/revoke": "POST", "/.auth/openapi.json": "GET",
		} {
			if asked := b.must(b.preflight(origin, method, path)); asked.StatusCode != http.StatusMethodNotAllowed || !asked.silent() || asked.Header.Get("Vary") != "Origin" {
				t.Errorf("preflight of %s from %s: %s %v", path, origin, asked.Status, asked.Header)
			}
			if method == http.MethodPost && origin == b.base {
				continue // may do so
			}
			answer := b.must(b.across(origin, method, path, map[string]string{"POST": `{}`}[method]))
			if !answer.silent() || answer.Header.Get("Vary") != "Origin" || method == http.MethodPost && answer.StatusCode != http.StatusForbidden {
				t.Errorf("%s %s from %s: %s %v", method, path, origin, answer.Status, answer.Header)
			}
		}
	}
	stranger := newBrowser(t, b.base)
	for _, path := range []string{"/", "/.auth/sign-in", "/.auth/accounts", "/.auth", "/.auth/style.css", "/.auth/icon.svg"} {
		for _, who := range []*browser{b, stranger} {
			if answer := who.must(who.across(spa, "GET", path, "")); !answer.silent() {
				t.Errorf("%s: %s %v", path, answer.Status, answer.Header)
			}
			if answer := who.must(who.preflight(spa, "GET", path)); !answer.silent() {
				t.Errorf("preflight of %s: %s %v", path, answer.Status, answer.Header)
			}
		}
	}
	if accounts, active := b.accounts(), b.active(); !slices.Equal(accounts, before) || active != "alice" {
		t.Errorf("after all this the browser has %v and is %q", accounts, active)
	}
}

// TestCORSOfOneWhoHasToWait: a page that is told to wait can read for how long.
func TestCORSOfOneWhoHasToWait(t *testing.T) {
	const spa = "https://spa.example.com"
	up := newEcho(t)
	address := freeAddress(t)
	config := site(address, up.address(), "trusted_origins "+spa, "multi_session")
	startGateway(t, strings.Replace(config, "throttle off", "throttle 1 15m", 1))
	b := newBrowser(t, "http://"+address)
	wrong := func() reply {
		return b.must(b.across(spa, "POST", "/.auth/sign-in/username", `{"username":"alice","password":"x"}`))
	}
	wrong()
	answer := wrong()
	if answer.StatusCode != http.StatusTooManyRequests || !answer.readable(spa) {
		t.Fatalf("%s %v", answer.Status, answer.Header)
	}
	exposed := strings.Split(answer.Header.Get("Access-Control-Expose-Headers"), ", ")
	for _, name := range []string{"Retry-After", "X-Retry-After"} {
		if answer.Header.Get(name) == "" || !slices.Contains(exposed, name) {
			t.Errorf("%s is %q, and scripts can read %v", name, answer.Header.Get(name), exposed)
		}
	}
}

// TestChromiumCORS has Chromium itself decide: a page on another port of localhost, which is the same
// site and another origin, uses the API with the browser's cookie where it is trusted. The same page
// on a port that is not trusted reads nothing and changes nothing.
func TestChromiumCORS(t *testing.T) {
	up := newEcho(t)
	page := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><html lang=en><title>App</title><link rel=icon href=data:,><p>An app of its own")
	})
	serve := func() (origin string) {
		server := httptest.NewServer(page)
		t.Cleanup(server.Close)
		at, err := url.Parse(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		return "http://localhost:" + at.Port()
	}
	trusted, other := serve(), serve()
	address := freeAddress(t)
	host := "localhost:" + port(address)
	startGateway(t, site(host, up.address(), "trusted_origins "+trusted, "multi_session"))

	type outcome struct {
		Failed bool // there was no answer that the page might read
		Status int
		Body   json.RawMessage
	}
	call := func(b *tab, path, body string) outcome {
		t.Helper()
		options := `{credentials: "include"}`
		if body != "" {
			options = `{credentials: "include", method: "POST", headers: {"Content-Type": "application/json"}, body: ` + quoted(t, body) + `}`
		}
		return evaluate[outcome](b, `fetch(`+quoted(t, "http://"+host+"/.auth/"+path)+`, `+options+`)
			.then(async answer => ({Status: answer.status, Body: await answer.json()}), () => ({Failed: true}))`)
	}
	active := func(b *tab) string {
		t.Helper()
		got := call(b, "get-session", "")
		var e *entry
		if got.Failed || json.Unmarshal(got.Body, &e) != nil {
			t.Fatalf("get-session: %+v", got)
		}
		if e == nil {
			return ""
		}
		return e.User.ID
	}

	b := newFaultyTab(t) // refusals stand in the console
	b.open(trusted + "/")
	if got := active(b); got != "" {
		t.Fatalf("a fresh browser is %q", got)
	}
	var alice struct{ Token string }
	if got := call(b, "sign-in/username", `{"username":"alice","password":"alice-example"}`); got.Status != http.StatusOK || json.Unmarshal(got.Body, &alice) != nil {
		t.Fatalf("sign-in: %+v", got)
	}
	var bob struct{ Token string }
	if got := call(b, "sign-in/username", `{"username":"bob","password":"bob-example"}`); json.Unmarshal(got.Body, &bob) != nil {
		t.Fatalf("sign-in: %+v", got)
	}
	if got := active(b); got != "password:bob" {
		t.Fatalf("after the sign-ins the browser is %q", got)
	}
	if got := call(b, "multi-session/set-active", `{"sessionToken":"`+alice.Token+`"}`); got.Status != http.StatusOK {
		t.Errorf("set-active: %+v", got)
	}
	if got := active(b); got != "password:alice" {
		t.Errorf("after the switch the browser is %q", got)
	}
	if got := call(b, "sign-in/username", `{"username":"alice","password":"x"}`); got.Status != http.StatusUnauthorized || !strings.Contains(string(got.Body), "INVALID_USERNAME_OR_PASSWORD") {
		t.Errorf("a wrong password: %+v", got)
	}
	if faults := b.unexpected(); slices.ContainsFunc(faults, func(fault string) bool { return strings.Contains(fault, "CORS") }) {
		t.Errorf("in the browser: %q", faults)
	}

	// The cookie goes along from there too, for it is the same site: only the origin is another.
	b.open(other + "/")
	for path, body := range map[string]string{
		"get-session": "", "multi-session/list-device-sessions": "", "openapi.json": "",
		"sign-in/username":         `{"username":"carol","password":"carol-example"}`,
		"multi-session/set-active": `{"sessionToken":"` + bob.Token + `"}`,
		"multi-session/revoke":     `{"sessionToken":"` + alice.Token + `"}`,
		"sign-out":                 `{}`,
	} {
		if got := call(b, path, body); !got.Failed {
			t.Errorf("%s of another origin: %+v", path, got)
		}
		if body == "" {
			continue
		}
		// Without a preflight it cannot say that it sends JSON, and cannot know what came of it.
		blind := evaluate[string](b, `fetch(`+quoted(t, "http://"+host+"/.auth/"+path)+`, {credentials: "include", mode: "no-cors", method: "POST", body: `+quoted(t, body)+`})
			.then(answer => answer.type + " " + answer.status, error => "failed")`)
		if blind != "opaque 0" && blind != "failed" {
			t.Errorf("%s of another origin, blindly: %s", path, blind)
		}
	}
	b.open(trusted + "/")
	if got := active(b); got != "password:alice" {
		t.Errorf("after another origin's calls the browser is %q", got)
	}
	var entries []entry
	if list := call(b, "multi-session/list-device-sessions", ""); json.Unmarshal(list.Body, &entries) != nil || len(entries) != 2 {
		t.Errorf("after another origin's calls: %+v", list)
	}
}

// quoted is a text as a script has it.
func quoted(t *testing.T, text string) string {
	t.Helper()
	literal, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return string(literal)
}
