package integration

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// handshakeSocket is a client's socket that can keep a QUIC handshake from being complete at the server,
// as it is for whoever sends a recording. Until it is released it hears nothing, so everything that is
// sent is early data. From then on until it is resumed, nothing is sent.
type handshakeSocket struct {
	net.PacketConn

	mu      sync.Mutex
	sent    int // bytes
	muted   bool
	hearing chan struct{} // closed when it is released
}

func newHandshakeSocket(t *testing.T) *handshakeSocket {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return &handshakeSocket{PacketConn: conn, hearing: make(chan struct{})}
}

func (s *handshakeSocket) ReadFrom(p []byte) (int, net.Addr, error) {
	n, from, err := s.PacketConn.ReadFrom(p)
	if err == nil {
		<-s.hearing
	}
	return n, from, err
}

func (s *handshakeSocket) WriteTo(p []byte, to net.Addr) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.muted {
		return len(p), nil
	}
	s.sent += len(p)
	return s.PacketConn.WriteTo(p, to)
}

func (s *handshakeSocket) bytes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sent
}

func (s *handshakeSocket) mute(muted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.muted = muted
}

func (s *handshakeSocket) release() {
	s.mute(true)
	close(s.hearing)
}

// ticketCache tells when a server has issued a ticket by which a connection can be resumed.
type ticketCache struct {
	tls.ClientSessionCache
	issued chan struct{}
}

func (c *ticketCache) Put(key string, state *tls.ClientSessionState) {
	c.ClientSessionCache.Put(key, state)
	if state != nil {
		select {
		case c.issued <- struct{}{}:
		default:
		}
	}
}

// earlyClient is a client of HTTP/3 whose connections are resumed with early data.
type earlyClient struct {
	t       *testing.T
	address *net.UDPAddr
	host    string
	tickets *ticketCache
}

func newEarlyClient(t *testing.T, address string) *earlyClient {
	t.Helper()
	udp, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	await(t, "the certificate", func() bool {
		conn, err := tls.Dial("tcp", address, &tls.Config{ServerName: "localhost", InsecureSkipVerify: true})
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return &earlyClient{t, udp, "localhost:" + port(address), &ticketCache{tls.NewLRUClientSessionCache(10), make(chan struct{}, 1)}}
}

func (c *earlyClient) dial(socket net.PacketConn) (*quic.Conn, *http3.ClientConn) {
	c.t.Helper()
	config := &tls.Config{ServerName: "localhost", InsecureSkipVerify: true, NextProtos: []string{"h3"}, ClientSessionCache: c.tickets}
	conn, err := quic.DialEarly(c.t.Context(), socket, c.address, config, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return conn, new(http3.Transport).NewClientConn(conn)
}

// request is one as the site's own pages send it.
func (c *earlyClient) request(ctx context.Context, method, path, body string) *http.Request {
	c.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "https://"+c.host+path, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header.Set("Origin", "https://"+c.host)
	r.Header.Set("Content-Type", "application/json")
	if body != "" {
		r.Body = io.NopCloser(strings.NewReader(body))
		r.ContentLength = int64(len(body))
	}
	return r
}

// prepare makes a connection and waits for the ticket to resume it.
func (c *earlyClient) prepare() {
	c.t.Helper()
	socket, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	defer socket.Close()
	conn, client := c.dial(socket)
	response, err := client.RoundTrip(c.request(c.t.Context(), http.MethodGet, "/.auth/style.css", ""))
	if err != nil {
		c.t.Fatal(err)
	}
	_ = response.Body.Close()
	select {
	case <-c.tickets.issued:
	case <-time.After(10 * time.Second):
		c.t.Fatal("no ticket was issued")
	}
	_ = conn.CloseWithError(0, "")
}

// early sends a request as early data, and returns how it is answered before the handshake is complete.
// Then it completes the handshake, and sends the request again.
func (c *earlyClient) early(method, path, body string) (early, after *http.Response) {
	c.t.Helper()
	c.prepare()
	socket := newHandshakeSocket(c.t)
	conn, client := c.dial(socket)
	defer conn.CloseWithError(0, "")
	ctx, cancel := context.WithTimeout(c.t.Context(), 20*time.Second)
	defer cancel()
	stream, err := client.OpenRequestStream(ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	const filler = 6000 // so that the body takes several packets, and the header is sent before its end
	body += strings.Repeat(" ", filler)
	if err := stream.SendRequestHeader(c.request(ctx, method, path, "")); err != nil { // the body follows
		c.t.Fatal(err)
	}
	go func() { _, _ = stream.Write([]byte(body)) }()
	await(c.t, "the header to be sent", func() bool { return socket.bytes() > filler/2 })
	socket.release()
	if early, err = stream.ReadResponse(); err != nil {
		c.t.Fatal(err)
	}
	read(c.t, early)
	if !conn.ConnectionState().Used0RTT {
		c.t.Error("there was no early data")
	}
	socket.mute(false)
	if after, err = client.RoundTrip(c.request(ctx, method, path, body)); err != nil {
		c.t.Fatal(err)
	}
	read(c.t, after)
	return early, after
}

// read has a response keep its body.
func read(t *testing.T, r *http.Response) {
	t.Helper()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Error(err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
}

// TestAttackEarlyDataOfQUIC: what comes before the handshake is complete can be a recording, from an
// address that is made up. It signs nobody in, counts against no address, and reaches no app; after the
// handshake the same request does all of it.
func TestAttackEarlyDataOfQUIC(t *testing.T) {
	address := freeAddress(t)
	startGateway(t, `{
		auto_https disable_redirects
		multi_session {
			login password {
				throttle 3 1h
				`+userOptions+`
			}
		}
	}
	https://localhost:`+port(address)+` {
		multi_session {
			optional
		}
		respond "the app" 203
	}`)
	c := newEarlyClient(t, address)
	signIn := func(password string) string {
		return `{"username": "alice", "password": "` + password + `"}`
	}
	for _, tc := range []struct {
		method, path, body string
		after              int
	}{
		{http.MethodPost, "/.auth/sign-in/username", signIn("wrong"), http.StatusUnauthorized},
		{http.MethodPost, "/.auth/sign-in/username", signIn("wrong again"), http.StatusUnauthorized},
		{http.MethodPost, "/.auth/sign-in/username", signIn(password("alice")), http.StatusOK}, // the third early one would have been the last
		{http.MethodGet, "/page", "", http.StatusNonAuthoritativeInfo},
		{http.MethodGet, "/.auth/get-session", "", http.StatusOK},
	} {
		early, after := c.early(tc.method, tc.path, tc.body)
		if early.StatusCode != http.StatusTooEarly || len(early.Cookies()) > 0 {
			t.Errorf("%s %s, early: %s with cookies %v", tc.method, tc.path, early.Status, early.Cookies())
		}
		if after.StatusCode != tc.after {
			t.Errorf("%s %s, after the handshake: %s", tc.method, tc.path, after.Status)
		}
	}
}
