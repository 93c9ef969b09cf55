package password

import (
	"errors"
	"strings"
)

// hash is a password hash. It is not changed once made, and may be used concurrently.
type hash interface {
	// matches reports whether the hash was made of the password. It takes as long whatever the
	// password is, within the bounds that Authenticate sets.
	matches(password []byte) bool

	// decoy returns a hash that costs the same to check and that no password matches.
	decoy() hash

	// cost is what a check takes up while it runs.
	cost() cost
}

// cost is what checking a hash takes up.
type cost struct {
	memory  int64 // KiB
	threads int64
}

// maxHashBytes bounds the text of a hash, and with it salt and key. What caddy hash-password prints
// has 60 to 100 bytes.
const maxHashBytes = 512

var errUnknownHash = errors.New("neither an argon2id nor a bcrypt hash as caddy hash-password prints it")

// howToHash is behind the errors of hashes in the configuration.
const howToHash = "make one with caddy hash-password --algorithm argon2id"

// parseHash reads the text of an argon2id or bcrypt hash. It accepts what is well-formed, can match
// a password and can be checked within reason. Errors never repeat the text: it may be a password
// that somebody put in the wrong place, and the configuration's errors end up in logs.
func parseHash(text string) (hash, error) {
	switch {
	case text == "":
		return nil, errors.New("missing")
	case len(text) > maxHashBytes:
		return nil, errUnknownHash
	case strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }):
		return nil, errors.New("has white space or other characters that no hash has") // base64 skips line breaks
	case strings.HasPrefix(text, argon2idPrefix):
		return parseArgon2id(text)
	case strings.HasPrefix(text, "$argon2"):
		return nil, errors.New("only the argon2id variant of argon2 is supported")
	case strings.HasPrefix(text, "$2"):
		return parseBcrypt(text)
	}
	return nil, errUnknownHash
}

// decoyOfScheme returns a hash that costs what those of the scheme cost, which is their text before
// the salt, and that no password matches.
func decoyOfScheme(scheme string) (hash, error) {
	if strings.HasPrefix(scheme, "$2") {
		h, err := parseBcrypt(scheme + "$" + strings.Repeat(".", bcryptSaltChars+bcryptKeyChars))
		if err != nil {
			return nil, err
		}
		return h.decoy(), nil
	}
	h, err := parseArgon2id(scheme + "$" + strict.EncodeToString(defaultHash.salt) + "$" + strict.EncodeToString(defaultHash.key))
	if err != nil {
		return nil, err
	}
	return h.decoy(), nil
}
