package oauthclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode"

	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// Exchange exchanges an authorization code for tokens (RFC 6749, section 4.1.3, with RFC 7636). If
// the provider does not accept the code, the error is a *login.RejectedError with the reason
// "code". All other errors are login.ErrProviderUnavailable, some of them login.ErrMisconfigured.
func Exchange(ctx context.Context, client *http.Client, config oauth2.Config, code, verifier string) (*oauth2.Token, error) {
	token, err := fixAuthStyle(config).Exchange(withClient(ctx, client), code, oauth2.VerifierOption(verifier))
	if err != nil {
		err = describe(tokenEndpoint, err, config.ClientSecret, code, verifier)
		if code := answeredCode(err); code == "invalid_grant" || code == "bad_verification_code" { // the latter is GitHub's
			return nil, &login.RejectedError{Reason: "code", Err: err}
		}
		return nil, unavailable(err)
	}
	return checkToken(token)
}

// Refresh exchanges a refresh token for tokens (RFC 6749, section 6). The result has the old
// refresh token if the provider gives no new one. login.ErrRefused says that the grant is revoked
// or expired. All other errors are login.ErrProviderUnavailable, some of them login.ErrMisconfigured.
func Refresh(ctx context.Context, client *http.Client, config oauth2.Config, refreshToken string) (*oauth2.Token, error) {
	token, err := fixAuthStyle(config).TokenSource(withClient(ctx, client), &oauth2.Token{RefreshToken: refreshToken}).Token()
	if err != nil {
		err = describe(tokenEndpoint, err, config.ClientSecret, refreshToken)
		if refuses(err) {
			return nil, fmt.Errorf("%w: %w", login.ErrRefused, err)
		}
		return nil, unavailable(err)
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

// NoRefreshToken is what to log once of a provider that gives no refresh tokens although the gateway
// would keep them. Nothing else shows that: people sign in, and stay signed in.
const NoRefreshToken = "the provider gives no refresh token, so it is not asked about its accounts after sign-in: " +
	"somebody whom it suspends stays signed in here for the lifetime of the session. " +
	"Many providers give one for the scope offline_access; refresh off accepts that there is none"

const tokenEndpoint = "token endpoint"

// describe returns what may be logged of an error of an endpoint: a *login.AnswerError, or why there
// was no answer. The library's texts quote the answer's body, which may contain tokens.
func describe(endpoint string, err error, secrets ...string) error {
	var refused *oauth2.RetrieveError
	if errors.As(err, &refused) {
		return newAnswerError(endpoint, refused.Response.StatusCode, refused.ErrorCode, refused.ErrorDescription, secrets)
	}
	// The address is left out: its query may contain a key.
	var failed *url.Error
	if errors.As(err, &failed) {
		return fmt.Errorf("%s: %w", endpoint, failed.Err)
	}
	return errors.New(endpoint + ": the answer is not a token response")
}

// newAnswerError returns an error without the secrets that were sent.
func newAnswerError(endpoint string, status int, code, description string, secrets []string) *login.AnswerError {
	e := &login.AnswerError{Endpoint: endpoint, Status: status, Description: redact(description, secrets)}
	if len(code) <= maxCode && visible(code) {
		e.Code = redact(code, secrets)
	}
	return e
}

const (
	maxCode        = 64  // bytes of an error's code
	maxDescription = 300 // bytes of its description
)

// redact returns a description in printable characters, cut to maxDescription, and nothing if it
// repeats a secret, or what looks like the beginning of a JWT, such as a client assertion.
func redact(description string, secrets []string) string {
	for _, secret := range secrets {
		if secret != "" && (strings.Contains(description, secret) || strings.Contains(description, url.QueryEscape(secret))) {
			return ""
		}
	}
	if strings.Contains(description, "eyJ") {
		return ""
	}
	return printable(description)
}

// printable returns a text cut to maxDescription, with a space for each character that is not printable.
func printable(text string) string {
	if len(text) > maxDescription {
		text = text[:maxDescription]
	}
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(text, ""))
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

// answeredCode returns the code of an error that the provider answered, or nothing.
func answeredCode(err error) string {
	var answer *login.AnswerError
	if errors.As(err, &answer) {
		return answer.Code
	}
	return ""
}

// refuses reports whether the provider clearly refused the refresh token. Nothing less ends a
// session.
func refuses(err error) bool {
	var answer *login.AnswerError
	switch {
	case !errors.As(err, &answer):
		return false
	case answer.Code == "" || configErrors[answer.Code] || temporaryErrors[answer.Code]:
		return false
	case answer.Status >= 500 || answer.Status == http.StatusTooManyRequests:
		return false
	}
	return refusals[answer.Code] || answer.Status == http.StatusBadRequest || answer.Status == http.StatusUnauthorized
}

// unavailable returns what it means that a request failed which refused neither a code nor a grant.
func unavailable(err error) error {
	if configErrors[answeredCode(err)] {
		return fmt.Errorf("%w: %w: check client_id, client_secret, redirect_uri and the way to authenticate", login.ErrMisconfigured, err)
	}
	return fmt.Errorf("%w: %w", login.ErrProviderUnavailable, err)
}
