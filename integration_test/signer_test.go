package integration

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// signer is a provider's key, with a name.
type signer struct {
	id        string
	algorithm jose.SignatureAlgorithm
	key       crypto.Signer
}

func newSigner(t testing.TB, algorithm jose.SignatureAlgorithm) *signer {
	t.Helper()
	var key crypto.Signer
	var err error
	if algorithm == jose.ES256 {
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	} else {
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &signer{id: "key-" + rand.Text(), algorithm: algorithm, key: key}
}

// SignatureAlgorithm, Key and ID make it an op.SigningKey.
func (s *signer) SignatureAlgorithm() jose.SignatureAlgorithm { return s.algorithm }
func (s *signer) Key() any                                    { return s.key }
func (s *signer) ID() string                                  { return s.id }

// sign is a JWT of a type with claims.
func (s *signer) sign(t testing.TB, typ string, claims object) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	options := (&jose.SignerOptions{}).WithHeader(jose.HeaderKey("kid"), s.id)
	if typ != "" {
		options = options.WithType(jose.ContentType(typ))
	}
	by, err := jose.NewSigner(jose.SigningKey{Algorithm: s.algorithm, Key: s.key}, options)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := by.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// jwk is the key for a set of keys: the public half, or both.
func (s *signer) jwk(private bool) jose.JSONWebKey {
	key := jose.JSONWebKey{Key: s.key, KeyID: s.id, Algorithm: string(s.algorithm), Use: "sig"}
	if !private {
		key.Key = s.key.Public()
	}
	return key
}

// publicKey is the half of a key that is published. It is an op.Key.
type publicKey struct{ *signer }

func (k publicKey) Algorithm() jose.SignatureAlgorithm { return k.algorithm }
func (k publicKey) Use() string                        { return "sig" }
func (k publicKey) Key() any                           { return k.key.Public() }
