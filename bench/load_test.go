package main

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

func TestLoad(t *testing.T) {
	for _, c := range []struct {
		protocol    string
		major       int
		connections int32 // at most
	}{
		{http1, 1, concurrency},
		{http2, 2, 1},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			var connections, requests, others atomic.Int32
			together := make(chan struct{}) // closed when as many requests are under way as should be
			s := startApp(t, &connections, func(w http.ResponseWriter, r *http.Request) {
				if requests.Add(1) == concurrency {
					close(together)
				}
				<-together
				if r.ProtoMajor != c.major || strings.Join(r.Header["Cookie"], "; ") != "a=1; b=2" {
					others.Add(1)
				}
				app().ServeHTTP(w, r)
			})
			l := newLoad(s, c.protocol, "a=1; b=2")
			defer l.transport.CloseIdleConnections()
			for range 3 {
				if err := l.send(t.Context(), 100); err != nil {
					t.Fatal(err)
				}
			}
			if got := requests.Load(); got != 300 {
				t.Errorf("%d requests, want 300", got)
			}
			if got := others.Load(); got != 0 {
				t.Errorf("%d requests had another protocol or other cookies", got)
			}
			if got := connections.Load(); got > c.connections {
				t.Errorf("%d connections, want at most %d", got, c.connections)
			}
		})
	}
}

// TestLoadRefusesOtherAnswers: what is measured must be answers of the app.
func TestLoadRefusesOtherAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"a refusal":             {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "401"},
		"a page of the gateway": {func(http.ResponseWriter, *http.Request) {}, "the body has 0 bytes"},
		"a cookie": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Set-Cookie", "a=2")
			_, _ = w.Write(itemBody)
		}, "sets a cookie"},
	} {
		t.Run(name, func(t *testing.T) {
			var connections atomic.Int32
			l := newLoad(startApp(t, &connections, c.answer), http1, "a=1")
			defer l.transport.CloseIdleConnections()
			if err := l.send(t.Context(), 100); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want one with %q", err, c.want)
			}
		})
	}
}

// startApp serves both protocols on one address until the test ends, and counts the connections.
func startApp(t *testing.T, connections *atomic.Int32, handler http.HandlerFunc) *server {
	t.Helper()
	site := httptest.NewUnstartedServer(handler)
	site.Config.Protocols = new(http.Protocols)
	site.Config.Protocols.SetHTTP1(true)
	site.Config.Protocols.SetUnencryptedHTTP2(true)
	site.Config.ConnContext = func(ctx context.Context, _ net.Conn) context.Context {
		connections.Add(1)
		return ctx
	}
	site.Start()
	t.Cleanup(site.Close)
	return &server{base: site.URL}
}
