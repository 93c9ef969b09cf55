package oauthclient

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/origin"
)

// AuthCodeURL returns where to send the browser: the authorization request with PKCE (RFC 6749,
// section 4.1.1; RFC 7636, section 4.3). A parameter of a later map replaces that of an earlier one.
func AuthCodeURL(config oauth2.Config, state, verifier string, parameters ...map[string]string) string {
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
	for _, further := range parameters {
		for name, value := range further {
			options = append(options, oauth2.SetAuthURLParam(name, value))
		}
	}
	return config.AuthCodeURL(state, options...)
}

// harmless are the parameters that a client may add to an authorization request: they are for the
// provider's pages, and change neither what is granted nor where the answer goes.
var harmless = []string{"prompt", "ui_locales", "display", "hd", "domain_hint", "screen_hint", "kc_idp_hint", "connection"}

// own are the parameters that the gateway sets itself, and those that would carry them elsewhere or
// have the answer sent in a way that is not read (RFC 9101; OAuth 2.0 Multiple Response Types).
var own = []string{
	"response_type", "client_id", "client_secret", "redirect_uri", "scope", "state", "nonce", "login_hint",
	"code_challenge", "code_challenge_method", "response_mode", "request", "request_uri",
}

const maxParameterBytes = 256

// CheckClient refuses, with a *login.ParameterError, what a client may not ask for: scopes beyond
// those that are configured, and parameters that are not harmless.
func CheckClient(r login.AuthorizationRequest, configured []string) error {
	for _, scope := range r.Scopes {
		if !slices.Contains(configured, scope) {
			return &login.ParameterError{Name: "scopes", Why: fmt.Sprintf("%q is not configured", shorten(scope))}
		}
	}
	for name, value := range r.Parameters {
		switch {
		case !slices.Contains(harmless, name):
			return &login.ParameterError{Name: "additionalParams", Why: fmt.Sprintf("%q is not one that can be set", shorten(name))}
		case len(value) > maxParameterBytes:
			return &login.ParameterError{Name: "additionalParams", Why: fmt.Sprintf("%s is longer than %d bytes", name, maxParameterBytes)}
		}
	}
	return nil
}

func shorten(s string) string {
	const most = 64
	if len(s) > most {
		return s[:most]
	}
	return s
}

// CheckParameters refuses parameters of the configuration that the gateway sets itself.
func CheckParameters(parameters map[string]string) error {
	for name, value := range parameters {
		switch {
		case name == "":
			return errors.New("parameter: has no name")
		case slices.Contains(own, name):
			return fmt.Errorf("parameter %s: is set by the gateway", name)
		case name == "prompt" && slices.Contains(strings.Fields(value), "none"):
			return errors.New("parameter prompt: none would let nobody sign in")
		}
	}
	return nil
}

// Prompts are the values of the option prompt.
const (
	PromptSelectAccount = "select_account"
	PromptLogin         = "login"
	PromptOff           = "off"
)

// CheckPrompt refuses a prompt that is none of the values. Empty is PromptSelectAccount.
func CheckPrompt(prompt string) error {
	switch prompt {
	case "", PromptSelectAccount, PromptLogin, PromptOff:
		return nil
	}
	return fmt.Errorf("prompt %q: must be %s, %s or %s", prompt, PromptSelectAccount, PromptLogin, PromptOff)
}

// Prompt returns the parameter prompt of a request, empty for none: the one of the configured
// parameters, and what makes the provider ask which account it is to be, where another one is added
// and no account is named (OpenID Connect Core 1.0, section 3.1.2.1).
func Prompt(prompt string, parameters map[string]string, r login.AuthorizationRequest) string {
	fixed := parameters["prompt"]
	if !r.Adding || r.LoginHint != "" || prompt == PromptOff {
		return fixed
	}
	if prompt == "" {
		prompt = PromptSelectAccount
	}
	if slices.Contains(strings.Fields(fixed), prompt) {
		return fixed
	}
	return strings.TrimSpace(prompt + " " + fixed)
}

// Code returns the authorization code of an answer (RFC 6749, section 4.1.2). Errors are
// *login.DeniedError where the provider gave an error, and *login.RejectedError with the reason
// "no_code" where there is not exactly one of each parameter.
func Code(answer url.Values) (string, error) {
	for _, name := range []string{"code", "state", "error", "error_description", "iss"} {
		if len(answer[name]) > 1 {
			return "", &login.RejectedError{Reason: "no_code", Err: fmt.Errorf("the answer has several of %s", name)}
		}
	}
	if code := answer.Get("error"); code != "" {
		if len(code) > 64 || !visible(code) {
			code = "invalid_request"
		}
		return "", &login.DeniedError{Code: code, Description: answer.Get("error_description")}
	}
	code := answer.Get("code")
	if code == "" {
		return "", &login.RejectedError{Reason: "no_code", Err: errors.New("the answer has no code")}
	}
	return code, nil
}

// ClientSecretBasic and the others are the ways to authenticate at the token endpoint (RFC 7591,
// section 2).
const (
	ClientSecretBasic = "client_secret_basic"
	ClientSecretPost  = "client_secret_post"
	ClientNone        = "none"
)

// AuthStyle returns how a client authenticates at a token endpoint that supports the methods; none
// named is ClientSecretBasic (OpenID Connect Discovery 1.0, section 3). A client without a secret
// gives its id only.
func AuthStyle(supported []string, secret string) (oauth2.AuthStyle, error) {
	switch {
	case secret == "":
		return oauth2.AuthStyleInParams, nil
	case len(supported) == 0 || slices.Contains(supported, ClientSecretBasic):
		return oauth2.AuthStyleInHeader, nil
	case slices.Contains(supported, ClientSecretPost):
		return oauth2.AuthStyleInParams, nil
	}
	return 0, fmt.Errorf("the provider takes no client secret: it supports %s", strings.Join(supported, ", "))
}

// ValidateURL refuses an address that secrets must not be sent to or keys taken from: one that is
// neither https nor, unless insecureHTTP says otherwise, on this machine.
func ValidateURL(text string, insecureHTTP bool) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q: not a URL", text)
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return fmt.Errorf("%q: not an absolute https URL", text)
	case u.User != nil:
		return fmt.Errorf("%q: must not have a user name or password", u.Redacted())
	case strings.Contains(text, "#"):
		return fmt.Errorf("%q: must not have a fragment", text)
	case u.Scheme == "http" && !insecureHTTP && !origin.LoopbackForServer(u.Hostname()):
		return fmt.Errorf("%q: must be https, or on this machine, or insecure_http be set", text)
	}
	return nil
}
