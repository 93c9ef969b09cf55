package page

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

func drawSignUp(t *testing.T, v SignUp) *html.Node {
	t.Helper()
	v.Frame = frame
	return draw(t, func(w http.ResponseWriter) { WriteSignUp(w, http.StatusOK, v) })
}

func TestSignUp(t *testing.T) {
	typed := SignUp{
		ReturnTo: "/a?b=c&d", Name: "Alice Example", UserName: "alice", Email: "alice@example.com", Invitation: "K7PX", AskInvitation: true, MinPassword: 8,
	}
	t.Run("posts what was typed, without a password", func(t *testing.T) {
		want := url.Values{
			"": {""}, "name": {"Alice Example"}, "username": {"alice"}, "email": {"alice@example.com"}, "password": {""}, "invitation": {"K7PX"}, "return_to": {"/a?b=c&d"},
		}
		if action, got := press(t, named(drawSignUp(t, typed), "Create account")); action != "/.auth/sign-up" || got.Encode() != want.Encode() {
			t.Errorf("posts %v to %q", got, action)
		}
	})
	t.Run("password managers", func(t *testing.T) {
		document := drawSignUp(t, typed)
		for name, want := range map[string]string{"name": "name", "username": "username", "email": "email", "password": "new-password", "invitation": "off"} {
			if got := attr(field(document, name), "autocomplete"); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
		if got := attr(field(document, "password"), "minlength"); got != "8" {
			t.Errorf("minlength %q", got)
		}
	})
	t.Run("hints", func(t *testing.T) {
		document := drawSignUp(t, typed)
		for name, want := range map[string]string{
			"password": "At least 8 characters.",
			"username": "3 to 30 letters from A to Z, digits, dots, hyphens and underscores.",
		} {
			if got := described(document, name); got != want {
				t.Errorf("%s: %q", name, got)
			}
		}
	})
	t.Run("any password", func(t *testing.T) {
		password := field(drawSignUp(t, SignUp{}), "password")
		if has(password, "minlength") || has(password, "aria-describedby") {
			t.Errorf("minlength %q, described by %q", attr(password, "minlength"), attr(password, "aria-describedby"))
		}
	})
	t.Run("links", func(t *testing.T) {
		v := typed
		v.AccountCount = 1
		document := drawSignUp(t, v)
		for name, want := range map[string]string{
			"Sign in instead":                   "/.auth/sign-in?return_to=%2Fa%3Fb%3Dc%26d",
			"Use the account that is signed in": "/.auth/accounts?return_to=%2Fa%3Fb%3Dc%26d",
		} {
			if href := attr(named(document, name), "href"); href != want {
				t.Errorf("%s: %q", name, href)
			}
		}
	})
	for _, c := range []struct {
		name            string
		ask, need       bool
		shown, required bool
	}{
		{"none", false, false, false, false},
		{"can be given", true, false, true, false},
		{"must be given", true, true, true, true},
		{"must be given, said once", false, true, true, true},
	} {
		t.Run("invitation: "+c.name, func(t *testing.T) {
			document := drawSignUp(t, SignUp{AskInvitation: c.ask, NeedInvitation: c.need})
			invitation := field(document, "invitation")
			if (invitation != nil) != c.shown || has(invitation, "required") != c.required {
				t.Errorf("shown %v, required %v", invitation != nil, has(invitation, "required"))
			}
			if optional := strings.Contains(content(document), "(optional)"); optional != (c.shown && !c.required) {
				t.Errorf("said to be optional: %v", optional)
			}
		})
	}
}

func TestSignUpProblem(t *testing.T) {
	inputs := []string{"name", "username", "email", "password", "invitation"}
	for _, name := range inputs {
		t.Run("about "+name, func(t *testing.T) {
			document := drawSignUp(t, SignUp{AskInvitation: true, MinPassword: 8, Problem: "That will not do.", Field: name})
			for _, other := range inputs {
				input, concerned := field(document, other), other == name
				if has(input, "aria-invalid") != concerned || strings.HasPrefix(described(document, other), "That will not do.") != concerned {
					t.Errorf("%s: invalid %v, described by %q", other, has(input, "aria-invalid"), described(document, other))
				}
			}
			if got := focused(document); !slices.Equal(got, []string{name}) {
				t.Errorf("focus on %q", got)
			}
		})
	}
	t.Run("about none", func(t *testing.T) {
		document := drawSignUp(t, SignUp{Name: "Alice", UserName: "alice", Email: "alice@example.com", Problem: "Too many tries."})
		for _, name := range inputs[:4] {
			if has(field(document, name), "aria-invalid") || strings.Contains(described(document, name), "Too many") {
				t.Errorf("%s is marked", name)
			}
		}
		if got := focused(document); !slices.Equal(got, []string{"password"}) {
			t.Errorf("focus on %q", got)
		}
	})
	for want, v := range map[string]SignUp{
		"name":     {},
		"username": {Name: "Alice"},
		"email":    {Name: "Alice", UserName: "alice"},
		"password": {Name: "Alice", UserName: "alice", Email: "alice@example.com"},
	} {
		t.Run(fmt.Sprint("typing begins at ", want), func(t *testing.T) {
			if got := focused(drawSignUp(t, v)); !slices.Equal(got, []string{want}) {
				t.Errorf("focus on %q", got)
			}
		})
	}
}

// described returns what screen readers say of an input besides its label.
func described(document *html.Node, name string) string {
	var texts []string
	for _, id := range strings.Fields(attr(field(document, name), "aria-describedby")) {
		if n := find(document, func(n *html.Node) bool { return attr(n, "id") == id }); n != nil {
			texts = append(texts, content(n))
		}
	}
	return strings.Join(texts, " ")
}

// focused returns the names of the inputs that ask for the focus.
func focused(document *html.Node) []string {
	var names []string
	for n := range document.Descendants() {
		if n.DataAtom == atom.Input && has(n, "autofocus") {
			names = append(names, attr(n, "name"))
		}
	}
	return names
}
