package password

import (
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/trustelem/zxcvbn/frequency"
	"golang.org/x/text/unicode/norm"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// Bounds of a new password in characters (NIST SP 800-63B, "Password Verifiers": 8 at least, and
// room for 64 at least). There are no rules about what kinds of characters it has: they make
// passwords harder to remember, and hardly harder to guess.
const (
	MinChars = login.MinPassword
	MaxChars = login.MaxPassword
)

// CheckNew refuses a password that is not good enough for an account: with login.ErrPasswordTooShort,
// login.ErrPasswordTooLong, or login.ErrPasswordCommon where it is one of those that guessers try
// first. These are a list of the most common ones, and what the account is called: names are its user
// name, e-mail address and the like.
func CheckNew(password string, names ...string) error {
	switch n := utf8.RuneCountInString(password); {
	case n < MinChars:
		return login.ErrPasswordTooShort
	case n > MaxChars || len(prepare(password)) > maxPasswordBytes:
		return login.ErrPasswordTooLong
	}
	lower := strings.ToLower(password)
	if common()[lower] || slices.ContainsFunc(names, func(name string) bool { return strings.ToLower(name) == lower }) {
		return login.ErrPasswordCommon
	}
	return nil
}

// common is the passwords that are used most, in lower case, as far as they are long enough.
var common = sync.OnceValue(func() map[string]bool {
	list := frequency.FrequencyLists["passwords"]
	all := make(map[string]bool, len(list))
	for _, password := range list {
		if len(password) >= MinChars {
			all[password] = true
		}
	}
	return all
})

// prepare gives a password the one form that it is hashed in: the same letters have several in
// Unicode, and which one a keyboard sends is the operating system's choice (NIST SP 800-63B asks for
// a normalisation; NFC is what RFC 8265, section 4.2, takes for passwords). It is for the hashes that
// are made here; whoever made those of the configuration has hashed what was typed.
func prepare(password string) []byte { return norm.NFC.Bytes([]byte(password)) }
