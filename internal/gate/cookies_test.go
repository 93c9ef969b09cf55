package gate

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestCookiesByAccount: the upstream is sent those of the active account, and those that all share.
func TestCookiesByAccount(t *testing.T) {
	never := func(*http.Request) (bool, error) { return false, nil }
	for name, test := range map[string]struct {
		options func(*Options)
		want    string
	}{
		"cookies kept apart":                    {func(*Options) {}, "app=alice"},
		"one that all share":                    {func(o *Options) { o.Cookies.Except = []string{"theme"} }, "app=alice; theme=dark"},
		"a gate that is not for it":             {func(o *Options) { o.Applies = never }, "app=alice"},
		"cookies as they are":                   {func(o *Options) { o.Cookies = nil }, "theme=dark"},
		"as they are, and not for it":           {func(o *Options) { o.Cookies, o.Applies = nil, never }, "theme=dark"},
		"caches as they are make no difference": {func(o *Options) { o.Cache = nil }, "app=alice"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			alice := w.last.Slot
			w.signIn("bob")
			bob := w.last.Slot
			w.signIn("alice")
			if w.last.Slot != alice {
				alice = w.last.Slot // a sign-in anew is another session
			}
			o := isolating(t)
			test.options(o)
			var next upstream
			r := w.request("/page", "Cookie", "ms~"+alice+"~app=~alice; ms~"+bob+"~app=~bob; theme=dark; multi_session_owner="+bob)
			w.serve(r, o, &next)
			if got := next.requests[0].Get("Cookie"); got != test.want {
				t.Errorf("the upstream is sent %q, want %q", got, test.want)
			}
		})
	}
}

// TestLogOfCookies: an operator is told once of what browsers will lose.
func TestLogOfCookies(t *testing.T) {
	var many strings.Builder
	for i := range 150 {
		fmt.Fprintf(&many, "c%d=1; ", i)
	}
	for name, test := range map[string]struct {
		cookies string
		set     string
		want    string
	}{
		"few":       {"c=1", "c=1", ""},
		"many":      {many.String(), "c=1", "the cookies of a browser come near to what browsers and servers take"},
		"oversized": {"c=1", "c=" + strings.Repeat("x", 4090), "a cookie of an upstream was left out"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			for range 2 {
				w.serve(w.request("/page", "Cookie", test.cookies), isolating(t), handler(func(rw http.ResponseWriter, _ *http.Request) error {
					rw.Header().Set("Set-Cookie", test.set)
					return nil
				}))
			}
			logged := w.log.All()
			if test.want == "" {
				if len(logged) > 0 {
					t.Errorf("logged is %v", logged)
				}
				return
			}
			if len(logged) != 1 || !strings.HasPrefix(logged[0].Message, test.want) {
				t.Errorf("logged is %v, want one line: %s", logged, test.want)
			}
		})
	}
}
