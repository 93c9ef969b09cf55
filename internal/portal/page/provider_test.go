package page

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

var providers = []Provider{
	{ID: "google", Label: "Google", Initial: "G"},
	{ID: "github", Label: "GitHub", Initial: "GH", Unavailable: true},
	{ID: "work", Label: "Example Works"},
}

func drawSignIn(t *testing.T, v SignIn) *html.Node {
	t.Helper()
	v.Frame = frame
	return draw(t, func(w http.ResponseWriter) { WriteSignIn(w, http.StatusOK, v) })
}

func TestSignInWithProviders(t *testing.T) {
	t.Run("posts which one", func(t *testing.T) {
		document := drawSignIn(t, SignIn{Providers: providers, Password: true, ReturnTo: "/a?b=c&d", LoginHint: "alice@example.com"})
		for _, p := range providers {
			want := url.Values{"": {""}, "method": {p.ID}, "return_to": {"/a?b=c&d"}, "login_hint": {"alice@example.com"}}
			if action, got := press(t, named(document, "Continue with "+p.Label)); action != "/.auth/sign-in" || got.Encode() != want.Encode() {
				t.Errorf("%s posts %v to %q", p.ID, got, action)
			}
		}
		want := url.Values{"": {""}, "identifier": {""}, "password": {""}, "return_to": {"/a?b=c&d"}}
		if _, got := press(t, named(document, "Sign in")); got.Encode() != want.Encode() {
			t.Errorf("passwords: posts %v", got)
		}
	})
	t.Run("posts nothing empty", func(t *testing.T) {
		document := drawSignIn(t, SignIn{Providers: providers})
		want := url.Values{"": {""}, "method": {"google"}}
		if _, got := press(t, named(document, "Continue with Google")); got.Encode() != want.Encode() {
			t.Errorf("posts %v", got)
		}
	})
	t.Run("unavailable can be tried", func(t *testing.T) {
		document := drawSignIn(t, SignIn{Providers: providers})
		for _, p := range providers {
			button := named(document, "Continue with "+p.Label)
			id := attr(button, "aria-describedby")
			if has(button, "disabled") || (id != "") != p.Unavailable {
				t.Errorf("%s: disabled %v, described by %q", p.ID, has(button, "disabled"), id)
			}
			if hint := find(document, func(n *html.Node) bool { return id != "" && attr(n, "id") == id }); hint != nil && content(hint) != "Not reachable right now." {
				t.Errorf("%s: %q", p.ID, content(hint))
			}
		}
	})
	t.Run("mark only where there is one", func(t *testing.T) {
		document := drawSignIn(t, SignIn{Providers: providers})
		for _, p := range providers {
			mark := find(named(document, "Continue with "+p.Label), func(n *html.Node) bool { return attr(n, "class") == "mark" })
			if (mark != nil) != (p.Initial != "") {
				t.Errorf("%s: %v", p.ID, mark != nil)
			}
		}
	})
}

func TestSignInWays(t *testing.T) {
	for _, c := range []struct {
		name     string
		v        SignIn
		buttons  []string // in order, the primary one in capitals
		or       bool
		noWay    bool
		hasFocus []string
	}{
		{"none", SignIn{}, nil, false, true, nil},
		{"passwords", SignIn{Password: true}, []string{"SIGN IN"}, false, false, []string{"identifier"}},
		{"one provider", SignIn{Providers: providers[:1]}, []string{"CONTINUE WITH GOOGLE"}, false, false, nil},
		{"providers", SignIn{Providers: providers}, []string{"Continue with Google", "Continue with GitHub", "Continue with Example Works"}, false, false, nil},
		{"both", SignIn{Providers: providers[:2], Password: true},
			[]string{"SIGN IN", "Continue with Google", "Continue with GitHub"}, true, false, []string{"identifier"}},
		{"both, prefilled", SignIn{Providers: providers[:1], Password: true, Identifier: "alice"},
			[]string{"SIGN IN", "Continue with Google"}, true, false, []string{"password"}},
		{"again with a password", SignIn{Providers: providers[:2], Password: true, Lapsed: &alice},
			[]string{"SIGN IN", "Continue with Google", "Continue with GitHub"}, true, false, []string{"identifier"}},
		{"again at a provider", SignIn{Providers: providers[:2], Password: true, Identifier: "alice", Lapsed: &alice, LapsedMethod: "github"},
			[]string{"CONTINUE WITH GITHUB", "Continue with Google", "Sign in"}, true, false, nil},
		{"again at a provider, nothing filled in", SignIn{Providers: providers[:1], Password: true, Lapsed: &alice, LapsedMethod: "google"},
			[]string{"CONTINUE WITH GOOGLE", "Sign in"}, true, false, nil},
		{"again at a provider, without passwords", SignIn{Providers: providers[:2], Lapsed: &alice, LapsedMethod: "github"},
			[]string{"CONTINUE WITH GITHUB", "Continue with Google"}, false, false, nil},
		{"again at a provider that is gone", SignIn{Providers: providers[:1], Password: true, Lapsed: &alice, LapsedMethod: "gone"},
			[]string{"SIGN IN", "Continue with Google"}, true, false, []string{"identifier"}},
		{"a link to a provider", SignIn{Providers: providers[:2], Password: true, Identifier: "alice", Preferred: "github"},
			[]string{"CONTINUE WITH GITHUB", "Continue with Google", "Sign in"}, true, false, nil},
		{"a link to another provider than the lapsed account's", SignIn{Providers: providers[:2], Lapsed: &alice, LapsedMethod: "google", Preferred: "github"},
			[]string{"CONTINUE WITH GITHUB", "Continue with Google"}, false, false, nil},
		{"a provider without anybody to sign in again", SignIn{Providers: providers[:2], Password: true, LapsedMethod: "github"},
			[]string{"SIGN IN", "Continue with Google", "Continue with GitHub"}, true, false, []string{"identifier"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			document := drawSignIn(t, c.v)
			var buttons []string
			or := false
			for n := range document.Descendants() {
				switch {
				case n.DataAtom == atom.Button && attr(n, "class") == "primary":
					buttons = append(buttons, strings.ToUpper(content(n)))
				case n.DataAtom == atom.Button:
					buttons = append(buttons, content(n))
				case n.DataAtom == atom.P && content(n) == "or":
					or = len(buttons) > 0
				}
			}
			if !slices.Equal(buttons, c.buttons) || or != c.or {
				t.Errorf("buttons %q, or %v", buttons, or)
			}
			if noWay := strings.Contains(content(document), "There is no way to sign in here yet"); noWay != c.noWay {
				t.Errorf("says that there is no way: %v", noWay)
			}
			if got := focused(document); !slices.Equal(got, c.hasFocus) {
				t.Errorf("focus on %q", got)
			}
			if again := strings.Contains(content(document), "Your session of Alice Example has ended. Sign in again."); again != (c.v.Lapsed != nil) {
				t.Errorf("says whose session has ended: %v", again)
			}
			if who := strings.Contains(content(document), "alice@example.com"); who != (c.v.Lapsed != nil) {
				t.Errorf("says which account it is: %v", who)
			}
		})
	}
}
