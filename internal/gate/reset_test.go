package gate

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/session"
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
		"a second cookie, planted":          {header: navigation, shown: "*; multi_session_shown=planted", reset: true},
		"two cookies of other views":        {header: navigation, shown: "another; multi_session_shown=planted", reset: true},
		"twice the same cookie":             {header: navigation, shown: "*; multi_session_shown=*"},
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

// TestNoResetPageOverPlainHTTP: nobody can be signed in there, so nothing is to be forgotten, and
// no cookie is set.
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

// TestPortalRedirectsOfOneBrowser: what the portal has led one browser to is no other browser's
// way, and a browser is known by what the portal's answer gives it.
func TestPortalRedirectsOfOneBrowser(t *testing.T) {
	arrive := slices.Concat(navigation, []string{"Sec-Fetch-Site", "cross-site"})
	shown := func(view string) []string { return []string{"Cookie", "multi_session_shown=" + view} }
	for name, test := range map[string]struct {
		led, arrives func(*world) *http.Request
		gives        bool // the portal's answer signs the browser in
		foreign      bool
	}{
		"the same jar": {
			led: func(w *world) *http.Request {
				return w.signIn("alice").request("/.auth/callback/corp", shown("another")...)
			},
			arrives: func(w *world) *http.Request { return w.request("/page", slices.Concat(arrive, shown("another"))...) },
		},
		"a sign-in that has just given the jar": {
			led:     func(w *world) *http.Request { return w.request("/.auth/callback/corp", shown("another")...) },
			gives:   true,
			arrives: func(w *world) *http.Request { return w.request("/page", slices.Concat(arrive, shown("another"))...) },
		},
		"a sign-out, and the host has shown the same": {
			led:     func(w *world) *http.Request { return w.request("/.auth/signed-out", shown("another")...) },
			arrives: func(w *world) *http.Request { return w.request("/page", slices.Concat(arrive, shown("another"))...) },
		},
		"attack: another browser at the same address": {
			led: func(w *world) *http.Request {
				r := w.signIn("mallory").request("/.auth/callback/corp", shown("mallorys")...)
				w.token = session.Token{}
				w.signIn("alice")
				return r
			},
			arrives: func(w *world) *http.Request { return w.request("/page", slices.Concat(arrive, shown("another"))...) },
			foreign: true,
		},
		"attack: another browser without a jar": {
			led:     func(w *world) *http.Request { return w.request("/.auth/signed-out", shown("mallorys")...) },
			arrives: func(w *world) *http.Request { return w.request("/page", slices.Concat(arrive, shown("another"))...) },
			foreign: true,
		},
		"attack: a browser that shows nothing": {
			led:     func(w *world) *http.Request { return w.request("/.auth/signed-out") },
			arrives: func(w *world) *http.Request { return w.request("/page", slices.Concat(arrive, shown("another"))...) },
			foreign: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o := isolating(t)
			o.Optional = true
			w.portal.redirect = "/page"
			led := test.led(w)
			if test.gives {
				w.portal.gives = func(h http.Header) {
					w.signIn("alice")
					cookie.Spec{Name: cookie.NamePlain}.Set(h, w.token, time.Hour)
				}
			}
			w.serve(led, o, new(upstream))
			if got := w.serve(test.arrives(w), o, new(upstream)).Body.String(); got != "reset" || w.portal.foreign != test.foreign {
				t.Errorf("%s, foreign %t, want %t", got, w.portal.foreign, test.foreign)
			}
		})
	}
}

// taker is a browser that takes the cookie of the last shown view, and goes to pages of one host.
type taker struct {
	*world
	o     *Options
	shown string
}

// open goes to a page, and reports whether the reset page came first. If it did, the browser goes
// on.
func (b *taker) open(path string) (reset bool) {
	b.tb.Helper()
	for range 3 {
		header := slices.Clone(navigation)
		if b.shown != "" {
			header = append(header, "Cookie", "multi_session_shown="+b.shown)
		}
		answer := b.serve(b.request(path, header...), b.o, new(upstream))
		for _, c := range answer.Result().Cookies() {
			if c.Name == "multi_session_shown" {
				b.shown = c.Value
			}
		}
		if answer.Body.String() != "reset" {
			return reset
		}
		reset = true
	}
	b.tb.Fatalf("%s leads round and round", path)
	return false
}

// TestAttackResetSkippedBySwitchingBack: alice, bob, alice, bob at one address, within a second.
// Every switch gets its reset page.
func TestAttackResetSkippedBySwitchingBack(t *testing.T) {
	w := newWorld(t).signIn("alice")
	b := &taker{world: w, o: isolating(t)}
	b.open("/page")
	w.signIn("bob")
	for i := range 4 {
		if !b.open("/page") || b.open("/page") {
			t.Fatalf("switch %d: the reset page did not come once", i)
		}
		w.switchTo([]string{"alice", "bob"}[i%2])
	}
}

// TestAttackResetSkippedByLostPage: the page after a reset never arrives, because somebody switches
// back first. The next switch gets its reset page all the same.
func TestAttackResetSkippedByLostPage(t *testing.T) {
	w := newWorld(t).signIn("alice")
	b := &taker{world: w, o: isolating(t)}
	b.open("/page")
	w.signIn("bob")
	for i := range 4 {
		r := w.request("/page", append(slices.Clone(navigation), "Cookie", "multi_session_shown="+b.shown)...)
		answer := w.serve(r, b.o, new(upstream))
		if answer.Body.String() != "reset" {
			t.Fatalf("switch %d: %q", i, answer.Body)
		}
		for _, c := range answer.Result().Cookies() {
			if c.Name == "multi_session_shown" {
				b.shown = c.Value
			}
		}
		w.switchTo([]string{"alice", "bob"}[i%2])
	}
}

// TestAttackStrangerSkipsReset: at a gate that lets nobody pass, a stranger's requests do not keep
// the reset page from a browser that has signed out.
func TestAttackStrangerSkipsReset(t *testing.T) {
	w := newWorld(t)
	o := isolating(t)
	o.Optional = true
	for _, shown := range []string{"alices", "alices", "other", "x; multi_session_shown=alices"} {
		r := w.request("/page", append(slices.Clone(navigation), "Cookie", "multi_session_shown="+shown+"; theirs=1")...)
		w.serve(r, o, new(upstream))
	}
	victim := &taker{world: w, o: o, shown: "victims"}
	if !victim.open("/page") {
		t.Error("the reset page did not come")
	}
}

// TestAttackResetOverflow: whoever fills the guard's memory does not keep the reset page from
// others.
func TestAttackResetOverflow(t *testing.T) {
	w := newWorld(t).signIn("alice")
	b := &taker{world: w, o: isolating(t)}
	b.o.Optional = true
	b.open("/page")
	w.signIn("bob")
	for i := range 2 * maxRecent {
		if !w.resets.allow("localhost", []string{strconv.Itoa(i)}, cookie.Anonymous, "/page") {
			t.Fatal("a browser without a jar was refused")
		}
	}
	if n := w.resets.allowed.Len(); n > maxRecent {
		t.Errorf("the guard remembers %d browsers", n)
	}
	if !b.open("/page") {
		t.Error("the reset page did not come")
	}
}

// TestAttackPlantedShownCookie: a second cookie is at the address for good, so what the browser
// says is never what it was told. It gets the reset page with each switch, and comes through.
func TestAttackPlantedShownCookie(t *testing.T) {
	w := newWorld(t).signIn("alice")
	o := isolating(t)
	shown := w.last.View()
	w.signIn("bob")
	for i := range 4 {
		for _, want := range []string{"reset", "", ""} {
			header := append(slices.Clone(navigation), "Cookie", "multi_session_shown=planted; multi_session_shown="+shown)
			answer := w.serve(w.request("/page", header...), o, new(upstream))
			for _, c := range answer.Result().Cookies() {
				if c.Name == "multi_session_shown" {
					shown = c.Value
				}
			}
			if got := answer.Body.String(); got != want {
				t.Fatalf("switch %d: %q, want %q", i, got, want)
			}
		}
		w.switchTo([]string{"alice", "bob"}[i%2])
	}
}

func TestResetGuard(t *testing.T) {
	const host, page = "localhost", "/page"
	one := func(view string) []string { return []string{view} }
	synctest.Test(t, func(t *testing.T) {
		for name, test := range map[string]struct {
			shown   []string
			view    string
			between func(*resetGuard)
			again   bool // the same request gets the page once more
		}{
			"the cookie was not taken":        {one("a"), "b", func(*resetGuard) {}, false},
			"the cookie was taken":            {one("a"), "b", func(g *resetGuard) { g.observe(host, one("b"), "b") }, true},
			"taken, and switched since":       {one("a"), "b", func(g *resetGuard) { g.observe(host, one("b"), "a") }, true},
			"taken, beside a planted one":     {one("a"), "b", func(g *resetGuard) { g.observe(host, []string{"x", "b"}, "b") }, false},
			"another browser's came back":     {one("a"), "b", func(g *resetGuard) { g.observe(host, one("c"), "c") }, false},
			"it came back at another host":    {one("a"), "b", func(g *resetGuard) { g.observe("other.localhost", one("b"), "b") }, false},
			"some time has passed":            {one("a"), "b", func(*resetGuard) { advance(recent) }, true},
			"less time has passed":            {one("a"), "b", func(*resetGuard) { advance(recent - 1) }, false},
			"nobody's, not taken":             {one("a"), "0", func(*resetGuard) {}, false},
			"nobody's, and another browser's": {one("a"), "0", func(g *resetGuard) { g.observe(host, one("b"), "b") }, false},
			"nobody's, and back as somebody":  {one("a"), "0", func(g *resetGuard) { g.observe(host, one("a"), "a") }, true},
		} {
			g := newResetGuard()
			if !g.allow(host, test.shown, test.view, page) {
				t.Errorf("%s: not the first time", name)
			}
			g.observe(host, test.shown, test.view)
			test.between(g)
			if got := g.allow(host, test.shown, test.view, page); got != test.again {
				t.Errorf("%s: again %t, want %t", name, got, test.again)
			}
		}
	})
	t.Run("many addresses of one browser", func(t *testing.T) {
		g := newResetGuard()
		for i := range 4 * maxResetAddresses {
			if !g.allow(host, one("a"), "b", strconv.Itoa(i)) {
				t.Errorf("address %d is refused", i)
			}
		}
		resets, _ := g.allowed.Get(resetKey(host, nil, "b"))
		if len(resets) != maxResetAddresses {
			t.Errorf("%d addresses are remembered", len(resets))
		}
	})
}
