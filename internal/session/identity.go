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

// MaxEmailBytes is the maximum length of an e-mail address: what a path of RFC 5321, section
// 4.5.3.1.3, has room for.
const MaxEmailBytes = 254

// Account is who signed in: a subject of one login method. Two methods never share an account,
// whatever their e-mail addresses say.
type Account struct {
	Method  string `json:"method"`  // id of the login method; has no colon
	Subject string `json:"subject"` // unique and never reassigned within the method
}

// ID returns the account's public id, "method:subject". Different accounts have different ids,
// because the id of a method has no colon.
func (a Account) ID() string { return a.Method + ":" + a.Subject }

// Identity is what a login method says about an account. It is immutable once handed out, because
// requests share it.
type Identity struct {
	Account       Account        `json:"account"`
	Issuer        string         `json:"issuer,omitempty"` // of the subject; empty: the gateway itself
	UserName      string         `json:"user_name"`
	Name          string         `json:"name,omitempty"`
	Email         string         `json:"email,omitempty"` // lower case
	EmailVerified bool           `json:"email_verified,omitempty"`
	Picture       string         `json:"picture,omitempty"` // URL
	Groups        []string       `json:"groups,omitempty"`
	Claims        map[string]any `json:"claims,omitempty"` // as encoding/json decodes them with UseNumber

	// DisplayUserName is the user name as its owner wants it shown; empty: as it is. Only users that
	// the gateway keeps have one, so it is asked of their record and not kept with sessions.
	DisplayUserName string `json:"-"`

	// Epoch counts how often all sessions of the account were ended at once. The account's method
	// treats a session from an earlier epoch as dead. Methods that do not count leave it zero.
	Epoch uint64 `json:"epoch,omitempty"`

	// CreatedAt and UpdatedAt are when the method's record of the account was created and last
	// changed. If the method does not know, sign-in sets them to its own time.
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// DisplayName returns the name, or the user name if there is none.
func (id *Identity) DisplayName() string {
	if id.Name != "" {
		return id.Name
	}
	return id.UserName
}

// VerifiedEmail returns the e-mail address if it is verified, else the empty string. Upstreams get
// only this address: they identify people by it, and an unverified address may belong to somebody
// else.
func (id *Identity) VerifiedEmail() string {
	if !id.EmailVerified {
		return ""
	}
	return id.Email
}

// Validate refuses values that an upstream would not receive unchanged. Upstreams read identities
// from header fields, which drop white space at the ends, end at control characters, and separate
// groups by commas (RFC 9110, sections 5.5 and 5.6.1). A changed value could name somebody else.
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
		{"display user name", id.DisplayUserName},
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

// maxTextBytes bounds each text of an identity, so that upstreams accept the headers made from it.
const maxTextBytes = 1024

// maxIdentityBytes bounds a stored identity with its groups and claims, so that a jar of
// MaxSessionsLimit sessions with grants stays within storage.MaxValueBytes.
const maxIdentityBytes = 16 << 10

// Fits refuses an identity that is too large to be stored or cannot be encoded.
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

// ValidText refuses text that Identity.Validate accepts in no field.
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

// Directory knows who accounts are now. Every request asks it, concurrently, and it answers from
// memory.
type Directory interface {
	// Current returns the current identity of recorded.Account, and false if the account is gone,
	// disabled, or of a login method that is not configured: its sessions are then dead. If the
	// method knows nothing newer, it returns recorded itself.
	Current(recorded *Identity) (*Identity, bool)
}
