package oauthclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
)

const (
	pushEndpoint       = "pushed authorization request endpoint"
	maxRequestURIBytes = 2 << 10
)

// Push sends the parameters of an authorization request to the provider itself, and returns the URL for
// the browser, which has only a reference to them (RFC 9126). The parameters are those of AuthCodeURL.
// Errors are login.ErrProviderUnavailable, some of them login.ErrMisconfigured.
func Push(ctx context.Context, client *http.Client, endpoint string, config oauth2.Config, state, verifier string, parameters map[string]string) (string, error) {
	request := config
	request.Endpoint.AuthURL = "" // its own query stays with the browser
	query, err := url.ParseQuery(strings.TrimPrefix(AuthCodeURL(request, state, verifier, parameters), "?"))
	if err != nil {
		return "", fmt.Errorf("%s: %w", pushEndpoint, err)
	}
	reference, err := push(ctx, client, endpoint, config, query)
	if err != nil {
		return "", unavailable(err)
	}
	location, err := url.Parse(config.Endpoint.AuthURL)
	if err != nil {
		return "", fmt.Errorf("%w: authorization endpoint: %w", login.ErrProviderUnavailable, err)
	}
	kept := location.Query()
	kept.Set("client_id", config.ClientID)
	kept.Set("request_uri", reference)
	location.RawQuery = kept.Encode()
	return location.String(), nil
}

// push sends a form with the client's authentication, and returns the reference that the provider
// answers (RFC 9126, section 2).
func push(ctx context.Context, client *http.Client, endpoint string, config oauth2.Config, form url.Values) (string, error) {
	if config.Endpoint.AuthStyle == oauth2.AuthStyleInParams && config.ClientSecret != "" {
		form.Set("client_secret", config.ClientSecret)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return "", fmt.Errorf("%s: %w", pushEndpoint, err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if config.Endpoint.AuthStyle == oauth2.AuthStyleInHeader {
		request.SetBasicAuth(url.QueryEscape(config.ClientID), url.QueryEscape(config.ClientSecret)) // RFC 6749, section 2.3.1
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", describe(pushEndpoint, err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body) // the client bounds it
	if err != nil {
		return "", fmt.Errorf("%s: read answer: %w", pushEndpoint, err)
	}
	var said struct {
		RequestURI  string `json:"request_uri"`
		Code        string `json:"error"`
		Description string `json:"error_description"`
	}
	err = json.Unmarshal(body, &said)
	switch {
	case answer.StatusCode != http.StatusCreated && answer.StatusCode != http.StatusOK || said.Code != "":
		return "", newAnswerError(pushEndpoint, answer.StatusCode, said.Code, said.Description, []string{config.ClientSecret})
	case err != nil, said.RequestURI == "", len(said.RequestURI) > maxRequestURIBytes, !visible(said.RequestURI):
		return "", errors.New(pushEndpoint + ": the answer has no request_uri")
	}
	return said.RequestURI, nil
}
