package caddymodule

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-multi-session/gateway/internal/session"
)

const testHash = "$2a$04$AqTiFTywa04anej1aaKN4.VF5TWAsoaRFo0AdbWAkmIVMDmQwNKcK" // of alice-example

// aliceLogin is a login that has alice as its user.
const aliceLogin = `{"module":"password","users":[{"name":"alice","email":"alice@example.com",
	"display_name":"Alice Example","groups":["admin","dev"],"hash":"` + testHash + `"}]}`

// testApp returns an app on a store of its own that serves, with alice as its user.
func testApp(tb testing.TB) (*App, caddy.Context) {
	tb.Helper()
	app, ctx := provisionedApp(tb, aliceLogin)
	if err := app.Start(); err != nil {
		tb.Fatal(err)
	}
	return app, ctx
}

// provisionedApp returns an app on a store of its own that could be started.
func provisionedApp(tb testing.TB, logins ...string) (*App, caddy.Context) {
	tb.Helper()
	store, err := json.Marshal(map[string]string{"module": "bbolt", "path": filepath.Join(tb.TempDir(), "test.db")})
	if err != nil {
		tb.Fatal(err)
	}
	configured := &App{StoreRaw: store}
	for _, login := range logins {
		configured.LoginsRaw = append(configured.LoginsRaw, json.RawMessage(login))
	}
	raw, err := json.Marshal(configured)
	if err != nil {
		tb.Fatal(err)
	}
	config := &caddy.Config{AppsRaw: caddy.ModuleMap{appName: raw}, Admin: &caddy.AdminConfig{Disabled: true}}
	ctx, err := caddy.ProvisionContext(config)
	if err != nil {
		tb.Fatal(err)
	}
	module, err := ctx.App(appName)
	if err != nil {
		tb.Fatal(err)
	}
	app := module.(*App)
	tb.Cleanup(func() {
		if err := app.Cleanup(); err != nil {
			tb.Error(err)
		}
	})
	return app, ctx
}

// signedIn signs alice in and returns the value of a Cookie header that says so.
func signedIn(tb testing.TB, app *App) string { return signedInWith(tb, app, nil) }

// signedInWith is signedIn, with what a provider has granted.
func signedInWith(tb testing.TB, app *App, grant *session.Grant) string {
	tb.Helper()
	g, err := app.running()
	if err != nil {
		tb.Fatal(err)
	}
	identity, ok := app.logins.Current(&session.Identity{Account: session.Account{Method: "password", Subject: "alice"}})
	if !ok {
		tb.Fatal("there is no alice")
	}
	done, err := g.Sessions.SignIn(tb.Context(), session.Token{}, identity, grant, session.Client{})
	if err != nil {
		tb.Fatal(err)
	}
	jar, err := g.Gate.Cookies.For(false, "localhost")
	if err != nil {
		tb.Fatal(err)
	}
	slot := done.Entry.Slot
	return "ms~" + slot + "~theme=~dark; " + jar.Name + "=" + done.Token.Reveal() + "; multi_session_owner=" + slot + "; ms~" + slot + "~lang=~en"
}

// browserHeader is what a browser sends with a request for a page's parts.
func browserHeader(cookie string) http.Header {
	h := make(http.Header)
	for _, line := range strings.Split(strings.TrimSpace(`
Accept: */*
Accept-Encoding: gzip, deflate, br, zstd
Accept-Language: en-GB,en;q=0.9
Cache-Control: no-cache
Connection: keep-alive
Referer: http://localhost/dashboard
Sec-Ch-Ua: "Chromium";v="140"
Sec-Ch-Ua-Mobile: ?0
Sec-Ch-Ua-Platform: "Linux"
Sec-Fetch-Dest: empty
Sec-Fetch-Mode: cors
Sec-Fetch-Site: same-origin
User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36`), "\n") {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	if cookie != "" {
		h.Set("Cookie", cookie)
	}
	return h
}

// discard is a response that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// prepared returns a request as Caddy's server hands it to the handlers.
func prepared(header http.Header) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://localhost/api/items?page=2", http.NoBody)
	r.Header = header
	r = caddyhttp.PrepareRequest(r, caddy.NewReplacer(), discard{}, nil)
	caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, false)
	caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "192.0.2.1")
	return r
}

// handlerFor provisions a handler of an app.
func handlerFor(tb testing.TB, ctx caddy.Context, h *Handler) *Handler {
	tb.Helper()
	if err := h.Provision(ctx); err != nil {
		tb.Fatal(err)
	}
	if err := h.Validate(); err != nil {
		tb.Fatal(err)
	}
	return h
}

var upstreamStub = caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
	w.WriteHeader(http.StatusOK)
	return nil
})

// alone is the Cookie header without what upstreams have set.
func alone(cookie string) string {
	parts := strings.Split(cookie, "; ")
	return parts[1] + "; " + parts[2]
}

// withCookies is the Cookie header with so many cookies of an upstream in the active slot, of which one is
// readable by scripts.
func withCookies(cookie string, n int) string {
	_, tag, _ := strings.Cut(alone(cookie), "multi_session_owner=")
	b := alone(cookie) + "; csrf=0123456789abcdef; ms~" + tag + "~csrf=ru~0123456789abcdef"
	for i := 1; i < n; i++ {
		b += fmt.Sprintf("; ms~%s~cookie%d=~0123456789abcdef", tag, i)
	}
	return b
}

// settle sends requests as a browser does, until no answer sets a cookie any more. It returns the
// Cookie header that the browser has then.
func settle(tb testing.TB, h *Handler, cookie string) string {
	tb.Helper()
	for range 5 {
		w := httptest.NewRecorder()
		if err := h.ServeHTTP(w, prepared(browserHeader(cookie)), upstreamStub); err != nil {
			tb.Fatal(err)
		}
		set := w.Result().Cookies()
		if len(set) == 0 {
			return cookie
		}
		for _, c := range set {
			var kept []string
			for _, pair := range strings.Split(cookie, "; ") {
				if pair != "" && !strings.HasPrefix(pair, c.Name+"=") {
					kept = append(kept, pair)
				}
			}
			if c.MaxAge >= 0 {
				kept = append(kept, c.Name+"="+c.Value)
			}
			cookie = strings.Join(kept, "; ")
		}
	}
	tb.Fatalf("every answer sets a cookie: %s", cookie)
	return ""
}

// BenchmarkGate is the gate's share of a request of a browser that has all cookies that the gate
// sets. Whatever prepares a request is the same in each, and is what "without" has alone: the
// difference is the gate's.
func BenchmarkGate(b *testing.B) {
	app, ctx := testApp(b)
	cookie := signedIn(b, app)
	gate := handlerFor(b, ctx, &Handler{})
	admins := handlerFor(b, ctx, &Handler{Require: session.Policy{{Kind: session.RequireGroup, Values: []string{"staff", "admin"}}}})
	custom := handlerFor(b, ctx, &Handler{Headers: []IdentityHeader{{Name: "X-User", Value: "{http.auth.user.id}"}}})
	shared := handlerFor(b, ctx, &Handler{IsolateCookies: &IsolateCookies{Off: true}})
	optional := handlerFor(b, ctx, &Handler{Optional: true})

	run := func(name, cookie string, serve func(http.ResponseWriter, *http.Request) error) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			header := browserHeader(cookie)
			w := discard{make(http.Header)}
			for b.Loop() {
				if err := serve(w, prepared(header.Clone())); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	run("without", cookie, func(w http.ResponseWriter, r *http.Request) error { return upstreamStub(w, r) })
	clean := CleanHandler{app: app}
	run("an error route", cookie, func(w http.ResponseWriter, r *http.Request) error { return clean.ServeHTTP(w, r, upstreamStub) })
	for _, h := range []struct {
		name, cookie string
		*Handler
	}{
		{"signed in", cookie, gate},
		{"signed in, without cookies of the upstream", alone(cookie), gate},
		{"signed in, with 1 cookie of the upstream", withCookies(cookie, 1), gate},
		{"signed in, with 5 cookies of the upstream", withCookies(cookie, 5), gate},
		{"signed in, with 20 cookies of the upstream", withCookies(cookie, 20), gate},
		{"signed in, with 20 cookies of the upstream and no isolation", withCookies(cookie, 20), shared},
		{"signed in, with a rule", cookie, admins},
		{"signed in, with a header of its own", cookie, custom},
		{"anonymous", "", optional},
		{"refused", "", gate},
	} {
		run("whole, "+h.name, settle(b, h.Handler, h.cookie), func(w http.ResponseWriter, r *http.Request) error { return h.ServeHTTP(w, r, upstreamStub) })
	}
}

// TestGateAllocatesFewObjects counts the objects that the gate adds to those of a request without
// it, for a browser that has all cookies that the gate sets.
func TestGateAllocatesFewObjects(t *testing.T) {
	const most = 12
	app, ctx := testApp(t)
	gate := handlerFor(t, ctx, &Handler{})
	cookie := signedIn(t, app)
	w := discard{make(http.Header)}
	for _, n := range []int{0, 1, 5, 20} {
		from := alone(cookie)
		if n > 0 {
			from = withCookies(cookie, n)
		}
		header := browserHeader(settle(t, gate, from))
		count := func(serve func(http.ResponseWriter, *http.Request) error) float64 {
			return testing.AllocsPerRun(100, func() {
				if err := serve(w, prepared(header.Clone())); err != nil {
					t.Fatal(err)
				}
			})
		}
		without := count(func(w http.ResponseWriter, r *http.Request) error { return upstreamStub(w, r) })
		with := count(func(w http.ResponseWriter, r *http.Request) error { return gate.ServeHTTP(w, r, upstreamStub) })
		if with-without > most {
			t.Errorf("with %d cookies of the upstream the gate adds %v objects to %v, more than %d", n, with-without, without, most)
		}
		t.Logf("%d cookies: %v objects without the gate, %v with it", n, without, with)
	}
}

// TestGateLetsThroughWhoIsSignedIn keeps the benchmark honest: what it measures does happen.
func TestGateLetsThroughWhoIsSignedIn(t *testing.T) {
	app, ctx := testApp(t)
	gate := handlerFor(t, ctx, &Handler{Headers: []IdentityHeader{{Name: "X-User", Value: "{http.auth.user.id} {http.auth.user.session}"}}})
	var seen http.Header
	next := caddyhttp.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) error { seen = r.Header.Clone(); return nil })

	header := browserHeader(signedIn(t, app))
	header["remote_user"] = []string{"mallory"}
	header.Set("Remote-User", "mallory")
	if err := gate.ServeHTTP(httptest.NewRecorder(), prepared(header), next); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"Remote-User":   "alice",
		"Remote-Name":   "Alice Example",
		"Remote-Email":  "alice@example.com",
		"Remote-Groups": "admin,dev",
		"remote_user":   "",
		"Cookie":        "theme=dark; lang=en",
	} {
		if got := strings.Join(seen[name], "|"); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := seen.Get("X-User"); !strings.HasPrefix(got, "password:alice ") {
		t.Errorf("X-User: %q", got)
	}

	seen = nil
	w := httptest.NewRecorder()
	if err := gate.ServeHTTP(w, prepared(browserHeader("")), next); err != nil {
		t.Fatal(err)
	}
	if w.Code != http.StatusUnauthorized || seen != nil || !bytes.Contains(w.Body.Bytes(), []byte("UNAUTHORIZED")) {
		t.Errorf("signed out: %d %s, upstream saw %v", w.Code, w.Body, seen)
	}
}
