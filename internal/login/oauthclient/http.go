// Package oauthclient is what every method that signs in at another site needs to be an OAuth 2.0
// client (RFC 6749) of it: HTTP that a hostile or broken site cannot abuse, and the trade of codes
// and refresh tokens for tokens, with the errors of package login.
package oauthclient

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

const (
	// DefaultTimeout is for a whole exchange, from the dialling to the last byte of the answer.
	DefaultTimeout = 10 * time.Second

	// MaxBodyBytes bounds an answer, uncompressed.
	MaxBodyBytes = 1 << 20

	maxHeaderBytes = 64 << 10
	maxRedirects   = 5
	connectTimeout = 5 * time.Second
	userAgent      = "caddy-multi-session"
)

// ErrTooLarge says that an answer has more than MaxBodyBytes.
var ErrTooLarge = fmt.Errorf("answer is larger than %d bytes", MaxBodyBytes)

// Options are of an HTTP client. The zero value is what is used outside of tests.
type Options struct {
	Timeout time.Duration // of a whole exchange; default: DefaultTimeout
}

// NewHTTPClient returns a client for requests to a provider. An answer has been read whole when it is
// handed out, so that whatever is wrong with it is an error of the request: more than MaxBodyBytes, or
// slower than the timeout. Redirects are followed from GET to the same scheme, host and port only, and
// cookies are not kept. A proxy is used where the environment names one.
func NewHTTPClient(o Options) *http.Client {
	return &http.Client{
		Transport: &wholeAnswers{&http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: connectTimeout}).DialContext,
			TLSHandshakeTimeout:    connectTimeout,
			MaxResponseHeaderBytes: maxHeaderBytes,
			MaxIdleConnsPerHost:    4,
			IdleConnTimeout:        90 * time.Second,
			ForceAttemptHTTP2:      true,
		}},
		CheckRedirect: checkRedirect,
		Timeout:       cmp.Or(o.Timeout, DefaultTimeout),
	}
}

// checkRedirect lets nobody who can redirect a request choose whom its secrets or its trust go to.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case first.Method != http.MethodGet && first.Method != http.MethodHead:
		return fmt.Errorf("redirected, which a %s is not", first.Method)
	case origin.OfURL(next.URL) != origin.OfURL(first.URL):
		return errors.New("redirected to another site")
	case len(via) > maxRedirects:
		return fmt.Errorf("redirected more than %d times", maxRedirects)
	}
	return nil
}

// wholeAnswers reads answers before it hands them out.
type wholeAnswers struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *wholeAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // a RoundTripper must not change it
	r.Header.Set("User-Agent", userAgent)
	if r.Header.Get("Accept") == "" {
		r.Header.Set("Accept", "application/json")
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	// The transport has uncompressed it by here, so that what is counted is what takes memory.
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBodyBytes+1))
	_ = resp.Body.Close() // says nothing about what was read
	switch {
	case err != nil:
		return nil, fmt.Errorf("read answer: %w", err)
	case len(body) > MaxBodyBytes:
		return nil, ErrTooLarge
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, nil
}

// CloseIdleConnections is what http.Client.CloseIdleConnections calls.
func (t *wholeAnswers) CloseIdleConnections() {
	if closer, ok := t.next.(interface{ CloseIdleConnections() }); ok {
		closer.CloseIdleConnections()
	}
}
