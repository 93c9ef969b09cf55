package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// hoarder is an app that has browsers keep all it says, for everybody: each answer is public, fresh for an
// hour, and has a tag that is the same for all accounts.
type hoarder struct {
	*httptest.Server

	mu    sync.Mutex
	whole map[string]int // answers with a body, by path
	asked map[string]int // requests, by path
}

func newHoarder(t testing.TB) *hoarder {
	t.Helper()
	app := &hoarder{whole: map[string]int{}, asked: map[string]int{}}
	app.Server = httptest.NewServer(app)
	t.Cleanup(app.Close)
	return app
}

// widths of the image tell whose it is.
var widths = map[string]int{"": 5, "alice": 11, "bob": 22, "carol": 33}

func (app *hoarder) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	user := r.Header.Get("Remote-User")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Set("Etag", `"1"`)
	modified := r.Header.Get("If-None-Match") != `"1"`
	app.mu.Lock()
	app.asked[r.URL.Path]++
	if modified {
		app.whole[r.URL.Path]++
	}
	app.mu.Unlock()
	if !modified {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	kind, body := "text/html; charset=utf-8", ""
	switch r.URL.Path {
	case "/image":
		kind, body = "image/svg+xml", fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="9"/>`, widths[user])
	case "/script.js":
		kind, body = "text/javascript", fmt.Sprintf(`window.script = %q`, user)
	case "/static/library.js":
		kind, body = "text/javascript", `window.library = true`
	case "/api":
		kind, body = "application/json", fmt.Sprintf(`{"user": %q}`, user)
	case "/moved":
		w.Header().Set("Location", "/of/"+user)
		w.WriteHeader(http.StatusMovedPermanently)
		return
	case "/frame":
		body = "<!doctype html><link rel=icon href=data:,><h1>" + user + "</h1>"
	default:
		body = "<!doctype html><html lang=en><link rel=icon href=data:,><title>App</title><h1>" + user + "</h1>" +
			"<img src=/image alt=''><iframe src=/frame></iframe><script src=/script.js></script><script src=/static/library.js></script>" +
			"<a href=/page>Page</a> <a href=/other>Other</a>"
	}
	w.Header().Set("Content-Type", kind)
	fmt.Fprint(w, body)
}

// count takes the numbers of a path: of its requests, and of those that were answered with a body.
func (app *hoarder) count(path string) (asked, whole int) {
	app.mu.Lock()
	defer app.mu.Unlock()
	return app.asked[path], app.whole[path]
}

// shown is whose each part of a page is.
type shown struct {
	Heading, Image, Script, Frame, API string
	Path                               string
	Library                            bool
}

// whole is a page that is all one account's.
func whole(path, user string) shown {
	return shown{Heading: user, Image: user, Script: user, Frame: user, API: user, Path: path, Library: true}
}

// look reads a page once it is loaded, and what its script is told. What is asked for by scripts is asked
// for anew in each page, as apps do.
const look = `(async () => {
	if (document.readyState !== "complete" || !document.querySelector("h1")) return null;
	const widths = ` + "`%s`" + `;
	const frame = document.querySelector("iframe").contentDocument;
	if (!frame || frame.readyState !== "complete" || !frame.querySelector("h1")) return null;
	const api = await (await fetch("/api")).json();
	return {
		Heading: document.querySelector("h1").textContent,
		Image: JSON.parse(widths)[document.querySelector("img").naturalWidth] ?? "nobody's",
		Script: window.script ?? "", Frame: frame.querySelector("h1").textContent, API: api.user,
		Path: location.pathname, Library: window.library === true,
	};
})()`

// looking is a tab at an app that hoards.
type looking struct {
	*tab
	origin string
}

// page returns what is shown once the page of a path is loaded. Scripts that run while a page gives way to
// the next fail.
func (l looking) page(path string) shown {
	l.t.Helper()
	names := map[string]string{}
	for user, width := range widths {
		names[fmt.Sprint(width)] = user
	}
	list, _ := json.Marshal(names)
	script := fmt.Sprintf(look, list)
	var now *shown
	await(l.t, "the page "+path, func() bool {
		ctx, cancel := context.WithTimeout(l.ctx, 10*time.Second)
		defer cancel()
		seen, err := chromedp.Run(ctx, chromedp.Evaluate[*shown](script, chromedp.EvalAwaitPromise))
		now = seen
		return err == nil && seen != nil && seen.Path == path
	})
	return *now
}

// sees fails the test unless all of the page is the account's.
func (l looking) sees(how, path, user string) {
	l.t.Helper()
	if got := l.page(path); got != whole(path, user) {
		l.t.Errorf("%s: the page of %s is %+v", how, user, got)
	}
}

// open goes to an address of the app as if it had been typed in, and does not wait: the page may come by way of
// another.
func (l looking) open(address string) {
	l.t.Helper()
	l.must(l.run(visit(address)))
}

// openFirst goes to an address of a host that has not used the browser's accounts yet, and continues as
// one of them.
func (l looking) openFirst(address, account string) {
	l.t.Helper()
	l.tab.open(address)
	l.must(l.run(l.click(l.find("button", "Continue as "+account))))
}

// link goes where a link of the page leads.
func (l looking) link(path string) {
	l.t.Helper()
	l.must(l.run(chromedp.Evaluate[chromedp.Void](`document.querySelector("a[href='`+path+`']").click()`, asUser)))
}

// travel goes back in the tab's history, or forward.
func (l looking) travel(steps int64) {
	l.t.Helper()
	past := call(l.tab, page.GetNavigationHistory, cdp.Empty{})
	// The answer is lost where the page goes with its process.
	_, _ = chromedp.Call(l.ctx, page.NavigateToHistoryEntry, page.NavigateToHistoryEntryParams{EntryID: past.Entries[past.CurrentIndex+steps].ID})
}

// beside is a tab more of the same browser.
func (l looking) beside() looking {
	l.t.Helper()
	ctx, cancel := chromedp.NewContext(l.ctx)
	l.t.Cleanup(cancel)
	other := &tab{t: l.t, ctx: ctx, refusals: map[string]bool{}, close: cancel}
	l.must(chromedp.Do(ctx))
	return looking{other, l.origin}
}

func (l looking) signIn(user string) {
	l.t.Helper()
	l.tab.open(l.origin + "/.auth/sign-in?" + url.Values{"return_to": {"/"}}.Encode())
	l.fill(identifierField, user)
	l.fill(passwordField, password(user))
	l.must(l.run(l.click(l.find("button", "Sign in"))))
	l.page("/")
}

// choose switches by the chooser, which leads to a path.
func (l looking) choose(name, email, to string) {
	l.t.Helper()
	l.tab.open(l.origin + "/.auth/accounts?" + url.Values{"return_to": {to}}.Encode())
	l.must(l.run(l.click(l.find("button", "Switch to "+name+" "+email))))
	l.page(to)
}

// setActive switches by the JSON API, from the page that is open.
func (l looking) setActive(user string) {
	l.t.Helper()
	status := evaluate[int](l.tab, `(async () => {
		const list = await (await fetch("/.auth/multi-session/list-device-sessions")).json();
		const one = list.find(e => e.user.email.startsWith("`+user+`"));
		const answer = await fetch("/.auth/multi-session/set-active", {method: "POST", headers: {"Content-Type": "application/json"}, body: JSON.stringify({sessionToken: one.session.token})});
		return answer.status;
	})()`)
	if status != http.StatusOK {
		l.t.Fatalf("switch to %s: %d", user, status)
	}
}

const publicStatic = "multi_session {\n isolate_cache {\n public /static/*\n}\n}"

// newLooking signs alice and bob in, and leaves the tab as bob, who has seen nothing but the app's first page.
func newLooking(t *testing.T, directive string) (looking, *hoarder) {
	t.Helper()
	startChromium(t)
	app := newHoarder(t)
	address := freeAddress(t)
	startGateway(t, site(address, app.Listener.Addr().String(), "", directive))
	l := looking{newFaultyTab(t), "http://" + address}
	l.signIn("bob")
	l.signIn("alice")
	return l, app
}

// TestChromiumCacheIsOneAccounts has a browser come to what it was shown as alice in every way, as bob.
func TestChromiumCacheIsOneAccounts(t *testing.T) {
	switches := map[string]func(looking, string){
		"by the chooser": func(l looking, user string) {
			name := map[string]string{"alice": "Alice", "bob": "Bob"}[user]
			l.choose(name+" Example", user+"@example.com", "/elsewhere")
		},
		"by the API": func(l looking, user string) { l.setActive(user) },
	}
	for how, to := range switches {
		t.Run(how, func(t *testing.T) {
			l, _ := newLooking(t, publicStatic)
			l.open(l.origin + "/page")
			l.sees("at first", "/page", "alice")
			l.open(l.origin + "/moved")
			l.sees("moved", "/of/alice", "alice")
			to(l, "bob")
			for range 2 {
				for _, user := range []string{"bob", "alice"} {
					l.open(l.origin + "/page")
					l.sees("by its address", "/page", user)
					l.link("/other")
					l.sees("by a link", "/other", user)
					l.must(l.run(chromedp.Reload()))
					l.sees("reloaded", "/other", user)
					l.travel(-1)
					l.sees("back", "/page", user)
					l.travel(1)
					l.sees("forward", "/other", user)
					l.open(l.origin + "/moved")
					l.sees("moved", "/of/"+user, user)
					another := l.beside()
					another.open(l.origin + "/page")
					another.sees("in another tab", "/page", user)
					another.close()
					if user == "bob" {
						to(l, "alice")
					} else {
						to(l, "bob")
					}
				}
			}
		})
	}
}

// TestChromiumCacheWithoutIsolation shows what the isolation is there for.
func TestChromiumCacheWithoutIsolation(t *testing.T) {
	// Bob's page is the first that the browser has seen, and alice is signed in since.
	l, _ := newLooking(t, "multi_session {\n isolate_cache off\n}")
	l.open(l.origin + "/page")
	if got := l.page("/page"); got.Heading != "alice" || got.Image != "bob" || got.Script != "bob" || got.Frame != "bob" {
		t.Errorf("alice is shown %+v: there is nothing to isolate", got)
	}
	l.open(l.origin + "/moved")
	l.page("/of/alice")
	l.setActive("bob")
	l.open(l.origin + "/elsewhere")
	l.page("/elsewhere")
	l.open(l.origin + "/moved")
	if got := l.page("/of/alice"); got.Heading != "alice" {
		t.Errorf("bob is shown %+v: there is nothing to isolate", got)
	}
}

// TestChromiumCacheWorksWithinAnAccount counts what an app is asked for.
func TestChromiumCacheWorksWithinAnAccount(t *testing.T) {
	l, app := newLooking(t, publicStatic)
	l.open(l.origin + "/page")
	l.sees("at first", "/page", "alice")
	type numbers struct{ asked, whole int }
	count := func(path string) numbers { asked, whole := app.count(path); return numbers{asked, whole} }
	before := map[string]numbers{}
	public := count("/static/library.js")
	for _, path := range []string{"/image", "/script.js", "/api"} {
		before[path] = count(path)
	}
	for range 3 {
		l.open(l.origin + "/other")
		l.sees("again", "/other", "alice")
	}
	for path, then := range before {
		if now := count(path); now.whole != then.whole || now.asked == then.asked {
			t.Errorf("%s was sent %d times more to alice, who had it; asked for %d times", path, now.whole-then.whole, now.asked-then.asked)
		}
	}
	if got := count("/static/library.js"); got.asked != public.asked {
		t.Errorf("what is public was asked for %d times more by one account", got.asked-public.asked)
	}
}

// TestChromiumKeepsWhatIsPublicOnASwitch has a site leave out the page by which browsers forget all they have of
// it. Then they forget nothing that is public, and know what is not.
func TestChromiumKeepsWhatIsPublicOnASwitch(t *testing.T) {
	l, app := newLooking(t, "multi_session {\n isolate_cache {\n public /static/*\n keep_on_switch\n}\n}")
	for _, user := range []string{"alice", "bob", "alice"} {
		l.setActive(user)
		l.open(l.origin + "/page")
		l.sees("switched", "/page", user)
	}
	if asked, _ := app.count("/static/library.js"); asked != 1 {
		t.Errorf("what is public was asked for %d times by two accounts", asked)
	}
}

// TestChromiumCacheOfOtherHosts switches at one host of a domain and comes back to another. Over plain HTTP,
// for Chromium stores nothing of a site whose certificate it does not trust.
func TestChromiumCacheOfOtherHosts(t *testing.T) {
	startChromium(t)
	app := newHoarder(t)
	address := freeAddress(t)
	one, two := "one.example.test:"+port(address), "two.example.test:"+port(address)
	for _, isolated := range []bool{true, false} {
		t.Run(map[bool]string{true: "on", false: "off"}[isolated], func(t *testing.T) {
			directive := publicStatic
			if !isolated {
				directive = "multi_session {\n isolate_cache off\n}"
			}
			startGateway(t, strings.Replace(site(address, app.Listener.Addr().String(), "cookie_domain example.test\n insecure_http", directive), "http://"+address, "http://"+one+", http://"+two, 1))
			l := looking{newFaultyTab(t), "http://" + one}
			l.signIn("bob")
			l.signIn("alice")
			l.openFirst("http://"+two+"/page", "Alice Example alice@example.com")
			l.sees("at first", "/page", "alice")
			l.choose("Bob Example", "bob@example.com", "/elsewhere")
			l.sees("where the switch was", "/elsewhere", "bob")
			l.open("http://" + two + "/page")
			if !isolated {
				if got := l.page("/page"); got.Heading != "alice" || got.Image != "alice" {
					t.Errorf("bob is shown %+v: there is nothing to isolate", got)
				}
				return
			}
			l.sees("at the other host", "/page", "bob")
			l.travel(-1)
			l.sees("back where the switch was", "/elsewhere", "bob")
			l.travel(-2)
			l.sees("back to the other host", "/page", "bob")
		})
	}
}

// twoPagesOn is a tab that was shown two pages as alice, and is at the second.
func twoPagesOn(t *testing.T) looking {
	t.Helper()
	l, _ := newLooking(t, publicStatic)
	l.open(l.origin + "/page")
	l.sees("at first", "/page", "alice")
	l.link("/other")
	l.sees("at first", "/other", "alice")
	return l
}

// TestChromiumImagesOnTheWayBack goes back to a page that was left before a switch. Browsers show its images
// from what they have in memory, without asking and whatever their headers say, unless they have forgotten it.
func TestChromiumImagesOnTheWayBack(t *testing.T) {
	t.Run("chosen", func(t *testing.T) {
		l, _ := newLooking(t, publicStatic)
		l.open(l.origin + "/page")
		l.sees("at first", "/page", "alice")
		l.choose("Bob Example", "bob@example.com", "/elsewhere")
		l.sees("switched", "/elsewhere", "bob")
		l.travel(-2)
		l.sees("back", "/page", "bob")
		l.travel(2)
		l.sees("forward", "/elsewhere", "bob")
	})
	t.Run("by the API, and reloaded", func(t *testing.T) {
		l := twoPagesOn(t)
		l.setActive("bob")
		call(l.tab, page.Reload, page.ReloadParams{})
		await(t, "the reload", func() bool { return l.page("/other").Heading == "bob" })
		l.sees("reloaded", "/other", "bob")
		l.travel(-1)
		l.sees("back", "/page", "bob")
	})
	t.Run("by the API, and back", func(t *testing.T) {
		l := twoPagesOn(t)
		l.setActive("bob")
		l.travel(-1)
		l.sees("back", "/page", "bob")
		l.travel(1)
		l.sees("forward", "/other", "bob")
	})
	t.Run("at another host", func(t *testing.T) {
		startChromium(t)
		app := newHoarder(t)
		address := freeAddress(t)
		one, two := "https://one.example.test:"+port(address), "https://two.example.test:"+port(address)
		config := strings.Replace(site(address, app.Listener.Addr().String(), "cookie_domain example.test", "tls internal\n"+publicStatic), "http://"+address, one+", "+two, 1)
		startGateway(t, strings.Replace(config, "{", "{\n auto_https disable_redirects", 1))
		awaitTLS(t, address, "one.example.test", "two.example.test")
		l := looking{newFaultyTab(t), one}
		l.signIn("bob")
		l.signIn("alice")
		l.openFirst(two+"/page", "Alice Example alice@example.com")
		l.sees("at first", "/page", "alice")
		l.choose("Bob Example", "bob@example.com", "/elsewhere")
		l.sees("where the switch was", "/elsewhere", "bob")
		l.travel(-2)
		l.sees("back to the other host", "/page", "bob")
	})
}

// TestChromiumStorageIsClearedOnASwitch has an app's script store what it knows, and another account look for it.
func TestChromiumStorageIsClearedOnASwitch(t *testing.T) {
	const (
		store = `localStorage.setItem("of", document.querySelector("h1").textContent), true`
		look  = `localStorage.getItem("of") ?? ""`
	)
	for name, test := range map[string]struct{ directive, found string }{
		"on":  {"multi_session {\n clear_storage_on_switch\n}", ""},
		"off": {"multi_session", "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			l, _ := newLooking(t, test.directive)
			l.open(l.origin + "/page")
			l.sees("at first", "/page", "alice")
			evaluate[bool](l.tab, store)
			l.open(l.origin + "/other")
			l.sees("next", "/other", "alice")
			if got := evaluate[string](l.tab, look); got != "alice" {
				t.Errorf("without a switch %q is stored", got)
			}
			l.setActive("bob")
			l.open(l.origin + "/page#part")
			l.sees("switched", "/page", "bob")
			if got := evaluate[string](l.tab, look); got != test.found {
				t.Errorf("as bob %q is stored, want %q", got, test.found)
			}
		})
	}
}
