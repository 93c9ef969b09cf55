package integration

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// seen is a request as an upstream received it.
type seen struct {
	Method string
	URI    string
	Header http.Header
}

// echo is an upstream that answers every request with what it received, as JSON.
type echo struct {
	*httptest.Server
	requests atomic.Int64 // how many it received
}

func newEcho(t testing.TB) *echo {
	t.Helper()
	e := new(echo)
	e.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.requests.Add(1)
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(seen{r.Method, r.RequestURI, r.Header})
	}))
	t.Cleanup(e.Close)
	return e
}

// address is the upstream's host:port.
func (e *echo) address() string { return strings.TrimPrefix(e.URL, "http://") }

// seen decodes what the echo upstream received.
func (r reply) seen(t testing.TB) seen {
	t.Helper()
	var s seen
	r.json(t, &s)
	return s
}
