package claims

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// Error says that an account cannot have an identity, because of a claim.
type Error struct {
	Claim string // its name or path
	Err   error
}

func (e *Error) Error() string { return fmt.Sprintf("claim %q: %v", e.Claim, e.Err) }

// Unwrap returns what is wrong with the claim.
func (e *Error) Unwrap() error { return e.Err }

// errMissing says that a claim is not there, or is null or empty.
var errMissing = errors.New("is missing")

// Identity returns the identity of an account of the login method. The claims must be decoded with
// json.Decoder.UseNumber: a float64 makes one of two long numbers. They stay the caller's own.
//
// What an account is known by must be right, or the answer is an *Error: subject, user name and name.
// What only adds to it is left out where it is wrong: an e-mail address that is none, a picture that
// is not to be found by http, and groups that could not be told to an upstream unchanged (see
// Unusable). To be without them takes rights away and gives none.
func (m Mapping) Identity(method, issuer string, claims map[string]any) (*session.Identity, error) {
	subject, err := textAt(claims, m.Subject)
	if err == nil && subject == "" {
		err = &Error{m.Subject, errMissing}
	}
	if err != nil {
		return nil, err
	}
	id := &session.Identity{Account: session.Account{Method: method, Subject: subject}, Issuer: issuer}
	if id.Name, err = m.name(claims); err != nil {
		return nil, err
	}
	id.Email = email(claims, m.Email)
	id.EmailVerified = id.Email != "" && m.emailVerified(claims)
	if id.UserName, err = m.userName(claims, id); err != nil {
		return nil, err
	}
	id.Picture = picture(claims, m.Picture)
	id.Groups, _ = m.groups(claims)
	if id.Claims, err = m.kept(claims); err != nil {
		return nil, err
	}
	if err := id.Validate(); err != nil {
		return nil, err
	}
	if err := id.Fits(); err != nil {
		return nil, m.tooLarge(id, err)
	}
	return id, nil
}

// name has white space cut off at its ends, where providers leave it that put names together.
func (m Mapping) name(claims map[string]any) (string, error) {
	value, _ := session.ClaimAt(claims, m.Name)
	text, ok := value.(string)
	if !ok {
		return "", nil // people can be without a name, and it is shown only
	}
	text = strings.TrimSpace(text)
	if err := session.ValidText(text); err != nil {
		return "", &Error{m.Name, err}
	}
	return text, nil
}

// SettlesUserName reports whether further claims could not give the account another user name than
// these do: it has the first alternative that the provider could have named. supported are the claims
// that the provider has; none means that this is not known.
func (m Mapping) SettlesUserName(claims map[string]any, supported []string) bool {
	address := email(claims, m.Email)
	id := &session.Identity{Email: address, EmailVerified: address != "" && m.emailVerified(claims)}
	for _, path := range m.UserName {
		if text, err := m.userNameAt(claims, path, id); text != "" || err != nil {
			return true
		}
		name, _, _ := strings.Cut(path, ".")
		if len(supported) == 0 || slices.Contains(supported, path) || slices.Contains(supported, name) {
			return false
		}
	}
	return false
}

// userNameAt returns the user name that is at a path, or nothing.
func (m Mapping) userNameAt(claims map[string]any, path string, id *session.Identity) (string, error) {
	if path == m.Email || path == "email" {
		return m.verifiedEmail(claims, path, id), nil
	}
	return textAt(claims, path)
}

func (m Mapping) userName(claims map[string]any, id *session.Identity) (string, error) {
	for _, path := range m.UserName {
		text, err := m.userNameAt(claims, path, id)
		if err != nil {
			return "", err
		}
		if text == "" {
			continue
		}
		if err := session.ValidText(m.UserNamePrefix + text); err != nil {
			return "", &Error{path, err}
		}
		return m.UserNamePrefix + text, nil
	}
	return "", &Error{strings.Join(m.UserName, " or "), fmt.Errorf("%w: the account has no user name", errMissing)}
}

// verifiedEmail is the address as a user name, by which upstreams would find whomever it belongs to.
// Where another claim is the e-mail address, nobody has verified the one that is named so.
func (m Mapping) verifiedEmail(claims map[string]any, path string, id *session.Identity) string {
	if address := email(claims, path); address == id.VerifiedEmail() {
		return address
	}
	return ""
}

// email returns the address at the path in lower case, or nothing where there is no plain one.
func email(claims map[string]any, path string) string {
	value, _ := session.ClaimAt(claims, path)
	text, _ := value.(string)
	if text = user.Fold(text); user.ValidateEmail(text) != nil {
		return ""
	}
	return text
}

// emailVerified is strict but for how true is written: not every provider has a JSON boolean.
func (m Mapping) emailVerified(claims map[string]any) bool {
	value, _ := session.ClaimAt(claims, m.EmailVerified)
	switch value {
	case true, "true", "1", json.Number("1"), float64(1):
		return true
	}
	return false
}

// picture returns the address at the path, or nothing where a page could not show it.
func picture(claims map[string]any, path string) string {
	value, _ := session.ClaimAt(claims, path)
	text, _ := value.(string)
	if user.ValidatePicture(text) != nil || session.ValidText(text) != nil {
		return ""
	}
	return text
}

// textAt returns the text at a path: a string as it is, a whole number in digits, nothing where there
// is none. Anything else is an *Error.
func textAt(claims map[string]any, path string) (string, error) {
	value, _ := session.ClaimAt(claims, path)
	var text string
	switch v := value.(type) {
	case nil:
	case string:
		text = v
	case json.Number:
		text = v.String()
		if strings.ContainsAny(text, ".eE") { // the same number can be written in many ways
			return "", &Error{path, fmt.Errorf("is the number %s, and not a whole one", text)}
		}
	default:
		return "", &Error{path, fmt.Errorf("is neither text nor a number: %T", value)}
	}
	if err := session.ValidText(text); err != nil {
		return "", &Error{path, err}
	}
	return text, nil
}

// protocol is the claims that are about a token and not about the account (RFC 7519, section 4.1;
// OpenID Connect Core 1.0, sections 2, 3.3.2.11 and 5.6.2, whose sources can have tokens in them).
var protocol = []string{
	"iss", "aud", "exp", "iat", "nbf", "jti", "nonce", "azp", "sid", "auth_time",
	"at_hash", "c_hash", "s_hash", "_claim_names", "_claim_sources",
}

// kept returns the claims that are kept, as copies.
func (m Mapping) kept(claims map[string]any) (map[string]any, error) {
	names := m.Keep
	if len(names) == 0 {
		without := append(slices.Clone(protocol), m.Picture, m.Groups)
		names = slices.DeleteFunc(slices.Collect(maps.Keys(claims)), func(name string) bool { return slices.Contains(without, name) })
	}
	kept := make(map[string]any)
	for _, path := range slices.Concat(names, m.needed) {
		value, ok := session.ClaimAt(claims, path)
		if !ok || value == nil {
			continue
		}
		value, err := clone(value)
		if err != nil {
			return nil, &Error{path, err}
		}
		kept[path] = value // a path is found under its own name too
	}
	if len(kept) == 0 {
		return nil, nil
	}
	return kept, nil
}

// clone returns a copy that shares nothing, as encoding/json decodes it.
func clone(value any) (copied any, err error) {
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	return copied, decoder.Decode(&copied)
}

// tooLarge returns the error of an identity that does not fit, which names the claim that takes most
// room and what helps.
func (m Mapping) tooLarge(id *session.Identity, err error) error {
	name, help, most := m.Groups, "keep_groups can say which of them count", size(id.Groups)
	for _, candidate := range slices.Sorted(maps.Keys(id.Claims)) {
		if n := size(id.Claims[candidate]); n > most {
			name, help, most = candidate, "keep can say which claims are kept", n
		}
	}
	return &Error{name, fmt.Errorf("is the largest with %d bytes, and the account %w; %s", most, err, help)}
}

// size returns how much room a value takes.
func size(value any) int {
	text, _ := json.Marshal(value) // a value that cannot be encoded is not stored
	return len(text)
}
