package oauthclient

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/origin"
)

// AuthCodeURL returns the URL of the authorization request with PKCE, where the browser is sent
// (RFC 6749, section 4.1.1; RFC 7636, section 4.3). See RequestParameters for the parameters.
func AuthCodeURL(config oauth2.Config, state, verifier string, parameters map[string]string) string {
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(verifier)}
	for name, value := range parameters {
		options = append(options, oauth2.SetAuthURLParam(name, value))
	}
	return config.AuthCodeURL(state, options...)
}

// RequestParameters returns the parameters that an authorization request has beyond those of the
// protocol. The configured parameters win over those that the client asks for, which win over the
// gateway's own prompt, one of Prompts. hint is the name of the provider's parameter for a login hint.
func RequestParameters(prompt string, configured map[string]string, hint string, r login.AuthorizationRequest) map[string]string {
	parameters := make(map[string]string)
	prompt = addPrompt(prompt, configured["prompt"])
	if prompt != "" {
		parameters["prompt"] = prompt
	}
	maps.Copy(parameters, r.Parameters)
	maps.Copy(parameters, configured)
	if configured["prompt"] != "" {
		parameters["prompt"] = prompt // includes the configured one
	}
	if r.LoginHint != "" {
		parameters[hint] = r.LoginHint
	}
	return parameters
}

// addPrompt returns a prompt that asks for what the gateway's own and the fixed one ask for.
func addPrompt(prompt, fixed string) string {
	if slices.Contains(strings.Fields(fixed), prompt) {
		return fixed
	}
	return strings.TrimSpace(prompt + " " + fixed)
}

// Prompts returns the gateway's own prompts of a request: the first is the one to send, and the
// others are what to try in its place, in order, if the provider refuses it. An empty prompt asks for
// nothing. There is always one.
//
// The option decides the first one, and where it is empty, what the provider supports does. supported
// is prompt_values_supported of its metadata (Initiating User Registration via OpenID Connect 1.0,
// section 4.1); nil says nothing. A client that names a prompt itself gets no other, if the
// configured parameters let it have that.
func Prompts(option string, supported []string, configured map[string]string, r login.AuthorizationRequest) []string {
	var wanted []string
	switch {
	case r.Prompts != nil:
		return r.Prompts
	case option == PromptOff, r.Parameters["prompt"] != "" && configured["prompt"] == "":
		return []string{""}
	case r.Ask == login.AskLogin:
		wanted = []string{PromptLogin, PromptSelectAccount, ""}
	case r.Ask == login.AskAccount && r.LoginHint == "":
		wanted = []string{cmp.Or(option, PromptSelectAccount), PromptLogin, ""}
	default:
		wanted = []string{"", PromptLogin}
	}
	var prompts []string
	for _, prompt := range wanted {
		known := len(supported) == 0 || prompt == "" || prompt == option || slices.Contains(supported, prompt)
		if known && !slices.Contains(prompts, prompt) {
			prompts = append(prompts, prompt)
		}
	}
	return prompts
}

// harmless are the parameters that a client may add to an authorization request. They affect the
// provider's pages only, not what is granted or where the answer goes.
var harmless = []string{"prompt", "ui_locales", "display", "hd", "domain_hint", "screen_hint", "kc_idp_hint", "connection"}

// reserved are the parameters that the gateway sets itself, and those that could replace them or
// change how the answer is sent (RFC 9101; OAuth 2.0 Multiple Response Types).
var reserved = []string{
	"response_type", "client_id", "client_secret", "redirect_uri", "scope", "state", "nonce", "login_hint",
	"code_challenge", "code_challenge_method", "response_mode", "request", "request_uri",
}

const maxParameterBytes = 256

// CheckClient refuses scopes that are not configured and parameters that are not harmless, with a
// *login.ParameterError.
func CheckClient(r login.AuthorizationRequest, configured []string) error {
	for _, scope := range r.Scopes {
		if !slices.Contains(configured, scope) {
			return &login.ParameterError{Name: "scopes", Why: fmt.Sprintf("%q is not configured", shorten(scope))}
		}
	}
	for name, value := range r.Parameters {
		switch {
		case !slices.Contains(harmless, name):
			return &login.ParameterError{Name: "additionalParams", Why: fmt.Sprintf("%q cannot be set", shorten(name))}
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

// CheckOptions refuses options of a login method with which no authorization request could work, or
// not safely.
func CheckOptions(redirectURI string, scopes []string, prompt string, parameters map[string]string) error {
	if redirectURI != "" {
		// The gateway's own sites decide whether it may be plain HTTP, not the provider.
		if err := ValidateURL(redirectURI, true); err != nil {
			return fmt.Errorf("redirect_uri: %w", err)
		}
	}
	for _, scope := range scopes {
		if !isScope(scope) {
			return fmt.Errorf("scope %q: is not a scope", scope)
		}
	}
	switch prompt {
	case "", PromptSelectAccount, PromptLogin, PromptOff:
	default:
		return fmt.Errorf("prompt %q: must be %s, %s or %s", prompt, PromptSelectAccount, PromptLogin, PromptOff)
	}
	for name, value := range parameters {
		switch {
		case name == "":
			return errors.New("parameter: has no name")
		case slices.Contains(reserved, name):
			return fmt.Errorf("parameter %s: is set by the gateway", name)
		case name == "prompt" && slices.Contains(strings.Fields(value), "none"):
			return errors.New("parameter prompt: with none nobody could sign in")
		}
	}
	return nil
}

// Values of the option prompt. Empty means PromptSelectAccount, or what the provider supports in its
// place.
const (
	PromptSelectAccount = "select_account"
	PromptLogin         = "login"
	PromptOff           = "off"
)

// isScope reports whether a text can be a scope (RFC 6749, section 3.3).
func isScope(text string) bool {
	return text != "" && visible(text) && !strings.ContainsAny(text, `"\`)
}

// Code returns the authorization code of an answer (RFC 6749, section 4.1.2). Errors are
// *login.DeniedError if the provider answered with an error, and *login.RejectedError: with the
// reason "iss" if the answer names another issuer, or none although requireIssuer is set, and with
// "no_code" if it lacks the code or repeats a parameter. An empty issuer is not compared.
func Code(answer url.Values, issuer string, requireIssuer bool) (string, error) {
	// The issuer comes first: an error of another issuer must not count either (RFC 9207, section
	// 2.4).
	switch issuers := answer["iss"]; {
	case issuer == "", len(issuers) == 0 && !requireIssuer:
	case len(issuers) != 1 || issuers[0] != issuer:
		return "", &login.RejectedError{Reason: "iss", Err: errors.New("the answer is of another issuer or names none")}
	}
	for _, name := range []string{"code", "state", "error", "error_description", "iss"} {
		if len(answer[name]) > 1 {
			return "", &login.RejectedError{Reason: "no_code", Err: fmt.Errorf("the answer has several of %s", name)}
		}
	}
	if code := answer.Get("error"); code != "" {
		if len(code) > maxCode || !visible(code) {
			code = "invalid_request"
		}
		return "", &login.DeniedError{Code: code, Description: printable(answer.Get("error_description"))}
	}
	code := answer.Get("code")
	if code == "" {
		return "", &login.RejectedError{Reason: "no_code", Err: errors.New("the answer has no code")}
	}
	return code, nil
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
