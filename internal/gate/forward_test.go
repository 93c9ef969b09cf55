package gate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// liveServer serves an upstream's handler behind a gate, on a server of its own over HTTP/1.1 or
// HTTP/2. Alice is signed in.
func liveServer(t *testing.T, http2 bool, next handler) (w *world, client *http.Client, request *http.Request) {
	t.Helper()
	w = newWorld(t).signIn("alice")
	o := isolating(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		r.Host = "localhost"
		r.TLS = nil // the cookie is one of plain HTTP
		if err := w.Serve(rw, serverContext(r), o, next); err != nil {
			t.Error(err)
		}
	}))
	server.Config.ConnContext = func(ctx context.Context, conn net.Conn) context.Context {
		return context.WithValue(ctx, connKey{}, conn)
	}
	server.EnableHTTP2 = http2
	server.StartTLS()
	t.Cleanup(server.Close)
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Cookie", w.jar())
	return w, server.Client(), request
}

// TestAnAnswerThatBreaksOffHasBegun: where nothing of it arrived, browsers and other clients would make the request
// again by themselves on another connection, as whoever is active by then.
func TestAnAnswerThatBreaksOffHasBegun(t *testing.T) {
	var requests atomic.Int32
	came := make(chan struct{})
	gate, client, request := liveServer(t, false, func(w http.ResponseWriter, r *http.Request) error {
		if requests.Add(1) == 1 {
			return nil // clients do it on connections that were used before
		}
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "begun") // and not sent yet
		came <- struct{}{}
		<-r.Context().Done()
		return r.Context().Err()
	})
	first, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, first.Body)
	first.Body.Close()
	over := make(chan error)
	go func() {
		response, err := client.Do(request)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			response.Body.Close()
		}
		over <- err
	}()
	<-came
	gate.signOut("alice")
	select {
	case err := <-over:
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("the answer ended by %v", err)
		}
	case <-came:
		t.Error("the request was made again")
	case <-time.After(time.Minute):
		t.Error("the client is connected")
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests came, of 2", n)
	}
}

// answeredAfterSignOut returns the answer to a request whose session ends once the handler has it.
func answeredAfterSignOut(t *testing.T, gate *world, came <-chan struct{}, client *http.Client, request *http.Request) *http.Response {
	t.Helper()
	go func() {
		<-came
		gate.signOut("alice")
	}()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// TestAttackStubbornUpstream: a handler that takes no notice of being interrupted is cut off from the
// client, and what it still says reaches nobody, over either protocol.
func TestAttackStubbornUpstream(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		for _, begun := range []bool{true, false} {
			t.Run(name+map[bool]string{true: ", with an answer begun", false: ", without an answer"}[begun], func(t *testing.T) {
				release, came, said := make(chan struct{}), make(chan struct{}), make(chan error, 2)
				gate, client, request := liveServer(t, http2, func(w http.ResponseWriter, r *http.Request) error {
					if begun {
						_, _ = io.WriteString(w, "begun ")
						_ = http.NewResponseController(w).Flush()
					}
					close(came)
					<-release
					w.Header().Set("Set-Cookie", "late=1")
					w.WriteHeader(http.StatusTeapot)
					_, err := io.WriteString(w, "secret")
					said <- err
					said <- http.NewResponseController(w).Flush()
					return errors.New("which must not run error routes")
				})
				over := make(chan string)
				go func() {
					response, err := client.Do(request)
					if err != nil {
						over <- err.Error()
						return
					}
					defer response.Body.Close()
					body, err := io.ReadAll(response.Body)
					if err == nil || string(body) != "begun " || strings.Contains(fmt.Sprint(response.Cookies()), "late") {
						t.Errorf("%s %v %q, %v: the answer has to break off", response.Status, response.Cookies(), body, err)
					}
					over <- err.Error()
				}()
				<-came
				gate.signOut("alice")
				select {
				case <-over: // while the handler is still there
				case <-time.After(time.Minute):
					t.Error("the client is connected")
				}
				close(release)
				for range 2 {
					if err := <-said; !errors.Is(err, errEnded) {
						t.Errorf("the upstream's handler is told %v", err)
					}
				}
			})
		}
	}
}

// TestEndedInOrder: a handler that gives up has the client be told, with nothing of its own answer, and the
// connection be used no more where the rest of the request is still to come.
func TestEndedInOrder(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			came := make(chan struct{})
			gate, client, request := liveServer(t, http2, func(w http.ResponseWriter, r *http.Request) error {
				w.Header().Set("Set-Cookie", "late=1")
				w.Header().Set("Content-Length", "1000")
				w.Header().Set("Etag", `"secret"`)
				close(came)
				<-r.Context().Done()
				w.WriteHeader(499)
				return errors.New("which must not run error routes")
			})
			response := answeredAfterSignOut(t, gate, came, client, request)
			defer response.Body.Close()
			body, err := io.ReadAll(response.Body)
			if err != nil || response.StatusCode != http.StatusUnauthorized || string(body) != "ended" {
				t.Errorf("%s %q, %v", response.Status, body, err)
			}
			for _, header := range []string{"Set-Cookie", "Etag"} {
				if got := response.Header[header]; got != nil {
					t.Errorf("%s: %q", header, got)
				}
			}
			if response.Header.Get("Cache-Control") != "no-store" || response.Close == http2 {
				t.Errorf("%v, closed is %t", response.Header, response.Close)
			}
		})
	}
}

// TestAttackHalfAnAnswer: an answer whose length is not known ends where the handler leaves off. When that
// is because it was interrupted, nobody may take what came for all there is.
func TestAttackHalfAnAnswer(t *testing.T) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			came := make(chan struct{})
			gate, client, request := liveServer(t, http2, func(w http.ResponseWriter, r *http.Request) error {
				_, _ = io.WriteString(w, "half")
				_ = http.NewResponseController(w).Flush()
				close(came)
				<-r.Context().Done()
				return nil
			})
			response := answeredAfterSignOut(t, gate, came, client, request)
			defer response.Body.Close()
			if body, err := io.ReadAll(response.Body); err == nil {
				t.Errorf("the answer is %q, and complete", body)
			}
		})
	}
}

// TestErrorRoutesAreNotInterrupted: a request that ended by itself can go on, to error routes, and
// belongs to its session there too.
func TestErrorRoutesAreNotInterrupted(t *testing.T) {
	w := newWorld(t).signIn("alice")
	r := w.request("/")
	failed := errors.New("the upstream is down")
	err := w.Serve(httptest.NewRecorder(), r, isolating(t), handler(func(http.ResponseWriter, *http.Request) error { return failed }))
	if !errors.Is(err, failed) || r.Context().Err() != nil {
		t.Fatalf("%v, and the context is %v", err, r.Context().Err())
	}
	q := w.Server.Load(r)
	err = w.ServeErrorRoute(httptest.NewRecorder(), r, &Options{ErrorRoute: true}, handler(func(_ http.ResponseWriter, r *http.Request) error {
		if r.Context().Err() != nil || !q.live.isOpen() {
			t.Errorf("the context is %v, and that it is live %t", r.Context().Err(), q.live.isOpen())
		}
		return nil
	}))
	if err != nil || q.live.isOpen() {
		t.Errorf("%v, and afterwards it is live %t", err, q.live.isOpen())
	}
}

// TestShutdownEndsNoSession: a browser that is told that its session has ended sends its user to sign in.
func TestShutdownEndsNoSession(t *testing.T) {
	came := make(chan struct{})
	gate, client, request := liveServer(t, false, func(_ http.ResponseWriter, r *http.Request) error {
		close(came)
		<-r.Context().Done()
		return r.Context().Err()
	})
	go func() {
		<-came
		gate.Streams.Close()
	}()
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the answer is %s, want 503", response.Status)
	}
}
