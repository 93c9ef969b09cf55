package oauthclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/strictjson"
)

// StatusError says that a resource answered with another status than 200.
type StatusError struct {
	Status int
	Header http.Header
}

func (e *StatusError) Error() string { return fmt.Sprintf("answered status %d", e.Status) }

// Denied reports whether the resource does not accept the access token (RFC 6750, section 3.1).
func (e *StatusError) Denied() bool {
	return (e.Status == http.StatusUnauthorized || e.Status == http.StatusForbidden) && !e.temporary()
}

// temporary reports whether the same request may succeed later: 429, 5xx, and 403 with a time to
// wait or without requests left.
func (e *StatusError) temporary() bool {
	return e.Status >= 500 || e.Status == http.StatusTooManyRequests ||
		e.Status == http.StatusForbidden && (e.Header.Get("Retry-After") != "" || e.Header.Get("X-RateLimit-Remaining") == "0")
}

// Denied reports whether an error of Get or GetJSON says that the access token is not accepted.
func Denied(err error) bool {
	var status *StatusError
	return errors.As(err, &status) && status.Denied()
}

// Get reads a resource with a bearer token (RFC 6750, section 2.1), or without one if accessToken
// is empty. A status other than 200 is a *StatusError; all other errors are of the network.
func Get(ctx context.Context, client *http.Client, address, accessToken string, header map[string]string) (http.Header, []byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("make request: %w", err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	if accessToken != "" {
		request.Header.Set("Authorization", "Bearer "+accessToken)
	}
	answer, err := client.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the address, whose query may contain a key
		}
		return nil, nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, nil, &StatusError{answer.StatusCode, answer.Header}
	}
	body, err := io.ReadAll(answer.Body) // the client bounds it
	if err != nil {
		return nil, nil, fmt.Errorf("read answer: %w", err)
	}
	return answer.Header, body, nil
}

// GetJSON reads a resource like Get and decodes its JSON, numbers as json.Number. Errors of the network and
// temporary ones of the resource are login.ErrProviderUnavailable. Others are *StatusError, or of
// the JSON.
func GetJSON(ctx context.Context, client *http.Client, address, accessToken string, header map[string]string, into any) (http.Header, error) {
	answer, body, err := Get(ctx, client, address, accessToken, header)
	var status *StatusError
	switch {
	case errors.As(err, &status) && !status.temporary():
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("%w: %w", login.ErrProviderUnavailable, err)
	}
	if err := strictjson.Decode(body, into); err != nil {
		return nil, fmt.Errorf("the answer cannot be read: %w", err)
	}
	return answer, nil
}
