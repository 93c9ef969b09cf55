package oauthclient

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const short = 300 * time.Millisecond

// serve starts a provider, and returns its address. It reads bodies first: a server notices that its
// client is gone only after that.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		handler(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// client returns one that does not wait for answers that never come.
func client(t *testing.T) *http.Client {
	t.Helper()
	o := Options{Timeout: 10 * DefaultTimeout} // for a busy machine
	if strings.Contains(t.Name(), "slow") {
		o.Timeout = short
	}
	c := NewHTTPClient(o)
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// hostile are answers that must cost little and be an error.
var hostile = map[string]http.HandlerFunc{
	"endless body": func(w http.ResponseWriter, r *http.Request) {
		chunk := bytes.Repeat([]byte(" "), 64<<10)
		for r.Context().Err() == nil {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	},
	"a byte too many": func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "{}"+strings.Repeat(" ", MaxBodyBytes-1))
	},
	"gzip bomb": func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		bomb := gzip.NewWriter(w)
		zeros := make([]byte, 1<<20)
		for range 256 {
			if _, err := bomb.Write(zeros); err != nil || r.Context().Err() != nil {
				return
			}
		}
		_ = bomb.Close()
	},
	"broken gzip": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, "{}")
	},
	"slow headers": func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	"slow body": func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, " ")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-r.Context().Done():
			case <-time.After(short / 10): // the drip
			}
		}
	},
	"body that ends too early": func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "{}")
	},
	"huge headers": func(w http.ResponseWriter, _ *http.Request) {
		for i := range 200 {
			w.Header().Set(fmt.Sprint("X-", i), strings.Repeat("x", 1<<10))
		}
	},
	"no answer": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	"redirect loop": func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Path, http.StatusTemporaryRedirect)
	},
	"redirect to another scheme": func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "https://"+r.Host+"/", http.StatusTemporaryRedirect)
	},
}

func TestAttackHostileAnswers(t *testing.T) {
	for name, handler := range hostile {
		t.Run(name, func(t *testing.T) {
			began := time.Now()
			resp, err := client(t).Get(serve(t, handler))
			if err == nil {
				_ = resp.Body.Close()
				t.Fatalf("answered %s", resp.Status)
			}
			if took := time.Since(began); took > DefaultTimeout {
				t.Errorf("took %s", took)
			}
			if tooLarge := errors.Is(err, ErrTooLarge); tooLarge != (name == "endless body" || name == "a byte too many" || name == "gzip bomb") {
				t.Errorf("too large: %t, of %v", tooLarge, err)
			}
		})
	}
}

func TestAttackRedirectToAnotherHost(t *testing.T) {
	reached := make(chan string, 10)
	other := serve(t, func(_ http.ResponseWriter, r *http.Request) { reached <- r.Method + " " + r.URL.Path })
	for _, status := range []int{301, 302, 303, 307, 308} {
		address := serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other+"/", status) })
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			request, err := http.NewRequestWithContext(t.Context(), method, address, strings.NewReader(""))
			if err != nil {
				t.Fatal(err)
			}
			resp, err := client(t).Do(request)
			if err == nil {
				_ = resp.Body.Close()
				t.Errorf("%s, status %d: was followed", method, status)
			}
		}
	}
	select {
	case what := <-reached:
		t.Errorf("the other host was asked: %s", what)
	default:
	}
}

func TestRedirects(t *testing.T) {
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/old" {
			http.Redirect(w, r, "/new", http.StatusFound)
		}
	})
	resp, err := client(t).Get(address + "/old")
	if err != nil {
		t.Fatalf("on the same host, GET: %v", err)
	}
	_ = resp.Body.Close()
	for _, status := range []int{302, 307} {
		again := serve(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/old" {
				http.Redirect(w, r, "/new", status)
			}
		})
		if resp, err := client(t).Post(again+"/old", "text/plain", strings.NewReader("secret")); err == nil {
			_ = resp.Body.Close()
			t.Errorf("on the same host, POST, status %d: was followed", status)
		}
	}
}

func TestOrdinaryAnswers(t *testing.T) {
	largest := "{}" + strings.Repeat(" ", MaxBodyBytes-2)
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("User-Agent"); got != userAgent {
			t.Errorf("User-Agent: %q", got)
		}
		if len(r.Cookies()) > 0 {
			t.Errorf("cookies are kept: %v", r.Cookies())
		}
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		_, _ = io.WriteString(w, largest)
	})
	c := client(t)
	for range 2 {
		resp, err := c.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != largest {
			t.Errorf("read %d bytes, %v", len(body), err)
		}
		_ = resp.Body.Close()
	}
}

func TestProxyOfTheEnvironment(t *testing.T) {
	transport := NewHTTPClient(Options{}).Transport.(*wholeAnswers).next.(*http.Transport)
	if transport.Proxy == nil {
		t.Error("none is used")
	}
}
