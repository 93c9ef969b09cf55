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

// GetJSON reads a resource by a bearer token (RFC 6750, section 2.1) and decodes its JSON into a value,
// numbers as json.Number. Errors are *StatusError; a network's are login.ErrProviderUnavailable, as are
// those with a status that says to come again: 429, 5xx, and 403 with a time to wait or no requests
// left. Other errors are of the JSON.
func GetJSON(ctx context.Context, client *http.Client, address, accessToken string, header map[string]string, into any) (http.Header, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	for name, value := range header {
		request.Header.Set(name, value)
	}
	request.Header.Set("Authorization", "Bearer "+accessToken)
	resp, err := client.Do(request)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the address, which can have a key in its query
		}
		return nil, fmt.Errorf("%w: %w", login.ErrProviderUnavailable, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("%w: read answer: %w", login.ErrProviderUnavailable, err)
	}
	if resp.StatusCode != http.StatusOK {
		err := &StatusError{resp.StatusCode, resp.Header}
		if err.passing() {
			return nil, fmt.Errorf("%w: %w", login.ErrProviderUnavailable, err)
		}
		return nil, err
	}
	if err := strictjson.Decode(body, into); err != nil {
		return nil, fmt.Errorf("the answer cannot be read: %w", err)
	}
	return resp.Header, nil
}

func (e *StatusError) passing() bool {
	return e.Status >= 500 || e.Status == http.StatusTooManyRequests ||
		e.Status == http.StatusForbidden && (e.Header.Get("Retry-After") != "" || e.Header.Get("X-RateLimit-Remaining") == "0")
}
