package integration

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// liveApp is an upstream whose answers go on for as long as both sides want. A test tells its requests
// apart by their query's "line", and does with each what it likes.
type liveApp struct {
	*httptest.Server
	mu    sync.Mutex
	lines map[string]*appLine
}

// appLine is the app's end of a live connection.
type appLine struct {
	user string        // who the app was told it is
	say  chan string   // what it is to send next
	got  chan string   // lines that it has received
	gone chan struct{} // closed when its client has gone, or all was said
}

func newLiveApp(t testing.TB) *liveApp {
	t.Helper()
	a := &liveApp{lines: make(map[string]*appLine)}
	mux := http.NewServeMux()
	mux.HandleFunc("/events", a.line(sendEvents))
	mux.HandleFunc("/poll", a.line(poll))
	mux.HandleFunc("/download", a.line(download))
	mux.HandleFunc("/upload", a.line(upload))
	mux.HandleFunc("/socket", a.line(socket))
	mux.Handle("/admin/", http.StripPrefix("/admin", mux))
	mux.HandleFunc("/{rest...}", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.Header.Get("Remote-User")) })
	a.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		a.CloseClientConnections()
		a.Close()
	})
	return a
}

func (a *liveApp) address() string { return strings.TrimPrefix(a.URL, "http://") }

// named returns the app's end of a line, and nil as long as its request has not come.
func (a *liveApp) named(line string) *appLine {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lines[line]
}

// line is a handler of one.
func (a *liveApp) line(serve func(*appLine, http.ResponseWriter, *http.Request)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		l := &appLine{user: r.Header.Get("Remote-User"), say: make(chan string), got: make(chan string, 16), gone: make(chan struct{})}
		defer close(l.gone)
		name := r.URL.Query().Get("line")
		a.mu.Lock()
		again := a.lines[name] != nil
		a.lines[name] = l
		a.mu.Unlock()
		if again {
			panic("line " + name + " came twice: somebody has tried it again")
		}
		serve(l, w, r)
	}
}

// sendEvents sends server-sent events.
func sendEvents(l *appLine, w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	_ = http.NewResponseController(w).Flush()
	for {
		select {
		case text := <-l.say:
			fmt.Fprintf(w, "data: %s\n\n", text)
			_ = http.NewResponseController(w).Flush()
		case <-r.Context().Done():
			return
		}
	}
}

// poll answers when there is something to say. Its answer would set a cookie.
func poll(l *appLine, w http.ResponseWriter, r *http.Request) {
	select {
	case text := <-l.say:
		w.Header().Set("Set-Cookie", "polled=1")
		fmt.Fprintln(w, text)
	case <-r.Context().Done():
	}
}

// download sends more than what fits on the way, to a client that takes its time.
func download(_ *appLine, w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(large))
	_, _ = io.Copy(w, noise())
}

// upload receives lines until there are no more.
func upload(l *appLine, _ http.ResponseWriter, r *http.Request) { receive(l, r.Body, nil) }

// socket is a web socket. (The frames of the protocol are nothing to a proxy.) It sends back what it gets.
func socket(l *appLine, w http.ResponseWriter, r *http.Request) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n")
	receive(l, buffered, conn)
}

func receive(l *appLine, from io.Reader, back io.Writer) {
	lines := bufio.NewReader(from)
	for {
		text, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if back != nil {
			_, _ = io.WriteString(back, text)
			continue
		}
		l.got <- text
	}
}
