package portal

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/session"
)

const trustedOrigin = "https://spa.example.org"

// sharing returns a browser at a site that trusts other origins, and its own.
func sharing(t *testing.T, more ...string) *browser {
	t.Helper()
	return newGateway(t, func(s *setup) {
		s.origins = append([]string{trustedOrigin, "http://localhost:5173", "https://app.example.com"}, more...)
	}).browser()
}

// corsHeaders returns the names of an answer's CORS headers.
func corsHeaders(h http.Header) (names []string) {
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func wantShared(t *testing.T, w *httptest.ResponseRecorder, origin string) {
	t.Helper()
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin":      origin,
		"Access-Control-Allow-Credentials": "true",
		"Access-Control-Expose-Headers":    "Allow, Location, Retry-After, X-Retry-After",
		"Vary":                             "Origin",
	} {
		if got := w.Header()[name]; len(got) == 0 || got[0] != want || len(got) > 1 && name != "Vary" {
			t.Errorf("%d: %s is %q, want %q", w.Code, name, got, want)
		}
	}
	if got := corsHeaders(w.Header()); len(got) != 3 {
		t.Errorf("%d: has %v", w.Code, got)
	}
}

func wantUnshared(t *testing.T, w *httptest.ResponseRecorder) {
	t.Helper()
	if got := corsHeaders(w.Header()); len(got) != 0 {
		t.Errorf("%d: has %v", w.Code, got)
	}
}

// apiRoutes returns all paths of the API, and one that does not exist.
func apiRoutes(b *browser) map[string]string {
	b.EndStreams() // these answer completely
	paths := map[string]string{"/.auth/nothing": ""}
	for path, route := range b.routes {
		if !route.page && !route.asset {
			paths["/.auth"+path] = route.allow()
		}
	}
	return paths
}

func TestTrustedOriginsReadEveryAnswerOfTheAPI(t *testing.T) {
	b := sharing(t)
	for _, origin := range []string{trustedOrigin, "http://localhost:5173"} {
		for path := range apiRoutes(b) {
			for _, method := range []string{"GET", "HEAD", "POST", "PUT", "OPTIONS"} {
				w := b.send(b.request(method, path, "", "Origin", origin, "Sec-Fetch-Site", "same-site", "Sec-Fetch-Mode", "cors"))
				wantShared(t, w, origin)
			}
		}
	}
}

func TestTrustedOriginsReadErrors(t *testing.T) {
	tests := map[string]struct {
		spoil  func(*browser)
		path   string
		body   string
		header []string
		status int
	}{
		"400":               {nil, "sign-in/email", `x`, nil, http.StatusBadRequest},
		"401":               {nil, "sign-in/email", `{"email":"alice@example.com","password":"x"}`, nil, http.StatusUnauthorized},
		"401 of a token":    {nil, "multi-session/set-active", `{"sessionToken":"x"}`, nil, http.StatusUnauthorized},
		"403 of a callback": {nil, "sign-in/email", `{"email":"alice@example.com","password":"x","callbackURL":"https://evil.example/"}`, nil, http.StatusForbidden},
		"404":               {nil, "nothing", `{}`, nil, http.StatusNotFound},
		"405":               {nil, "get-session", `{}`, nil, http.StatusMethodNotAllowed},
		"409": {func(b *browser) { b.signInAs("alice") }, "sign-in/username", `{"username":"bob","password":"bob-password"}`, nil,
			http.StatusConflict},
		"413":                   {nil, "sign-out", `{"x":"` + strings.Repeat("x", maxBody) + `"}`, nil, http.StatusRequestEntityTooLarge},
		"415":                   {nil, "sign-out", `{}`, []string{"Content-Type", "text/plain"}, http.StatusUnsupportedMediaType},
		"422":                   {nil, "sign-in/username", `{"username":"a","password":"x"}`, nil, http.StatusUnprocessableEntity},
		"503 of a login method": {func(b *browser) { b.accounts.err = errors.New("down") }, "sign-in/email", `{"email":"alice@example.com","password":"x"}`, nil, http.StatusServiceUnavailable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			b := newGateway(t, func(s *setup) {
				s.origins = []string{trustedOrigin}
				s.options.MaxSessions, s.options.RejectAtMax = 1, true
			}).browser()
			if test.spoil != nil {
				test.spoil(b)
			}
			w := b.post("/.auth/"+test.path, test.body, append([]string{"Origin", trustedOrigin, "Sec-Fetch-Site", "cross-site"}, test.header...)...)
			if w.Code != test.status {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			wantShared(t, w, trustedOrigin)
		})
	}
}

// The transport or the store can refuse a request before the portal sees it.
func TestTrustedOriginsReadThatNobodyCanBeLookedUp(t *testing.T) {
	b := sharing(t)
	v := Visitor{Scheme: "https", Host: "app.example.com"}
	for target, api := range map[string]bool{"/.auth/get-session": true, "/.auth/nothing": true, "/.auth/accounts": false, "/.auth/style.css": false, "/": false, "/get-session": false} {
		for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
			"insecure":    func(w http.ResponseWriter, r *http.Request) { b.Insecure(w, r, v) },
			"unavailable": func(w http.ResponseWriter, r *http.Request) { b.Unavailable(w, r, v, errors.New("disk is full")) },
		} {
			w := httptest.NewRecorder()
			answer(w, b.request("GET", target, "", "Origin", trustedOrigin, "Sec-Fetch-Mode", "cors"))
			if api {
				wantShared(t, w, trustedOrigin)
				continue
			}
			wantUnshared(t, w)
			if w.Header().Get("Vary") != "" {
				t.Errorf("%s of %s: Vary is %q", name, target, w.Header()["Vary"])
			}
		}
	}
}

func TestTheGateSharesNothing(t *testing.T) {
	b := sharing(t)
	r := b.request("GET", "/", "", "Origin", trustedOrigin, "Sec-Fetch-Mode", "cors")
	w := b.challenge(r, "/")
	wantProblem(t, w, http.StatusUnauthorized, "UNAUTHORIZED")
	wantUnshared(t, w)

	b.signInAs("alice")
	w = httptest.NewRecorder()
	rule := session.Rule{Kind: session.RequireGroup, Values: []string{"wheel"}}
	b.Refuse(w, r, b.visitor(b.request("GET", "/", "")), session.Policy{rule}, rule)
	wantProblem(t, w, http.StatusForbidden, "FORBIDDEN")
	wantUnshared(t, w)
}

func TestPagesAndTheirStyleAreNotShared(t *testing.T) {
	b := sharing(t)
	for path, route := range b.routes {
		if !route.page && !route.asset {
			continue
		}
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			w := b.send(b.request(method, "/.auth"+path, "", "Origin", trustedOrigin, "Access-Control-Request-Method", "GET"))
			wantUnshared(t, w)
			if method == "OPTIONS" && w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s: preflight is answered %d", path, w.Code)
			}
		}
	}
}

// untrusted are values of Origin that are not trusted origins, however similar.
var untrusted = map[string][]string{
	"none":                          nil,
	"empty":                         {""},
	"null":                          {"null"},
	"star":                          {"*"},
	"another site":                  {"https://evil.example"},
	"own origin":                    {"https://app.example.com"},
	"trusted in plain HTTP":         {"http://spa.example.org"},
	"trusted over HTTPS":            {"https://localhost:5173"},
	"trusted with its port":         {"https://spa.example.org:443"},
	"trusted on another port":       {"https://spa.example.org:8443"},
	"trusted without its port":      {"http://localhost"},
	"trusted with a longer port":    {"http://localhost:51730"},
	"trusted with a zero in front":  {"http://localhost:05173"},
	"trusted with an empty port":    {"https://spa.example.org:"},
	"trusted in upper case":         {"HTTPS://SPA.EXAMPLE.ORG"},
	"trusted with a slash":          {"https://spa.example.org/"},
	"trusted with a path":           {"https://spa.example.org/app"},
	"trusted with a query":          {"https://spa.example.org?"},
	"trusted with a dot":            {"https://spa.example.org."},
	"trusted with a space":          {" https://spa.example.org"},
	"trusted with a tab behind":     {"https://spa.example.org\t"},
	"trusted below another":         {"https://spa.example.org.evil.example"},
	"trusted with something glued":  {"https://spa.example.orgevil.example"},
	"trusted behind something":      {"https://evilspa.example.org"},
	"below trusted":                 {"https://x.spa.example.org"},
	"above trusted":                 {"https://example.org"},
	"trusted as user name":          {"https://spa.example.org@evil.example"},
	"trusted with a user name":      {"https://x@spa.example.org"},
	"trusted as another's path":     {"https://evil.example/https://spa.example.org"},
	"trusted host without a scheme": {"spa.example.org"},
	"another scheme":                {"chrome-extension://spa.example.org"},
	"a letter that looks alike":     {"https://spa.examp1e.org"},
	"trusted in letters of others":  {"https://ѕpa.example.org"},
	"two in a field":                {"https://spa.example.org https://evil.example"},
	"two with a comma":              {"https://evil.example, https://spa.example.org"},
	"two fields":                    {"https://spa.example.org", "https://evil.example"},
	"two fields, trusted last":      {"https://evil.example", "https://spa.example.org"},
	"the same one twice":            {"https://spa.example.org", "https://spa.example.org"},
	"another loopback":              {"http://127.0.0.1:5173"},
}

func TestNobodyElseReadsTheAPI(t *testing.T) {
	b := sharing(t)
	b.signInAs("alice")
	for name, origins := range untrusted {
		t.Run(name, func(t *testing.T) {
			for path, allow := range apiRoutes(b) {
				for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
					r := b.request(method, path, "not JSON", "Origin", "", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type")
					if origins != nil {
						r.Header["Origin"] = origins
					}
					w := b.send(r)
					wantUnshared(t, w)
					if w.Header().Get("Vary") != "Origin" {
						t.Errorf("%s %s: Vary is %q", method, path, w.Header()["Vary"])
					}
					if method != "OPTIONS" {
						continue
					}
					if allow == "" {
						wantProblem(t, w, http.StatusNotFound, "NOT_FOUND")
						continue
					}
					wantProblem(t, w, http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
					if got := w.Header().Get("Allow"); got != allow {
						t.Errorf("%s: Allow is %q", path, got)
					}
				}
			}
		})
	}
}

// A sibling site may trust this site, and yet this site's own origin is its own here.
func TestOwnOriginIsTheSiteThatIsAsked(t *testing.T) {
	b := sharing(t)
	wantUnshared(t, b.get("/.auth/get-session", "Origin", "https://app.example.com"))
	b.host = "spa.example.org"
	wantUnshared(t, b.get("/.auth/get-session", "Origin", trustedOrigin))
	wantShared(t, b.get("/.auth/get-session", "Origin", "https://app.example.com"), "https://app.example.com")
	b.host = "spa.example.org:443" // as some clients name it
	wantUnshared(t, b.get("/.auth/get-session", "Origin", trustedOrigin))
}

func TestWhereNobodyIsTrustedTheAnswersVaryToo(t *testing.T) {
	b := newGateway(t).browser()
	for path := range apiRoutes(b) {
		for _, method := range []string{"GET", "HEAD", "POST", "OPTIONS"} {
			w := b.send(b.request(method, path, "", "Origin", trustedOrigin, "Access-Control-Request-Method", "GET"))
			wantUnshared(t, w)
			if got := w.Header().Get("Vary"); got != "Origin" {
				t.Errorf("%s %s: Vary is %q", method, path, got)
			}
		}
	}
}

func TestPreflight(t *testing.T) {
	b := sharing(t)
	ask := func(path, method string) *httptest.ResponseRecorder {
		t.Helper()
		return b.send(b.request("OPTIONS", path, "", "Origin", trustedOrigin,
			"Access-Control-Request-Method", method, "Access-Control-Request-Headers", "content-type,x-captcha-response"))
	}
	for path, allow := range apiRoutes(b) {
		w := ask(path, "POST")
		if allow == "" {
			wantProblem(t, w, http.StatusNotFound, "NOT_FOUND")
			continue
		}
		if w.Code != http.StatusNoContent || w.Body.Len() != 0 || b.setCookie(w) != nil {
			t.Errorf("%s: %d %v %s", path, w.Code, w.Header(), w.Body)
		}
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin":      trustedOrigin,
			"Access-Control-Allow-Credentials": "true",
			"Access-Control-Allow-Methods":     allow,
			"Access-Control-Allow-Headers":     "content-type,x-captcha-response",
			"Access-Control-Max-Age":           "600",
			"Vary":                             "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
		} {
			if got := strings.Join(w.Header()[name], ", "); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		if got := corsHeaders(w.Header()); len(got) != 5 {
			t.Errorf("%s: has %v", path, got)
		}
	}
	// The requested method does not change the answer.
	if got, want := ask("/.auth/sign-out", "DELETE").Header(), ask("/.auth/sign-out", "POST").Header(); got.Get("Access-Control-Allow-Methods") != want.Get("Access-Control-Allow-Methods") {
		t.Errorf("got %v and %v", got, want)
	}
}

// TestPreflightAllowsTheHeadersThatItAsksFor: apps add theirs to every request, for tracing or as a
// proof against forgery.
func TestPreflightAllowsTheHeadersThatItAsksFor(t *testing.T) {
	for name, test := range map[string]struct {
		requested []string
		want      string
	}{
		"the stock client's": {[]string{"content-type"}, "content-type"},
		"of tracing":         {[]string{"baggage,content-type,sentry-trace"}, "baggage,content-type,sentry-trace"},
		"of apps":            {[]string{"authorization, x-captcha-response"}, "authorization, x-captcha-response"},
		"none":               {nil, corsAllowed},
		"empty":              {[]string{""}, corsAllowed},
		"an empty element":   {[]string{"baggage,,x-a"}, corsAllowed},
		"two lists":          {[]string{"baggage", "x-a"}, corsAllowed},
		"no header's name":   {[]string{"baggage, x a"}, corsAllowed},
		"very long":          {[]string{strings.Repeat("x", maxCORSRequested+1)}, corsAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			b := sharing(t)
			r := b.request("OPTIONS", "/.auth/sign-in/email", "", "Origin", trustedOrigin, "Access-Control-Request-Method", "POST")
			r.Header["Access-Control-Request-Headers"] = test.requested
			if got := b.send(r).Header()["Access-Control-Allow-Headers"]; len(got) != 1 || got[0] != test.want {
				t.Errorf("allows %q, want %q", got, test.want)
			}
		})
	}
}

func TestOptionsThatAreNoPreflight(t *testing.T) {
	b := sharing(t)
	wantProblem(t, b.send(b.request("OPTIONS", "/.auth/sign-out", "", "Origin", trustedOrigin)), http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
	r := b.request("OPTIONS", "/.auth/sign-out", "", "Origin", trustedOrigin)
	r.Header["Access-Control-Request-Method"] = []string{"POST", "DELETE"}
	wantProblem(t, b.send(r), http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED")
	r = b.request("POST", "/.auth/sign-out", "{}", "Origin", trustedOrigin, "Sec-Fetch-Site", "cross-site", "Content-Type", "text/plain", "Access-Control-Request-Method", "POST")
	wantProblem(t, b.send(r), http.StatusUnsupportedMediaType, "UNSUPPORTED_MEDIA_TYPE")
}

func TestAPreflightChangesNothing(t *testing.T) {
	b := sharing(t)
	b.signInAs("alice")
	b.signInAs("bob")
	for path := range apiRoutes(b) {
		b.send(b.request("OPTIONS", path, "{}", "Origin", trustedOrigin, "Access-Control-Request-Method", "POST", "Content-Type", "application/json"))
	}
	if got := b.names(); got != "alice *bob" {
		t.Errorf("the browser has %q", got)
	}
}
