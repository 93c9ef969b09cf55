package gate

import (
	"net/http"
	"slices"
	"testing"
)

// TestAttackPrefetch: a page that is fetched ahead would be shown after a switch, without a
// request.
func TestAttackPrefetch(t *testing.T) {
	public := func(*http.Request) bool { return true }
	never := func(*http.Request) (bool, error) { return false, nil }
	prefetch := []string{"Sec-Purpose", "prefetch"}
	for name, test := range map[string]struct {
		header    []string
		path      string
		signedOut bool
		options   func(*Options)
		answer    string // empty if the upstream answers
	}{
		"prefetch":                      {header: slices.Concat(navigation, prefetch), answer: "speculation"},
		"prerender":                     {header: slices.Concat(navigation, []string{"Sec-Purpose", "prefetch;prerender"}), answer: "speculation"},
		"prefetch with parameters":      {header: slices.Concat(navigation, []string{"Sec-Purpose", "Prefetch; anonymous-client-ip"}), answer: "speculation"},
		"an older browser":              {header: slices.Concat(navigation, []string{"Purpose", "prefetch"}), answer: "speculation"},
		"without Fetch Metadata":        {header: []string{"Purpose", "prefetch", "Accept", "text/html,*/*"}, answer: "speculation"},
		"for nobody":                    {header: slices.Concat(navigation, prefetch), signedOut: true, answer: "speculation"},
		"a path that the gate leaves":   {header: slices.Concat(navigation, prefetch), options: func(o *Options) { o.Applies = never }, answer: "speculation"},
		"before the reset page":         {header: slices.Concat(navigation, prefetch, []string{"Cookie", "multi_session_shown=another"}), answer: "speculation"},
		"the portal's page":             {header: slices.Concat(navigation, prefetch), path: "/.auth/accounts", answer: "speculation"},
		"the portal's style":            {header: slices.Concat(navigation, prefetch), path: "/.auth/style.css", answer: "portal"},
		"a public page":                 {header: slices.Concat(navigation, prefetch), options: func(o *Options) { o.Cache.Public = public }},
		"where caches are not isolated": {header: slices.Concat(navigation, prefetch), options: func(o *Options) { o.Cache = nil }},
		"a script's request":            {header: []string{"Purpose", "prefetch", "Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"}},
		"a script of an old browser":    {header: []string{"Purpose", "prefetch", "Accept", "*/*"}},
		"a visit":                       {header: navigation},
		"a visit of another purpose":    {header: slices.Concat(navigation, []string{"Sec-Purpose", "x"})},
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
			var next upstream
			answer := w.serve(w.request(test.path, slices.Clone(test.header)...), o, &next)
			if got := answer.Body.String(); got != test.answer || (len(next.requests) > 0) != (test.answer == "") {
				t.Errorf("the answer is %q, want %q; the upstream was sent %d requests", got, test.answer, len(next.requests))
			}
		})
	}
}
