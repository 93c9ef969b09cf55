package integration

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// behind starts a gateway in front of an app, once over plain HTTP and once over HTTPS and HTTP/2, and
// runs the test with a browser that is signed in as alice.
func behind(t *testing.T, app http.Handler, test func(t *testing.T, b *browser)) {
	t.Helper()
	upstream := httptest.NewServer(app)
	t.Cleanup(upstream.Close)
	address := strings.TrimPrefix(upstream.URL, "http://")
	open, secure := freeAddress(t), freeAddress(t)
	startGateway(t, plain(open, address)+fmt.Sprintf("https://localhost:%s {\n\ttls internal\n\tmulti_session\n\treverse_proxy %s\n}\n", port(secure), address))
	awaitTLS(t, secure, "localhost")
	for name, base := range map[string]string{"HTTP/1.1": "http://" + open, "HTTP/2": "https://localhost:" + port(secure)} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t, base)
			b.signIn("alice")
			test(t, b)
		})
	}
}

// TestUploadsStream has a body pass without being held up: the app answers to its first part before
// the client sends the rest, and what arrives in all is what was sent.
func TestUploadsStream(t *testing.T) {
	const size = 64 << 20
	started := make(chan struct{}, 2)
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hash := sha256.New()
		first := make([]byte, 1024)
		if _, err := io.ReadFull(r.Body, first); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		started <- struct{}{}
		hash.Write(first)
		n, err := io.Copy(hash, r.Body)
		fmt.Fprintf(w, "%s %d %x %v", r.Header.Get("Remote-User"), n+1024, hash.Sum(nil), err)
	})
	behind(t, app, func(t *testing.T, b *browser) {
		body, write := io.Pipe()
		sent := sha256.New()
		go func() {
			source := rand.NewChaCha8([32]byte{1})
			part := make([]byte, 64<<10)
			for left := size; left > 0; left -= len(part) {
				source.Read(part)
				sent.Write(part)
				if _, err := write.Write(part); err != nil {
					return
				}
				if left == size {
					select {
					case <-started:
					case <-time.After(time.Minute):
						write.CloseWithError(fmt.Errorf("the app saw nothing of the body before it was sent whole"))
						return
					}
				}
			}
			write.Close()
		}()
		answer := b.must(b.request(http.MethodPost, "/upload", body))
		if want := fmt.Sprintf("alice %d %x <nil>", size, sent.Sum(nil)); answer.body != want {
			t.Errorf("got %q, want %q", answer.body, want)
		}
	})
}

// TestEventsStream has server-sent events arrive one by one, each before the next is sent.
func TestEventsStream(t *testing.T) {
	next := make(chan struct{})
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 5 {
			fmt.Fprintf(w, "data: %s %d\n\n", r.Header.Get("Remote-User"), i)
			http.NewResponseController(w).Flush()
			select {
			case <-next:
			case <-r.Context().Done():
				return
			}
		}
	})
	behind(t, app, func(t *testing.T, b *browser) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		request := b.request(http.MethodGet, "/events", nil).WithContext(ctx)
		request.Header.Set("Accept", "text/event-stream")
		response, err := b.client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		events := bufio.NewReader(response.Body)
		for i := range 5 {
			line, err := events.ReadString('\n')
			if want := fmt.Sprintf("data: alice %d\n", i); err != nil || line != want {
				t.Fatalf("event %d: %q, %v", i, line, err)
			}
			_, _ = events.ReadString('\n')
			next <- struct{}{}
		}
	})
}

// TestWebSocketsPass has an upgraded connection carry bytes both ways for as long as both sides want,
// and the app know whose it is. (The frames of the protocol are nothing to a proxy.)
func TestWebSocketsPass(t *testing.T) {
	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") != "websocket" || !strings.EqualFold(r.Header.Get("Connection"), "upgrade") {
			http.Error(w, "not an upgrade", http.StatusBadRequest)
			return
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\nSet-Cookie: app=1\r\nSet-Cookie: multi_session=planted\r\n\r\nhello %s\n", r.Header.Get("Remote-User"))
		for {
			line, err := buffered.ReadString('\n')
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "echo %s", line)
		}
	})
	upstream := httptest.NewServer(app)
	t.Cleanup(upstream.Close)
	address := freeAddress(t)
	startGateway(t, plain(address, strings.TrimPrefix(upstream.URL, "http://")))
	b := newBrowser(t, "http://"+address)
	b.signIn("alice")

	upgrade := func(cookie string) (net.Conn, *bufio.Reader, *http.Response) {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		fmt.Fprintf(conn, "GET /socket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://%s\r\n%s\r\n", address, address, cookie)
		reader := bufio.NewReader(conn)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		return conn, reader, response
	}

	if _, _, response := upgrade(""); response.StatusCode != http.StatusUnauthorized {
		t.Errorf("signed out: %s", response.Status)
	}

	var cookies strings.Builder
	for _, c := range b.client.Jar.Cookies(b.request(http.MethodGet, "/", nil).URL) {
		fmt.Fprintf(&cookies, "Cookie: %s=%s\r\n", c.Name, c.Value)
	}
	conn, reader, response := upgrade(cookies.String())
	if response.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("signed in: %s", response.Status)
	}
	if got := response.Header["Set-Cookie"]; !slices.Contains(got, "app=1") || slices.ContainsFunc(got, func(line string) bool { return strings.Contains(line, "planted") }) {
		t.Errorf("cookies that came with the upgrade: %q", got)
	}
	if line, err := reader.ReadString('\n'); line != "hello alice\n" {
		t.Fatalf("%q, %v", line, err)
	}
	for i := range 100 {
		fmt.Fprintf(conn, "message %d\n", i)
		if line, err := reader.ReadString('\n'); line != fmt.Sprintf("echo message %d\n", i) {
			t.Fatalf("%q, %v", line, err)
		}
	}
}

// TestTheRestOfHTTPPasses has the features of HTTP that a careless wrapper around a request or a
// response takes away.
func TestTheRestOfHTTPPasses(t *testing.T) {
	content := strings.Repeat("0123456789", 100_000)
	mux := http.NewServeMux()
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "file.txt", time.Unix(1e9, 0), strings.NewReader(content))
	})
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		compressed := gzip.NewWriter(w)
		_, _ = io.WriteString(compressed, content)
		compressed.Close()
	})
	mux.HandleFunc("/trailers", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Sum")
		fmt.Fprintf(w, "%s %s", body, r.Trailer.Get("X-Checksum"))
		w.Header().Set("X-Sum", "of the answer")
	})
	mux.HandleFunc("/status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2; Path=/x"}
		w.WriteHeader(http.StatusTeapot)
	})
	behind(t, mux, func(t *testing.T, b *browser) {
		t.Run("a whole file", func(t *testing.T) {
			if answer := b.get("/file"); answer.body != content || answer.Header.Get("Last-Modified") == "" {
				t.Errorf("%s, %d bytes", answer.Status, len(answer.body))
			}
		})
		t.Run("a range", func(t *testing.T) {
			request := b.request(http.MethodGet, "/file", nil)
			request.Header.Set("Range", "bytes=10-19")
			if answer := b.must(request); answer.StatusCode != http.StatusPartialContent || answer.body != "0123456789" {
				t.Errorf("%s %q", answer.Status, answer.body)
			}
		})
		t.Run("HEAD", func(t *testing.T) {
			if answer := b.must(b.request(http.MethodHead, "/file", nil)); answer.ContentLength != int64(len(content)) || answer.body != "" {
				t.Errorf("%s, length %d, body of %d", answer.Status, answer.ContentLength, len(answer.body))
			}
		})
		t.Run("a revalidation", func(t *testing.T) {
			request := b.request(http.MethodGet, "/file", nil)
			request.Header.Set("If-Modified-Since", time.Unix(1e9, 0).UTC().Format(http.TimeFormat))
			request.Header.Set("If-None-Match", b.get("/file").Header.Get("Etag"))
			if answer := b.must(request); answer.StatusCode != http.StatusNotModified {
				t.Errorf("%s", answer.Status)
			}
		})
		t.Run("a compressed body", func(t *testing.T) {
			if answer := b.get("/gzip"); !answer.Uncompressed || answer.body != content {
				t.Errorf("uncompressed %t, %d bytes", answer.Uncompressed, len(answer.body))
			}
		})
		t.Run("trailers both ways", func(t *testing.T) {
			request := b.request(http.MethodPost, "/trailers", io.NopCloser(strings.NewReader("body")))
			request.Trailer = http.Header{"X-Checksum": {"of the body"}}
			answer := b.must(request)
			if answer.body != "body of the body" || answer.Trailer.Get("X-Sum") != "of the answer" {
				t.Errorf("body %q, trailer %v", answer.body, answer.Trailer)
			}
		})
		t.Run("a status, early hints and cookies of the app's own", func(t *testing.T) {
			answer := b.get("/status")
			if got := answer.Header["Set-Cookie"]; answer.StatusCode != http.StatusTeapot || !slices.Contains(got, "a=1") || !slices.Contains(got, "b=2; Path=/x") {
				t.Errorf("%s, cookies %q", answer.Status, got)
			}
		})
	})
}
