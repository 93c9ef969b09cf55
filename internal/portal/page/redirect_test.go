package page

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

func drawRedirect(t *testing.T, v Redirect) *html.Node {
	t.Helper()
	v.Frame = frame
	return draw(t, func(w http.ResponseWriter) { WriteRedirect(w, http.StatusOK, v) })
}

func TestRedirect(t *testing.T) {
	for signingOut, want := range map[bool]string{false: "Going to Google…", true: "Signing out at Google…"} {
		t.Run(want, func(t *testing.T) {
			document := drawRedirect(t, Redirect{Location: "https://id.example.com/", Label: "Google", SigningOut: signingOut})
			for tag, want := range map[atom.Atom]string{atom.H1: want, atom.Title: want + " · app.example.com"} {
				if n := find(document, func(n *html.Node) bool { return n.DataAtom == tag }); content(n) != want {
					t.Errorf("%s %q", tag, content(n))
				}
			}
			if named(document, "Continue to Google") == nil {
				t.Error("no way on for browsers that stay")
			}
		})
	}
	t.Run("no other page leads on by itself", func(t *testing.T) {
		for name, view := range views("https://id.example.com/") {
			if _, ok := refresh(draw(t, view)); ok != (name == "redirect") {
				t.Errorf("%s: %v", name, ok)
			}
		}
	})
}

func TestRedirectLeadsExactlyThere(t *testing.T) {
	for _, location := range []string{
		"https://id.example.com",
		"https://id.example.com/authorize?client_id=a&state=b&redirect_uri=https%3A%2F%2Fapp.example.com%2Fcb",
		"http://127.0.0.1:8080/realms/a%20b/auth?x=1#y",
		`https://id.example.com/?q="`,
		`https://id.example.com/?q='a'`,
		`https://id.example.com/'"?q`,
		`https://id.example.com/;,?a;b,c;url=https://evil.example/`,
		`https://id.example.com/;0;url='javascript:alert(1)'`,
		`https://id.example.com/a b?c d&e+f`,
		`https://id.example.com/"><script>alert(1)</script>`,
		`https://id.example.com/?a=&quot;&#34;&#x22;&lt=1`,
		`https://id.example.com/?u=%22%27%3B%20%2522`,
		"https://id.example.com/ü/日本?é=ß\u2028",
		"https://bücher.example/",
		"https://[2001:db8::1]:8443/?x=[y]",
		"HTTPS://id.example.com/",
	} {
		t.Run(location, func(t *testing.T) {
			document := drawRedirect(t, Redirect{Location: location, Label: "X"})
			checkStructure(t, document)
			there, ok := refresh(document)
			if !ok || there != location {
				t.Errorf("browsers go to %q", there)
			}
			if href := attr(named(document, "Continue to X"), "href"); decoded(t, href) != decoded(t, location) {
				t.Errorf("link to %q", href)
			}
		})
	}
}

func TestRedirectLeadsNowhereElse(t *testing.T) {
	for i, location := range append([]string{
		"",
		"/relative",
		"//id.example.com/",
		"https:id.example.com",
		"https:///path",
		"id.example.com",
		" https://id.example.com/",
		"'https://id.example.com/'",
		"JavaScript:alert(1)//https://id.example.com/",
		"data:text/html,https://id.example.com/",
		"ftp://id.example.com/",
		"https://id.example.com\\@evil.example/",
		"https://id.example.com/\n;url=javascript:alert(1)",
		"java\tscript://id.example.com/%0aalert(1)",
	}, hostile...) {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			w := httptest.NewRecorder()
			WriteRedirect(w, http.StatusOK, Redirect{Frame: frame, Location: location, Label: "X"})
			if w.Code != http.StatusInternalServerError || strings.Contains(w.Body.String(), "<") {
				t.Errorf("%q: %d %q", location, w.Code, w.Body)
			}
		})
	}
}

// refresh returns where a page sends the browser by itself, after the shared declarative refresh
// steps of the HTML standard, section 4.2.5.3.
func refresh(document *html.Node) (address string, ok bool) {
	meta := find(document, func(n *html.Node) bool {
		return n.DataAtom == atom.Meta && strings.EqualFold(attr(n, "http-equiv"), "refresh")
	})
	if meta == nil {
		return "", false
	}
	const space = "\t\n\f\r "
	rest := strings.TrimLeft(attr(meta, "content"), space)
	seconds := rest[:len(rest)-len(strings.TrimLeft(rest, "0123456789."))]
	if seconds != "0" {
		return "", false // it would make people wait
	}
	rest = strings.TrimLeft(rest[len(seconds):], space)
	rest = strings.TrimLeft(strings.TrimPrefix(strings.TrimPrefix(rest, ";"), ","), space)
	if len(rest) > 3 && strings.EqualFold(rest[:3], "url") {
		if after, found := strings.CutPrefix(strings.TrimLeft(rest[3:], space), "="); found {
			rest = strings.TrimLeft(after, space)
		}
	}
	if rest != "" && strings.ContainsRune(`'"`, rune(rest[0])) {
		rest, _, _ = strings.Cut(rest[1:], rest[:1])
	}
	return rest, true
}

// decoded returns an address without its percent-encoding, which may differ without a difference in
// meaning.
func decoded(t *testing.T, address string) string {
	t.Helper()
	text, err := url.PathUnescape(address)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
