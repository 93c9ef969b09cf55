package integration

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// large is more than any buffer on the way could hold.
const large = 64 << 20

// app is an upstream that does what apps do with HTTP, and lets a test see and steer it meanwhile.
type app struct {
	*httptest.Server
	begun chan string // a path, when the first bytes of its body have come
	gone  chan string // a path, when its client has gone
}

func newApp(t testing.TB) *app {
	t.Helper()
	a := &app{begun: make(chan string, 16), gone: make(chan string, 16)}
	mux := http.NewServeMux()
	mux.HandleFunc("/upload", a.upload)
	mux.HandleFunc("/download", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, noise()) })
	mux.HandleFunc("/talk", a.talk)
	mux.HandleFunc("/trailers", trailers)
	mux.HandleFunc("/gzip", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("X-Accepted", r.Header.Get("Accept-Encoding"))
		_, _ = w.Write(zipped)
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) {
		a.begun <- r.URL.Path
		<-r.Context().Done()
		a.gone <- r.URL.Path
	})
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Request-Uri"] = []string{r.RequestURI}
		w.Header()["X-Cookie"] = r.Header["Cookie"]
		_, _ = io.Copy(w, r.Body)
	})
	mux.HandleFunc("/duplex", duplex)
	mux.HandleFunc("/{rest...}", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RequestURI) })
	a.Server = httptest.NewUnstartedServer(mux)
	a.Start()
	t.Cleanup(a.Close)
	return a
}

var zipped = func() []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = io.WriteString(w, strings.Repeat("compressed ", 1000))
	_ = w.Close()
	return b.Bytes()
}()

// noise is a body of large bytes, always the same.
func noise() io.Reader { return io.LimitReader(rand.NewChaCha8([32]byte{1}), large) }

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

func noiseSum() string {
	h := sha256.New()
	_, _ = io.Copy(h, noise())
	return sum(h)
}

func (a *app) upload(w http.ResponseWriter, r *http.Request) {
	h := sha256.New()
	if _, err := io.CopyN(h, r.Body, 1); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	a.begun <- r.URL.Path
	n, err := io.Copy(h, r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "%d %s", n+1, sum(h))
}

// talk switches over, and sends back every line that it receives until it is "end".
func (a *app) talk(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Upgrade") != "websocket" {
		http.Error(w, "no upgrade", http.StatusBadRequest)
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-User: %s\r\nSet-Cookie: app=1\r\n\r\n", r.Header.Get("Remote-User"))
	for {
		line, err := buffered.ReadString('\n')
		if err != nil || line == "end\n" {
			return
		}
		_, _ = io.WriteString(conn, line)
	}
}

// duplex answers while it is still being asked.
func duplex(w http.ResponseWriter, r *http.Request) {
	control := http.NewResponseController(w)
	if err := control.EnableFullDuplex(); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	lines := bufio.NewReader(r.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		_, _ = io.WriteString(w, line)
		_ = control.Flush()
	}
}

func trailers(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Trailer", "X-Received")
	_, _ = io.WriteString(w, "body")
	_ = http.NewResponseController(w).Flush()
	w.Header().Set("X-Received", strings.Join(r.Trailer["X-Checksum"], "|"))
	w.Header().Set(http.TrailerPrefix+"X-Late", "late")
}

// over runs a test over HTTP/1.1 and HTTP/2, signed in as alice.
func over(t *testing.T, d *door, test func(t *testing.T, b *browser)) {
	for protocol, origin := range map[string]string{"HTTP/1.1": "http://" + d.plain, "HTTP/2.0": "https://localhost:" + port(d.secure)} {
		t.Run(protocol, func(t *testing.T) {
			b := newBrowser(t, origin)
			b.signIn("alice")
			if got := b.get("/echo"); got.Proto != protocol {
				t.Fatalf("over %s", got.Proto)
			}
			test(t, b)
		})
	}
}

// read is what a request is answered with, of which the body is still to come.
func (b *browser) read(request *http.Request) *http.Response {
	b.t.Helper()
	response, err := b.client.Do(request)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { response.Body.Close() })
	return response
}

// TestNothingIsHeldBack is about what a careless wrapper around a request or a response would buffer,
// change or cut off, beyond what every app does.
func TestNothingIsHeldBack(t *testing.T) {
	up := newApp(t)
	d := &door{name: "app", directives: "multi_session", path: "/"}
	openDoors(t, strings.TrimPrefix(up.URL, "http://"), "", []*door{d})
	want := noiseSum()

	t.Run("upload of known length", func(t *testing.T) {
		over(t, d, func(t *testing.T, b *browser) {
			request := b.request(http.MethodPut, "/upload", noise())
			request.ContentLength = large
			if got := b.must(request).body; got != fmt.Sprintf("%d %s", large, want) {
				t.Errorf("the upstream received %q", got)
			}
			<-up.begun
		})
	})
	t.Run("large download", func(t *testing.T) {
		over(t, d, func(t *testing.T, b *browser) {
			h := sha256.New()
			if n, err := io.Copy(h, b.read(b.request(http.MethodGet, "/download", nil)).Body); err != nil || n != large || sum(h) != want {
				t.Errorf("%d bytes, %v", n, err)
			}
		})
	})
	t.Run("both ways at once", func(t *testing.T) {
		// Of HTTP/2 alone: HTTP/1.1 has the request end first.
		b := newBrowser(t, "https://localhost:"+port(d.secure))
		b.signIn("alice")
		r, w := io.Pipe()
		request := b.request(http.MethodPost, "/duplex", r)
		received := make(chan *bufio.Reader)
		go func() {
			response, err := b.client.Do(request)
			if err != nil {
				_ = r.CloseWithError(err)
				close(received)
				return
			}
			received <- bufio.NewReader(response.Body)
		}()
		var answer *bufio.Reader
		for i := range 5 {
			sent := fmt.Sprintf("%d%s\n", i, strings.Repeat("x", 8<<10))
			if _, err := io.WriteString(w, sent); err != nil {
				t.Fatal(err)
			}
			if answer == nil {
				if answer = <-received; answer == nil {
					t.Fatal("no answer")
				}
			}
			if got, err := answer.ReadString('\n'); got != sent || err != nil {
				t.Fatalf("message %d: %d bytes, %v", i, len(got), err)
			}
		}
		_ = w.Close()
	})
	t.Run("trailers", func(t *testing.T) {
		over(t, d, func(t *testing.T, b *browser) {
			request := b.request(http.MethodPost, "/trailers", io.MultiReader(strings.NewReader("body")))
			request.Trailer = http.Header{"X-Checksum": {"1"}}
			answer := b.must(request)
			if got := answer.Trailer; answer.body != "body" || got.Get("X-Received") != "1" || got.Get("X-Late") != "late" {
				t.Errorf("%q, trailers %v", answer.body, got)
			}
		})
	})
	t.Run("100-continue", func(t *testing.T) {
		over(t, d, func(t *testing.T, b *browser) {
			b.client.Transport.(*http.Transport).ExpectContinueTimeout = hangUp
			continued := false
			request := b.request(http.MethodPost, "/echo", strings.NewReader("body"))
			request.Header.Set("Expect", "100-continue")
			request = request.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got100Continue: func() { continued = true },
			}))
			if answer := b.must(request); answer.body != "body" || !continued {
				t.Errorf("%s %q, told to continue: %t", answer.Status, answer.body, continued)
			}
		})
	})
	t.Run("gzip", func(t *testing.T) {
		over(t, d, func(t *testing.T, b *browser) {
			request := b.request(http.MethodGet, "/gzip", nil)
			request.Header.Set("Accept-Encoding", "gzip, br")
			answer := b.must(request)
			if answer.body != string(zipped) || answer.Header.Get("Content-Encoding") != "gzip" || answer.Header.Get("X-Accepted") != "gzip, br" {
				t.Errorf("%d bytes, %v", len(answer.body), answer.Header)
			}
		})
	})
	t.Run("target and cookies byte for byte", func(t *testing.T) {
		b := newBrowser(t, "http://"+d.plain)
		b.signIn("alice")
		b.get("/echo") // from here on what scripts make is known to be alice's
		for _, target := range []string{
			"/echo?a=%20b&c=\"<>|", "/a%2Fb/%2e%2E/c", "//double//slash", "/sp%20ace;p=1", "/%F0%9F%8D%AA?%zz", "/echo?", "/x?y?z#", "/echo?__Host-Http-multi_session=x",
			"/a/../b", "/.authx", "/.aut", "/x/.auth/sign-in", "/.auth%2x", "/AUTH",
		} {
			answers := send(t, d.plain, "GET "+target+" HTTP/1.1\r\nHost: "+d.plain+"\r\nCookie: a=\"x; y\"; "+b.cookieHeader()+";b=2;  c = 3 ;\r\nConnection: close\r\n\r\n")
			if len(answers) != 1 {
				t.Fatalf("%s: %v", target, answers)
			}
			answer := answers[0]
			if location := answer.Header.Get("Location"); answer.StatusCode == http.StatusTemporaryRedirect || answer.StatusCode == http.StatusMovedPermanently {
				answer.body = target // the upstream's mux tidies up paths
				t.Logf("%s: sent to %s by the upstream", target, location)
			}
			switch got := answer.Header.Get("X-Request-Uri"); {
			case answer.StatusCode == http.StatusBadRequest:
				t.Logf("%s: refused", target)
			case got == "" && answer.body != target:
				t.Errorf("%s: %s %q", target, answer.Status, answer.body)
			case got != "" && got != target:
				t.Errorf("%s: the upstream received %q", target, got)
			case got != "" && !slices.Equal(answer.Header["X-Cookie"], []string{"a=\"x; y\"; b=2; c = 3"}):
				t.Errorf("%s: the upstream received the cookies %q", target, answer.Header["X-Cookie"])
			}
		}
	})
	t.Run("client that leaves", func(t *testing.T) {
		over(t, d, func(t *testing.T, b *browser) {
			conn := leave(t, d, b)
			if path := <-up.begun; path != "/hang" {
				t.Fatal(path)
			}
			conn()
			select {
			case <-up.gone:
			case <-time.After(hangUp):
				t.Error("the upstream goes on working for a client that has gone")
			}
		})
	})
	t.Run("WebSocket", func(t *testing.T) {
		b := newBrowser(t, "http://"+d.plain)
		b.signIn("alice")
		conn, err := net.Dial("tcp", d.plain)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(hangUp)); err != nil {
			t.Fatal(err)
		}
		// The first message comes along with the request, in the same packet.
		fmt.Fprintf(conn, "GET /talk HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly\n", d.plain, b.cookieHeader())
		br := bufio.NewReader(conn)
		response, err := http.ReadResponse(br, nil)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusSwitchingProtocols || response.Header.Get("X-User") != "alice" || !slices.Contains(response.Header["Set-Cookie"], "app=1") {
			t.Fatalf("%s %v", response.Status, response.Header)
		}
		hear := func(want string) {
			t.Helper()
			if got, err := br.ReadString('\n'); got != want || err != nil {
				t.Fatalf("%d bytes, %v", len(got), err)
			}
		}
		hear("early\n")
		for _, message := range []string{"one\n", strings.Repeat("two", 1<<20) + "\n", "three\n"} {
			var sending sync.WaitGroup
			sending.Go(func() { _, _ = io.WriteString(conn, message) })
			hear(message)
			sending.Wait()
			// Others come and go meanwhile.
			b.get("/echo")
		}
		if _, err := io.WriteString(conn, "end\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := br.ReadByte(); err != io.EOF {
			t.Errorf("after the upstream hung up: %v", err)
		}
	})
	t.Run("early hints", func(t *testing.T) {
		hints := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</style.css>; rel=preload")
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("X-Final", "1")
			_, _ = io.WriteString(w, "ok")
		}))
		defer hints.Close()
		d := &door{name: "hints", directives: "multi_session {\n optional\n}", path: "/"}
		openDoors(t, strings.TrimPrefix(hints.URL, "http://"), "", []*door{d})
		over(t, d, func(t *testing.T, b *browser) {
			var got []string
			request := b.request(http.MethodGet, "/", nil)
			request = request.WithContext(httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
				Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
					got = append(got, fmt.Sprint(code, h.Get("Link"), h.Get("X-Final")))
					return nil
				},
			}))
			if answer := b.must(request); answer.body != "ok" || answer.Header.Get("X-Final") != "1" || !slices.Equal(got, []string{"103</style.css>; rel=preload"}) {
				t.Errorf("%q %v, early: %q", answer.body, answer.Header, got)
			}
		})
	})
}

// leave begins a request for a page that never comes, and returns how to go away.
func leave(t *testing.T, d *door, b *browser) func() {
	t.Helper()
	if strings.HasPrefix(b.base, "https:") {
		f := newFrames(t, d.secure, "localhost")
		f.headers(true, field{":method", "GET"}, field{":scheme", "https"}, field{":path", "/hang"}, field{":authority", strings.TrimPrefix(b.base, "https://")}, field{"cookie", b.cookieHeader()})
		return func() { f.conn.Close() }
	}
	conn, err := net.Dial("tcp", d.plain)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(conn, "GET /hang HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n", d.plain, b.cookieHeader())
	return func() { conn.Close() }
}
