package oauthclient

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/caddy-multi-session/gateway/internal/login"
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
	return resp.Header, decode(body, into)
}

func (e *StatusError) passing() bool {
	return e.Status >= 500 || e.Status == http.StatusTooManyRequests ||
		e.Status == http.StatusForbidden && (e.Header.Get("Retry-After") != "" || e.Header.Get("X-RateLimit-Remaining") == "0")
}

// decode reads one JSON value. Its errors have nothing of the value in them.
func decode(body []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	// null decodes into anything, and leaves a map that nothing can be added to.
	if decoder.Decode(into) != nil || bytes.HasPrefix(bytes.TrimSpace(body), []byte("null")) {
		return errors.New("the answer is not the JSON that was expected")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is more than one JSON value in the answer")
	}
	return nil
}
