package integration

import (
	"cmp"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// stubborn is an app that knows nothing of the gateway: it asks who somebody is at their first request
// only, and then believes its own session's cookie. Scripts read its second one, against forged requests.
type stubborn struct {
	mu       sync.Mutex
	sessions map[string]string // user by value of the cookie
	held     map[string]chan struct{}
	arrived  chan string
}

func newStubborn(t testing.TB) (app *stubborn, address string) {
	t.Helper()
	app = &stubborn{sessions: map[string]string{}, held: map[string]chan struct{}{}, arrived: make(chan string, 16)}
	server := httptest.NewServer(app)
	t.Cleanup(server.Close)
	return app, server.Listener.Addr().String()
}

func (s *stubborn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	user := "nobody"
	known := false
	if c, err := r.Cookie("app_session"); err == nil {
		user, known = s.sessions[c.Value]
	}
	if !known {
		user = cmp.Or(r.Header.Get("Remote-User"), "nobody")
		value := fmt.Sprintf("%s-%d", user, len(s.sessions))
		s.sessions[value] = user
		http.SetCookie(w, &http.Cookie{Name: "app_session", Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode})
		http.SetCookie(w, &http.Cookie{Name: "csrf", Value: "csrf-of-" + user, Path: "/"})
		if r.URL.Path == "/deep/page" {
			http.SetCookie(w, &http.Cookie{Name: "deep", Value: user, HttpOnly: true})
		}
	}
	switch r.URL.Path {
	case "/hold":
		release := make(chan struct{})
		s.held[user] = release
		s.arrived <- user
		s.mu.Unlock()
		<-release
		s.mu.Lock()
		http.SetCookie(w, &http.Cookie{Name: "late", Value: "late-of-" + user, Path: "/", HttpOnly: true})
	case "/clear":
		w.Header().Set("Clear-Site-Data", `"cookies"`)
	case "/write":
		c, err := r.Cookie("csrf")
		if err != nil || c.Value != r.FormValue("csrf") {
			http.Error(w, "forged", http.StatusForbidden)
			return
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><html lang=en><title>App</title><h1>%s</h1><p>%s</p>", user, r.Header.Get("Cookie"))
}

// release has the request that a user holds answered.
func (s *stubborn) release(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.held[user])
}

// believes returns who the app takes the browser for.
func (b *browser) believes(path string) string {
	b.t.Helper()
	answer := b.open(path)
	_, rest, _ := strings.Cut(answer.body, "<h1>")
	user, _, _ := strings.Cut(rest, "</h1>")
	return user
}

// holds is the value of a cookie that the browser has, or "".
func (b *browser) holds(name string) string {
	b.t.Helper()
	for _, c := range b.client.Jar.Cookies(b.request(http.MethodGet, "/", nil).URL) {
		if c.Name == name {
			return c.Value
		}
	}
	return ""
}

func (b *browser) switchTo(handle string) {
	b.t.Helper()
	if answer := b.post("/.auth/multi-session/set-active", map[string]any{"sessionToken": handle}); answer.StatusCode != http.StatusOK {
		b.t.Fatalf("switch: %s %s", answer.Status, answer.body)
	}
}

// TestWithoutIsolationTheAppServesTheFirstAccount shows what the isolation is there for.
func TestWithoutIsolationTheAppServesTheFirstAccount(t *testing.T) {
	_, app := newStubborn(t)
	address := freeAddress(t)
	startGateway(t, site(address, app, "", "multi_session {\n isolate_cookies off\n}"))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")
	if got := b.believes("/"); got != "alice" {
		t.Fatalf("the app believes in %q", got)
	}
	b.signIn("bob")
	if got := b.believes("/"); got != "alice" || b.active() != "bob" {
		t.Errorf("as bob the app believes in %q: there is nothing to isolate", got)
	}
}

func TestAppServesTheActiveAccount(t *testing.T) {
	_, app := newStubborn(t)
	address := freeAddress(t)
	g := startGateway(t, site(address, app, "", "multi_session {\n optional\n}"))
	b := newBrowser(t, "http://"+address)
	check := func(user string) {
		t.Helper()
		for _, path := range []string{"/", "/deep/page", "/"} {
			if got := b.believes(path); got != user {
				t.Fatalf("at %s the app believes in %q, want %q", path, got, user)
			}
		}
		if got := b.holds("csrf"); got != "csrf-of-"+user {
			t.Fatalf("as %q scripts read %q", user, got)
		}
		answer := b.submit("/write", url.Values{"csrf": {b.holds("csrf")}})
		if answer.StatusCode != http.StatusOK || !strings.Contains(answer.body, "<h1>"+user+"</h1>") {
			t.Fatalf("as %q a form is answered %s %s", user, answer.Status, answer.body)
		}
		if strings.Contains(answer.body, "ms~") || strings.Contains(answer.body, "multi_session") {
			t.Fatalf("the app sees %s", answer.body)
		}
	}
	check("nobody")
	handles := map[string]string{}
	for _, user := range []string{"alice", "bob", "carol"} {
		handles[user] = b.signIn(user)
		check(user)
	}
	for range 3 {
		for _, user := range []string{"alice", "carol", "bob"} {
			b.switchTo(handles[user])
			check(user)
		}
	}
	// The slots are found again after a restart.
	g.stop()
	g.start(site(address, app, "", "multi_session {\n optional\n}"))
	b.client.CloseIdleConnections()
	check("bob")
	b.switchTo(handles["alice"])
	check("alice")
	if answer := b.post("/.auth/multi-session/revoke", map[string]any{"sessionToken": handles["alice"]}); answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status, answer.body)
	}
	if active := b.active(); active == "alice" || active == "" {
		t.Fatalf("%q is active", active)
	} else {
		check(active)
	}
	if answer := b.post("/.auth/sign-out", map[string]any{}); answer.StatusCode != http.StatusOK {
		t.Fatal(answer.Status, answer.body)
	}
	check("nobody")
	for _, c := range b.client.Jar.Cookies(b.request(http.MethodGet, "/deep/page", nil).URL) {
		if strings.HasPrefix(c.Name, "ms~") && !strings.HasPrefix(c.Name, "ms~0~") {
			t.Errorf("of sessions that have ended is left %s=%s", c.Name, c.Value)
		}
	}
}

func TestLateAnswerOfTheAppLandsInItsSlot(t *testing.T) {
	s, app := newStubborn(t)
	address := freeAddress(t)
	startGateway(t, site(address, app, "", "multi_session"))
	b := newBrowser(t, "http://"+address)
	alice := b.signIn("alice")
	b.believes("/")
	done := make(chan reply, 1)
	hold := b.request(http.MethodGet, "/hold", nil)
	go func() {
		answer, err := b.do(hold)
		if err != nil {
			t.Error(err)
		}
		done <- answer
	}()
	if user := <-s.arrived; user != "alice" {
		t.Fatal(user)
	}
	b.signIn("bob")
	if got := b.believes("/"); got != "bob" {
		t.Fatalf("the app believes in %q", got)
	}
	s.release("alice")
	<-done
	if answer := b.open("/"); strings.Contains(answer.body, "late-of-alice") || !strings.Contains(answer.body, "<h1>bob</h1>") {
		t.Errorf("as bob: %s", answer.body)
	}
	b.switchTo(alice)
	if answer := b.open("/"); !strings.Contains(answer.body, "late=late-of-alice") || !strings.Contains(answer.body, "<h1>alice</h1>") {
		t.Errorf("as alice again: %s", answer.body)
	}
}

func TestAppClearsTheActiveSlotAlone(t *testing.T) {
	_, app := newStubborn(t)
	address := freeAddress(t)
	startGateway(t, site(address, app, "", "multi_session"))
	b := newBrowser(t, "http://"+address)
	alice := b.signIn("alice")
	b.open("/")
	first := b.open("/").body
	b.signIn("bob")
	b.open("/")
	was := b.open("/").body
	if answer := b.open("/clear"); answer.Header.Get("Clear-Site-Data") != "" {
		t.Errorf("Clear-Site-Data: %s", answer.Header.Get("Clear-Site-Data"))
	}
	if again := b.open("/").body; again == was || strings.Contains(again, "app_session") || b.active() != "bob" {
		t.Errorf("after it bob's cookies are\n%s, were\n%s", again, was)
	}
	b.switchTo(alice)
	if again := b.open("/").body; again != first {
		t.Errorf("after it alice's cookies are\n%s, were\n%s", again, first)
	}
}

func TestIsolationSparesWhatIsExcepted(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Remote-User") == "alice" {
			http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark", Path: "/"})
			http.SetCookie(w, &http.Cookie{Name: "own", Value: "1", Path: "/"})
		}
		fmt.Fprint(w, r.Header.Get("Cookie"))
	}))
	t.Cleanup(up.Close)
	address := freeAddress(t)
	startGateway(t, site(address, up.Listener.Addr().String(), "", "multi_session {\n isolate_cookies {\n except theme\n}\n}"))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")
	b.open("/")
	b.signIn("bob")
	answer := b.open("/")
	if !strings.Contains(answer.body, "theme=dark") || strings.Contains(answer.body, "own=1") {
		t.Errorf("as bob the app sees %s", answer.body)
	}
}

// TestCrowdedBrowserIsLoggedOnce has so many cookies come that browsers begin to lose some.
func TestCrowdedBrowserIsLoggedOnce(t *testing.T) {
	up := newEcho(t)
	address := freeAddress(t)
	g := startGateway(t, site(address, up.address(), "", "multi_session"))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")
	for range 3 {
		request := b.request(http.MethodGet, "/", nil)
		request.Header.Set("Cookie", strings.Repeat("padding=0123456789; ", 400))
		b.must(request)
	}
	const line = "come near to what browsers and servers take"
	await(t, "the warning", func() bool { return strings.Contains(g.log.String(), line) })
	if n := strings.Count(g.log.String(), line); n != 1 {
		t.Errorf("it is logged %d times", n)
	}
}

// TestOversizedCookieIsLogged has the app set a cookie that is too large once it carries a slot.
func TestOversizedCookieIsLogged(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "large", Value: strings.Repeat("x", 4085), HttpOnly: true})
		http.SetCookie(w, &http.Cookie{Name: "small", Value: "1", HttpOnly: true})
	}))
	t.Cleanup(up.Close)
	address := freeAddress(t)
	g := startGateway(t, site(address, up.Listener.Addr().String(), "", "multi_session"))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")
	answer := b.open("/")
	if set := strings.Join(answer.Header["Set-Cookie"], "\n"); strings.Contains(set, "large") || !strings.Contains(set, "small") {
		t.Errorf("the browser is told %s", set)
	}
	await(t, "the error", func() bool { return strings.Contains(g.log.String(), `"cookie":"large"`) })
}
