package integration

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
)

// notes is the server of the single-page app of testdata: people log in to it by a name of its own,
// and a script of its page keeps the login in a cookie. It knows nothing of the gateway.
type notes struct {
	mu     sync.Mutex
	logins map[string]string // names by token
}

func newNotes(t testing.TB) (address string) {
	t.Helper()
	app := &notes{logins: make(map[string]string)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/login", app.logIn)
	mux.HandleFunc("GET /api/me", app.me)
	mux.Handle("/", http.FileServer(http.Dir("testdata/spa")))
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func (app *notes) logIn(w http.ResponseWriter, r *http.Request) {
	app.mu.Lock()
	defer app.mu.Unlock()
	name := r.FormValue("name")
	token := fmt.Sprintf("%s-%d", name, len(app.logins))
	app.logins[token] = name
	fmt.Fprint(w, token)
}

// me answers whose the token of the header is, else that of the cookie.
func (app *notes) me(w http.ResponseWriter, r *http.Request) {
	app.mu.Lock()
	defer app.mu.Unlock()
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if c, err := r.Cookie("token"); !ok && err == nil {
		token = c.Value
	}
	name := app.logins[token]
	if name == "" {
		name = "nobody"
	}
	fmt.Fprint(w, name)
}

// notesTab is a tab in which the app is used behind a gateway.
type notesTab struct {
	*tab
	origin string
}

// load opens the app.
func (n *notesTab) load() {
	n.t.Helper()
	n.open(n.origin + "/")
	n.awaitShown(1)
}

func (n *notesTab) awaitShown(times int) {
	n.t.Helper()
	await(n.t, "the app to show who is logged in", func() bool {
		return evaluate[bool](n.tab, fmt.Sprintf(`document.body?.dataset.shown === "%d"`, times))
	})
}

// shows checks who is logged in: by the token that the page's script reads, and by the cookie that
// the server gets.
func (n *notesTab) shows(name string) {
	n.t.Helper()
	if got := evaluate[string](n.tab, `document.querySelector("h1").textContent`); got != name+" and "+name {
		n.t.Fatalf("logged in are %s, want %s", got, name)
	}
}

// logIn logs in to the app, which is loaded.
func (n *notesTab) logIn(name string) {
	n.t.Helper()
	n.shows("nobody")
	evaluate[any](n.tab, fmt.Sprintf(`logIn(%q)`, name))
	n.shows(name)
}

// switchTo makes another account the active one, by the page's scripts.
func (n *notesTab) switchTo(user string) {
	n.t.Helper()
	n.call("/.auth/multi-session/set-active", user)
}

// call posts the handle of a user's session to the gateway's API.
func (n *notesTab) call(path, user string) {
	n.t.Helper()
	status := evaluate[int](n.tab, fmt.Sprintf(`(async () => {
		const list = await (await fetch("/.auth/multi-session/list-device-sessions")).json();
		const sessionToken = list.find(e => e.user.email.startsWith(%q)).session.token;
		return (await fetch(%q, {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({sessionToken})})).status;
	})()`, user, path))
	if status != http.StatusOK {
		n.t.Fatalf("%s of %s: %d", path, user, status)
	}
}

// restart leaves the browser the cookies that it keeps when it is closed.
func (n *notesTab) restart() {
	n.t.Helper()
	var kept []*network.CookieParam
	for _, c := range n.cookies() {
		if !c.Session {
			kept = append(kept, &network.CookieParam{Name: c.Name, Value: c.Value, Domain: c.Domain, Path: c.Path, Secure: c.Secure, HTTPOnly: c.HTTPOnly, SameSite: c.SameSite, Expires: cdp.TimeSinceEpoch(c.Expires)})
		}
	}
	id := chromedp.FromContext(n.ctx).BrowserContextID
	_, err := chromedp.CallBrowser(n.ctx, storage.ClearCookies, storage.ClearCookiesParams{BrowserContextID: id})
	n.must(err)
	_, err = chromedp.CallBrowser(n.ctx, storage.SetCookies, storage.SetCookiesParams{Cookies: kept, BrowserContextID: id})
	n.must(err)
}

// TestLoginThatScriptsKeep has two accounts use an app that keeps its login in a cookie which a
// script makes.
func TestLoginThatScriptsKeep(t *testing.T) {
	startChromium(t)
	upstream := newNotes(t)
	alone, scripted := freeAddress(t), freeAddress(t)
	startGateway(t, fmt.Sprintf(`{
	multi_session {
		login password {
			throttle off
			%s
		}
	}
}
http://%s {
	multi_session
	reverse_proxy %[4]s
}
http://%[3]s {
	multi_session {
		isolate_cookies {
			scripted token
		}
	}
	reverse_proxy %[4]s
}
`, userOptions, alone, scripted, upstream))
	start := func(t *testing.T, address string) *notesTab {
		n := &notesTab{newFaultyTab(t), "http://" + address} // Chromium reports that document.cookie is read
		n.signInAs(n.origin+defaultPrefix, "alice")
		n.load()
		return n
	}

	t.Run("one account needs no configuration", func(t *testing.T) {
		n := start(t, alone)
		n.logIn("al")
		n.load()
		n.shows("al")
		n.restart()
		n.load()
		n.shows("al")
		evaluate[any](n.tab, `logOut()`)
		n.load()
		n.logIn("ally")
		n.load()
		n.shows("ally")
	})

	t.Run("without configuration the second account is not the first", func(t *testing.T) {
		n := start(t, alone)
		n.logIn("al")
		n.load()
		n.signInAs(n.origin+defaultPrefix, "bob")
		n.load()
		if got := evaluate[string](n.tab, `fetch("/api/me").then(r => r.text())`); got != "nobody" {
			t.Errorf("by the cookie that the app gets bob is %s", got)
		}
	})

	t.Run("each account stays itself", func(t *testing.T) {
		n := start(t, scripted)
		n.logIn("al")
		n.load()
		n.shows("al")
		n.signInAs(n.origin+defaultPrefix, "bob")
		n.load()
		n.logIn("bo")
		for range 2 {
			n.load()
			n.shows("bo")
			n.switchTo("alice")
			n.load()
			n.shows("al")
			n.switchTo("bob")
		}
		n.load()
		n.shows("bo")
		// Bob logs out of the app, which is not alice's.
		evaluate[any](n.tab, `logOut()`)
		n.shows("nobody")
		n.switchTo("alice")
		n.load()
		n.shows("al")
		n.switchTo("bob")
		n.load()
		n.logIn("bo")
		n.load()
		// Alice is active when the browser is closed.
		n.switchTo("alice")
		n.load()
		n.shows("al")
		// What was exchanged lasts until then: no script's cookie says how long it was to be kept.
		n.restart()
		n.load()
		n.logIn("al")
		n.switchTo("bob")
		n.load()
		n.logIn("bo")
		n.load()
		n.shows("bo")
		// Signed out of the gateway, and in again, bob has another session, and has to log in
		// again.
		n.call("/.auth/multi-session/revoke", "bob")
		n.load()
		n.shows("al")
		n.signInAs(n.origin+defaultPrefix, "bob")
		n.load()
		n.logIn("bo")
		n.switchTo("alice")
		n.load()
		n.shows("al")
	})
}
