package gate

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// everyWriter is a recorder that has all that a server's writer has.
type everyWriter struct {
	*httptest.ResponseRecorder
	interim []http.Header
	read    bool // ReadFrom was called
	pushed  string
}

func (w *everyWriter) WriteHeader(status int) {
	if status < 200 && status != http.StatusSwitchingProtocols {
		w.interim = append(w.interim, w.Header().Clone())
		return
	}
	w.ResponseRecorder.WriteHeader(status)
}

func (w *everyWriter) ReadFrom(r io.Reader) (int64, error) {
	w.read = true
	return io.Copy(w.ResponseRecorder, r)
}

func (w *everyWriter) Push(target string, _ *http.PushOptions) error {
	w.pushed = target
	return nil
}

// TestAttackUpstreamSetsTheGatewaysCookies: in whichever way an upstream's handler answers.
func TestAttackUpstreamSetsTheGatewaysCookies(t *testing.T) {
	plant := func(w http.ResponseWriter) {
		w.Header().Add("Set-Cookie", "multi_session=planted")
		w.Header().Add("Set-Cookie", "app=1")
	}
	for name, answer := range map[string]handler{
		"by writing": func(w http.ResponseWriter, _ *http.Request) error {
			plant(w)
			_, err := io.WriteString(w, "text")
			return err
		},
		"with a status": func(w http.ResponseWriter, _ *http.Request) error {
			plant(w)
			w.WriteHeader(http.StatusTeapot)
			return nil
		},
		"by flushing": func(w http.ResponseWriter, _ *http.Request) error {
			plant(w)
			return http.NewResponseController(w).Flush()
		},
		"by copying": func(w http.ResponseWriter, _ *http.Request) error {
			plant(w)
			_, err := w.(io.ReaderFrom).ReadFrom(strings.NewReader("text"))
			return err
		},
		"without writing": func(w http.ResponseWriter, _ *http.Request) error {
			plant(w)
			return nil
		},
		"in a hint": func(w http.ResponseWriter, _ *http.Request) error {
			plant(w)
			w.WriteHeader(http.StatusEarlyHints)
			return nil
		},
		"after the header": func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Add("Set-Cookie", "app=1")
			w.WriteHeader(http.StatusOK)
			w.Header().Add("Set-Cookie", "multi_session=planted")
			return nil
		},
		"instead of the header": func(w http.ResponseWriter, _ *http.Request) error {
			w.Header().Add("Set-Cookie", "app=2")
			w.WriteHeader(http.StatusOK)
			w.Header().Del("Set-Cookie")
			plant(w)
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).signIn("alice")
			server := &everyWriter{ResponseRecorder: httptest.NewRecorder()}
			if err := w.Serve(server, w.request("/page"), &Options{}, answer); err != nil {
				t.Fatal(err)
			}
			for _, header := range append(server.interim, server.Header(), server.Result().Header) {
				if told := strings.Join(header["Set-Cookie"], "; "); strings.Contains(told, "planted") || !strings.Contains(told, "app=") {
					t.Errorf("the browser is told %q", told)
				}
			}
		})
	}
}

// TestWriterHandsOn: what a server's writer can do more is still there behind a gate.
func TestWriterHandsOn(t *testing.T) {
	w := newWorld(t).signIn("alice")
	server := &everyWriter{ResponseRecorder: httptest.NewRecorder()}
	err := w.Serve(server, w.request("/page"), isolating(t), handler(func(rw http.ResponseWriter, _ *http.Request) error {
		if _, err := io.Copy(rw, struct{ io.Reader }{strings.NewReader("text")}); err != nil {
			return err
		}
		return rw.(http.Pusher).Push("/style.css", nil)
	}))
	if err != nil || !server.read || server.pushed != "/style.css" || server.Body.String() != "text" {
		t.Errorf("%v; copied %t, pushed %q, %q", err, server.read, server.pushed, server.Body)
	}
	plain := httptest.NewRecorder()
	err = w.Serve(plain, w.request("/page"), isolating(t), handler(func(rw http.ResponseWriter, _ *http.Request) error {
		if err := rw.(http.Pusher).Push("/style.css", nil); err != http.ErrNotSupported {
			t.Errorf("push: %v", err)
		}
		_, err := io.Copy(rw, struct{ io.Reader }{bytes.NewReader([]byte("text"))})
		return err
	}))
	if err != nil || plain.Body.String() != "text" {
		t.Errorf("%v, %q", err, plain.Body)
	}
}
