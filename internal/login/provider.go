package login

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// Provider is a method that signs in at another site: the browser is sent there and comes back with
// an answer (RFC 6749, section 4.1). The method is that site's client.
type Provider interface {
	Method

	// Label is what people know the provider by.
	Label() string

	// Available reports whether the provider could be reached when it was last tried. It asks nobody.
	Available() bool

	// RedirectURI is where the provider sends browsers back to, if the configuration says so; else
	// it is empty, and browsers come back to the site that they were sent from.
	RedirectURI() string

	// Exposes says which of the tokens upstreams may be given.
	Exposes() Exposed

	// Authorize returns the authorization request that the browser is to be sent with, and what has to
	// be remembered until it is answered. ErrProviderUnavailable, or a *ParameterError.
	Authorize(ctx context.Context, r AuthorizationRequest) (location string, pending Pending, err error)

	// Redeem returns whom an answer signs in. The caller has made sure that the answer is for this
	// request, from this browser, and the first one. Errors are *DeniedError, *RejectedError,
	// *NotAllowedError, and ErrProviderUnavailable.
	Redeem(ctx context.Context, pending Pending, answer url.Values) (*Granted, error)
}

// Exposed says which of the tokens upstreams may be given.
type Exposed struct{ Access, ID bool }

// AuthorizationRequest is what a browser is to be sent to a provider with.
type AuthorizationRequest struct {
	State       string
	RedirectURI string

	// LoginHint is an e-mail address or user name of the account that is asked for, or empty.
	LoginHint string

	// Ask is what the provider is to ask the user. A LoginHint answers AskAccount.
	Ask Ask

	// Prompts are those of Pending, after the provider has refused to ask; nil for a new sign-in.
	Prompts []string

	// Scopes are further ones that the client asks for. Those that are not configured are a *ParameterError.
	Scopes []string

	// Parameters are further ones that the client asks for. Those that are not harmless are a *ParameterError.
	Parameters map[string]string
}

// Ask is what a provider is to ask the user before it answers.
type Ask int

const (
	AskNothing Ask = iota // a provider that knows the browser may answer at once
	AskAccount            // which account it is to be
	AskLogin              // to sign in again, although the provider may know the browser
)

// Pending is what is remembered of an authorization request until its answer comes. It is a secret.
type Pending struct {
	RedirectURI string `json:"redirect_uri"`
	Verifier    string `json:"verifier"`        // of PKCE (RFC 7636)
	Nonce       string `json:"nonce,omitempty"` // of OpenID Connect

	// Prompt is what the gateway had the provider ask (OpenID Connect Core 1.0, section 3.1.2.1);
	// empty for nothing. Prompts are what to try in its place, in order, if the provider refuses it.
	Prompt  string   `json:"prompt,omitempty"`
	Prompts []string `json:"prompts,omitempty"`
}

// Retry returns the Prompts of another request in place of one that a provider has answered with an
// error. It returns false if the error is not about the prompt, or if no prompt is left to try. Each
// request has fewer prompts left, so the tries end.
func (p Pending) Retry(err error) (prompts []string, ok bool) {
	var denied *DeniedError
	if len(p.Prompts) == 0 || !errors.As(err, &denied) {
		return nil, false
	}
	switch denied.Code {
	case "account_selection_required", "interaction_required", "login_required":
		// OpenID Connect Core 1.0, section 3.1.2.6. Some providers have no page to choose at.
		return p.Prompts, true
	case "invalid_request":
		// The answer to a value that a provider does not know.
		return p.Prompts, p.Prompt != ""
	}
	return nil, false
}

// Granted is what a provider answered.
type Granted struct {
	Identity *session.Identity
	Tokens   Tokens // those that are to be kept
	SID      string // the provider's name of its own session with the browser, or empty
}

// Tokens are what a provider issued to the gateway on behalf of an account. They are secrets.
type Tokens struct {
	Access  string    `json:"access,omitempty"`
	Refresh string    `json:"refresh,omitempty"`
	ID      string    `json:"id,omitempty"`
	Expiry  time.Time `json:"expiry,omitzero"` // of the access token; zero where it has none
}

// Renewer is a provider that can be asked again, without the browser, who an account is.
type Renewer interface {
	Provider

	// Renew trades the refresh token for new tokens (RFC 6749, section 6). The account is the recorded
	// one, and what is not renewed is as it was. Errors are ErrRefused, ErrNotAllowed, a
	// *RejectedError, which all mean that the session is over, and ErrProviderUnavailable.
	Renew(ctx context.Context, recorded *session.Identity, tokens Tokens) (*Granted, error)
}

// LogoutInitiator is a provider at which the account can be signed out too (OpenID Connect
// RP-Initiated Logout 1.0).
type LogoutInitiator interface {
	Provider

	// SendsBack reports whether the provider sends browsers back after a sign-out. Else its own page is
	// the last one that people see, and EndSession is called without an address to come back to.
	SendsBack() bool

	// EndSession returns where to send the browser, and false where that is not possible or not wanted.
	EndSession(tokens Tokens, postLogoutRedirectURI, state string) (location string, ok bool)
}

// LogoutReceiver is a provider that tells when it has ended sessions (OpenID Connect Back-Channel
// Logout 1.0).
type LogoutReceiver interface {
	Provider

	// VerifyLogout returns what a logout token says. A token that does not hold is a *RejectedError;
	// ErrProviderUnavailable when it cannot be told. Whether the token was used before is for the caller.
	VerifyLogout(ctx context.Context, token string) (*Logout, error)
}

// FrontChannelReceiver is a provider whose pages tell when it has ended a session, in the browser (OpenID
// Connect Front-Channel Logout 1.0).
type FrontChannelReceiver interface {
	Provider

	// FrontChannelLogout returns which session the query of such a request names. A query that names no
	// session of this provider is a *RejectedError. The Logout has no JTI: the request may be repeated.
	FrontChannelLogout(query url.Values) (*Logout, error)

	// PageOrigins returns the origins of the provider's pages as far as they are known.
	PageOrigins() []string
}

// Logout is a provider's word that sessions are over: those of a subject, or the one that it names, or
// where both are given the named one if it is the subject's.
type Logout struct {
	Subject string
	SID     string
	JTI     string    // the token's own id
	Expiry  time.Time // until when the same token would be accepted again
}

var (
	// ErrProviderUnavailable says that a provider could not be reached or did not answer as providers do.
	ErrProviderUnavailable = errors.New("provider is not available")

	// ErrMisconfigured is ErrProviderUnavailable where the provider refuses the gateway itself, as its
	// client. Only an administrator can fix that, so it is told apart.
	ErrMisconfigured = fmt.Errorf("the configuration and the registration at the provider differ: %w", ErrProviderUnavailable)

	// ErrNotAllowed says that an account is who it claims to be, and is not let in.
	ErrNotAllowed = errors.New("account is not allowed")

	// ErrRefused says that a provider no longer stands by what it granted.
	ErrRefused = errors.New("provider refused to renew")
)

// NotAllowedError is ErrNotAllowed of an account, for whoever looks for the reason.
type NotAllowedError struct{ Account session.Account }

func (e *NotAllowedError) Error() string { return ErrNotAllowed.Error() + ": " + e.Account.ID() }

// Is makes it ErrNotAllowed.
func (e *NotAllowedError) Is(target error) bool { return target == ErrNotAllowed }

// AnswerError is an error that a provider answered a request of the gateway itself with (RFC 6749,
// section 5.2). It is wrapped together with what it means: ErrProviderUnavailable, ErrRefused or a
// *RejectedError.
type AnswerError struct {
	Endpoint    string // that answered, such as token endpoint
	Status      int    // of HTTP
	Code        string // such as invalid_client, or empty
	Description string // of the provider's making: bounded, printable, and without secrets that were sent
}

func (e *AnswerError) Error() string {
	text := fmt.Sprintf("%s: answered status %d", e.Endpoint, e.Status)
	if e.Code != "" {
		text = fmt.Sprintf("%s: answered %s with status %d", e.Endpoint, e.Code, e.Status)
	}
	if e.Description != "" {
		text += " (" + e.Description + ")"
	}
	return text
}

// DeniedError is an error that a provider answers with instead of a code (RFC 6749, section 4.1.2.1).
type DeniedError struct {
	Code        string // such as access_denied
	Description string // bounded and printable; it came through the browser, so anybody may have written it
}

func (e *DeniedError) Error() string { return "provider answered " + e.Code }

// RejectedError says that an answer or a token does not hold.
type RejectedError struct {
	Reason string // a word for the log: what was wrong with it, such as nonce
	Err    error  // may be nil
}

func (e *RejectedError) Error() string {
	if e.Err == nil {
		return "rejected: " + e.Reason
	}
	return "rejected: " + e.Reason + ": " + e.Err.Error()
}

// Unwrap returns the cause.
func (e *RejectedError) Unwrap() error { return e.Err }

// ParameterError says that a client asked for something that it may not ask for.
type ParameterError struct {
	Name string // of the member: scopes or additionalParams
	Why  string // may be told
}

func (e *ParameterError) Error() string { return e.Name + ": " + e.Why }

// Provider returns the method of the id, if it is a provider.
func (m *Methods) Provider(id string) (Provider, bool) {
	p, ok := m.byID[id].(Provider)
	return p, ok
}

// Providers returns the methods that sign in at another site, in order.
func (m *Methods) Providers() []Provider {
	var all []Provider
	for _, method := range m.all {
		if p, ok := method.(Provider); ok {
			all = append(all, p)
		}
	}
	return all
}
