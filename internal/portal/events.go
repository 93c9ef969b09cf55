package portal

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

const (
	// eventsPollInterval is how often a stream looks at its jar without having been told of a
	// change. A session that expires, for which nothing is written, is reported that much later at
	// most.
	eventsPollInterval = time.Second

	// eventsHeartbeat is how often a stream sends something although nothing changed. It keeps
	// proxies from closing the connection, and finds dead ones.
	eventsHeartbeat = 15 * time.Second

	// eventsWriteTimeout is how long a client may take to receive what is sent.
	eventsWriteTimeout = 10 * time.Second

	// EventSource reconnects by itself after a stream has ended. It reconnects soon where the jar
	// may have a new token or another configuration has taken over, with a random delay so that not
	// all pages come at once. It reconnects later where there is nothing to wait for.
	eventsRetry     = time.Second // and up to as much more
	eventsIdleRetry = 15 * time.Second
)

// wireAccounts is the event: the active session and all sessions of the browser, by their handles.
type wireAccounts struct {
	Active   *string  `json:"active"`
	Sessions []string `json:"sessions"`
}

func toWireAccounts(v session.Visit) wireAccounts {
	event := wireAccounts{Sessions: []string{}}
	for _, e := range v.Entries() {
		event.Sessions = append(event.Sessions, e.Handle)
		if e.Active {
			event.Active = &e.Handle
		}
	}
	return event
}

// state names the content of an event: equal events, and only those, have equal states. It is the
// event's id, and pages carry the state that they show.
func (event wireAccounts) state() string {
	active := ""
	if event.Active != nil {
		active = *event.Active
	}
	sum := sha256.Sum256([]byte(active + "\n" + strings.Join(event.Sessions, "\n")))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// events streams who is active and which accounts the browser has, at once and after every change,
// as Server-Sent Events (HTML, section 9.2). It does not count as use of a session: a page that
// stays open all night keeps nobody signed in.
//
// A stream ends when its token does. A sign-in gives the jar another token; the browser then
// reconnects with its new cookie, and whoever had a copy of the old one learns no more. The stream
// also ends when the last account is signed out. It does not report that nobody is active then,
// because that may be wrong.
//
// A browser without a jar has nothing to watch. It gets one event and is told to reconnect later.
// So is every stream above the limits.
func (p *Portal) events(w http.ResponseWriter, r *http.Request, v Visitor) error {
	if !accepts(r.Header["Accept"], "text/event-stream") {
		return errNotAcceptable
	}
	// Watch before the first look, so that no change is missed.
	watch := p.manager.Watch(v.Token)
	defer watch.Stop()
	visit, err := p.manager.Visit(r.Context(), v.Token)
	if err != nil {
		visit = v.Visit
	}
	visit = visit.As(v.Visit)

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx in front
	if r.Method == http.MethodHead {
		return nil
	}
	jar := visit.JarID()
	again := eventsIdleRetry
	if jar != "" {
		if leave, ok := p.listeners.enter(jar, v.ClientIP); ok {
			defer leave()
			again = eventsRetry + rand.N(eventsRetry)
		} else {
			jar = ""
		}
	}
	stream := eventStream{w: w, out: http.NewResponseController(w), told: r.Header.Get("Last-Event-ID")}
	if !stream.send(fmt.Sprintf("retry: %d\n\n", again.Milliseconds())) || !stream.sendState(visit) || jar == "" {
		return nil
	}

	look := time.NewTicker(eventsPollInterval)
	defer look.Stop()
	beat := time.NewTicker(eventsHeartbeat)
	defer beat.Stop()
	for {
		select {
		case <-r.Context().Done():
			return nil
		case <-p.listeners.ended:
			return nil
		case <-beat.C:
			if !stream.send(":\n\n") {
				return nil
			}
			continue
		case <-watch.Changed():
		case <-look.C:
		}
		visit, err := p.manager.Visit(r.Context(), v.Token)
		if err != nil && !errors.Is(err, session.ErrUnreadable) { // an unreadable jar counts as signed out
			continue // wait until the store answers again
		}
		if visit.JarID() != jar || !stream.sendState(visit.As(v.Visit)) {
			return nil
		}
	}
}

// eventStream is one stream.
type eventStream struct {
	w    http.ResponseWriter
	out  *http.ResponseController
	told string // the state that the page has
}

// sendState sends the browser's accounts unless the page has that state already. It returns false
// where the page has gone.
func (s *eventStream) sendState(v session.Visit) bool {
	event := toWireAccounts(v)
	state := event.state()
	if state == s.told {
		return true
	}
	data, err := json.Marshal(event)
	if err != nil {
		return false
	}
	s.told = state
	return s.send(fmt.Sprintf("event: accounts\nid: %s\ndata: %s\n\n", state, data))
}

// send returns false where the page has gone. It sets its own write deadline, because a stream
// outlives the server's, and removes it afterwards, because HTTP/2 resets idle streams whose
// deadline passes.
func (s *eventStream) send(text string) bool {
	_ = s.out.SetWriteDeadline(time.Now().Add(eventsWriteTimeout)) // where it cannot be set, TCP finds dead clients
	if _, err := s.w.Write([]byte(text)); err != nil {
		return false
	}
	if err := s.out.Flush(); err != nil {
		return false
	}
	_ = s.out.SetWriteDeadline(time.Time{})
	return true
}

// EndStreams ends all event streams. A stream that starts afterwards sends one event and ends. Call
// it when another configuration takes over or the server stops, both of which wait for running
// requests.
func (p *Portal) EndStreams() { p.listeners.end() }
