package portal

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// listener is a page that listens to events.
type listener struct {
	t      *testing.T
	answer *http.Response
	lines  *bufio.Scanner
	id     string
}

// listen requests the events over a real connection, with the cookie that the browser has now.
func (b *browser) listen(headers ...string) *listener {
	b.t.Helper()
	asked := b.request(http.MethodGet, "/.auth/events", "", append([]string{"Accept", "text/event-stream"}, headers...)...)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.ServeHTTP(w, asked.WithContext(r.Context()), b.visitor(asked))
	}))
	answer, err := server.Client().Get(server.URL)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() {
		answer.Body.Close()
		server.Close() // waits for the handler
	})
	return &listener{t: b.t, answer: answer, lines: bufio.NewScanner(answer.Body)}
}

// next returns the next event, or false where the stream has ended.
func (l *listener) next() (event wireAccounts, ok bool) {
	l.t.Helper()
	for l.lines.Scan() {
		name, value, _ := strings.Cut(l.lines.Text(), ": ")
		switch name {
		case "id":
			l.id = value
		case "data":
			if err := json.Unmarshal([]byte(value), &event); err != nil {
				l.t.Fatal(err)
			}
			return event, true
		}
	}
	return event, false
}

func (l *listener) want(active string, all ...string) {
	l.t.Helper()
	event, ok := l.next()
	if !ok {
		l.t.Fatal("the stream has ended")
	}
	got := ""
	if event.Active != nil {
		got = *event.Active
	}
	if got != active || !slices.Equal(event.Sessions, all) {
		l.t.Errorf("told %q of %q, want %q of %q", got, event.Sessions, active, all)
	}
	if l.id != event.state() {
		l.t.Errorf("the id is %q", l.id)
	}
}

func (l *listener) wantEnd() {
	l.t.Helper()
	if event, ok := l.next(); ok {
		l.t.Errorf("told %+v in place of the end", event)
	}
}

func TestEventsTellOfEveryChange(t *testing.T) {
	b := newGateway(t).browser()
	alice, bob := b.signInAs("alice"), b.signInAs("bob")
	l := b.listen()
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "Set-Cookie": ""} {
		if got := l.answer.Header.Get(name); got != want {
			t.Errorf("%s is %q", name, got)
		}
	}
	l.want(bob, alice, bob)
	b.post("/.auth/multi-session/set-active", fmt.Sprintf(`{"sessionToken":%q}`, alice))
	l.want(alice, alice, bob)
	b.submit("/.auth/accounts", "action", "switch", "session", bob)
	l.want(bob, alice, bob)
	b.post("/.auth/multi-session/revoke", fmt.Sprintf(`{"sessionToken":%q}`, alice))
	l.want(bob, bob)
	if _, err := b.manager.End(t.Context(), session.Selection{Everybody: true}, nil); err != nil {
		t.Fatal(err)
	}
	l.wantEnd()
}

func TestEventsTellWhatNobodyHasWritten(t *testing.T) {
	b := newGateway(t, func(s *setup) { s.options.IdleTimeout = time.Hour }).browser()
	alice := b.signInAs("alice")
	b.clock.advance(30 * time.Minute)
	bob := b.signInAs("bob")
	l := b.listen()
	l.want(bob, alice, bob)
	b.clock.advance(40 * time.Minute) // the stream is no use of alice's session
	l.want(bob, bob)
	b.clock.advance(40 * time.Minute)
	l.want("")
}

func TestTheStreamOfAnOldTokenEnds(t *testing.T) {
	b := newGateway(t).browser()
	b.signInAs("alice")
	stolen := b.listen()
	if _, ok := stolen.next(); !ok {
		t.Fatal("the stream has ended")
	}
	old := b.cookie
	b.signInAs("bob")
	stolen.wantEnd()
	b.cookie = old
	again := b.listen("Last-Event-ID", stolen.id)
	again.want("")
	again.wantEnd()
}

func TestEventsForABrowserWithoutAJar(t *testing.T) {
	l := newGateway(t).browser().listen()
	l.lines.Scan()
	if got := l.lines.Text(); got != "retry: 15000" {
		t.Errorf("got %q", got)
	}
	l.want("")
	l.wantEnd()
}

func TestWhatIsKnownIsNotToldAgain(t *testing.T) {
	b := newGateway(t).browser()
	alice, bob := b.signInAs("alice"), b.signInAs("bob")
	first := b.listen()
	first.want(bob, alice, bob)
	second := b.listen("Last-Event-ID", first.id)
	b.post("/.auth/multi-session/set-active", fmt.Sprintf(`{"sessionToken":%q}`, alice))
	second.want(alice, alice, bob)
}

func TestEventsAreForWhoTakesThem(t *testing.T) {
	b := newGateway(t).browser()
	for accept, taken := range map[string]bool{
		"":                                   true,
		"text/event-stream":                  true,
		"text/*;q=0.1":                       true,
		"application/json, */*":              true,
		"application/json":                   false,
		"text/event-stream;q=0, */*":         false,
		"text/html, application/xhtml+xml":   false,
		"text/event-streams":                 false,
		"application/json, text/plain;q=0.5": false,
	} {
		w := b.get("/.auth/events", "Accept", accept)
		if taken && (w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/event-stream") {
			t.Errorf("%q: %d %v", accept, w.Code, w.Header())
		} else if !taken {
			wantProblem(t, w, http.StatusNotAcceptable, "NOT_ACCEPTABLE")
		}
	}
	b.signInAs("alice")
	if w := b.send(b.request(http.MethodHead, "/.auth/events", "")); w.Code != http.StatusOK || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d %q", w.Code, w.Body)
	}
}

func TestStreamsEndWhenTheyAreToldTo(t *testing.T) {
	b := newGateway(t).browser()
	alice := b.signInAs("alice")
	l := b.listen()
	l.want(alice, alice)
	b.EndStreams()
	b.EndStreams()
	l.wantEnd()
	late := b.listen()
	late.want(alice, alice)
	late.wantEnd()
}

// await returns when the condition holds, and fails the test if it does not within a minute.
func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func TestStreamsAreBounded(t *testing.T) {
	b := newGateway(t).browser()
	alice := b.signInAs("alice")
	var open []*listener
	for range maxListenersByJar {
		l := b.listen()
		l.want(alice, alice)
		open = append(open, l)
	}
	surplus := b.listen()
	surplus.want(alice, alice) // one event all the same
	surplus.wantEnd()
	other := b.gateway.browser()
	other.signInAs("bob")
	l := other.listen()
	if _, ok := l.next(); !ok {
		t.Fatal("another browser is told nothing")
	}

	for _, l := range open {
		l.answer.Body.Close()
	}
	await(t, "the other browser's jar to be the only one that is listened to", func() bool {
		b.listeners.mu.Lock()
		defer b.listeners.mu.Unlock()
		return len(b.listeners.byJar) == 1
	})
	again := b.listen()
	again.want(alice, alice)
	b.EndStreams()
	if _, err := io.ReadAll(again.answer.Body); err != nil {
		t.Error(err)
	}
}

func TestListenersByClient(t *testing.T) {
	l := newListeners()
	enter := func(i int, address string) (func(), bool) {
		return l.enter(fmt.Sprint("jar ", i), netip.MustParseAddr(address))
	}
	var leave []func()
	for i := range maxListenersByClient {
		out, ok := enter(i, fmt.Sprintf("2001:db8::%x", i))
		if !ok {
			t.Fatalf("%d are too many", i)
		}
		leave = append(leave, out)
	}
	if _, ok := enter(-1, "2001:db8::ffff:1"); ok {
		t.Error("one network has more than it may")
	}
	for _, address := range []string{"2001:db8:0:1::1", "192.0.2.1"} {
		out, ok := enter(-1, address)
		if !ok {
			t.Errorf("%s is counted with others", address)
		}
		leave = append(leave, out)
	}
	for _, out := range leave {
		out()
	}
	if len(l.byJar)+len(l.byClient) != 0 {
		t.Errorf("left are %v and %v", l.byJar, l.byClient)
	}
}
