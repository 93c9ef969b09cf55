package gate

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/caddy-multi-session/gateway/internal/gate/isolation"
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
			r := w.request("/page", "Cookie", "ms~"+alice+"~app=~alice; ms~"+bob+"~app=~bob; theme=dark; multi_session_shared=1~")
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
		fmt.Fprintf(&many, "ms~0~c%d=~1; ", i)
	}
	for name, test := range map[string]struct {
		cookies string
		set     string
		want    string
	}{
		"few":       {"", "c=1", ""},
		"many":      {many.String(), "c=; Max-Age=0", "the cookies of a browser come near to what browsers and servers take"},
		"too many":  {"ms~0~c=~" + strings.Repeat("x", 4000), "d=" + strings.Repeat("y", 4000), "a cookie of an app was not set: the browser's cookies take up all the room"},
		"oversized": {"", "c=" + strings.Repeat("x", 4090), "a cookie of an app was not set: with its account's slot"},
		"held back": {"theme=dark", "c=1", "a cookie is not sent to the app"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			for range 2 {
				o := isolating(t)
				o.Cookies.MaxBytes = 6000
				w.serve(w.request("/page", "Cookie", test.cookies), o, handler(func(rw http.ResponseWriter, _ *http.Request) error {
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

// TestPortalLearnsTheLoad: the chooser says how to get free when cookies fill the browser.
func TestPortalLearnsTheLoad(t *testing.T) {
	for name, test := range map[string]struct {
		cookie  string
		options func(testing.TB) *Options
		limits  bool
		near    bool
	}{
		"few cookies":        {"a=1", isolating, true, false},
		"many bytes":         {"a=" + strings.Repeat("x", isolation.DefaultMaxBytes), isolating, true, true},
		"nothing kept apart": {"a=1", func(testing.TB) *Options { return new(Options) }, false, false},
	} {
		w := newWorld(t).signIn("alice")
		w.serve(w.request("/.auth/accounts", "Cookie", test.cookie, "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"), test.options(t), new(upstream))
		load := w.portal.visitor.Load
		if (load.MaxBytes > 0) != test.limits || load.Near() != test.near {
			t.Errorf("%s: the portal learns %+v", name, load)
		}
	}
}
