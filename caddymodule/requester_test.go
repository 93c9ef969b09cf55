package caddymodule

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestRequesters: a handler is asked the same way behind a pipe as over a network.
func TestRequesters(t *testing.T) {
	large := bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/multi-session/echo":
			_, _ = io.Copy(w, r.Body)
		case "/multi-session/refused":
			w.Header().Set("Content-Type", "application/json; charset=utf-8")
			w.WriteHeader(http.StatusConflict)
			_, _ = io.WriteString(w, `{"error":"user name is taken"}`)
		case "/multi-session/elsewhere":
			http.Redirect(w, r, "/", http.StatusMovedPermanently)
		case "/multi-session/text":
			http.Error(w, "no", http.StatusBadGateway)
		case "/multi-session/breaks":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "part of it")
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		default:
			http.NotFound(w, r)
		}
	})
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	online, err := newOnline(strings.TrimPrefix(server.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	offline := newOffline("database x", handler, func() error { closed = true; return nil })
	for name, asked := range map[string]requester{"online": online, "offline": offline} {
		t.Run(name, func(t *testing.T) {
			c := client{asked}
			for path, want := range map[string]string{
				"/refused":   "user name is taken",
				"/elsewhere": c.String() + " answered 301 Moved Permanently",
				"/text":      c.String() + " answered 502 Bad Gateway",
				"/nothing":   "or a Caddy without this module",
				"/breaks":    "read the answer of " + c.String(),
			} {
				if _, err := c.call(t.Context(), http.MethodGet, path, nil, nil); err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("%s: %v, want %q", path, err, want)
				}
			}
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					response, err := c.send(t.Context(), http.MethodPost, "/echo", nil, "text/plain", bytes.NewReader(large))
					if err != nil {
						t.Error(err)
						return
					}
					defer response.Body.Close()
					if got, err := io.ReadAll(response.Body); err != nil || !bytes.Equal(got, large) {
						t.Errorf("%d of %d bytes came back, %v", len(got), len(large), err)
					}
				})
			}
			all.Wait()
			if err := asked.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	if !closed {
		t.Error("the database is open")
	}
	if _, err := offline.dialAgain(t); err == nil {
		t.Error("a closed one is asked")
	}
}

func (o *offline) dialAgain(t *testing.T) (*http.Response, error) {
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, o.origin()+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	return o.RoundTrip(request)
}

func TestOnlineAddresses(t *testing.T) {
	for _, c := range []struct{ address, origin, from string }{
		{"localhost:2019", "http://localhost:2019", "http://localhost:2019"},
		{":2019", "http://:2019", "http://:2019"},
		{"tcp/[::1]:2019", "http://[::1]:2019", "http://[::1]:2019"},
		{"unix//run/caddy.sock", "http://127.0.0.1", ""},
		{"unix//run/caddy.sock|0220", "http://127.0.0.1", ""},
		{"localhost:2000-2010", "", ""},
		{"localhost:port", "", ""},
		{"{env.NOTHING_THAT_IS_SET}", "", ""},
	} {
		o, err := newOnline(c.address)
		if err != nil {
			if c.origin != "" {
				t.Errorf("%s: %v", c.address, err)
			}
			continue
		}
		if o.origin() != c.origin || o.from != c.from {
			t.Errorf("%s: origin %q from %q, want %q from %q", c.address, o.origin(), o.from, c.origin, c.from)
		}
	}
}
