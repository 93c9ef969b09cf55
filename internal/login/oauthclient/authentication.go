package oauthclient

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// ClientSecretBasic and the others are the ways to authenticate at the token endpoint (OpenID Connect
// Core 1.0, section 9).
const (
	ClientSecretBasic = "client_secret_basic"
	ClientSecretPost  = "client_secret_post"
	PrivateKeyJWT     = "private_key_jwt"
	ClientNone        = "none"
)

// Credentials are what a client proves with who it is.
type Credentials struct {
	// Method is one of the constants above. By default it is what the other fields are for, and for a
	// secret what the provider supports.
	Method string

	Secret string

	// KeyFile has the private key of PrivateKeyJWT: PEM or a JWK. KeyAlgorithm and KeyID say which
	// algorithm to sign with and which name the provider knows the key by. The defaults are those of the
	// JWK, or else the first algorithm of the key's type and no name. See readKey.
	KeyFile      string
	KeyAlgorithm string
	KeyID        string

	// AssertionFile has a JWT that somebody else signs for the client, such as the platform it runs on
	// (RFC 7523). It is read anew for each request, because such tokens are short-lived.
	AssertionFile string
}

// Authentication proves to a provider which client the gateway is, wherever the client authenticates.
// Its methods may be called concurrently.
type Authentication struct {
	method    string // empty: what the provider supports for a secret
	secret    string
	assertion func(audience string) (string, error) // of PrivateKeyJWT
}

// NewAuthentication checks the credentials of a client and reads its key.
func NewAuthentication(clientID string, c Credentials, now func() time.Time) (*Authentication, error) {
	a := &Authentication{method: c.Method, secret: c.Secret}
	if a.method == "" {
		switch {
		case c.KeyFile != "" || c.AssertionFile != "":
			a.method = PrivateKeyJWT
		case c.Secret == "":
			a.method = ClientNone
		}
	}
	switch a.method {
	case "", ClientSecretBasic, ClientSecretPost:
		if c.Secret == "" {
			return nil, fmt.Errorf("client_authentication %s: needs a client_secret", a.method)
		}
	case PrivateKeyJWT:
		if (c.KeyFile == "") == (c.AssertionFile == "") {
			return nil, fmt.Errorf("client_authentication %s: needs client_key_file or client_assertion_file, and not both", a.method)
		}
	case ClientNone:
	default:
		return nil, fmt.Errorf("client_authentication %q: must be %s, %s, %s or %s", a.method, ClientSecretBasic, ClientSecretPost, PrivateKeyJWT, ClientNone)
	}
	switch {
	case c.Secret != "" && (a.method == PrivateKeyJWT || a.method == ClientNone):
		return nil, fmt.Errorf("client_secret: client_authentication %s has none", a.method)
	case c.KeyFile != "" && a.method != PrivateKeyJWT:
		return nil, fmt.Errorf("client_key_file: client_authentication %s has none", a.method)
	case c.AssertionFile != "" && a.method != PrivateKeyJWT:
		return nil, fmt.Errorf("client_assertion_file: client_authentication %s has none", a.method)
	case c.KeyFile == "" && (c.KeyAlgorithm != "" || c.KeyID != ""):
		return nil, errors.New("client_key_file: is missing, although client_key_algorithm or client_key_id is there")
	}
	switch {
	case c.KeyFile != "":
		key, err := readKey(c.KeyFile, c.KeyAlgorithm, c.KeyID)
		if err != nil {
			return nil, fmt.Errorf("client_key_file: %w", err)
		}
		a.assertion = func(audience string) (string, error) { return key.assertion(clientID, audience, now()) }
	case c.AssertionFile != "":
		a.assertion = func(string) (string, error) { return readAssertion(c.AssertionFile) }
	}
	return a, nil
}

// Use has a client authenticate at a provider that supports the methods; none named is
// ClientSecretBasic (OpenID Connect Discovery 1.0, section 3). It completes the configuration and
// returns the HTTP client for requests with it. A method that is configured is used whatever the
// provider says. Errors are login.ErrMisconfigured.
func (a *Authentication) Use(config *oauth2.Config, client *http.Client, supported []string) (*http.Client, error) {
	config.ClientSecret, config.Endpoint.AuthStyle = a.secret, oauth2.AuthStyleInParams
	switch method := cmp.Or(a.method, choose(supported)); method {
	case ClientSecretBasic:
		config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	case "":
		return nil, fmt.Errorf("%w: the provider takes no client_secret: it supports %s", login.ErrMisconfigured, strings.Join(supported, ", "))
	case PrivateKeyJWT:
		audience := config.Endpoint.TokenURL
		asserting := *client
		asserting.Transport = &assertingTransport{client.Transport, func() (string, error) { return a.assertion(audience) }}
		return &asserting, nil
	}
	return client, nil
}

// choose returns the method for a secret, or nothing if the provider supports none.
func choose(supported []string) string {
	switch {
	case len(supported) == 0 || slices.Contains(supported, ClientSecretBasic):
		return ClientSecretBasic
	case slices.Contains(supported, ClientSecretPost):
		return ClientSecretPost
	}
	return ""
}

// assertingTransport adds a client assertion to the forms that are sent (RFC 7523, section 2.2).
// Package oauth2 has no way to add it to the request of a refresh.
type assertingTransport struct {
	next      http.RoundTripper
	assertion func() (string, error)
}

// RoundTrip implements http.RoundTripper.
func (t *assertingTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost {
		return t.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	_ = r.Body.Close() // says nothing about what was read
	if err != nil {
		return nil, err
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return nil, err
	}
	assertion, err := t.assertion()
	if err != nil {
		return nil, fmt.Errorf("%w: client assertion: %w", login.ErrMisconfigured, err)
	}
	form.Set("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer")
	form.Set("client_assertion", assertion)
	body = []byte(form.Encode())
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	return t.next.RoundTrip(r)
}

// maxAssertionBytes bounds a client assertion that is read from a file.
const maxAssertionBytes = 64 << 10

// readAssertion returns the JWT in a file, without white space around it.
func readAssertion(name string) (string, error) {
	file, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxAssertionBytes+1))
	if err != nil {
		return "", err
	}
	assertion := strings.TrimSpace(string(text))
	if len(text) > maxAssertionBytes || strings.Count(assertion, ".") != 2 || !visible(assertion) {
		return "", fmt.Errorf("%s: is not a signed JWT", name)
	}
	return assertion, nil
}
