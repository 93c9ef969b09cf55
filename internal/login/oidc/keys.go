package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
)

// purpose is why a signature is checked. Tokens of sign-ins come from the provider itself, logout
// tokens from anybody. So each purpose has its own budget of requests for keys.
type purpose int

const (
	forSignIn purpose = iota
	forLogout
	purposes
)

const (
	// keysFresh is how long keys are used before they are fetched again. It bounds the use of a key
	// that the provider has withdrawn, while the provider answers.
	keysFresh = time.Hour

	// keysStale is how long keys are used while the provider does not answer.
	keysStale = 24 * time.Hour

	// retryAfter is how long a failed request to the provider is the answer to further calls.
	retryAfter = 5 * time.Second

	// askAgain is the shortest time between two requests that tokens cause which cannot be verified:
	// for keys of one name, and for the provider's metadata.
	askAgain = time.Minute

	// maxLookedUp is how many names that were looked up are remembered for each purpose. Beyond it,
	// only the budget limits the requests.
	maxLookedUp = 64

	maxKeyID = 256 // bytes
	maxKeys  = 256 // in a set
	minRSA   = 2048
)

// budgets is how many requests a minute tokens may cause that no known key verifies.
var budgets = [purposes]int{forSignIn: 20, forLogout: 5}

// keys are the keys at a provider's jwks_uri. They are fetched when there is a signature to check.
// If no key verifies a token, its name is looked up at once, so that rotated keys work at their first
// use (OpenID Connect Core 1.0, section 10.1.1), also under the old name. That happens once a minute
// for each name, and within a budget.
// Methods may be called concurrently.
type keys struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu       sync.Mutex
	set      *keySet   // nil until the first answer
	asking   *question // the running request; nil: none
	failed   error     // error of the last request; nil if it succeeded
	failedAt time.Time
	lookedUp [purposes]*simplelru.LRU[string, time.Time] // names in vain, and when
	budgets  [purposes]*rate.Limiter
}

// keySet is a set of keys as the provider answered it.
type keySet struct {
	keys    []jose.JSONWebKey // public ones for signatures
	issuers map[string]string // by the name of the key, of those that say whose they are
	at      time.Time
}

// question is a running request for keys. All callers wait for it together.
type question struct {
	answered chan struct{}
	set      *keySet
	err      error
}

func newKeys(url string, client *http.Client, now func() time.Time) *keys {
	k := &keys{url: url, client: client, now: now}
	for p := range purposes {
		k.lookedUp[p], _ = simplelru.NewLRU[string, time.Time](maxLookedUp, nil) // fails only for sizes below one
		k.budgets[p] = rate.NewLimiter(rate.Every(time.Minute/time.Duration(budgets[p])), budgets[p])
	}
	return k
}

// verify returns the payload of a token with one signature. Errors are *login.RejectedError, and
// login.ErrProviderUnavailable if the keys could not be fetched.
func (k *keys) verify(ctx context.Context, token *jose.JSONWebSignature, p purpose) ([]byte, error) {
	name := token.Signatures[0].Protected.KeyID
	if len(name) > maxKeyID {
		return nil, rejected("kid", errors.New("is too long"))
	}
	set, asked, err := k.current(ctx)
	if err != nil {
		return nil, err
	}
	payload, err := set.verify(token)
	if err != nil && !asked {
		newer, lookUpErr := k.lookUp(ctx, set, name, p)
		switch {
		case lookUpErr != nil:
			return nil, lookUpErr
		case newer == set:
			return nil, err
		}
		payload, err = newer.verify(token)
	}
	if err != nil {
		k.recordLookUp(name, p)
	}
	return payload, err
}

// current returns the keys, and fetches them if there are none or they are older than keysFresh.
func (k *keys) current(ctx context.Context) (set *keySet, asked bool, err error) {
	k.mu.Lock()
	old := k.set
	if old != nil && k.now().Sub(old.at) < keysFresh {
		k.mu.Unlock()
		return old, false, nil
	}
	question := k.ask(ctx)
	k.mu.Unlock()
	set, err = question.wait(ctx)
	if err != nil && old != nil && k.now().Sub(old.at) < keysStale {
		return old, false, nil
	}
	return set, true, err
}

// lookUp returns newer keys than those that did not verify a token. It returns the same keys if the
// token's name was looked up in vain within askAgain.
func (k *keys) lookUp(ctx context.Context, seen *keySet, name string, p purpose) (*keySet, error) {
	k.mu.Lock()
	if k.set != seen {
		defer k.mu.Unlock()
		return k.set, nil
	}
	if now := k.now(); k.asking == nil && !k.failedRecently() {
		if at, ok := k.lookedUp[p].Get(name); ok && now.Sub(at) < askAgain {
			k.mu.Unlock()
			return seen, nil
		}
		if !k.budgets[p].AllowN(now, 1) {
			k.mu.Unlock()
			return nil, unavailable(errors.New("too many tokens asked for other keys"))
		}
	}
	asked := k.ask(ctx)
	k.mu.Unlock()
	return asked.wait(ctx)
}

// issuer returns whose the key of a name is, empty if the provider does not say. It sends no request.
func (k *keys) issuer(name string) string {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.set == nil {
		return ""
	}
	return k.set.issuers[name]
}

// recordLookUp remembers that the newest key of a name did not verify a token.
func (k *keys) recordLookUp(name string, p purpose) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.lookedUp[p].Add(name, k.now())
}

// ask fetches the keys, or joins a request that is already running. After a failure within
// retryAfter it returns that failure. The request continues if the caller stops waiting. The caller
// holds k.mu.
func (k *keys) ask(ctx context.Context) *question {
	if k.asking != nil {
		return k.asking
	}
	asked := &question{answered: make(chan struct{})}
	if k.failedRecently() {
		asked.err = k.failed
		close(asked.answered)
		return asked
	}
	k.asking = asked
	go func() {
		found, err := k.fetch(context.WithoutCancel(ctx))
		k.mu.Lock()
		defer k.mu.Unlock()
		k.asking = nil
		k.failed, k.failedAt = nil, time.Time{}
		if err != nil {
			asked.err = unavailable(fmt.Errorf("keys at %s: %w", k.url, err))
			k.failed, k.failedAt = asked.err, k.now()
		} else {
			found.at = k.now()
			asked.set = found
			k.set = asked.set
		}
		close(asked.answered)
	}()
	return asked
}

// failedRecently reports whether the last request failed within retryAfter. The caller holds k.mu.
func (k *keys) failedRecently() bool {
	since := k.now().Sub(k.failedAt)
	return k.failed != nil && since >= 0 && since < retryAfter
}

func (q *question) wait(ctx context.Context) (*keySet, error) {
	select {
	case <-q.answered:
		return q.set, q.err
	case <-ctx.Done():
		return nil, unavailable(ctx.Err())
	}
}

func (k *keys) fetch(ctx context.Context) (*keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, body, err := oauthclient.Get(ctx, k.client, k.url, "", map[string]string{"Accept": "application/jwk-set+json, application/json"})
	if err != nil {
		return nil, err
	}
	return parseKeys(body)
}

// parseKeys reads a JWK Set (RFC 7517, section 5). It leaves out keys that cannot verify
// signatures: unknown types, encryption keys, short ones, secret ones and malformed ones.
func parseKeys(body []byte) (*keySet, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return nil, fmt.Errorf("not a JWK Set: %w", err)
	}
	if len(document.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, more than %d", len(document.Keys), maxKeys)
	}
	found := &keySet{issuers: make(map[string]string)}
	for _, text := range document.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(text) == nil && canVerify(&key) {
			found.keys = append(found.keys, key)
			var more struct {
				Issuer string `json:"issuer"` // Microsoft Entra ID's
			}
			if json.Unmarshal(text, &more) == nil && more.Issuer != "" {
				found.issuers[key.KeyID] = more.Issuer
			}
		}
	}
	if len(found.keys) == 0 {
		return nil, errors.New("no key can verify signatures")
	}
	return found, nil
}

// canVerify reports whether a key is a public key for signatures.
func canVerify(key *jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return public.N.BitLen() >= minRSA // RFC 7518, section 3.3
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// verify returns the payload of a token. Errors are *login.RejectedError.
func (s *keySet) verify(token *jose.JSONWebSignature) (payload []byte, err error) {
	header := token.Signatures[0].Protected
	if header.KeyID == "" {
		return s.verifyUnnamed(token)
	}
	err = rejected("kid", nil)
	for i := range s.keys {
		key := &s.keys[i]
		if key.KeyID != header.KeyID {
			continue
		}
		if !matches(key, header.Algorithm) {
			err = rejected("alg", nil)
			continue
		}
		if payload, err = token.Verify(key.Key); err == nil {
			return payload, nil
		}
		err = rejected("signature", err)
	}
	return nil, err
}

// verifyUnnamed verifies a token that does not name its key, which is allowed if the set has one
// key (OpenID Connect Core 1.0, section 10.1).
func (s *keySet) verifyUnnamed(token *jose.JSONWebSignature) ([]byte, error) {
	if len(s.keys) != 1 {
		return nil, rejected("kid", errors.New("names none of several keys"))
	}
	if !matches(&s.keys[0], token.Signatures[0].Protected.Algorithm) {
		return nil, rejected("alg", nil)
	}
	payload, err := token.Verify(s.keys[0].Key)
	if err != nil {
		return nil, rejected("signature", err)
	}
	return payload, nil
}

// matches reports whether a key can be used with an algorithm: its type fits, and its own
// algorithm, if it names one, is the same (RFC 7517, section 4.4).
func matches(key *jose.JSONWebKey, algorithm string) bool {
	if key.Algorithm != "" && key.Algorithm != algorithm {
		return false
	}
	switch public := key.Key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		bits := map[string]int{"ES256": 256, "ES384": 384, "ES512": 521}
		return bits[algorithm] == public.Curve.Params().BitSize
	case ed25519.PublicKey:
		return algorithm == "EdDSA"
	}
	return false
}

// signatures is the oidc.KeySet for one parsed token. It keeps the result of the verification,
// because go-oidc turns errors into text.
type signatures struct {
	keys    *keys
	purpose purpose
	token   *jose.JSONWebSignature

	payload []byte
	err     error
}

// VerifySignature implements oidc.KeySet.
func (s *signatures) VerifySignature(ctx context.Context, _ string) ([]byte, error) {
	s.payload, s.err = s.keys.verify(ctx, s.token, s.purpose)
	return s.payload, s.err
}

func rejected(reason string, err error) error { return &login.RejectedError{Reason: reason, Err: err} }

func unavailable(err error) error { return fmt.Errorf("%w: %w", login.ErrProviderUnavailable, err) }
