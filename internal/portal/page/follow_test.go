package page

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// TestWhichPagesFollow gives each page a State. The pages that show it follow changes, from the
// address that they have by GET, and no other page may run a script.
func TestWhichPagesFollow(t *testing.T) {
	const none = "does not follow"
	here := map[string]string{
		"sign-in":               "/.auth/sign-in?return_to=%2Fx",
		"sign-up":               "/.auth/sign-up?return_to=%2Fx",
		"accounts":              "/.auth/accounts?return_to=%2Fx",
		"continue":              "/.auth/accounts?return_to=%2Fx",
		"profile":               "/.auth/account?return_to=%2Fx",
		"profile of a provider": "/.auth/account?return_to=%2Fx",
		"refusal":               "", // wherever it is
		"failure":               none,
		"same account":          none,
		"signed out":            none,
		"redirect":              none,
		"reset":                 none,
	}
	for name, view := range views("/x") {
		t.Run(name, func(t *testing.T) {
			want, known := here[name]
			if !known {
				t.Fatal("a page of which it is not said whether it follows")
			}
			w := httptest.NewRecorder()
			view(w)
			document, err := html.Parse(strings.NewReader(w.Body.String()))
			if err != nil {
				t.Fatal(err)
			}
			policy := w.Header().Get("Content-Security-Policy")
			script := find(document, func(n *html.Node) bool {
				return n.DataAtom == atom.Script && strings.HasSuffix(attr(n, "src"), "/follow.js")
			})
			body := find(document, func(n *html.Node) bool { return n.DataAtom == atom.Body })
			if want == none {
				if script != nil || strings.Contains(policy, "connect-src") || len(body.Attr) != 0 {
					t.Errorf("follows, with %s", policy)
				}
				return
			}
			if script == nil || !strings.Contains(policy, "; script-src 'self'; connect-src 'self'; ") {
				t.Errorf("does not follow, with %s", policy)
			}
			if attr(body, "data-state") != following.State || attr(body, "data-portal") != frame.Prefix || attr(body, "data-here") != want {
				t.Errorf("has %v", body.Attr)
			}
		})
	}
}

// TestWhichPagesHaveTheFormsScript: the pages with forms have it, whether or not they follow, and no
// other page runs a script.
func TestWhichPagesHaveTheFormsScript(t *testing.T) {
	keeps := []string{"sign-in", "sign-up", "accounts", "continue", "refusal"}
	for name, view := range views("/x") {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			view(w)
			document, err := html.Parse(strings.NewReader(w.Body.String()))
			if err != nil {
				t.Fatal(err)
			}
			form := find(document, func(n *html.Node) bool { return n.DataAtom == atom.Form })
			script := find(document, func(n *html.Node) bool { return n.DataAtom == atom.Script && attr(n, "src") == "/.auth/forms.js" })
			policy := w.Header().Get("Content-Security-Policy")
			if has := script != nil; has != (form != nil) || strings.Contains(policy, "script-src 'self'; ") != has {
				t.Errorf("has a form: %t, has the script: %t, with %s", form != nil, has, policy)
			}
			body := find(document, func(n *html.Node) bool { return n.DataAtom == atom.Body })
			if got := has(body, "data-fragment"); got != slices.Contains(keeps, name) {
				t.Errorf("keeps fragments: %t", got)
			}
		})
	}
}

func TestPagesWithoutAStateDoNotFollow(t *testing.T) {
	w := httptest.NewRecorder()
	WriteSignIn(w, http.StatusOK, SignIn{Frame: frame, Password: true})
	if strings.Contains(w.Body.String(), "follow.js") || strings.Contains(w.Header().Get("Content-Security-Policy"), "connect-src") {
		t.Error(w.Header(), w.Body)
	}
}

func TestScriptsNeedNothingElse(t *testing.T) {
	for name, script := range map[string]func() ([]byte, string){"follow.js": FollowScript, "forms.js": FormsScript} {
		t.Run(name, func(t *testing.T) { checkScript(t, script) })
	}
}

func checkScript(t *testing.T, script func() ([]byte, string)) {
	body, contentType := script()
	if contentType != "text/javascript; charset=utf-8" {
		t.Errorf("content type %q", contentType)
	}
	if len(body) > 8<<10 {
		t.Errorf("%d bytes", len(body))
	}
	// The script receives the names of accounts.
	for _, not := range []string{"innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "import", "//cdn", "http:"} {
		if strings.Contains(string(body), not) {
			t.Errorf("has %s", not)
		}
	}
}
