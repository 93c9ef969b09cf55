package oauthclient

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"time"
)

// outageMemory is how long an unanswered request counts. While people wait for a provider, it is asked
// more often than that.
const outageMemory = time.Minute

// Health remembers whether a provider answers. Its methods may be called concurrently.
type Health struct {
	now    func() time.Time
	failed atomic.Int64 // when a request was not answered, in Unix nanoseconds; 0 if the last one was
}

// NewHealth returns the health of a provider that answers, as far as is known.
func NewHealth(now func() time.Time) *Health { return &Health{now: now} }

// Answers reports whether the last request was answered, or is longer ago than outageMemory.
func (h *Health) Answers() bool {
	failed := h.failed.Load()
	return failed == 0 || h.now().Sub(time.Unix(0, failed)) >= outageMemory
}

// Watch has a client's requests tell whether the provider answers.
func (h *Health) Watch(client *http.Client) *http.Client {
	watched := *client
	watched.Transport = &watchedTransport{client.Transport, h}
	return &watched
}

type watchedTransport struct {
	next   http.RoundTripper
	health *Health
}

// RoundTrip implements http.RoundTripper. An error of a proxy in front of the provider is no answer,
// and a request that its own caller gave up says nothing.
func (t *watchedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := t.next.RoundTrip(r)
	switch {
	case errors.Is(r.Context().Err(), context.Canceled):
	case err != nil, answer.StatusCode == http.StatusBadGateway,
		answer.StatusCode == http.StatusServiceUnavailable, answer.StatusCode == http.StatusGatewayTimeout:
		t.health.failed.Store(t.health.now().UnixNano())
	default:
		t.health.failed.Store(0)
	}
	return answer, err
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (t *watchedTransport) CloseIdleConnections() {
	if closer, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}
