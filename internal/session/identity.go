package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxEmailBytes is how long an e-mail address can be: what the paths of RFC 5321, section 4.5.3.1.3,
// have room for.
const MaxEmailBytes = 254

// Account is who signed in: a subject as one login method knows it. Two methods never share an
// account, whatever their e-mail addresses say.
type Account struct {
	Method  string `json:"method"`  // the login method's id; has no colon
	Subject string `json:"subject"` // unique and never reassigned within the method
}

// ID is the account's public id, "method:subject". Distinct accounts have distinct ids, because
// a method's id has no colon.
func (a Account) ID() string { return a.Method + ":" + a.Subject }

// Identity is what a login method says about an account. Once handed out it is not changed: it
// is shared between requests.
type Identity struct {
	Account       Account        `json:"account"`
	Issuer        string         `json:"issuer,omitempty"` // of the subject, where it is not the gateway itself
	UserName      string         `json:"user_name"`
	Name          string         `json:"name,omitempty"`
	Email         string         `json:"email,omitempty"` // lower case
	EmailVerified bool           `json:"email_verified,omitempty"`
	Picture       string         `json:"picture,omitempty"` // URL
	Groups        []string       `json:"groups,omitempty"`
	Claims        map[string]any `json:"claims,omitempty"` // as encoding/json decodes them, long numbers as json.Number

	// Epoch counts how often all sessions of the account were ended at once. Its method holds a
	// session dead that was made in an earlier one. Methods that do not count leave it zero.
	Epoch uint64 `json:"epoch,omitempty"`

	// CreatedAt and UpdatedAt are when the method's record of the account was made and last
	// changed. Where a method does not know, sign-in sets them to its own time.
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// DisplayName is the name, or where there is none the user name.
func (id *Identity) DisplayName() string {
	if id.Name != "" {
		return id.Name
	}
	return id.UserName
}

// VerifiedEmail is the e-mail address if it is verified, else empty. It is all that upstreams are
// told: they find people by it, and an address that nobody verified can be somebody else's.
func (id *Identity) VerifiedEmail() string {
	if !id.EmailVerified {
		return ""
	}
	return id.Email
}

// Validate refuses what could not be told to an upstream unchanged. Upstreams read identity from
// header fields, where white space at the ends is dropped, control characters end the field and a
// comma separates groups (RFC 9110, sections 5.5 and 5.6.1); a value that changes on the way could
// name somebody else.
func (id *Identity) Validate() error {
	switch {
	case id.Account.Method == "" || strings.Contains(id.Account.Method, ":"):
		return fmt.Errorf("login method id %q: must not be empty or have a colon", id.Account.Method)
	case id.Account.Subject == "":
		return errors.New("subject: must not be empty")
	case id.UserName == "":
		return errors.New("user name: must not be empty")
	}
	for _, field := range []struct{ name, value string }{
		{"login method id", id.Account.Method},
		{"subject", id.Account.Subject},
		{"issuer", id.Issuer},
		{"user name", id.UserName},
		{"name", id.Name},
		{"e-mail", id.Email},
		{"picture", id.Picture},
	} {
		if err := ValidText(field.value); err != nil {
			return fmt.Errorf("%s %q: %w", field.name, field.value, err)
		}
	}
	for _, group := range id.Groups {
		switch err := ValidText(group); {
		case err != nil:
			return fmt.Errorf("group %q: %w", group, err)
		case group == "":
			return errors.New("group: must not be empty")
		case strings.Contains(group, ","):
			return fmt.Errorf("group %q: must not have a comma, which separates groups", group)
		}
	}
	return nil
}

// maxTextBytes bounds each text of an identity, so that the headers made of it stay within what
// upstreams accept.
const maxTextBytes = 1024

// maxIdentityBytes bounds an identity as it is stored, groups and claims and all, so that a jar of
// MaxSessionsLimit sessions stays within storage.MaxValueBytes, grants and all.
const maxIdentityBytes = 16 << 10

// Fits refuses an identity that is too large to be stored, or that cannot be.
func (id *Identity) Fits() error {
	stored, err := json.Marshal(id)
	if err != nil {
		return err
	}
	if len(stored) > maxIdentityBytes {
		return fmt.Errorf("takes %d bytes with its groups and claims, more than %d", len(stored), maxIdentityBytes)
	}
	return nil
}

// ValidText refuses text that no part of an identity can be, as Identity.Validate does.
func ValidText(s string) error {
	switch {
	case len(s) > maxTextBytes:
		return fmt.Errorf("must not be longer than %d bytes", maxTextBytes)
	case !utf8.ValidString(s):
		return errors.New("must be valid UTF-8")
	case strings.ContainsFunc(s, unicode.IsControl):
		return errors.New("must not have control characters")
	case strings.TrimSpace(s) != s:
		return errors.New("must not begin or end with white space")
	}
	return nil
}

// Directory knows who accounts are now. It is asked on every request, concurrently, and answers
// from memory.
type Directory interface {
	// Current returns who recorded.Account is at this moment, and false where the account is
	// gone, disabled, or of a login method that is no longer configured: its sessions are then
	// dead. Where the method knows nothing newer it returns recorded itself.
	Current(recorded *Identity) (*Identity, bool)
}
