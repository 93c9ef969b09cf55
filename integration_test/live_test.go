package integration

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// endsWithin is what the gateway promises.
const endsWithin = 2 * time.Second

// lag is how much later than they should things happen on this machine, whatever the gateway does.
type lag struct{ total atomic.Int64 }

// watchLag measures it until the test ends.
func watchLag(t testing.TB) *lag {
	l := new(lag)
	const step = 10 * time.Millisecond
	go func() {
		for {
			before := time.Now()
			select {
			case <-time.After(step):
				l.total.Add(int64(time.Since(before) - step))
			case <-t.Context().Done():
				return
			}
		}
	}()
	return l
}

func (l *lag) sofar() time.Duration { return time.Duration(l.total.Load()) }

// moment is an instant, and the lag until then.
type moment struct {
	at  time.Time
	lag time.Duration
}

func (l *lag) now() moment { return moment{time.Now(), l.sofar()} }

// ended fails the test unless a line ends, on both sides, within the promised time of a moment, and the
// client cannot take what it got for the whole answer.
func (l *line) ended(since moment, late *lag) {
	l.t.Helper()
	for side, over := range map[string]chan struct{}{"client": l.over, "app": l.server().gone} {
		select {
		case <-over:
		case <-time.After(hangUp):
			l.t.Errorf("%s of %q goes on, for the %s", l.name, l.server().user, side)
			return
		}
	}
	if took, bound := l.at.Sub(since.at), endsWithin+late.sofar()-since.lag; took > bound {
		l.t.Errorf("%s ended %s after its session, want %s at most", l.name, took, bound)
	}
	told := strings.Contains(l.with, "401") && strings.Contains(l.with, "UNAUTHORIZED")
	if l.outlives {
		told = strings.Contains(l.with, "503") && strings.Contains(l.with, "SERVICE_UNAVAILABLE")
	}
	switch {
	case l.kind.answered && (!told || strings.Contains(l.with, "polled")):
		l.t.Errorf("the client of %s is told %s", l.name, l.with)
	case !l.kind.answered && told, l.kind.name == "download" && !(strings.Contains(l.with, "unexpected EOF") || strings.Contains(l.with, "reset") || strings.Contains(l.with, "INTERNAL_ERROR")):
		l.t.Errorf("the client of %s learns %s", l.name, l.with)
	}
}

// liveSite is a gateway in front of a liveApp, over HTTP and HTTPS.
type liveSite struct {
	*gateway
	app           *liveApp
	plain, secure string // addresses
}

// config is its configuration, with options of the app, and the directives of each site.
func (s *liveSite) config(options, directives string) string {
	config := site(s.plain, s.app.address(), options, directives)
	return config + fmt.Sprintf("https://localhost:%s {\n\ttls internal\n\t%s\n\treverse_proxy %s\n}\n", port(s.secure), directives, s.app.address())
}

// newLiveSite starts one that has web sockets over HTTP/2, which Go's servers have when they are asked to.
func newLiveSite(t *testing.T, options, directives string) *liveSite {
	t.Helper()
	t.Setenv("GODEBUG", "http2xconnect=1")
	s := &liveSite{newGateway(t), newLiveApp(t), freeAddress(t), freeAddress(t)}
	s.start(s.config(options, directives))
	awaitTLS(t, s.secure, "localhost")
	return s
}

// allEnded is ended for several lines.
func allEnded(lines []*line, since moment, late *lag) { allOver(lines, true, since, late) }

// allAlive is alive for several lines.
func allAlive(lines []*line) { allOver(lines, false, moment{}, nil) }

// allOver is ended for several lines, or where they are not over, alive.
func allOver(lines []*line, over bool, since moment, late *lag) {
	for _, l := range lines {
		l.t.Helper()
		if over {
			l.ended(since, late)
		} else {
			l.alive()
		}
	}
}

// judged returns once the gateway has judged all that is live by what was so when judged was called: it does so in
// rounds, and what is live since then as somebody else, whose session has ended, is over. That is at a path which
// a gate is for.
func (s *liveSite) judged(t *testing.T, protocol, prefix string, late *lag) {
	t.Helper()
	b := s.browser(t, protocol)
	carol := b.signIn("carol")
	l := b.line(t, s.app, kinds[0], prefix)
	b.expectOK(b.post(revokePath, object{"sessionToken": carol}))
	l.ended(late.now(), late)
}

// protocols are what browsers speak.
var protocols = []string{"HTTP/1.1", "HTTP/1.1 over TLS", "HTTP/2"}

func (s *liveSite) browser(t *testing.T, protocol string) *browser {
	t.Helper()
	if protocol == "HTTP/1.1" {
		return newBrowser(t, "http://"+s.plain)
	}
	b := newBrowser(t, "https://localhost:"+port(s.secure))
	if protocol == "HTTP/1.1 over TLS" {
		transport := b.client.Transport.(*http.Transport)
		transport.ForceAttemptHTTP2 = false
		transport.TLSNextProto = make(map[string]func(string, *tls.Conn) http.RoundTripper)
	}
	return b
}

// TestLiveConnectionsEnd is every way in which a session ends from one instant to the next. Whatever is live
// under it ends, and all else lives on: what another session of the same browser has, and another browser.
func TestLiveConnectionsEnd(t *testing.T) {
	const options = "max_sessions 2"
	s := newLiveSite(t, options, "multi_session")
	late := watchLag(t)
	config := s.config(options, "multi_session")

	// victim is a browser that has lines as who is about to be ended, and then as bob.
	type victim struct {
		*browser
		user   string
		handle string
		lines  []*line
		mates  []*line // of another session of the jar
	}
	ways := []struct {
		name  string
		end   func(*testing.T, *victim)
		alone bool // the whole jar ends
	}{
		{name: "revoked", end: func(t *testing.T, v *victim) {
			v.expectOK(v.post(revokePath, object{"sessionToken": v.handle}))
		}},
		{name: "signed out", alone: true, end: func(t *testing.T, v *victim) {
			v.expectOK(v.post("/.auth/sign-out", object{}))
		}},
		{name: "evicted", end: func(t *testing.T, v *victim) { v.signIn("carol") }},
		{name: "replaced by a new sign-in", end: func(t *testing.T, v *victim) { v.signIn(v.user) }},
		{name: "ended by its account on another device", end: func(t *testing.T, v *victim) {
			other := s.browser(t, "HTTP/1.1")
			other.signIn(v.user)
			v.expectOK(other.post("/.auth/revoke-other-sessions", object{}))
		}},
		{name: "ended by a change of password", end: func(t *testing.T, v *victim) {
			other := s.browser(t, "HTTP/1.1")
			other.signIn(v.user)
			v.expectOK(other.post("/.auth/change-password", object{"currentPassword": password(v.user), "newPassword": "correct horse battery", "revokeOtherSessions": true}))
		}},
		{name: "ended by an administrator", end: func(t *testing.T, v *victim) { s.done(http.MethodDelete, "/sessions?user="+v.user, nil) }},
		{name: "disabled", end: func(t *testing.T, v *victim) { s.done(http.MethodPatch, "/users/"+v.user, object{"disabled": true}) }},
		{name: "deleted", end: func(t *testing.T, v *victim) { s.done(http.MethodDelete, "/users/"+v.user, nil) }},
		{name: "given another password", end: func(t *testing.T, v *victim) {
			s.done(http.MethodPut, "/users/"+v.user+"/password", object{"password": "correct horse battery"})
		}},
	}
	users := 0
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			bystander := s.browser(t, "HTTP/2")
			bystander.signIn("alice")
			elsewhere := bystander.lines(t, s.app)
			victims := make([]*victim, len(protocols))
			for i, protocol := range protocols {
				users++
				v := &victim{browser: s.browser(t, protocol), user: fmt.Sprintf("user%d", users)}
				s.createUser(v.user)
				v.handle = v.signIn(v.user)
				v.lines = v.browser.lines(t, s.app)
				v.signIn("bob")
				v.mates = v.browser.lines(t, s.app)
				victims[i] = v
			}
			over := make([]moment, len(victims))
			for i, v := range victims {
				for _, l := range v.lines {
					if l.kind.name != "poll" {
						l.alive()
					}
					if got := l.server().user; got != v.user {
						t.Errorf("%s is made as %q, want %q", l.name, got, v.user)
					}
				}
				way.end(t, v)
				over[i] = late.now()
			}
			for i, v := range victims {
				for _, l := range v.lines {
					l.ended(over[i], late)
				}
				for _, l := range v.mates {
					if way.alone {
						l.ended(over[i], late)
					} else {
						l.alive()
					}
				}
			}
			allAlive(elsewhere)
		})
	}

	t.Run("taken out of the configuration", func(t *testing.T) {
		var gone, left []*line
		for _, protocol := range protocols {
			b := s.browser(t, protocol)
			b.signIn("bob")
			gone = append(gone, b.streams(t, s.app)...)
			b.signIn("alice")
			left = append(left, b.streams(t, s.app)...)
		}
		before := late.now()
		if err := s.reload(withoutUser(t, config, "bob")); err != nil {
			t.Fatal(err)
		}
		allEnded(gone, before, late)
		allAlive(left)
	})
	s.calm(t)
}

// calm fails the test if the gateway has logged what only a mistake of its own leads to.
func (s *liveSite) calm(t *testing.T) {
	t.Helper()
	for _, sign := range []string{"panic", "superfluous", "fatal"} {
		if strings.Contains(s.log.String(), sign) {
			t.Errorf("the log has %q", sign)
		}
	}
}

// streams are the lines that Caddy keeps over a reload whatever the configuration says.
func (b *browser) streams(t testing.TB, app *liveApp) []*line {
	t.Helper()
	var all []*line
	for _, k := range kinds {
		if k.name != "socket" {
			all = append(all, b.line(t, app, k, ""))
		}
	}
	return all
}

// expectOK fails the test unless an answer is one of success.
func (b *browser) expectOK(answer reply) {
	b.t.Helper()
	if answer.StatusCode != http.StatusOK {
		b.t.Fatalf("%s: %s: %s", answer.Request.URL.Path, answer.Status, answer.body)
	}
}
