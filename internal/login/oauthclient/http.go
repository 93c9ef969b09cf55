// Package oauthclient is the OAuth 2.0 client (RFC 6749) that all login methods with a provider
// share: an HTTP client that a hostile or broken provider cannot abuse, the authorization request
// and its answer, the exchange of codes and refresh tokens, and requests to resources. Its errors
// are those of package login.
package oauthclient

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/caddy-multi-session/gateway/internal/origin"
)

const (
	// DefaultTimeout bounds a whole exchange, from dialling to the last byte of the answer.
	DefaultTimeout = 10 * time.Second

	// MaxBodyBytes bounds the body of an answer, uncompressed.
	MaxBodyBytes = 1 << 20

	maxHeaderBytes = 64 << 10
	maxRedirects   = 5
	connectTimeout = 5 * time.Second
	userAgent      = "caddy-multi-session"
)

// ErrTooLarge says that the body of an answer has more than MaxBodyBytes.
var ErrTooLarge = fmt.Errorf("answer is larger than %d bytes", MaxBodyBytes)

// Options configure an HTTP client.
type Options struct {
	Timeout time.Duration // of a whole exchange; default: DefaultTimeout, which only tests change

	// Authorities are certificates in PEM. Only servers that they vouch for are trusted. Default: the
	// system's
	Authorities string
}

// ReadAuthorities returns the certificates in a PEM file, for Options. It refuses a file without one.
func ReadAuthorities(name string) (string, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return "", err
	}
	if !x509.NewCertPool().AppendCertsFromPEM(text) {
		return "", fmt.Errorf("%s: has no certificate in PEM", name)
	}
	return string(text), nil
}

// NewHTTPClient returns a client for requests to a provider. It reads the whole body before it
// returns an answer, so that one that is too large or too slow is an error of the request. It
// follows redirects of GET requests to the same scheme, host and port only, keeps no cookies, and
// uses the proxy of the environment.
func NewHTTPClient(o Options) *http.Client {
	var trust *tls.Config
	if o.Authorities != "" {
		trust = &tls.Config{RootCAs: x509.NewCertPool(), MinVersion: tls.VersionTLS12}
		trust.RootCAs.AppendCertsFromPEM([]byte(o.Authorities)) // without one, nothing is trusted
	}
	return &http.Client{
		Transport: &wholeAnswers{&http.Transport{
			TLSClientConfig:        trust,
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

// checkRedirect refuses redirects that would send secrets, or move trust, to another site.
func checkRedirect(next *http.Request, via []*http.Request) error {
	first := via[0]
	switch {
	case first.Method != http.MethodGet && first.Method != http.MethodHead:
		return fmt.Errorf("redirected, which is not followed from %s", first.Method)
	case origin.OfURL(next.URL) != origin.OfURL(first.URL):
		return errors.New("redirected to another site")
	case len(via) > maxRedirects:
		return fmt.Errorf("redirected more than %d times", maxRedirects)
	}
	return nil
}

// wholeAnswers reads the body of an answer before it returns the answer.
type wholeAnswers struct{ next http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (t *wholeAnswers) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context()) // a RoundTripper must not change the request
	r.Header.Set("User-Agent", userAgent)
	if r.Header.Get("Accept") == "" {
		r.Header.Set("Accept", "application/json")
	}
	resp, err := t.next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	// The transport has already uncompressed the body, so the limit counts the memory it takes.
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
