package oauthclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// Exchange exchanges an authorization code for tokens (RFC 6749, section 4.1.3, with RFC 7636). If
// the provider does not accept the code, the error is a *login.RejectedError with the reason
// "code". All other errors are login.ErrProviderUnavailable, some of them also *ConfigError.
func Exchange(ctx context.Context, client *http.Client, config oauth2.Config, code, verifier string) (*oauth2.Token, error) {
	token, err := fixAuthStyle(config).Exchange(withClient(ctx, client), code, oauth2.VerifierOption(verifier))
	if err != nil {
		e := describe(err, config.ClientSecret, code, verifier)
		if e.code == "invalid_grant" || e.code == "bad_verification_code" { // the latter is GitHub's
			return nil, &login.RejectedError{Reason: "code", Err: e}
		}
		return nil, e.unavailable()
	}
	return checkToken(token)
}

// Refresh exchanges a refresh token for tokens (RFC 6749, section 6). The result has the old
// refresh token if the provider gives no new one. login.ErrRefused says that the grant is revoked
// or expired. All other errors are login.ErrProviderUnavailable, some of them also *ConfigError.
func Refresh(ctx context.Context, client *http.Client, config oauth2.Config, refreshToken string) (*oauth2.Token, error) {
	token, err := fixAuthStyle(config).TokenSource(withClient(ctx, client), &oauth2.Token{RefreshToken: refreshToken}).Token()
	if err != nil {
		e := describe(err, config.ClientSecret, refreshToken)
		if e.refuses() {
			return nil, fmt.Errorf("%w: %w", login.ErrRefused, e)
		}
		return nil, e.unavailable()
	}
	return checkToken(token)
}

func withClient(ctx context.Context, client *http.Client) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, client)
}

// fixAuthStyle sets one way to authenticate. Otherwise the library would try both in turn, and a
// code works only once.
func fixAuthStyle(config oauth2.Config) *oauth2.Config {
	if config.Endpoint.AuthStyle == oauth2.AuthStyleAutoDetect {
		config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	return &config
}

// checkToken refuses tokens that cannot be sent as bearer tokens (RFC 6750, section 2.1). A token
// without a type counts as one.
func checkToken(token *oauth2.Token) (*oauth2.Token, error) {
	switch {
	case token.Type() != "Bearer":
		return nil, fmt.Errorf("%w: the token endpoint returned a token that is not a bearer token", login.ErrProviderUnavailable)
	case !visible(token.AccessToken) || !visible(token.RefreshToken):
		return nil, fmt.Errorf("%w: the token endpoint returned a token that cannot be sent in a header field", login.ErrProviderUnavailable)
	}
	return token, nil
}

// visible reports whether a text has visible ASCII characters only.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// ConfigError says that a provider refused the client itself: the configuration differs from the
// client's registration at the provider. Only an administrator can fix it.
type ConfigError struct {
	Code        string // from RFC 6749, section 5.2, or the provider's own
	Description string // the provider's explanation, or empty
}

func (e *ConfigError) Error() string {
	text := "the token endpoint answered " + e.Code + ": client_id, client_secret, redirect_uri or the way to authenticate differ from the registration at the provider"
	if e.Description != "" {
		text += " (" + e.Description + ")"
	}
	return text
}

// answerError is a failed request to the token endpoint. Of the answer's body it only has the
// members that describe the error.
type answerError struct {
	status      int    // 0 without an answer
	code        string // empty if the answer has no valid one
	description string
	err         error // why there was no answer
}

func (e *answerError) Error() string {
	switch {
	case e.err != nil:
		return "token endpoint: " + e.err.Error()
	case e.status == 0:
		return "token endpoint: the answer is not a token response"
	case e.code != "":
		return fmt.Sprintf("token endpoint: answered %s with status %d", e.code, e.status)
	default:
		return fmt.Sprintf("token endpoint: answered status %d", e.status)
	}
}

// Unwrap returns why there was no answer.
func (e *answerError) Unwrap() error { return e.err }

// describe returns the parts of an error that may be logged. The library's texts quote the answer's
// body, which may contain tokens.
func describe(err error, secrets ...string) *answerError {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		e := &answerError{status: refused.Response.StatusCode}
		if code := refused.ErrorCode; len(code) <= 64 && visible(code) {
			e.code = redact(code, secrets)
		}
		e.description = redact(refused.ErrorDescription, secrets)
		return e
	}
	// The address is left out: its query may contain a key.
	var failed *url.Error
	if errors.As(err, &failed) {
		return &answerError{err: failed.Err}
	}
	return &answerError{}
}

// redact returns a description in printable ASCII, cut to 300 bytes, and nothing if it repeats a
// secret.
func redact(description string, secrets []string) string {
	const most = 300
	for _, secret := range secrets {
		if secret != "" && (strings.Contains(description, secret) || strings.Contains(description, url.QueryEscape(secret))) {
			return ""
		}
	}
	if len(description) > most {
		description = description[:most]
	}
	return strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return ' '
		}
		return c
	}, description)
}

// configErrors are the codes that refuse the client (RFC 6749, section 5.2, and two of GitHub's).
var configErrors = map[string]bool{
	"invalid_client": true, "unauthorized_client": true,
	"incorrect_client_credentials": true, "redirect_uri_mismatch": true,
}

// temporaryErrors are the codes of temporary failures. They belong to other endpoints, but have
// been seen at this one.
var temporaryErrors = map[string]bool{"temporarily_unavailable": true, "server_error": true, "slow_down": true}

// refusals are the codes that refuse a grant with any status: GitHub sends 200.
var refusals = map[string]bool{"invalid_grant": true, "bad_refresh_token": true}

// refuses reports whether the provider clearly refused the refresh token. Nothing less ends a
// session.
func (e *answerError) refuses() bool {
	switch {
	case e.code == "" || configErrors[e.code] || temporaryErrors[e.code]:
		return false
	case e.status >= 500 || e.status == http.StatusTooManyRequests:
		return false
	}
	return refusals[e.code] || e.status == http.StatusBadRequest || e.status == http.StatusUnauthorized
}

func (e *answerError) unavailable() error {
	if configErrors[e.code] {
		return fmt.Errorf("%w: %w", login.ErrProviderUnavailable, &ConfigError{e.code, e.description})
	}
	return fmt.Errorf("%w: %w", login.ErrProviderUnavailable, e)
}
