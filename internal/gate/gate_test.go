package gate

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// TestServe takes requests through all steps: what answers them, and what the upstream is sent.
func TestServe(t *testing.T) {
	matcher := errors.New("the matcher failed")
	never := func(*http.Request) (bool, error) { return false, nil }
	failing := func(*http.Request) (bool, error) { return false, matcher }
	admins := session.Policy{{Kind: session.RequireUser, Values: []string{"admin"}}}
	for name, test := range map[string]struct {
		options   func(*Options)
		path      string
		signedOut bool
		header    []string

		answer string // the portal's; empty if the upstream answers
		user   string // Remote-User that the upstream is sent
		err    error
	}{
		"the active account passes":                     {user: "alice"},
		"forged headers do not":                         {header: []string{"Remote-User", "mallory", "X-Webauth-User", "mallory"}, user: "alice"},
		"nobody is sent to sign in":                     {signedOut: true, answer: "challenge"},
		"nobody passes an optional gate":                {signedOut: true, options: func(o *Options) { o.Optional = true }},
		"and forges nothing":                            {signedOut: true, header: []string{"Remote-User", "mallory"}, options: func(o *Options) { o.Optional = true }},
		"a rule that is not met":                        {options: func(o *Options) { o.Require = admins }, answer: "refuse"},
		"a gate that is not for the request":            {options: func(o *Options) { o.Applies = never }},
		"and forges nothing there":                      {header: []string{"Remote-User", "mallory"}, options: func(o *Options) { o.Applies = never }},
		"a matcher that fails":                          {options: func(o *Options) { o.Applies = failing }, err: matcher},
		"the portal":                                    {path: "/.auth/accounts", answer: "portal"},
		"the portal, with a matcher that fails":         {path: "/.auth", options: func(o *Options) { o.Applies = failing }, answer: "portal"},
		"the portal expects nothing":                    {path: "/.auth", header: []string{ExpectHeader, "other"}, answer: "portal"},
		"another session is expected":                   {header: []string{ExpectHeader, "other"}, answer: "changed"},
		"another one, at a gate that does not apply":    {header: []string{ExpectHeader, "other"}, options: func(o *Options) { o.Applies = never }, answer: "changed"},
		"a path that only begins like the portal's":     {path: "/.authority", user: "alice"},
		"the reset page comes before the first page":    {header: []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Cookie", "multi_session_shown=another"}, answer: "reset"},
		"and not where caches are not kept apart":       {header: []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Cookie", "multi_session_shown=another"}, options: func(o *Options) { o.Cache = nil }, user: "alice"},
		"a refusal comes before the reset page":         {header: []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document", "Cookie", "multi_session_shown=another"}, options: func(o *Options) { o.Require = admins }, answer: "refuse"},
		"what is expected comes before rules":           {header: []string{ExpectHeader, "other"}, options: func(o *Options) { o.Require = admins }, answer: "changed"},
		"two sessions are expected of which one is not": {header: []string{ExpectHeader, "a, b"}, answer: "changed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if !test.signedOut {
				w.signIn("alice")
			}
			o := isolating(t)
			if test.options != nil {
				test.options(o)
			}
			if test.path == "" {
				test.path = "/page"
			}
			r := w.request(test.path, test.header...)
			var next upstream
			answer := httptest.NewRecorder()
			err := w.Serve(answer, r, o, &next)
			if !errors.Is(err, test.err) {
				t.Fatalf("error %v, want %v", err, test.err)
			}
			if test.answer != "" || test.err != nil {
				if answer.Body.String() != test.answer || next.requests != nil {
					t.Errorf("the answer is %q, want %q; the upstream was sent %v", answer.Body, test.answer, next.requests)
				}
				return
			}
			if len(next.requests) != 1 || answer.Body.Len() != 0 {
				t.Fatalf("the upstream was sent %d requests, and the answer is %q", len(next.requests), answer.Body)
			}
			sent := next.requests[0]
			if got := sent.Get("Remote-User"); got != test.user || sent.Get("X-Webauth-User") != "" {
				t.Errorf("Remote-User is %q, want %q; %v", got, test.user, sent)
			}
			if cookies := sent.Get("Cookie"); strings.Contains(cookies, "multi_session") {
				t.Errorf("the upstream was sent %q", cookies)
			}
		})
	}
}

// TestPhases follows one request through gates inside of one another and through error routes.
func TestPhases(t *testing.T) {
	const foreign = "multi_session=planted"
	plant := func(w http.ResponseWriter) {
		w.Header().Add("Set-Cookie", foreign)
		w.Header().Add("Set-Cookie", "app=1; HttpOnly")
		w.WriteHeader(http.StatusOK)
	}
	admins := session.Policy{{Kind: session.RequireUser, Values: []string{"admin"}}}
	failed := errors.New("the upstream is down")

	for name, test := range map[string]struct {
		serve func(t *testing.T, w *world, answer http.ResponseWriter, r *http.Request)
		after phase
		set   []string // Set-Cookie in the answer; * is the tag of the slot
	}{
		"one gate": {
			serve: func(t *testing.T, w *world, answer http.ResponseWriter, r *http.Request) {
				err := w.Serve(answer, r, isolating(t), handler(func(w2 http.ResponseWriter, r *http.Request) error {
					if w.Server.Load(r).phase != forwarding {
						t.Error("it is not forwarding")
					}
					plant(w2)
					return nil
				}))
				if err != nil {
					t.Error(err)
				}
			},
			after: returned,
			set:   []string{"ms~*~app=~1; HttpOnly"},
		},
		"a gate within a gate filters once": {
			serve: func(t *testing.T, w *world, answer http.ResponseWriter, r *http.Request) {
				o := isolating(t)
				err := w.Serve(answer, r, o, handler(func(outer http.ResponseWriter, r *http.Request) error {
					return w.Serve(outer, r, o, handler(func(inner http.ResponseWriter, _ *http.Request) error {
						if inner != outer {
							t.Error("the inner gate has a writer of its own")
						}
						plant(inner)
						return nil
					}))
				}))
				if err != nil {
					t.Error(err)
				}
			},
			after: returned,
			set:   []string{"ms~*~app=~1; HttpOnly"},
		},
		"the outer gate decides what is kept apart": {
			serve: func(t *testing.T, w *world, answer http.ResponseWriter, r *http.Request) {
				err := w.Serve(answer, r, &Options{}, handler(func(outer http.ResponseWriter, r *http.Request) error {
					return w.Serve(outer, r, isolating(t), handler(func(inner http.ResponseWriter, _ *http.Request) error {
						plant(inner)
						return nil
					}))
				}))
				if err != nil {
					t.Error(err)
				}
			},
			after: returned,
			set:   []string{"app=1; HttpOnly"},
		},
		"the inner gate's own answer passes the outer one": {
			serve: func(t *testing.T, w *world, answer http.ResponseWriter, r *http.Request) {
				err := w.Serve(answer, r, isolating(t), handler(func(outer http.ResponseWriter, r *http.Request) error {
					return w.Serve(outer, r, &Options{Require: admins}, handler(func(http.ResponseWriter, *http.Request) error {
						t.Error("it passes the inner gate")
						return nil
					}))
				}))
				if err != nil {
					t.Error(err)
				}
			},
			after: answered,
			set:   []string{portalCookie},
		},
		"an upstream that answers instead of the inner gate is filtered": {
			serve: func(t *testing.T, w *world, answer http.ResponseWriter, r *http.Request) {
				o := isolating(t)
				err := w.Serve(answer, r, o, handler(func(outer http.ResponseWriter, r *http.Request) error {
					// As a handler does that looks at an answer and sends another.
					if err := w.Serve(httptest.NewRecorder(), r, &Options{Require: admins}, new(upstream)); err != nil {
						return err
					}
					return w.Serve(outer, r, o, handler(func(inner http.ResponseWriter, _ *http.Request) error {
						plant(inner)
						return nil
					}))
				}))
				if err != nil {
					t.Error(err)
				}
			},
			after: returned,
			set:   []string{"ms~*~app=~1; HttpOnly"},
		},
		"an upstream that answers instead of a gate is filtered": {
			serve: func(t *testing.T, w *world, answer http.ResponseWriter, r *http.Request) {
				if err := w.Serve(httptest.NewRecorder(), r, &Options{Require: admins}, new(upstream)); err != nil {
					t.Error(err)
				}
				err := w.Serve(answer, r, isolating(t), handler(func(inner http.ResponseWriter, _ *http.Request) error {
					plant(inner)
					return nil
				}))
				if err != nil {
					t.Error(err)
				}
			},
			after: returned,
			set:   []string{"ms~*~app=~1; HttpOnly"},
		},
		"an upstream that answers instead of gates within each other is filtered": {
			serve: func(t *testing.T, w *world, answer http.ResponseWriter, r *http.Request) {
				o := isolating(t)
				err := w.Serve(httptest.NewRecorder(), r, o, handler(func(outer http.ResponseWriter, r *http.Request) error {
					return w.Serve(outer, r, &Options{Require: admins}, new(upstream))
				}))
				if err != nil {
					t.Error(err)
				}
				err = w.Serve(answer, r, o, handler(func(inner http.ResponseWriter, _ *http.Request) error {
					plant(inner)
					return nil
				}))
				if err != nil {
					t.Error(err)
				}
			},
			after: returned,
			set:   []string{"ms~*~app=~1; HttpOnly"},
		},
		"error routes are filtered as the gate was": {
			serve: func(t *testing.T, w *world, answer http.ResponseWriter, r *http.Request) {
				err := w.Serve(answer, r, isolating(t), handler(func(http.ResponseWriter, *http.Request) error { return failed }))
				if !errors.Is(err, failed) {
					t.Error(err)
				}
				err = w.ServeErrorRoute(answer, r, &Options{ErrorRoute: true}, handler(func(inner http.ResponseWriter, _ *http.Request) error {
					plant(inner)
					return nil
				}))
				if err != nil {
					t.Error(err)
				}
			},
			after: returned,
			set:   []string{"ms~*~app=~1; HttpOnly"},
		},
		"a gate in an error route that nothing was forwarded to before": {
			serve: func(t *testing.T, w *world, answer http.ResponseWriter, r *http.Request) {
				o := isolating(t)
				err := w.ServeErrorRoute(answer, r, &Options{ErrorRoute: true, Cookies: o.Cookies}, handler(func(outer http.ResponseWriter, r *http.Request) error {
					return w.Serve(outer, r, o, handler(func(inner http.ResponseWriter, r *http.Request) error {
						if got := r.Header.Get("Remote-User"); got != "alice" {
							t.Errorf("the gate says %q", got)
						}
						plant(inner)
						return nil
					}))
				}))
				if err != nil {
					t.Error(err)
				}
			},
			after: returned,
			set:   []string{"ms~0~app=~1; HttpOnly"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			r := w.request("/page", "Cookie", w.mark()+"; multi_session_view=x")
			answer := httptest.NewRecorder()
			test.serve(t, w, answer, r)
			if got := w.Server.Load(r).phase; got != test.after {
				t.Errorf("afterwards it is in phase %d, want %d", got, test.after)
			}
			var set []string
			for _, line := range answer.Result().Header["Set-Cookie"] {
				if !strings.HasPrefix(line, "multi_session_view=") {
					set = append(set, strings.ReplaceAll(line, w.last.Slot, "*"))
				}
			}
			if !slices.Equal(set, test.set) {
				t.Errorf("the browser is told %q, want %q", set, test.set)
			}
		})
	}
}

// TestErrorRoute: a request that failed before any gate saw it is nobody's, and forges nothing.
func TestErrorRoute(t *testing.T) {
	w := newWorld(t).signIn("alice")
	o := isolating(t)
	r := w.request("/page", "Remote-User", "mallory", "Cookie", "ms~"+w.last.Slot+"~app=~1", "If-None-Match", `"x"`)
	var next upstream
	next.answer = func(w http.ResponseWriter, _ *http.Request) error {
		_, err := io.WriteString(w, "sorry")
		return err
	}
	answer := httptest.NewRecorder()
	if err := w.ServeErrorRoute(answer, r, &Options{ErrorRoute: true, Cookies: o.Cookies, Cache: o.Cache}, &next); err != nil {
		t.Fatal(err)
	}
	if sent := next.requests[0]; sent.Get("Remote-User") != "" || sent.Get("Cookie") != "" || sent.Get("If-None-Match") != "" {
		t.Errorf("the upstream is sent %v", sent)
	}
	if got := answer.Header().Get("Cache-Control"); got != "no-store" || answer.Header()["Set-Cookie"] != nil {
		t.Errorf("the answer has %v", answer.Header())
	}
}

// TestErrorRouteSeesWhatTheGateForwarded: the cookies of the upstream are in the request again, and
// not those that a handler has added meanwhile.
func TestErrorRouteSeesWhatTheGateForwarded(t *testing.T) {
	for name, test := range map[string]struct{ cookie, want string }{
		"with cookies":    {"ms~*~app=~1", "app=1"},
		"without cookies": {"multi_session_view=x", ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			r := w.request("/page", "Cookie", strings.ReplaceAll(test.cookie, "*", w.last.Slot))
			failed := errors.New("the upstream is down")
			err := w.Serve(httptest.NewRecorder(), r, isolating(t), handler(func(_ http.ResponseWriter, r *http.Request) error {
				r.Header.Set("Cookie", "added=1")
				return failed
			}))
			if !errors.Is(err, failed) {
				t.Fatal(err)
			}
			var next upstream
			if err := w.ServeErrorRoute(httptest.NewRecorder(), r, &Options{ErrorRoute: true}, &next); err != nil {
				t.Fatal(err)
			}
			if got := next.requests[0].Get("Cookie"); got != test.want {
				t.Errorf("the error route is sent %q, want %q", got, test.want)
			}
		})
	}
}
