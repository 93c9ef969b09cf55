package session

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
)

// tokenBytes is the length of a token: 256 random bits.
const tokenBytes = 32

// TokenLength is the length of a token's text in bytes.
const TokenLength = 43

// ErrMalformedToken reports text that is not a token.
var ErrMalformedToken = errors.New("malformed jar token")

// strict refuses the second spellings that base64 allows: stray bits after the last byte, line breaks.
var strict = base64.RawURLEncoding.Strict()

// Token is the secret that names a jar: the value of the jar's cookie. Whoever has it is that
// browser. It is never logged and never stored; the store knows only its Key. The zero Token
// stands for no jar.
type Token struct {
	secret [tokenBytes]byte
	set    bool
}

// Key is what a jar is stored under: the SHA-256 of its token. A token has all the entropy of
// the hash, so neither salt nor stretching would add anything.
type Key [sha256.Size]byte

// NewToken makes a token from the operating system's random source.
func NewToken() Token {
	t := Token{set: true}
	rand.Read(t.secret[:]) // never fails: crypto/rand ends the process instead
	return t
}

// ParseToken reads a token's text. Exactly one text stands for a token; any other is ErrMalformedToken.
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

// IsZero reports whether t stands for no jar.
func (t Token) IsZero() bool { return !t.set }

// Reveal returns the token's text, for the Set-Cookie header and nothing else.
func (t Token) Reveal() string { return base64.RawURLEncoding.EncodeToString(t.secret[:]) }

// Key returns what the token's jar is stored under.
func (t Token) Key() Key { return sha256.Sum256(t.secret[:]) }

// String keeps the secret out of logs.
func (t Token) String() string { return "[token]" }

// Format keeps it out of every verb of fmt: String alone leaves %#v and %d to print the fields.
func (t Token) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, t.String()) }

// storeKey spells a key as the store's: readable, and apart from the keys of other records.
func (k Key) storeKey() string {
	return jarPrefix + base64.RawURLEncoding.EncodeToString(k[:])
}

// jarPrefix marks the store's records that are jars.
const jarPrefix = "jar:"

// newName makes a name of 128 random bits: a handle, a session id, a jar id, a slot's tag.
func newName() string {
	var b [16]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// nameLength is the length of a name's text in bytes.
const nameLength = 22

// isName reports whether a text can be one that newName made.
func isName(text string) bool {
	var b [16]byte
	n, err := strict.Decode(b[:], []byte(text))
	return len(text) == nameLength && err == nil && n == len(b)
}
