package password

import (
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// User is one that the configuration names.
type User struct {
	// Name is the user name and the account's subject: a user who is renamed is another one. It has
	// 1 to 64 letters and digits of ASCII, dots, hyphens and underscores, and begins with none of
	// the dots and hyphens. Case does not tell two users apart.
	Name string

	// Email is optional, a plain address in ASCII, and held to be verified, for an administrator
	// wrote it. Case does not tell two addresses apart. An address may be signed in with in place
	// of the name.
	Email string

	// Hash is an argon2id or bcrypt hash as caddy hash-password prints it.
	Hash string

	// What upstreams are told of the user, all optional. What Claims hold must not be changed
	// after.
	DisplayName string
	Picture     string // URL
	Groups      []string
	Claims      map[string]any
}

const maxNameChars = 64

// identity returns who the user is, or what is wrong with the user.
func (u *User) identity(method string) (*session.Identity, error) {
	if err := validName(u.Name); err != nil {
		return nil, err
	}
	if err := validEmail(u.Email); err != nil {
		return nil, fmt.Errorf("e-mail %q: %w", u.Email, err)
	}
	id := &session.Identity{
		Account:       session.Account{Method: method, Subject: u.Name},
		UserName:      u.Name,
		Name:          u.DisplayName,
		Email:         fold(u.Email),
		EmailVerified: u.Email != "",
		Picture:       u.Picture,
		Groups:        slices.Clone(u.Groups),
		Claims:        maps.Clone(u.Claims),
	}
	return id, id.Validate()
}

// validName keeps user names to what every upstream takes for the same name. Other scripts have
// letters that look alike, and header fields no encoding that upstreams agree on. Without an @ no
// name looks like an e-mail address. Names become directories and arguments (a Jupyter server's
// home is one), where "..", "-rf" and the like would be more than names.
func validName(name string) error {
	switch {
	case name == "":
		return errors.New("name: missing")
	case len(name) > maxNameChars:
		return fmt.Errorf("name: longer than %d characters", maxNameChars)
	case strings.ContainsFunc(name, func(c rune) bool { return !isAlphanumeric(c) && !strings.ContainsRune("._-", c) }):
		return errors.New("name: only letters and digits of ASCII, dots, hyphens and underscores can be in it")
	case name[0] == '.' || name[0] == '-':
		return errors.New("name: must not begin with a dot or a hyphen")
	}
	return nil
}

func isAlphanumeric(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// validEmail accepts the addresses of RFC 5322, section 3.4.1, whose local part is a dot-atom and
// whose domain is a name: what mail forms accept, too. None is fine.
func validEmail(email string) error {
	if email == "" {
		return nil
	}
	if len(email) > login.MaxEmailBytes {
		return fmt.Errorf("longer than %d bytes", login.MaxEmailBytes)
	}
	if strings.ContainsFunc(email, func(c rune) bool { return c > '~' }) {
		return errors.New("only ASCII can be in it; a domain of other letters has a form in ASCII that begins with xn--")
	}
	// Display names, comments and quotes are not part of the address that comes back.
	address, err := mail.ParseAddress(email)
	if err != nil || address.Address != email || strings.Contains(email, "[") {
		return errors.New("not a plain e-mail address such as alice@example.com")
	}
	return nil
}

// fold makes equal what differs in case. It is of ASCII alone, as names and addresses are:
// Unicode's would let the Kelvin sign stand for a k.
func fold(s string) string {
	return strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		return c
	}, s)
}
