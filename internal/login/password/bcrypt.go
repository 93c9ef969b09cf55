package password

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/crypto/bcrypt"
)

const (
	// maxBcryptCost bounds the rounds, of which there are 2 to the cost. 14, which is what caddy
	// hash-password uses, takes about a second; 16 four.
	maxBcryptCost = 16

	// maxBcryptPassword is how many bytes of a password bcrypt looks at.
	maxBcryptPassword = 72

	bcryptSaltBytes, bcryptSaltChars = 16, 22
	bcryptKeyBytes, bcryptKeyChars   = 23, 31
	bcryptPrefixChars                = len("$2a$14$")
)

// bcryptEncoding is bcrypt's own base64: another order of the letters, no padding.
var bcryptEncoding = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").
	WithPadding(base64.NoPadding)

// bcryptHash is a bcrypt hash as text, which is how x/crypto/bcrypt takes it.
type bcryptHash []byte

// parseBcrypt reads $2a$14$ and what follows, which is 22 characters of salt and 31 of key. 2b and
// 2y name the same algorithm, by libraries that had to tell it from earlier mistakes of theirs; 2x
// marks hashes with such a mistake. All else is checked here because x/crypto/bcrypt reads hashes
// loosely, and what it makes of a mistyped one is that no password matches.
func parseBcrypt(text string) (hash, error) {
	if len(text) != bcryptPrefixChars+bcryptSaltChars+bcryptKeyChars {
		return nil, errors.New("bcrypt: not 60 characters")
	}
	switch text[:4] {
	case "$2a$", "$2b$", "$2y$":
	default:
		return nil, errors.New("bcrypt: only the versions 2a, 2b and 2y are supported")
	}
	cost, err := strconv.ParseUint(text[4:6], 10, 8)
	if err != nil || text[6] != '$' {
		return nil, errors.New("bcrypt: the cost is not two digits")
	}
	if cost < uint64(bcrypt.MinCost) || cost > maxBcryptCost {
		return nil, fmt.Errorf("bcrypt: a cost of %d is not from %d to %d", cost, bcrypt.MinCost, maxBcryptCost)
	}
	salt, key := text[bcryptPrefixChars:bcryptPrefixChars+bcryptSaltChars], text[bcryptPrefixChars+bcryptSaltChars:]
	// Some libraries write salts with stray bits, which no implementation reads. A key with stray
	// bits is one that never came out of bcrypt.
	if _, err := bcryptEncoding.DecodeString(salt); err != nil {
		return nil, errors.New("bcrypt: the salt is not bcrypt's base64")
	}
	if _, err := bcryptEncoding.Strict().DecodeString(key); err != nil {
		return nil, errors.New("bcrypt: the key is not bcrypt's base64")
	}
	return bcryptHash(text), nil
}

// matches never accepts a password that bcrypt would not see all of, or could take for another: it
// ignores what follows 72 bytes, and repeats a password up to there with a NUL between. NIST SP
// 800-63B forbids to truncate passwords. The hash is computed all the same, so that this takes as
// long as any wrong password.
func (h bcryptHash) matches(password []byte) bool {
	equal := bcrypt.CompareHashAndPassword(h, password) == nil
	return equal && len(password) <= maxBcryptPassword && !bytes.ContainsRune(password, 0)
}

// decoy has a random key. To find a password for it is to invert the hash.
func (h bcryptHash) decoy() hash {
	var random [bcryptSaltBytes + bcryptKeyBytes]byte
	rand.Read(random[:]) // never fails: crypto/rand ends the process instead
	d := bytes.Clone(h[:bcryptPrefixChars])
	d = bcryptEncoding.AppendEncode(d, random[:bcryptSaltBytes])
	return bcryptHash(bcryptEncoding.AppendEncode(d, random[bcryptSaltBytes:]))
}

// cost of bcrypt in memory is the state of one cipher, whatever its cost parameter is.
func (h bcryptHash) cost() cost { return cost{memory: 5, threads: 1} }
