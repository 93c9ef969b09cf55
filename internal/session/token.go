package session

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// tokenBytes is the length of a token: 256 random bits.
const tokenBytes = 32

// TokenLength is the length of the text of a token in bytes.
const TokenLength = 43

// ErrMalformedToken reports text that is not a token.
var ErrMalformedToken = errors.New("malformed jar token")

// strict refuses the alternative spellings that base64 allows: stray bits after the last byte, and
// line breaks.
var strict = base64.RawURLEncoding.Strict()

// Token is the secret that names a jar, and the value of the jar's cookie. Whoever has it is that
// browser. It is never logged or stored; the store only has its Key. The zero Token stands for no
// jar.
type Token struct {
	secret [tokenBytes]byte
	set    bool
}

// Key is the key of a jar in the store: the SHA-256 of its token. A token has as much entropy as
// the hash, so salt and stretching would add nothing.
type Key [sha256.Size]byte

// NewToken returns a new token from the operating system's random source.
func NewToken() Token {
	t := Token{set: true}
	rand.Read(t.secret[:]) // never fails: crypto/rand ends the process instead
	return t
}

// ParseToken parses the text of a token. Every token has exactly one text; any other is
// ErrMalformedToken.
func ParseToken(text string) (Token, error) {
	t := Token{set: true}
	if len(text) != TokenLength {
		return Token{}, ErrMalformedToken
	}
	var src [TokenLength]byte
	copy(src[:], text)
	if n, err := strict.Decode(t.secret[:], src[:]); err != nil || n != tokenBytes {
		return Token{}, ErrMalformedToken
	}
	return t, nil
}

// next returns the token that replaces t. It is as unguessable as t to those who do not know the
// salt, and as the salt to those who do not know t. The store has the salt and not the tokens.
func (t Token) next(salt [32]byte) Token {
	secret, err := hkdf.Key(sha256.New, t.secret[:], salt[:], "next token of a jar", tokenBytes)
	if err != nil { // only a length that SHA-256 cannot fill is an error
		panic(err)
	}
	next := Token{set: true}
	copy(next.secret[:], secret)
	return next
}

// IsZero reports whether t stands for no jar.
func (t Token) IsZero() bool { return !t.set }

// Reveal returns the text of the token, for the Set-Cookie header only.
func (t Token) Reveal() string { return base64.RawURLEncoding.EncodeToString(t.secret[:]) }

// Key returns the key of the token's jar.
func (t Token) Key() Key { return sha256.Sum256(t.secret[:]) }

// String hides the secret from logs.
func (t Token) String() string { return "[token]" }

// Format hides the secret from every verb of fmt. With String alone, %#v and %d would print the
// fields.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// storeKey returns the store's key: readable, and distinct from the keys of other records.
func (k Key) storeKey() string {
	return jarPrefix + base64.RawURLEncoding.EncodeToString(k[:])
}

// jarPrefix is the key prefix of jars in the store.
const jarPrefix = "jar:"

// newName returns a random name of 128 bits: a handle, a session id, a jar id or the tag of a slot.
func newName() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// nameLength is the length of the text of a name in bytes.
const nameLength = 22

// isName reports whether newName could have returned a text.
func isName(text string) bool {
	var b [16]byte
	n, err := strict.Decode(b[:], []byte(text))
	return len(text) == nameLength && err == nil && n == len(b)
}
