package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// accountsEvent is what is told: handles.
type accountsEvent struct {
	Active   *string
	Sessions []string
}

// events is a stream of events that a page listens to.
type events struct {
	t      testing.TB
	answer *http.Response
	told   chan accountsEvent // closed when the stream has ended
}

// listen asks for events with the cookies that the browser has now.
func (b *browser) listen() *events {
	b.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	request := b.request(http.MethodGet, "/.auth/events", nil).WithContext(ctx)
	request.Header.Set("Accept", "text/event-stream")
	request.Header.Set("Sec-Fetch-Mode", "cors")
	request.Header.Set("Sec-Fetch-Site", "same-origin")
	answer, err := b.client.Do(request)
	if err != nil {
		cancel()
		b.t.Fatal(err)
	}
	if answer.StatusCode != http.StatusOK || answer.Header.Get("Content-Type") != "text/event-stream" {
		cancel()
		b.t.Fatalf("events: %s %v", answer.Status, answer.Header)
	}
	e := &events{t: b.t, answer: answer, told: make(chan accountsEvent, 64)}
	b.t.Cleanup(func() {
		cancel()
		for range e.told {
		}
	})
	go func() {
		defer close(e.told)
		defer answer.Body.Close()
		lines := bufio.NewScanner(answer.Body)
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			var event accountsEvent
			if ok && json.Unmarshal([]byte(data), &event) == nil {
				e.told <- event
			}
		}
	}()
	return e
}

// next returns the next event, and false where the stream has ended.
func (e *events) next() (accountsEvent, bool) {
	e.t.Helper()
	select {
	case event, ok := <-e.told:
		return event, ok
	case <-time.After(time.Minute):
		e.t.Fatal("waited in vain for an event")
		return accountsEvent{}, false
	}
}

func (e *events) want(active string, all ...string) {
	e.t.Helper()
	event, ok := e.next()
	if !ok {
		e.t.Fatal("the stream has ended")
	}
	got := ""
	if event.Active != nil {
		got = *event.Active
	}
	if got != active || !slices.Equal(event.Sessions, all) {
		e.t.Errorf("told %q of %q, want %q of %q", got, event.Sessions, active, all)
	}
}

func (e *events) wantEnd() {
	e.t.Helper()
	if event, ok := e.next(); ok {
		e.t.Errorf("told %+v in place of the end", event)
	}
}

// eventsSite is two hosts of one domain.
func eventsSite(address, options, users string) string {
	return fmt.Sprintf(`{
	auto_https disable_redirects
	multi_session {
		cookie_domain example.com
		%s
		login password {
			throttle off
			%s
		}
	}
}
https://a.example.com:%[3]s, https://b.example.com:%[3]s {
	tls internal
	multi_session
	respond ok
}
`, options, users, port(address))
}

// startEvents returns browsers at two hosts of one domain, which are one browser.
func startEvents(t *testing.T, options string) (g *gateway, config string, onA, onB *browser) {
	t.Helper()
	address := freeAddress(t)
	config = eventsSite(address, options, userOptions)
	g = startGateway(t, config)
	awaitTLS(t, address, "a.example.com", "b.example.com")
	onA = named(t, address, "https://a.example.com:"+port(address))
	return g, config, onA, onA.at("https://b.example.com:" + port(address))
}

// TestEventsOfEveryCause has a page of one host hear of what happens at another, at the administrator's,
// and by itself.
func TestEventsOfEveryCause(t *testing.T) {
	g, config, onA, onB := startEvents(t, "lifetime 1h")
	alice := onA.signIn("alice")
	bob := onB.signIn("bob")
	page := onA.listen()
	page.want(bob, alice, bob)

	onB.post("/.auth/multi-session/set-active", map[string]any{"sessionToken": alice})
	page.want(alice, alice, bob)
	onB.post("/.auth/multi-session/set-active", map[string]any{"sessionToken": alice}) // no change
	onB.post("/.auth/multi-session/revoke", map[string]any{"sessionToken": bob})
	page.want(alice, alice)

	// A sign-in gives the browser a new cookie: the stream of the old one ends.
	carol := onB.signIn("carol")
	page.wantEnd()
	page = onA.listen()
	page.want(carol, alice, carol)

	g.adminRequest(t, http.MethodDelete, "/multi-session/sessions?user=carol")
	page.want("", alice)

	if err := g.reload(withoutUser(t, config, "alice")); err != nil {
		t.Fatal(err)
	}
	page.wantEnd()
	page = onA.listen()
	page.want("")
	if err := g.reload(config); err != nil {
		t.Fatal(err)
	}
	page = onA.listen()
	page.want("")

	// Nobody writes anything when a time is over.
	if err := g.reload(strings.Replace(config, "lifetime 1h", "lifetime 3s", 1)); err != nil {
		t.Fatal(err)
	}
	bob = onA.signIn("bob")
	onB.confirm()
	page = onB.listen()
	page.want(bob, bob)
	page.want("")

	bob = onA.signIn("bob")
	onB.confirm()
	page = onB.listen()
	page.want(bob, bob)
	onA.post("/.auth/sign-out", map[string]any{})
	page.wantEnd()
	onB.listen().want("")
}

// adminRequest sends a request to the admin endpoint.
func (g *gateway) adminRequest(t testing.TB, method, path string) string {
	t.Helper()
	request, err := http.NewRequest(method, "http://"+g.admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode >= http.StatusBadRequest {
		t.Fatalf("%s %s: %s %v: %s", method, path, answer.Status, err, body)
	}
	return string(body)
}

// TestAStolenCookieHearsNoMore has somebody listen with a cookie that the browser had before it signed in
// another account.
func TestAStolenCookieHearsNoMore(t *testing.T) {
	_, _, victim, _ := startEvents(t, "")
	alice := victim.signIn("alice")
	thief := named(t, "", victim.base)
	thief.client.Transport = victim.client.Transport
	location := victim.request(http.MethodGet, "/", nil).URL
	thief.client.Jar.SetCookies(location, victim.client.Jar.Cookies(location))
	stolen := thief.listen()
	stolen.want(alice, alice)

	bob := victim.signIn("bob")
	stolen.wantEnd()
	thief.listen().want("")
	victim.post("/.auth/multi-session/set-active", map[string]any{"sessionToken": alice})
	victim.listen().want(alice, alice, bob)
}

// streamGoroutines is how many streams the process has.
func (g *gateway) streamGoroutines(t testing.TB) int {
	t.Helper()
	return strings.Count(g.adminRequest(t, http.MethodGet, "/debug/pprof/goroutine?debug=2"), "portal.(*Portal).events(")
}

// TestNothingWaitsForStreams has many pages listen while the configuration is replaced and the process ends.
func TestNothingWaitsForStreams(t *testing.T) {
	g, config, onA, onB := startEvents(t, "")
	alice := onA.signIn("alice")
	onB.confirm()
	listenAll := func() (all []*events) {
		t.Helper()
		for range 6 {
			for _, b := range []*browser{onA, onB} {
				e := b.listen()
				e.want(alice, alice)
				all = append(all, e)
			}
		}
		return all
	}

	all := listenAll()
	if n := g.streamGoroutines(t); n != len(all) {
		t.Fatalf("%d streams are open, want %d", n, len(all))
	}
	begun := time.Now()
	if err := g.reload(strings.Replace(config, "respond ok", "respond changed", 1)); err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		e.wantEnd()
	}
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("the reload took %s", took)
	}
	await(t, "the streams' goroutines to end", func() bool { return g.streamGoroutines(t) == 0 })
	if got := onA.get("/").body; got != "changed" {
		t.Errorf("the old configuration still serves: %q", got)
	}

	// Pages that close leave nothing either.
	left := onA.listen()
	left.want(alice, alice)
	left.answer.Body.Close()
	await(t, "the stream of a closed page to end", func() bool { return g.streamGoroutines(t) == 0 })

	all = listenAll()
	begun = time.Now()
	g.stop()
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("the shutdown took %s", took)
	}
	for _, e := range all {
		e.wantEnd()
	}
}
