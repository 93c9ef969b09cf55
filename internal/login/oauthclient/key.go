package oauthclient

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// assertionLife is how long a client assertion holds. It is used at once, and once.
const assertionLife = time.Minute

// minRSA is the least size of an RSA key (RFC 7518, section 3.3).
const minRSA = 2048

// signingKey signs client assertions.
type signingKey struct{ signer jose.Signer }

// readKey reads a private key: a JWK (RFC 7517), or PEM with a key in PKCS #8, PKCS #1 or SEC 1. A
// certificate beside the key in PEM names it by its thumbprint, as Microsoft Entra ID needs it (RFC
// 7515, section 4.1.8).
func readKey(name, algorithm, keyID string) (*signingKey, error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var key any
	var thumbprint string
	if text = bytes.TrimSpace(text); bytes.HasPrefix(text, []byte("{")) {
		var jwk jose.JSONWebKey
		if err := json.Unmarshal(text, &jwk); err != nil {
			return nil, fmt.Errorf("%s: is not a JWK: %w", name, err)
		}
		key = jwk.Key
		algorithm, keyID = cmp.Or(algorithm, jwk.Algorithm), cmp.Or(keyID, jwk.KeyID)
	} else if key, thumbprint, err = parsePEM(text); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	algorithms, err := algorithmsOf(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if algorithm == "" {
		algorithm = algorithms[0]
	}
	if !slices.Contains(algorithms, algorithm) {
		return nil, fmt.Errorf("%s: the key cannot sign with %q, but with %s", name, algorithm, strings.Join(algorithms, ", "))
	}
	options := (&jose.SignerOptions{}).WithType("JWT")
	if keyID != "" {
		options = options.WithHeader("kid", keyID)
	}
	if thumbprint != "" {
		options = options.WithHeader("x5t#S256", thumbprint)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(algorithm), Key: key}, options)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &signingKey{signer}, nil
}

// parsePEM returns the private key of a PEM file, and the thumbprint of its first certificate if it has
// one.
func parsePEM(text []byte) (key any, thumbprint string, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "CERTIFICATE":
			if thumbprint == "" {
				sum := sha256.Sum256(block.Bytes)
				thumbprint = base64.RawURLEncoding.EncodeToString(sum[:])
			}
			continue
		case "EC PARAMETERS": // OpenSSL writes them before the key, which has them too
			continue
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			return nil, "", fmt.Errorf("has a block %q, which is no private key", block.Type)
		}
		if err != nil {
			return nil, "", err
		}
	}
	if key == nil {
		return nil, "", errors.New("has no private key in PEM, and is no JWK")
	}
	return key, thumbprint, nil
}

// algorithmsOf returns the algorithms that a private key can sign with (RFC 7518, section 3.1). The
// first is the one that most providers take.
func algorithmsOf(key any) ([]string, error) {
	switch private := key.(type) {
	case *rsa.PrivateKey:
		if private.N.BitLen() < minRSA {
			return nil, fmt.Errorf("the RSA key has %d bits, and needs %d", private.N.BitLen(), minRSA)
		}
		return []string{"RS256", "PS256", "RS384", "PS384", "RS512", "PS512"}, nil
	case *ecdsa.PrivateKey:
		switch private.Curve.Params().BitSize {
		case 256:
			return []string{"ES256"}, nil
		case 384:
			return []string{"ES384"}, nil
		case 521:
			return []string{"ES512"}, nil
		}
	case ed25519.PrivateKey:
		return []string{"EdDSA"}, nil
	}
	if _, ok := key.(interface{ Public() crypto.PublicKey }); !ok {
		return nil, errors.New("is not a private key")
	}
	return nil, errors.New("has a type of key that no algorithm is for")
}

// assertion returns a JWT by which a client proves who it is (RFC 7523, section 3; OpenID Connect Core
// 1.0, section 9).
func (k *signingKey) assertion(clientID, audience string, now time.Time) (string, error) {
	claims, err := json.Marshal(map[string]any{
		"iss": clientID,
		"sub": clientID,
		"aud": audience,
		"jti": rand.Text(),
		"iat": now.Unix(),
		"nbf": now.Unix(),
		"exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return "", err
	}
	signed, err := k.signer.Sign(claims)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
