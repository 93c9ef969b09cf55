package gate

import (
	"net/http"
	"slices"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// TestRefusalKnowsTheRulesOfAllGates: the accounts that a refusal offers have to pass the gates
// before it as well.
func TestRefusalKnowsTheRulesOfAllGates(t *testing.T) {
	rule := func(names ...string) session.Policy {
		return session.Policy{{Kind: session.RequireUser, Values: names}}
	}
	for name, test := range map[string]struct {
		gates []session.Policy // from the outermost on
		want  session.Policy
	}{
		"one gate":                   {[]session.Policy{rule("bob")}, rule("bob")},
		"two":                        {[]session.Policy{rule("alice", "bob"), rule("bob")}, slices.Concat(rule("alice", "bob"), rule("bob"))},
		"one without rules first":    {[]session.Policy{nil, rule("bob")}, rule("bob")},
		"one without rules between":  {[]session.Policy{rule("alice"), nil, rule("bob")}, slices.Concat(rule("alice"), rule("bob"))},
		"gates within are not asked": {[]session.Policy{rule("bob"), rule("carol")}, rule("bob")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			var next Handler = new(upstream)
			for _, policy := range slices.Backward(test.gates) {
				inner := next
				o := &Options{Require: policy}
				next = handler(func(rw http.ResponseWriter, r *http.Request) error { return w.Serve(rw, r, o, inner) })
			}
			answer := w.serve(w.request("/page"), &Options{}, next)
			if answer.Body.String() != "refuse" || len(w.portal.policy) != len(test.want) {
				t.Fatalf("%s with %v", answer.Body, w.portal.policy)
			}
			for i, rule := range w.portal.policy {
				if !slices.Equal(rule.Values, test.want[i].Values) {
					t.Errorf("rule %d is for %v, want %v", i, rule.Values, test.want[i].Values)
				}
			}
			if !slices.Equal(w.portal.unmet.Values, []string{"bob"}) {
				t.Errorf("what is not met is %v", w.portal.unmet)
			}
		})
	}
}

// TestIdentityHeaders: the innermost gate alone says who it is, whatever comes between.
func TestIdentityHeaders(t *testing.T) {
	never := func(*http.Request) (bool, error) { return false, nil }
	headers := []Header{{"X-User", "<{user}>"}}
	for name, test := range map[string]struct {
		inner *Options
		want  map[string]string
	}{
		"another set of headers":      {&Options{Headers: headers}, map[string]string{"X-User": "<alice>"}},
		"none":                        {&Options{}, map[string]string{}},
		"one that does not apply":     {&Options{Applies: never}, map[string]string{"Remote-User": "alice", "X-Webauth-Name": "between"}},
		"a value that is no header's": {&Options{Headers: []Header{{"X-User", "{user}\r\n"}}}, map[string]string{}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			var next upstream
			w.serve(w.request("/page"), isolating(t), handler(func(rw http.ResponseWriter, r *http.Request) error {
				r.Header.Set("X-Webauth-Name", "between")
				return w.Serve(rw, r, test.inner, &next)
			}))
			for _, name := range []string{"Remote-User", "X-User", "X-Webauth-Name"} {
				if got := next.requests[0].Get(name); got != test.want[name] {
					t.Errorf("%s is %q, want %q", name, got, test.want[name])
				}
			}
		})
	}
}

// TestAuthorizationIsStripped: browsers keep passwords of their own dialogue for all accounts.
func TestAuthorizationIsStripped(t *testing.T) {
	never := func(*http.Request) (bool, error) { return false, nil }
	for name, test := range map[string]struct {
		options *Options
		want    string
	}{
		"by default":            {&Options{}, "Basic YTpi"},
		"asked for":             {&Options{StripAuthorization: true}, ""},
		"for nobody":            {&Options{StripAuthorization: true, Optional: true}, ""},
		"where it is not gated": {&Options{StripAuthorization: true, Applies: never}, "Basic YTpi"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if !test.options.Optional {
				w.signIn("alice")
			}
			var next upstream
			w.serve(w.request("/page", "Authorization", "Basic YTpi"), test.options, &next)
			if got := next.requests[0].Get("Authorization"); got != test.want {
				t.Errorf("the upstream gets %q, want %q", got, test.want)
			}
		})
	}
}

// TestWhoseRequest: a request ends with the session whose identity or cookies the upstream is given.
func TestWhoseRequest(t *testing.T) {
	never := func(*http.Request) (bool, error) { return false, nil }
	for name, test := range map[string]struct {
		options   func(*Options)
		signedOut bool
		owned     bool
	}{
		"with an identity":                        {func(*Options) {}, false, true},
		"with an identity, cookies not apart":     {func(o *Options) { o.Cookies = nil }, false, true},
		"with cookies alone":                      {func(o *Options) { o.Applies = never }, false, true},
		"with neither":                            {func(o *Options) { o.Applies, o.Cookies = never, nil }, false, false},
		"of nobody":                               {func(o *Options) { o.Optional = true }, true, false},
		"of nobody, at a gate that is not for it": {func(o *Options) { o.Applies = never }, true, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			if !test.signedOut {
				w.signIn("alice")
			}
			o := isolating(t)
			test.options(o)
			w.serve(w.request("/page"), o, handler(func(_ http.ResponseWriter, r *http.Request) error {
				live := &w.Server.Load(r).live
				if owned := live.owner.Session != nil; owned != test.owned || live.isOpen() != test.owned {
					t.Errorf("it is of a session %t, and live %t; want %t", owned, live.isOpen(), test.owned)
				}
				return nil
			}))
		})
	}
}
