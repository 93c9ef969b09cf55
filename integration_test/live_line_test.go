package integration

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// line is a live connection of a browser to a liveApp, through the gateway.
type line struct {
	*browser
	t      testing.TB
	kind   kind
	name   string
	path   string
	app    *liveApp
	beat   func() error // says something over it, and fails if that does not arrive
	ctx    context.Context
	hangUp func()        // has the client go away, which sees no more of it
	over   chan struct{} // closed when the client has learnt that it is over
	with   string        // what the client has learnt, once it is over
	at     time.Time     // when

	outlives bool // the gateway goes away, and cannot tell whether the session has ended
}

// kind is one of live connections.
type kind struct {
	name string
	open func(*line) // returns when the line can be used

	// answered says that its client is to be told that it is signed out, as it was not answered before. Else
	// its answer is to break off.
	answered bool
}

var kinds = []kind{
	{"events", openEvents, false},
	{"poll", openPoll, true},
	{"download", openDownload, false},
	{"upload", openUpload, true},
	{"socket", openSocket, false},
}

// lines opens a line of every kind as the active account of the browser.
func (b *browser) lines(t testing.TB, app *liveApp) []*line {
	t.Helper()
	all := make([]*line, len(kinds))
	for i, k := range kinds {
		all[i] = b.line(t, app, k, "")
	}
	return all
}

// lineNumber makes the names of lines.
var lineNumber atomic.Int64

// line opens one, on a path of the site that has a prefix, and returns when the app has it.
func (b *browser) line(t testing.TB, app *liveApp, k kind, prefix string) *line {
	t.Helper()
	l := &line{browser: b, t: t, kind: k, app: app, over: make(chan struct{})}
	l.name = fmt.Sprintf("%s-%d", k.name, lineNumber.Add(1))
	l.path = prefix + "/" + k.name + "?line=" + l.name
	l.ctx, l.hangUp = context.WithCancel(t.Context())
	t.Cleanup(l.hangUp)
	k.open(l)
	await(t, "the app to have "+l.name, func() bool {
		select {
		case <-l.over:
			t.Fatalf("%s ended before the app had it: %s", l.name, l.with)
		default:
		}
		return l.server() != nil
	})
	return l
}

// server is the app's end, nil as long as the app does not have the line.
func (l *line) server() *appLine { return l.app.named(l.name) }

// end says what the client has learnt.
func (l *line) end(format string, args ...any) {
	l.at, l.with = time.Now(), fmt.Sprintf(format, args...)
	close(l.over)
}

// alive fails the test unless something can be said over the line.
func (l *line) alive() {
	l.t.Helper()
	said := make(chan error, 1)
	go func() { said <- l.beat() }()
	select {
	case err := <-said:
		if err != nil {
			l.t.Errorf("%s of %q: %v", l.name, l.server().user, err)
		}
	case <-l.over:
		l.t.Errorf("%s of %q is over: %s", l.name, l.server().user, l.with)
	case <-time.After(hangUp):
		l.t.Errorf("%s of %q: nothing arrives", l.name, l.server().user)
	}
}

// tell has the app send a text, unless its client has gone.
func (l *line) tell(text string) error {
	app := l.server()
	select {
	case app.say <- text:
		return nil
	case <-app.gone:
		return errors.New("the app's client has gone")
	}
}

// received waits for the app to receive a text.
func (l *line) received(want string) error {
	app := l.server()
	select {
	case got := <-app.got:
		if got != want {
			return fmt.Errorf("the app has received %q", got)
		}
		return nil
	case <-app.gone:
		return errors.New("the app's client has gone")
	}
}

// begin sends the line's request and waits for the header of its answer. Where that is none of the app's
// the line is over.
func (l *line) begin(method string, body io.Reader) (*http.Response, bool) {
	request, err := http.NewRequestWithContext(l.ctx, method, l.base+l.path, body)
	if err != nil {
		l.end("%v", err)
		return nil, false
	}
	response, err := l.client.Do(request)
	if err != nil {
		l.end("%v", err)
		return nil, false
	}
	context.AfterFunc(l.ctx, func() { response.Body.Close() })
	if response.StatusCode != http.StatusOK {
		answer, err := io.ReadAll(response.Body)
		l.end("%s %q %s %v", response.Status, response.Header["Set-Cookie"], answer, err)
		return nil, false
	}
	return response, true
}

// listen reads lines until there are no more, and returns where those that are not empty come from.
func (l *line) listen(from io.Reader) <-chan string {
	texts := make(chan string, 16)
	go func() {
		lines := bufio.NewReader(from)
		for {
			text, err := lines.ReadString('\n')
			if err != nil {
				l.end("%v", err)
				return
			}
			if text != "\n" {
				texts <- text
			}
		}
	}()
	return texts
}

// hear waits for a text.
func (l *line) hear(from <-chan string, want string) error {
	select {
	case got := <-from:
		if got != want {
			return fmt.Errorf("the client has received %q", got)
		}
		return nil
	case <-l.over:
		return errors.New(l.with)
	}
}

func openEvents(l *line) {
	response, ok := l.begin(http.MethodGet, nil)
	if !ok {
		return
	}
	heard := l.listen(response.Body)
	l.beat = func() error {
		if err := l.tell("beat"); err != nil {
			return err
		}
		return l.hear(heard, "data: beat\n")
	}
}

// openPoll begins a request that can be answered once.
func openPoll(l *line) {
	heard := make(chan string, 1)
	go func() {
		response, ok := l.begin(http.MethodGet, nil)
		if !ok {
			return
		}
		text, err := io.ReadAll(response.Body)
		if err != nil {
			l.end("%v", err)
			return
		}
		heard <- string(text)
	}()
	l.beat = func() error {
		if err := l.tell("beat"); err != nil {
			return err
		}
		return l.hear(heard, "beat\n")
	}
}

// openDownload begins one that is read so slowly that the app has to wait. A client like that learns
// of nothing before it has come to the end of what was sent already, so it hurries once the app's end is over.
func openDownload(l *line) {
	response, ok := l.begin(http.MethodGet, nil)
	if !ok {
		return
	}
	parts := make(chan string)
	go func() {
		pace := time.NewTicker(20 * time.Millisecond)
		defer pace.Stop()
		for {
			if _, err := io.CopyN(io.Discard, response.Body, 4<<10); err != nil {
				l.end("%v", err)
				return
			}
			var slowly <-chan time.Time = pace.C
			select {
			case parts <- "part":
			case <-l.server().gone:
			case <-slowly:
			}
		}
	}()
	l.beat = func() error {
		if err := l.hear(parts, "part"); err != nil {
			return err
		}
		select {
		case <-l.server().gone:
			return errors.New("the app's client has gone")
		default:
			return nil
		}
	}
}

func openUpload(l *line) {
	body, write := io.Pipe()
	context.AfterFunc(l.ctx, func() { write.Close() })
	go func() {
		if _, ok := l.begin(http.MethodPost, body); ok {
			l.end("the app has answered")
		}
	}()
	l.beat = func() error {
		if _, err := io.WriteString(write, "beat\n"); err != nil {
			return err
		}
		return l.received("beat\n")
	}
	if _, err := io.WriteString(write, "first\n"); err != nil {
		return
	}
	await(l.t, "the upload to begin", func() bool { return l.server() != nil })
	if err := l.received("first\n"); err != nil {
		l.t.Error(err)
	}
}

// openSocket opens a web socket as the browser's protocol has it.
func openSocket(l *line) {
	transport := l.client.Transport.(*http.Transport)
	secure := strings.HasPrefix(l.base, "https:")
	if secure && transport.ForceAttemptHTTP2 {
		openSocketOnHTTP2(l)
		return
	}
	address := l.request(http.MethodGet, "", nil).URL.Host
	var conn net.Conn
	var err error
	if secure {
		conn, err = tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	} else {
		conn, err = net.Dial("tcp", address)
	}
	if err != nil {
		l.t.Fatal(err)
	}
	context.AfterFunc(l.ctx, func() { conn.Close() })
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: %s\r\nCookie: %s\r\n\r\n", l.path, address, l.base, l.cookieHeader())
	buffered := bufio.NewReader(conn)
	response, err := http.ReadResponse(buffered, nil)
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		l.t.Fatalf("%s: %v, %v", l.name, response, err)
	}
	l.talk(buffered, conn)
}

// talk has the line's beat be a text that comes back.
func (l *line) talk(from io.Reader, to io.Writer) {
	heard := l.listen(from)
	l.beat = func() error {
		if _, err := io.WriteString(to, "beat\n"); err != nil {
			return err
		}
		return l.hear(heard, "beat\n")
	}
}

// openSocketOnHTTP2 opens one by an extended CONNECT (RFC 8441).
func openSocketOnHTTP2(l *line) {
	host := l.request(http.MethodGet, "", nil).URL
	f := newFrames(l.t, "127.0.0.1:"+host.Port(), host.Hostname())
	f.headers(false, field{":method", "CONNECT"}, field{":protocol", "websocket"}, field{":scheme", "https"}, field{":path", l.path}, field{":authority", host.Host},
		field{"sec-websocket-version", "13"}, field{"origin", l.base}, field{"cookie", l.cookieHeader()})
	context.AfterFunc(l.ctx, func() { f.conn.Close() })
	read, write := io.Pipe()
	opened := make(chan string, 1)
	go func() {
		for {
			frame, err := f.ReadFrame()
			if err != nil {
				write.CloseWithError(err)
				return
			}
			switch frame := frame.(type) {
			case *http2.MetaHeadersFrame:
				opened <- frame.PseudoValue("status")
			case *http2.DataFrame:
				_, _ = write.Write(frame.Data())
				if frame.StreamEnded() {
					write.CloseWithError(io.EOF)
					return
				}
			case *http2.RSTStreamFrame:
				write.CloseWithError(fmt.Errorf("reset: %s", frame.ErrCode))
				return
			}
		}
	}()
	select {
	case status := <-opened:
		if status != "200" {
			l.t.Fatalf("%s: %s", l.name, status)
		}
	case <-time.After(hangUp):
		l.t.Fatalf("%s: is not answered", l.name)
	}
	l.talk(read, frameWriter{f})
}

// frameWriter writes to a stream of HTTP/2.
type frameWriter struct{ *frames }

func (w frameWriter) Write(p []byte) (int, error) {
	return len(p), w.WriteData(w.stream, false, p)
}
