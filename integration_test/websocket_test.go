package integration

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// newSocketApp returns an app that opens a WebSocket to whoever asks, as many do, and says in it who
// that is.
func newSocketApp(t testing.TB) (address string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Upgrade") == "" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, "<!doctype html><html lang=en><link rel=icon href=data:,><title>App</title><h1>App</h1>")
			return
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
		if err != nil {
			t.Error(err)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), time.Minute)
		defer cancel()
		_ = conn.Write(ctx, websocket.MessageText, []byte(r.Header.Get("Remote-User")))
		_ = conn.Close(websocket.StatusNormalClosure, "")
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// TestAttackWebSocketOfAnotherOrigin: a page that is not this site's opens a WebSocket with the
// browser's cookies, over HTTP/1.1 and over HTTP/2.
func TestAttackWebSocketOfAnotherOrigin(t *testing.T) {
	t.Setenv("GODEBUG", "http2xconnect=1")
	plain, secure := freeAddress(t), freeAddress(t)
	g := startGateway(t, fmt.Sprintf(`{
	auto_https disable_redirects
	multi_session {
		trusted_origins https://trusted.example.com
		login password {
			%s
		}
	}
}
(gated) {
	multi_session {
		websocket_origins https://spa.example.com
	}
	reverse_proxy %s
}
http://%s {
	import gated
}
https://localhost:%s {
	tls internal
	import gated
}
`, userOptions, newSocketApp(t), plain, port(secure)))
	awaitTLS(t, "127.0.0.1:"+port(secure), "localhost")
	overHTTP1 := func(b *browser, origin string) bool {
		raw := "GET /socket HTTP/1.1\r\nHost: " + plain + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
		if origin != "" {
			raw += "Origin: " + origin + "\r\n"
		}
		answer := first(t, plain, raw+"Cookie: "+b.cookieHeader()+"\r\n\r\n")
		if answer.StatusCode != http.StatusSwitchingProtocols && answer.StatusCode != http.StatusForbidden {
			t.Fatalf("%q: %s", origin, answer.Status)
		}
		return answer.StatusCode == http.StatusSwitchingProtocols
	}
	overHTTP2 := func(b *browser, origin string) bool {
		f := newFrames(t, "127.0.0.1:"+port(secure), "localhost")
		defer f.conn.Close()
		fields := []field{{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"}, {":path", "/socket"}, {":authority", "localhost:" + port(secure)}, {"sec-websocket-version", "13"}, {"cookie", b.cookieHeader()}}
		if origin != "" {
			fields = append(fields, field{"origin", origin})
		}
		f.headers(false, fields...)
		switch status := f.answer().status; status {
		case "200":
			return true
		case "403":
			return false
		default:
			t.Fatalf("%q: %s", origin, status)
			return false
		}
	}
	for name, open := range map[string]struct {
		base string
		open func(*browser, string) bool
	}{"HTTP/1.1": {"http://" + plain, overHTTP1}, "HTTP/2": {"https://localhost:" + port(secure), overHTTP2}} {
		t.Run(name, func(t *testing.T) {
			b := newBrowser(t, open.base)
			b.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
			b.signIn("alice")
			for origin, opens := range map[string]bool{
				open.base:                      true,
				"":                             true, // no browser
				"https://trusted.example.com":  true,
				"https://spa.example.com":      true,
				"https://evil.example":         false,
				"null":                         false,
				open.base + "0":                false,
				"https://opt.localhost":        false,
				"https://spa.example.com:8443": false,
			} {
				if got := open.open(b, origin); got != opens {
					t.Errorf("origin %q: opened %t", origin, got)
				}
			}
		})
	}
	if !strings.Contains(g.log.String(), "name its origin in websocket_origins") {
		t.Error("the log does not say what to do")
	}
}

// TestChromiumWebSocketOfAnotherPort: cookies know no ports, so a page of another service on the host
// could act as alice.
func TestChromiumWebSocketOfAnotherPort(t *testing.T) {
	startChromium(t)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, "<!doctype html><html lang=en><link rel=icon href=data:,><title>Other</title><h1>Other</h1>")
	}))
	t.Cleanup(other.Close)
	app := newSocketApp(t)
	for name, test := range map[string]struct{ directive, heard string }{
		"by default": {"multi_session", "refused"},
		"allowed":    {"multi_session {\n websocket_origins " + other.URL + "\n}", "alice"},
	} {
		t.Run(name, func(t *testing.T) {
			address := freeAddress(t)
			startGateway(t, site(address, app, "", test.directive))
			b := newFaultyTab(t)
			b.open("http://" + address + "/.auth/sign-in?" + url.Values{"return_to": {"/"}}.Encode())
			b.signIn(http.StatusOK, "alice", password("alice"))
			hear := func() string {
				return evaluate[string](b, `new Promise(heard => {
					const socket = new WebSocket("ws://`+address+`/socket");
					socket.onmessage = message => heard(message.data);
					socket.onerror = () => heard("refused");
				})`)
			}
			if got := hear(); got != "alice" {
				t.Errorf("the site's own page hears %q", got)
			}
			b.open(other.URL)
			if got := hear(); got != test.heard {
				t.Errorf("the other page hears %q, want %q", got, test.heard)
			}
		})
	}
}
