package gate

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/session"
)

const wiki = "wiki.example.com"

// sharing returns a gate whose hosts share jars, with a browser in which alice is signed in.
func sharing(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.Cookies = cookie.Options{Domain: "example.com"}
	return w.signIn("alice")
}

// at returns a request over HTTPS to a host, with the jar's cookie and a further header.
func (w *world) at(host, path string, header ...string) *http.Request {
	w.tb.Helper()
	r := w.request(path, header...)
	r.Host, r.TLS = host, &tls.ConnectionState{HandshakeComplete: true}
	r.Header.Set("Cookie", strings.Replace(r.Header.Get("Cookie"), "multi_session=", cookie.NameDomain+"=", 1))
	return r
}

// shown returns what a browser sends after a page was shown under the view of the last sign-in.
func (w *world) shown() string {
	return cookie.NameHost + "_shown=" + w.last.View()
}

func TestJarIsUsedWhereItIsConfirmed(t *testing.T) {
	for name, test := range map[string]struct {
		prepare func(t *testing.T, w *world, r *http.Request)
		options *Options // nil: isolating
		user    string   // that the upstream is told
		answer  string   // of the portal; empty if the request is forwarded
	}{
		"not confirmed":            {func(*testing.T, *world, *http.Request) {}, nil, "", "challenge"},
		"confirmed":                {func(_ *testing.T, w *world, r *http.Request) { w.confirm(r) }, nil, "alice", ""},
		"shown before the upgrade": {func(_ *testing.T, w *world, r *http.Request) { addCookie(r, w.shown()) }, nil, "alice", ""},
		"another jar is confirmed": {func(t *testing.T, _ *world, r *http.Request) {
			other := sharing(t)
			there := other.at(wiki, "/page")
			other.confirm(there)
			_, confirmation, _ := strings.Cut(there.Header.Get("Cookie"), "; ")
			addCookie(r, confirmation)
		}, nil, "", "challenge"},
		"another jar was shown": {func(t *testing.T, _ *world, r *http.Request) { addCookie(r, sharing(t).shown()) }, nil, "", "challenge"},
		"optional":              {func(*testing.T, *world, *http.Request) {}, &Options{Optional: true}, "", ""},
		"left out":              {func(*testing.T, *world, *http.Request) {}, &Options{Applies: func(*http.Request) (bool, error) { return false, nil }}, "", ""},
		"outside of the domain": {func(_ *testing.T, w *world, r *http.Request) {
			r.Host = "outside.test"
			r.Header.Set("Cookie", cookie.NameHost+"="+w.token.Reveal())
		}, nil, "alice", ""},
		"a sign-in has led here": {func(_ *testing.T, w *world, _ *http.Request) { w.portal.resumes = true }, nil, "", "resume"},
		"a sign-in has led to an optional gate": {func(_ *testing.T, w *world, _ *http.Request) {
			w.portal.resumes = true
		}, &Options{Optional: true}, "", "resume"},
		"confirmed, so nothing is resumed": {func(_ *testing.T, w *world, r *http.Request) {
			w.portal.resumes = true
			w.confirm(r)
		}, nil, "alice", ""},
		"the portal": {func(_ *testing.T, _ *world, r *http.Request) { setPath(r, "/.auth/accounts") }, nil, "", "portal"},
	} {
		t.Run(name, func(t *testing.T) {
			w := sharing(t)
			r := w.at(wiki, "/page")
			test.prepare(t, w, r)
			r = serverContext(r)
			options := test.options
			if options == nil {
				options = isolating(t)
			}
			options.Fields = isolating(t).Fields
			var next upstream
			answer := w.serve(r, options, &next)
			user := ""
			if len(next.requests) > 0 {
				user = next.requests[0].Get("Remote-User")
				if got := next.requests[0].Get("Cookie"); strings.Contains(got, "multi_session") {
					t.Errorf("the upstream is sent %q", got)
				}
			}
			if user != test.user || answer.Body.String() != test.answer {
				t.Errorf("the upstream is told %q, want %q; the answer is %q, want %q", user, test.user, answer.Body, test.answer)
			}
			if (len(next.requests) > 0) != (test.answer == "") {
				t.Errorf("the upstream got %d requests", len(next.requests))
			}
			if test.answer != "" && test.user == "" {
				if _, active := w.portal.visitor.Visit.Active(); active {
					t.Error("to the portal somebody is active")
				}
			}
		})
	}
}

func addCookie(r *http.Request, pair string) {
	r.Header.Set("Cookie", r.Header.Get("Cookie")+"; "+pair)
}

func setPath(r *http.Request, path string) {
	r.RequestURI, r.URL.Path = path, path
}

// TestJarOfBeforeTheUpgradeIsConfirmed: the answer sets the cookie, because what confirms the jar now
// ends with the session.
func TestJarOfBeforeTheUpgradeIsConfirmed(t *testing.T) {
	public := isolating(t)
	public.Cache.Public = func(*http.Request) bool { return true }
	for name, test := range map[string]struct {
		path    string
		options *Options
		sets    bool
	}{
		"an answer of the upstream": {"/page", isolating(t), true},
		"an answer of the portal":   {"/.auth/accounts", isolating(t), true},
		"a public answer":           {"/page", public, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := sharing(t)
			answer := w.serve(w.at(wiki, test.path, "Cookie", w.shown()), test.options, new(upstream))
			if got := confirmations(answer); len(got) > 1 || (len(got) == 1) != test.sets {
				t.Fatalf("the answer sets %q, want it set: %t", got, test.sets)
			}
			if !test.sets {
				return
			}
			pair, _, _ := strings.Cut(confirmations(answer)[0], ";")
			again := w.serve(w.at(wiki, test.path, "Cookie", pair), test.options, new(upstream))
			if got := confirmations(again); got != nil || again.Body.String() == "challenge" {
				t.Errorf("with the cookie the answer is %q and sets %q", again.Body, got)
			}
		})
	}
}

// confirmations returns the Set-Cookie fields of an answer that confirm a jar.
func confirmations(answer *httptest.ResponseRecorder) (lines []string) {
	for _, line := range answer.Header()["Set-Cookie"] {
		if strings.HasPrefix(line, cookie.NameHost+"_confirmed=") {
			lines = append(lines, line)
		}
	}
	return lines
}

// TestAttackPlantedJarIsNobody: a sibling host plants the jar of mallory in the browser of alice, who
// has used the host before. What the upstream answers is not stored as mallory's either.
func TestAttackPlantedJarIsNobody(t *testing.T) {
	alice := sharing(t)
	mine := alice.at(wiki, "/page")
	alice.confirm(mine)
	_, confirmation, _ := strings.Cut(mine.Header.Get("Cookie"), "; ")
	mallory := *alice // the same gate
	mallory.token = session.Token{}
	mallory.signIn("mallory")

	r := mallory.at(wiki, "/page", "Cookie", confirmation+"; "+alice.shown())
	var next upstream
	answer := mallory.serve(r, &Options{Optional: true, Fields: isolating(t).Fields, Cache: new(CacheOptions)}, &next)
	if len(next.requests) != 1 || next.requests[0].Get("Remote-User") != "" {
		t.Errorf("the upstream got %v", next.requests)
	}
	for _, line := range answer.Header()["Set-Cookie"] {
		if strings.Contains(line, mallory.last.View()) || strings.Contains(line, "_confirmed") {
			t.Errorf("the answer sets %q", line)
		}
	}
}

// TestAttackPlantedJarDestroysNothing: to the planted jar, the sessions of the victim's jar are unknown.
// What the victim's apps have set for them must stay all the same.
func TestAttackPlantedJarDestroysNothing(t *testing.T) {
	alice := sharing(t)
	app := &upstream{answer: func(w http.ResponseWriter, _ *http.Request) error {
		http.SetCookie(w, &http.Cookie{Name: "sid", Value: "of-alice", Path: "/", HttpOnly: true})
		http.SetCookie(w, &http.Cookie{Name: "csrf", Value: "of-alice", Path: "/"})
		return nil
	}}
	r := alice.at(wiki, "/page")
	alice.confirm(r)
	_, kept, _ := strings.Cut(r.Header.Get("Cookie"), "; ")
	for _, line := range alice.serve(r, isolating(t), app).Header()["Set-Cookie"] {
		pair, _, _ := strings.Cut(line, ";")
		kept += "; " + pair
	}
	mallory := *alice // the same gate
	mallory.token = session.Token{}
	mallory.signIn("mallory")
	optional := isolating(t)
	optional.Optional = true
	for name, test := range map[string]struct {
		path    string
		options *Options
	}{
		"a request that is challenged": {"/page", isolating(t)},
		"a request to an open page":    {"/page", optional},
		"a request to the portal":      {"/.auth/accounts", isolating(t)},
	} {
		var next upstream
		answer := mallory.serve(mallory.at(wiki, test.path, "Cookie", kept), test.options, &next)
		for _, line := range answer.Header()["Set-Cookie"] {
			if line != portalCookie {
				t.Errorf("%s: the answer sets %q", name, line)
			}
		}
		for _, header := range next.requests {
			if got := header.Get("Cookie"); got != "" {
				t.Errorf("%s: the upstream is sent %q", name, got)
			}
		}
	}
	// Whoever is confirmed gets everything back.
	var next upstream
	alice.serve(alice.at(wiki, "/page", "Cookie", kept), isolating(t), &next)
	if len(next.requests) != 1 || next.requests[0].Get("Cookie") != "sid=of-alice; csrf=of-alice" {
		t.Errorf("afterwards the upstream is sent %v", next.requests)
	}
}
