package gate

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"testing"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// TestJar: whose a request is, by its cookie and where it came from.
func TestJar(t *testing.T) {
	const other = "multi_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
	for name, test := range map[string]struct {
		prepare func(*world, *http.Request)
		user    string
		answer  string // of the portal, at a gate that is not optional
	}{
		"the jar's cookie":                    {func(*world, *http.Request) {}, "alice", ""},
		"no cookie":                           {func(_ *world, r *http.Request) { r.Header.Del("Cookie") }, "", "challenge"},
		"another browser's cookie":            {func(_ *world, r *http.Request) { r.Header.Set("Cookie", other) }, "", "challenge"},
		"a second cookie, of another gateway": {func(_ *world, r *http.Request) { r.Header.Set("Cookie", other+"; "+r.Header.Get("Cookie")) }, "alice", ""},
		"a second cookie, malformed":          {func(_ *world, r *http.Request) { r.Header.Set("Cookie", r.Header.Get("Cookie")+"; multi_session=x") }, "alice", ""},
		"the same cookie twice": {func(_ *world, r *http.Request) {
			r.Header.Set("Cookie", r.Header.Get("Cookie")+"; "+r.Header.Get("Cookie"))
		}, "alice", ""},
		"a second cookie, of a jar, one may be planted": {func(w *world, r *http.Request) {
			r.Header.Set("Cookie", r.Header.Get("Cookie")+"; multi_session="+w.another("mallory").Reveal())
		}, "", "challenge"},
		"a second cookie, of a jar, the first is confirmed": {func(w *world, r *http.Request) {
			w.Cookies = cookie.Options{Domain: "localhost"}
			r.Host = "app.localhost"
			w.confirm(r)
			r.Header.Set("Cookie", r.Header.Get("Cookie")+"; multi_session="+w.another("mallory").Reveal())
		}, "alice", ""},
		"a second cookie, of a jar, with no confirmation": {func(w *world, r *http.Request) {
			w.Cookies = cookie.Options{Domain: "localhost"}
			r.Host = "app.localhost"
			r.Header.Set("Cookie", r.Header.Get("Cookie")+"; multi_session="+w.another("mallory").Reveal())
		}, "", "challenge"},
		"a planted cookie alone, beside one that is worth nothing": {func(w *world, r *http.Request) {
			w.Cookies = cookie.Options{Domain: "localhost"}
			r.Host = "app.localhost"
			r.Header.Set("Cookie", other+"; multi_session="+w.another("mallory").Reveal())
		}, "", "challenge"},
		"more cookies than are looked up": {func(_ *world, r *http.Request) {
			for range cookie.MaxTokens {
				r.Header.Add("Cookie", "multi_session="+session.NewToken().Reveal())
			}
		}, "", "challenge"},
		"the cookie of plain HTTP over HTTPS":   {func(_ *world, r *http.Request) { r.TLS = &tls.ConnectionState{HandshakeComplete: true} }, "", "challenge"},
		"plain HTTP off loopback":               {func(_ *world, r *http.Request) { r.Host = "app.example.com" }, "", "insecure"},
		"a store that fails":                    {func(w *world, _ *http.Request) { w.Sessions = failingSessions{} }, "", "unavailable"},
		"a provider that stands by the session": {func(w *world, _ *http.Request) { w.Tokens = tokensStub{} }, "alice", ""},
		"a provider that has ended the session": {func(w *world, _ *http.Request) { w.Tokens = tokensStub{ended: true} }, "", "challenge"},
		"a host without a name, with an account for each host": {func(w *world, r *http.Request) {
			w.Cookies = cookie.Options{Domain: "localhost", PerHost: true}
			r.Host = "_.localhost"
			w.confirm(r)
		}, "alice", ""},
		"a host that no browser asks for, with an account for each host": {func(w *world, r *http.Request) {
			w.Cookies = cookie.Options{Domain: "localhost", PerHost: true}
			r.Host = "no\\host.localhost"
		}, "", "challenge"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			r := w.request("/page")
			test.prepare(w, r)
			var next upstream
			answer := w.serve(r, isolating(t), &next)
			user := ""
			if len(next.requests) > 0 {
				user = next.requests[0].Get("Remote-User")
			}
			if user != test.user || answer.Body.String() != test.answer {
				t.Errorf("the upstream is told %q, want %q; the answer is %q, want %q", user, test.user, answer.Body, test.answer)
			}
		})
	}
}

// TestWhatIsThereWithoutAJar: where a jar cannot be read, requests of an optional gate and the
// portal's own files are no exception, or are one.
func TestWhatIsThereWithoutAJar(t *testing.T) {
	optional := &Options{Optional: true}
	for name, test := range map[string]struct {
		path     string
		insecure bool
		options  *Options
		answer   string
	}{
		"an optional gate over plain HTTP":  {"/page", true, optional, ""},
		"an optional gate, a failing store": {"/page", false, optional, "unavailable"},
		"the portal":                        {"/.auth", false, &Options{}, "unavailable"},
		"the portal over plain HTTP":        {"/.auth", true, &Options{}, "insecure"},
		"the portal's style":                {"/.auth/style.css", false, &Options{}, "portal"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.request(test.path)
			if test.insecure {
				r.Host = "app.example.com"
			} else {
				w.Sessions = failingSessions{}
			}
			if got := w.serve(r, test.options, new(upstream)).Body.String(); got != test.answer {
				t.Errorf("the answer is %q, want %q", got, test.answer)
			}
		})
	}
}

// TestPortalSeesTheRequestAsMade: what the site rewrites for an upstream is not the portal's business,
// in which paths decide, and where the browser comes back to.
func TestPortalSeesTheRequestAsMade(t *testing.T) {
	for name, test := range map[string]struct {
		path    string
		rewrite string
		answer  string
		sees    string
	}{
		"as it is":             {"/page?a=1", "", "challenge", "/page?a=1"},
		"rewritten":            {"/page?a=1", "/index.php", "challenge", "/page?a=1"},
		"rewritten to portal":  {"/page", "/.auth/accounts", "challenge", "/page"},
		"the portal rewritten": {"/.auth/accounts", "/index.php", "portal", "/.auth/accounts"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			r := w.request(test.path)
			if test.rewrite != "" {
				r.Method, r.RequestURI, r.URL.Path, r.URL.RawQuery = http.MethodPost, test.rewrite, test.rewrite, ""
			}
			answer := w.serve(r, &Options{}, new(upstream)).Body.String()
			seen := w.portal.original
			if answer != test.answer || seen.RequestURI != test.sees || seen.URL.RequestURI() != test.sees || seen.Method != http.MethodGet {
				t.Errorf("%s answers %s %s, of the URL %s", answer, seen.Method, seen.RequestURI, seen.URL)
			}
		})
	}
}

// TestUserIsKnownToTheServer: the placeholders of a request have the active account where it passes,
// and tokens only there.
func TestUserIsKnownToTheServer(t *testing.T) {
	admins := session.Policy{{Kind: session.RequireUser, Values: []string{"admin"}}}
	never := func(*http.Request) (bool, error) { return false, nil }
	for name, test := range map[string]struct {
		path    string
		options *Options
		user    string
		tokens  bool
	}{
		"a request that passes":              {"/page", &Options{}, "alice", true},
		"one that is refused, for the log":   {"/page", &Options{Require: admins}, "alice", true},
		"the portal":                         {"/.auth", &Options{}, "alice", false},
		"a gate that is not for the request": {"/page", &Options{Applies: never}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			w.Tokens = tokensStub{}
			r := w.request(test.path)
			w.serve(r, test.options, new(upstream))
			if got := of(r); got.user != test.user || (got.tokens != nil) != test.tokens {
				t.Errorf("the server knows %q, with tokens %t", got.user, got.tokens != nil)
			}
		})
	}
}

// TestOneRequestForAllGates: what is found out once is not asked again.
func TestOneRequestForAllGates(t *testing.T) {
	w := newWorld(t).signIn("alice")
	r := w.request("/page")
	o := isolating(t)
	first := w.begin(r)
	w.serve(r, o, handler(func(_ http.ResponseWriter, r *http.Request) error {
		return w.Serve(httptest.NewRecorder(), r, o, handler(func(_ http.ResponseWriter, r *http.Request) error {
			if w.Server.Load(r) != first {
				t.Error("the inner gate has a Request of its own")
			}
			return nil
		}))
	}))
}

// Whoever runs the site must learn why a request counts as plain HTTP, though a proxy says otherwise.
func TestTheLogNamesWhatAProxySays(t *testing.T) {
	w := newWorld(t)
	for range 2 {
		r := w.request("/page", "X-Forwarded-Proto", "https, http")
		r.Host = "app.example.com"
		w.serve(r, &Options{}, new(upstream))
	}
	lines := w.log.FilterField(zap.String("x_forwarded_proto", "https, http")).All()
	if len(lines) != 1 {
		t.Errorf("%d lines, want one for the host", len(lines))
	}
}
