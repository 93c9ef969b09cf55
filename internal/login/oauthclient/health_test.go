package oauthclient

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestHealth(t *testing.T) {
	status := func(code int) func(*http.Request) (*http.Response, error) {
		return func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: code, Body: http.NoBody}, nil
		}
	}
	fails := func(*http.Request) (*http.Response, error) { return nil, errors.New("no route to host") }
	now := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	h := NewHealth(func() time.Time { return now })
	ask := func(ctx context.Context, answer roundTrip) {
		request := httptest.NewRequestWithContext(ctx, http.MethodGet, "https://id.example.com/", nil)
		request.RequestURI = ""
		if answer, err := h.Watch(&http.Client{Transport: answer}).Do(request); err == nil {
			answer.Body.Close()
		}
	}
	want := func(name string, want bool) {
		t.Helper()
		if h.Answers() != want {
			t.Errorf("%s: answers %t, want %t", name, !want, want)
		}
	}
	want("at first", true)
	for name, answer := range map[string]roundTrip{
		"no answer": fails, "bad gateway": status(502), "service unavailable": status(503), "gateway timeout": status(504),
	} {
		ask(t.Context(), answer)
		want(name, false)
		ask(t.Context(), status(401))
		want("an answer after "+name, true)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	ask(gone, fails)
	want("somebody gives up", true)
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	ask(late, func(r *http.Request) (*http.Response, error) { return nil, r.Context().Err() })
	want("too late", false)
	now = now.Add(outageMemory)
	want("long ago", true)
}
