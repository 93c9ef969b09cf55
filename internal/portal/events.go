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
	// eventsLook is how often a stream looks at its jar without being told of a change: ends that nothing is
	// written for are told that much later at most.
	eventsLook = time.Second

	// eventsBeat is how often something is sent even if nothing has changed, so that whoever is between
	// takes the connection for alive, and one that is dead is found out.
	eventsBeat = 15 * time.Second

	// eventsWrite is how long a client may take what is sent. One that takes longer is gone.
	eventsWrite = 10 * time.Second

	// After a stream has ended its page asks again, which EventSource does by itself: soon where
	// the jar may have a new token or another configuration answers, and not all pages at the same
	// instant; later where there is nothing to wait for.
	eventsAgain  = time.Second // and up to as much more
	eventsAsking = 15 * time.Second
)

// wireAccounts is the event: who is active and which accounts there are, by their handles.
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

// state names what an event tells: two are equal exactly where the same is told. It is the event's id,
// and what the pages know what they show by.
func (event wireAccounts) state() string {
	active := ""
	if event.Active != nil {
		active = *event.Active
	}
	sum := sha256.Sum256([]byte(active + "\n" + strings.Join(event.Sessions, "\n")))
	return base64.RawURLEncoding.EncodeToString(sum[:12])
}

// events tells a page who is active and which accounts its browser has, at once and again whenever
// that changes, by Server-Sent Events (HTML, section 9.2). It is no use of a session: a page that is open
// all night keeps nobody signed in.
//
// A stream is as good as the token that it was asked for with. A sign-in gives the jar another token, and
// with that the stream ends: the browser asks again with its new cookie, and whoever else had the old
// one hears no more. So it does when the last account is signed out. It is not told then that
// nobody is active, which may not be so.
//
// A browser without a jar has nothing that could be watched. It is told so, and to ask again some time later;
// the same goes for more streams than there may be.
func (p *Portal) events(w http.ResponseWriter, r *http.Request, v Visitor) error {
	if !accepts(r.Header["Accept"], "text/event-stream") {
		return errNotAcceptable
	}
	// Before the first look, so that no change is missed.
	watch := p.manager.Watch(v.Token)
	defer watch.Stop()
	visit, err := p.manager.Visit(r.Context(), v.Token)
	if err != nil {
		visit = v.Visit
	}
	visit = visit.At(v.Visit.Site())

	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // nginx in front
	if r.Method == http.MethodHead {
		return nil
	}
	jar := visit.JarID()
	again := eventsAsking
	if jar != "" {
		if leave, ok := p.listeners.enter(jar, v.ClientIP); ok {
			defer leave()
			again = eventsAgain + rand.N(eventsAgain)
		} else {
			jar = ""
		}
	}
	stream := eventStream{w: w, out: http.NewResponseController(w), told: r.Header.Get("Last-Event-ID")}
	if !stream.send(fmt.Sprintf("retry: %d\n\n", again.Milliseconds())) || !stream.tell(visit) || jar == "" {
		return nil
	}

	look := time.NewTicker(eventsLook)
	defer look.Stop()
	beat := time.NewTicker(eventsBeat)
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
		if err != nil && !errors.Is(err, session.ErrUnreadable) { // which is to be signed out
			continue // nothing is known, and nothing told, until it is
		}
		if visit.JarID() != jar || !stream.tell(visit.At(v.Visit.Site())) {
			return nil
		}
	}
}

// eventStream is one stream as it is sent.
type eventStream struct {
	w    http.ResponseWriter
	out  *http.ResponseController
	told string // the state that its page knows
}

// tell sends who is active and which accounts there are, unless the page knows. It is false where the page
// has gone.
func (s *eventStream) tell(v session.Visit) bool {
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

// send is false where the page has gone. The deadline is this stream's own, whatever the server has: a
// stream lasts longer than an answer may take. It does not stay, for HTTP/2 ends streams at it
// that are not written to.
func (s *eventStream) send(text string) bool {
	_ = s.out.SetWriteDeadline(time.Now().Add(eventsWrite)) // where it cannot be set, TCP finds out
	if _, err := s.w.Write([]byte(text)); err != nil {
		return false
	}
	if err := s.out.Flush(); err != nil {
		return false
	}
	_ = s.out.SetWriteDeadline(time.Time{})
	return true
}

// EndStreams ends the streams of events that are open, and those to come as soon as they have told once
// how things are. It is called when another configuration takes over and when the server ends, both of which
// wait for requests that are under way.
func (p *Portal) EndStreams() { p.listeners.end() }
