// Package seal encrypts what the gateway hands out or stores and wants back unseen and unchanged.
//
// A Box holds the gateway's secret keys. Each purpose gets a key of its own from it, so that what was
// sealed for one purpose never opens for another. What is sealed is bound to a context as well, such
// as the account that it belongs to, and opens in that context only.
package seal

import (
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"golang.org/x/crypto/chacha20poly1305"
)

// MinKeyBytes is how long a secret key must be at least: as long as the keys that are derived from
// it. A key may be any text; how hard it is to guess is up to whoever chose it.
const MinKeyBytes = 32

// Overhead is how many bytes longer a sealed text is than the plain one.
const Overhead = chacha20poly1305.NonceSizeX + chacha20poly1305.Overhead

// salt sets keys derived here apart from those that another program may derive of the same secret.
const salt = "caddy-multi-session"

// ErrSealed reports what does not open: sealed with another key, for another purpose or context,
// changed since, or never sealed at all. Which of them it was cannot be told.
var ErrSealed = errors.New("sealed text does not open")

// Box holds the gateway's secret keys. It may be used concurrently.
type Box struct {
	secrets [][]byte // pseudorandom keys (RFC 5869, section 2.2), the sealing one first
}

// NewBox returns the box of the keys. The first one seals and all of them open, so that a key can be
// replaced without loss: the new one goes before the old one. A key that is shorter than MinKeyBytes
// is an error that names its place, counted from 1.
func NewBox(keys ...[]byte) (*Box, error) {
	if len(keys) == 0 {
		return nil, errors.New("secret key: there is none")
	}
	b := &Box{secrets: make([][]byte, len(keys))}
	for i, key := range keys {
		if len(key) < MinKeyBytes {
			return nil, fmt.Errorf("secret key %d of %d: has %d bytes, must have %d at least", i+1, len(keys), len(key), MinKeyBytes)
		}
		secret, err := hkdf.Extract(sha256.New, key, []byte(salt))
		if err != nil {
			return nil, fmt.Errorf("secret key %d of %d: %w", i+1, len(keys), err)
		}
		b.secrets[i] = secret
	}
	// Nothing about a purpose can fail, but a build for FIPS 140 may not have the cipher.
	if _, err := derive(b.secrets[0], ""); err != nil {
		return nil, fmt.Errorf("secret key: %w", err)
	}
	return b, nil
}

// Sealer returns what seals for the purpose. Equal purposes of equal keys open what each other sealed.
func (b *Box) Sealer(purpose string) *Sealer {
	s := &Sealer{ciphers: make([]cipher.AEAD, len(b.secrets))}
	for i, secret := range b.secrets {
		aead, err := derive(secret, purpose)
		if err != nil {
			panic("seal: " + err.Error()) // NewBox has tried it
		}
		s.ciphers[i] = aead
	}
	return s
}

// derive returns the cipher of a purpose, under a key expanded from the secret (RFC 5869, section 2.3).
func derive(secret []byte, purpose string) (cipher.AEAD, error) {
	key, err := hkdf.Expand(sha256.New, secret, purpose, chacha20poly1305.KeySize)
	if err != nil {
		return nil, err
	}
	return chacha20poly1305.NewX(key)
}

// Sealer seals and opens for one purpose. It may be used concurrently.
type Sealer struct {
	ciphers []cipher.AEAD // the sealing one first
}

// Seal encrypts plain so that it opens in the context only. The context is not in the result. The
// nonce is random, for which XChaCha20-Poly1305 has the room: no number of texts is too many.
func (s *Sealer) Seal(plain, context []byte) []byte {
	sealed := make([]byte, chacha20poly1305.NonceSizeX, len(plain)+Overhead)
	rand.Read(sealed) // never fails: crypto/rand ends the process instead
	return s.ciphers[0].Seal(sealed, sealed, plain, context)
}

// Open returns the plain text of what was sealed in the context. Else it is ErrSealed.
func (s *Sealer) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < Overhead {
		return nil, ErrSealed
	}
	nonce, text := sealed[:chacha20poly1305.NonceSizeX], sealed[chacha20poly1305.NonceSizeX:]
	for _, aead := range s.ciphers {
		if plain, err := aead.Open(nil, nonce, text, context); err == nil {
			return plain, nil
		}
	}
	return nil, ErrSealed
}

// Format keeps the keys out of logs, whatever verb of fmt they are printed with.
func (b *Box) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret keys]") }

// Format keeps the key out of logs, whatever verb of fmt it is printed with.
func (s *Sealer) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[secret key]") }
