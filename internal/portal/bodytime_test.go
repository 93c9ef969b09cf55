package portal

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// TestSlowBodyIsCut sends bodies to a real server, on a fake clock.
func TestSlowBodyIsCut(t *testing.T) {
	pieces := func(n int, every time.Duration) func(io.Writer) {
		return func(to io.Writer) {
			for range n {
				time.Sleep(every)
				if _, err := io.WriteString(to, "x"); err != nil {
					return
				}
			}
		}
	}
	for name, test := range map[string]struct {
		unread bool // the handler does not read the body
		send   func(io.Writer)
		status string
		after  time.Duration // when the answer comes
	}{
		"at once":                     {false, pieces(8, 0), "200 OK", 0},
		"slow, but it makes progress": {false, pieces(8, 9*time.Second), "200 OK", 72 * time.Second},
		"stops":                       {false, pieces(3, time.Second), "408 Request Timeout", 13 * time.Second},
		"never begins":                {false, pieces(0, 0), "408 Request Timeout", 10 * time.Second},
		"not read, at once":           {true, pieces(8, 0), "404 Not Found", 0},
		"not read, slow":              {true, pieces(8, 4*time.Second), "404 Not Found", 10 * time.Second},
		"not read, never begins":      {true, pieces(0, 0), "404 Not Found", 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				address, connect := serveOnPipe(t, func(w http.ResponseWriter, r *http.Request) {
					defer boundBody(w, r)()
					if test.unread {
						http.NotFound(w, r)
						return
					}
					if body, err := readAll(w, r); err != nil {
						writeProblem(w, err.(*problem))
					} else if string(body) != "xxxxxxxx" {
						t.Errorf("body %q", body)
					}
				})
				began := time.Now()
				conn := connect()
				fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: 8\r\n\r\n", address)
				sent := make(chan struct{})
				go func() { test.send(conn); close(sent) }()
				defer func() { conn.Close(); <-sent }()
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer answer.Body.Close()
				if took := time.Since(began); answer.Status != test.status || took != test.after {
					t.Errorf("%s after %s, want %s after %s", answer.Status, took, test.status, test.after)
				}
			})
		})
	}
}

// TestDeadlineOfABodyEndsWithIt: the answer may take long, and the connection is used again.
func TestDeadlineOfABodyEndsWithIt(t *testing.T) {
	for name, body := range map[string]string{"read": "read", "not read": "left"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				address, connect := serveOnPipe(t, func(w http.ResponseWriter, r *http.Request) {
					defer boundBody(w, r)()
					if body == "read" {
						if _, err := readAll(w, r); err != nil {
							t.Error(err)
						}
						time.Sleep(time.Minute)
					}
					if err := r.Context().Err(); err != nil {
						t.Errorf("the request ended: %v", err)
					}
					w.WriteHeader(http.StatusNoContent)
				})
				conn := connect()
				defer conn.Close()
				answers := bufio.NewReader(conn)
				for range 3 {
					fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n%s", address, len(body), body)
					answer, err := http.ReadResponse(answers, nil)
					if err != nil {
						t.Fatal(err)
					}
					answer.Body.Close()
					time.Sleep(time.Minute)
				}
			})
		})
	}
}

// serveOnPipe serves HTTP on connections in memory, whose deadlines follow the clock of a synctest
// bubble.
func serveOnPipe(t *testing.T, handle http.HandlerFunc) (address string, connect func() net.Conn) {
	t.Helper()
	listener := pipeListener(make(chan net.Conn))
	server := &http.Server{Handler: handle}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return "pipe", func() net.Conn {
		client, end := net.Pipe()
		listener <- end
		return client
	}
}

type pipeListener chan net.Conn

func (l pipeListener) Accept() (net.Conn, error) {
	conn, ok := <-l
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (l pipeListener) Close() error   { close(l); return nil }
func (l pipeListener) Addr() net.Addr { return new(net.IPAddr) }

// TestSlowBodiesAreCutEverywhere: whatever the gateway answers itself, a body cannot hold its
// connection.
func TestSlowBodiesAreCutEverywhere(t *testing.T) {
	b := newGateway(t).browser()
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request){
		"API":        func(w http.ResponseWriter, r *http.Request) { b.ServeHTTP(w, r, b.visitor(r)) },
		"no session": func(w http.ResponseWriter, r *http.Request) { b.Challenge(w, r, b.visitor(r)) },
		"no store":   func(w http.ResponseWriter, r *http.Request) { b.Unavailable(w, r, b.visitor(r), io.ErrUnexpectedEOF) },
		"plain HTTP": func(w http.ResponseWriter, r *http.Request) { b.Insecure(w, r, b.visitor(r)) },
		"no permission": func(w http.ResponseWriter, r *http.Request) {
			b.Refuse(w, r, b.visitor(r), nil, session.Rule{Kind: session.RequireGroup, Values: []string{"staff"}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := b.request("POST", "/.auth/unknown", "")
			r.Body = io.NopCloser(strings.NewReader("some of it"))
			w := new(deadlineRecorder)
			answer(w, r)
			if got := time.Until(w.deadline); got <= 0 || got > bodyPatience {
				t.Errorf("the deadline is in %s", got)
			}
		})
	}
}

// deadlineRecorder remembers the last deadline for reading.
type deadlineRecorder struct{ deadline time.Time }

func (*deadlineRecorder) Header() http.Header                  { return http.Header{} }
func (*deadlineRecorder) Write(b []byte) (int, error)          { return len(b), nil }
func (*deadlineRecorder) WriteHeader(int)                      {}
func (d *deadlineRecorder) SetReadDeadline(at time.Time) error { d.deadline = at; return nil }
