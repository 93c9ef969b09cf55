package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// TestRequesters asks the same handler over a network and through a pipe.
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
	address := strings.TrimPrefix(server.URL, "http://")
	online := newOnline(Address{Text: address, Network: "tcp", Target: address})
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
	for _, c := range []struct{ name, network, target, origin, from string }{
		{"host and port", "tcp", "localhost:2019", "http://localhost:2019", "http://localhost:2019"},
		{"port alone", "tcp", ":2019", "http://:2019", "http://:2019"},
		{"IPv6", "tcp", "[::1]:2019", "http://[::1]:2019", "http://[::1]:2019"},
		{"socket", "unix", "/run/caddy.sock", "http://127.0.0.1", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOnline(Address{Network: c.network, Target: c.target})
			if o.origin() != c.origin || o.from != c.from {
				t.Errorf("origin %q from %q, want %q from %q", o.origin(), o.from, c.origin, c.from)
			}
		})
	}
}
