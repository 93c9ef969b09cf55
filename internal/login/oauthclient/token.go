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

// Exchange trades an authorization code for tokens (RFC 6749, section 4.1.3, with RFC 7636). A code
// that does not hold is a *login.RejectedError with the reason "code"; all other errors are
// login.ErrProviderUnavailable, among them *ConfigError.
func Exchange(ctx context.Context, client *http.Client, config oauth2.Config, code, verifier string) (*oauth2.Token, error) {
	token, err := explicit(config).Exchange(with(ctx, client), code, oauth2.VerifierOption(verifier))
	if err != nil {
		e := describe(err, config.ClientSecret, code, verifier)
		if e.code == "invalid_grant" || e.code == "bad_verification_code" { // the latter is GitHub's
			return nil, &login.RejectedError{Reason: "code", Err: e}
		}
		return nil, e.unavailable()
	}
	return usable(token)
}

// Refresh trades a refresh token for tokens (RFC 6749, section 6). The result has the old refresh
// token where the provider gives no new one. login.ErrRefused says that the provider does not stand by
// the grant any more; all other errors are login.ErrProviderUnavailable, among them *ConfigError.
func Refresh(ctx context.Context, client *http.Client, config oauth2.Config, refreshToken string) (*oauth2.Token, error) {
	token, err := explicit(config).TokenSource(with(ctx, client), &oauth2.Token{RefreshToken: refreshToken}).Token()
	if err != nil {
		e := describe(err, config.ClientSecret, refreshToken)
		if e.refuses() {
			return nil, fmt.Errorf("%w: %w", login.ErrRefused, e)
		}
		return nil, e.unavailable()
	}
	return usable(token)
}

func with(ctx context.Context, client *http.Client) context.Context {
	return context.WithValue(ctx, oauth2.HTTPClient, client)
}

// explicit settles how the client authenticates. Otherwise both ways would be tried one after the
// other, and a code is good for one try.
func explicit(config oauth2.Config) *oauth2.Config {
	if config.Endpoint.AuthStyle == oauth2.AuthStyleAutoDetect {
		config.Endpoint.AuthStyle = oauth2.AuthStyleInHeader
	}
	return &config
}

// usable refuses tokens that could not be used as bearer tokens (RFC 6750, section 2.1). A provider
// that says nothing of the type means that one.
func usable(token *oauth2.Token) (*oauth2.Token, error) {
	switch {
	case token.Type() != "Bearer":
		return nil, fmt.Errorf("%w: the token endpoint gave a token that is no bearer token", login.ErrProviderUnavailable)
	case !visible(token.AccessToken) || !visible(token.RefreshToken):
		return nil, fmt.Errorf("%w: the token endpoint gave a token that no header field can have", login.ErrProviderUnavailable)
	}
	return token, nil
}

// visible reports whether there are only visible characters of ASCII.
func visible(s string) bool {
	return !strings.ContainsFunc(s, func(c rune) bool { return c <= ' ' || c > '~' })
}

// ConfigError says that a provider refused the client, and not whom it asks for: what is configured
// here and what is registered there are not the same. Only an administrator can help.
type ConfigError struct {
	Code        string // of RFC 6749, section 5.2, or the provider's own
	Description string // what the provider says about it, or empty
}

func (e *ConfigError) Error() string {
	text := "the token endpoint answered " + e.Code + ": client_id, client_secret, redirect_uri or the way to authenticate are not what the provider has registered"
	if e.Description != "" {
		text += " (" + e.Description + ")"
	}
	return text
}

// answerError is a failed request to the token endpoint. It has nothing of the answer's body but the
// members that say what the error is.
type answerError struct {
	status      int    // 0 where there was no answer
	code        string // empty where there was none that is one
	description string
	err         error // why there was no answer
}

func (e *answerError) Error() string {
	switch {
	case e.err != nil:
		return "token endpoint: " + e.err.Error()
	case e.status == 0:
		return "token endpoint: the answer is no token answer"
	case e.code != "":
		return fmt.Sprintf("token endpoint: answered %s with status %d", e.code, e.status)
	default:
		return fmt.Sprintf("token endpoint: answered status %d", e.status)
	}
}

// Unwrap returns why there was no answer.
func (e *answerError) Unwrap() error { return e.err }

// describe takes out of an error what can be told. The library's own texts have parts of the answer's
// body in them, in which tokens can be.
func describe(err error, secrets ...string) *answerError {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		e := &answerError{status: refused.Response.StatusCode}
		if code := refused.ErrorCode; len(code) <= 64 && visible(code) {
			e.code = tellable(code, secrets)
		}
		e.description = tellable(refused.ErrorDescription, secrets)
		return e
	}
	// The address is configured, and can have a key in its query.
	var failed *url.Error
	if errors.As(err, &failed) {
		return &answerError{err: failed.Err}
	}
	return &answerError{}
}

// tellable returns a description if it is a text for people and repeats none of the secrets.
func tellable(description string, secrets []string) string {
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

// configErrors are the codes by which providers refuse the client. (RFC 6749, section 5.2, and two of
// GitHub's.)
var configErrors = map[string]bool{
	"invalid_client": true, "unauthorized_client": true,
	"incorrect_client_credentials": true, "redirect_uri_mismatch": true,
}

// passing are the codes by which providers say that it is not the right moment. They are of other
// endpoints, and have been seen at this one.
var passing = map[string]bool{"temporarily_unavailable": true, "server_error": true, "slow_down": true}

// refusals are the codes that say it whatever the status is: GitHub's is 200.
var refusals = map[string]bool{"invalid_grant": true, "bad_refresh_token": true}

// refuses reports whether the provider has said that the refresh token is no good. Anything short of
// that ends no session.
func (e *answerError) refuses() bool {
	switch {
	case e.code == "" || configErrors[e.code] || passing[e.code]:
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
