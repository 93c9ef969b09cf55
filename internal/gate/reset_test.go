package gate

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

var navigation = []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}

// TestResetPage: which requests it comes before, and what it tells the browser.
func TestResetPage(t *testing.T) {
	never := func(*http.Request) (bool, error) { return false, nil }
	for name, test := range map[string]struct {
		header  []string
		shown   string // * is the view of the active account; empty for no cookie
		options func(*Options)
		reset   bool
		foreign bool
	}{
		"the first page under another view": {header: navigation, shown: "another", reset: true},
		"from another site":                 {header: slices.Concat(navigation, []string{"Sec-Fetch-Site", "cross-site"}), shown: "another", reset: true, foreign: true},
		"from this site":                    {header: slices.Concat(navigation, []string{"Sec-Fetch-Site", "same-origin"}), shown: "another", reset: true},
		"at a gate that does not apply":     {header: navigation, shown: "another", options: func(o *Options) { o.Applies = never }, reset: true},
		"a page under the same view":        {header: navigation, shown: "*"},
		"a browser that has no cookie":      {header: navigation},
		"the first page after signing in":   {header: navigation, shown: cookie.Anonymous},
		"a page in a frame":                 {header: []string{"Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "iframe"}, shown: "another"},
		"a script's request":                {header: []string{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}, shown: "another"},
		"an old browser":                    {shown: "another"},
		"with keep_on_switch":               {header: navigation, shown: "another", options: func(o *Options) { o.Cache.KeepOnSwitch = true }},
		"a public page":                     {header: navigation, shown: "another", options: func(o *Options) { o.Cache.Public = func(*http.Request) bool { return true } }},
		"with clear_storage_on_switch":      {header: navigation, shown: "another", options: func(o *Options) { o.ClearStorageOnSwitch = true }, reset: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			o := isolating(t)
			if test.options != nil {
				test.options(o)
			}
			view := w.last.View()
			header := slices.Clone(test.header)
			if test.shown != "" {
				header = append(header, "Cookie", "multi_session_shown="+strings.ReplaceAll(test.shown, "*", view))
			}
			var next upstream
			answer := w.serve(w.request("/page", header...), o, &next)
			if reset := answer.Body.String() == "reset"; reset != test.reset || reset == (len(next.requests) > 0) {
				t.Fatalf("the answer is %q, and the upstream was sent %d requests", answer.Body, len(next.requests))
			}
			if !test.reset {
				return
			}
			told := strings.Join(answer.Header()["Set-Cookie"], "\n")
			if !strings.Contains(told, "multi_session_shown="+view) || !strings.Contains(told, "multi_session_view="+view) {
				t.Errorf("the browser is told %s", told)
			}
			if w.portal.foreign != test.foreign || w.portal.storage != o.ClearStorageOnSwitch {
				t.Errorf("it is foreign %t, and clears storage %t", w.portal.foreign, w.portal.storage)
			}
		})
	}
}

// TestNoResetPageOverPlainHTTP: nobody can be signed in there, so nothing is to be forgotten, and no
// cookie is set.
func TestNoResetPageOverPlainHTTP(t *testing.T) {
	w := newWorld(t)
	o := isolating(t)
	o.Optional = true
	r := w.request("/page", append(slices.Clone(navigation), "Cookie", "multi_session_shown=another")...)
	r.Host = "app.example.com"
	var next upstream
	answer := w.serve(r, o, &next)
	if len(next.requests) != 1 || answer.Header()["Set-Cookie"] != nil {
		t.Errorf("the answer is %q with %v", answer.Body, answer.Header())
	}
}

// TestOutermostGateDecidesOnTheResetPage: the one inside has nothing to add.
func TestOutermostGateDecidesOnTheResetPage(t *testing.T) {
	w := newWorld(t).signIn("alice")
	outer, inner := isolating(t), isolating(t)
	outer.Cache.KeepOnSwitch = true
	var next upstream
	r := w.request("/page", append(slices.Clone(navigation), "Cookie", "multi_session_shown=another")...)
	answer := w.serve(r, outer, handler(func(rw http.ResponseWriter, r *http.Request) error { return w.Serve(rw, r, inner, &next) }))
	if len(next.requests) != 1 {
		t.Errorf("the answer is %q", answer.Body)
	}
}

// TestAttackResetForEver: a browser that does not take the cookie comes through, at each address.
func TestAttackResetForEver(t *testing.T) {
	w := newWorld(t).signIn("alice")
	for _, step := range []struct{ path, want string }{
		{"/page", "reset"}, {"/page", ""}, {"/page?other", "reset"}, {"/page?other", ""},
	} {
		r := w.request(step.path, append(slices.Clone(navigation), "Cookie", "multi_session_shown=another")...)
		if got := w.serve(r, isolating(t), new(upstream)).Body.String(); got != step.want {
			t.Errorf("%s: the answer is %q, want %q", step.path, got, step.want)
		}
	}
}

// TestPortalRedirects: the way from a provider's site over the portal is not another site's.
func TestPortalRedirects(t *testing.T) {
	for name, test := range map[string]struct {
		location string
		foreign  bool
	}{
		"to the page":                  {"/page?a=1", false},
		"to the page, with the origin": {"http://localhost/page?a=1", false},
		"to a part of the page":        {"/page?a=1#part", false},
		"to another page":              {"/page?a=2", true},
		"to another host":              {"http://other.localhost/page?a=1", true},
		"nowhere":                      {"", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			w.portal.redirect = test.location
			w.serve(w.request("/.auth/callback/corp"), &Options{}, new(upstream))
			r := w.request("/page?a=1", append(slices.Clone(navigation), "Sec-Fetch-Site", "cross-site", "Cookie", "multi_session_shown=another")...)
			if got := w.serve(r, isolating(t), new(upstream)).Body.String(); got != "reset" || w.portal.foreign != test.foreign {
				t.Errorf("%s, foreign %t", got, w.portal.foreign)
			}
		})
	}
}
