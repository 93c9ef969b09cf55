package user

import (
	"errors"
	"fmt"
	"net/mail"
	"net/url"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// MaxNameChars is how long a user name can be.
const MaxNameChars = 64

// ValidateName keeps user names to what every upstream takes for the same name. Other scripts have
// letters that look alike, and header fields no encoding that upstreams agree on. Without an @ no
// name looks like an e-mail address. Names become directories and arguments (a Jupyter server's
// home is one), where "..", "-rf" and the like would be more than names.
func ValidateName(name string) error {
	switch {
	case name == "":
		return errors.New("name: missing")
	case len(name) > MaxNameChars:
		return fmt.Errorf("name: longer than %d characters", MaxNameChars)
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

// ValidateEmail accepts the addresses of RFC 5322, section 3.4.1, whose local part is a dot-atom and
// whose domain is a name: what mail forms accept, too. None is fine.
func ValidateEmail(email string) error {
	if email == "" {
		return nil
	}
	if len(email) > session.MaxEmailBytes {
		return fmt.Errorf("longer than %d bytes", session.MaxEmailBytes)
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

// ValidatePicture accepts what a page can show without running it: an absolute http or https URL.
// None is fine.
func ValidatePicture(picture string) error {
	if picture == "" {
		return nil
	}
	u, err := url.Parse(picture)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil {
		return errors.New("not an address that begins with https:// or http://")
	}
	return nil
}
