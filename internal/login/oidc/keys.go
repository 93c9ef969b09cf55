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

// purpose is what a signature is checked for. Tokens of sign-ins come from the provider itself,
// while logout tokens come from anybody, so each has means of its own for asking the provider about
// keys.
type purpose int

const (
	forSignIn purpose = iota
	forLogout
	purposes
)

const (
	// keysFresh is how long keys are used without asking for them again. A key that the provider
	// has withdrawn is good for so long at most, while the provider answers.
	keysFresh = time.Hour

	// keysStale is how long they are used where the provider does not answer.
	keysStale = 24 * time.Hour

	// retryAfter is how long a failure to ask the provider is remembered, and what has to wait for
	// the answer gets the failure.
	retryAfter = 5 * time.Second

	// askAgain is how long it is remembered that the provider has no key of a name.
	askAgain = time.Minute

	// Names that the provider has no key of, for each purpose. Where more are asked for within
	// askAgain, only the budget limits the asking.
	maxMissing = 64

	maxKeyID = 256 // bytes
	maxKeys  = 256 // in a set
	minRSA   = 2048
)

// budgets is how often a minute the provider is asked for keys of unknown names.
var budgets = [purposes]int{forSignIn: 20, forLogout: 5}

// keys are those at a provider's jwks_uri. They are asked for when there is something to check: a
// name that is not among them is looked for at once, so that rotated keys are known when they are
// first used (OpenID Connect Core 1.0, section 10.1.1), but only once a minute for each name, and
// within a budget. Methods may be called concurrently.
type keys struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu       sync.Mutex
	set      *keySet   // nil until there is one
	asking   *question // nil while nobody asks
	failed   error     // of the last question; nil where it was answered
	failedAt time.Time
	missing  [purposes]*simplelru.LRU[string, time.Time] // names, and when they were last asked for
	budgets  [purposes]*rate.Limiter
}

// keySet is an answer of the provider.
type keySet struct {
	keys []jose.JSONWebKey // public ones for signatures
	at   time.Time
}

// question is one that the provider has been asked, and that all wait for together.
type question struct {
	answered chan struct{}
	set      *keySet
	err      error
}

func newKeys(url string, client *http.Client, now func() time.Time) *keys {
	k := &keys{url: url, client: client, now: now}
	for p := range purposes {
		k.missing[p], _ = simplelru.NewLRU[string, time.Time](maxMissing, nil) // errs for sizes below one only
		k.budgets[p] = rate.NewLimiter(rate.Every(time.Minute/time.Duration(budgets[p])), budgets[p])
	}
	return k
}

// verify returns the payload of a token with one signature. Errors are *login.RejectedError, and
// login.ErrProviderUnavailable where the key that it takes could not be asked for.
func (k *keys) verify(ctx context.Context, token *jose.JSONWebSignature, p purpose) ([]byte, error) {
	name := token.Signatures[0].Protected.KeyID
	if len(name) > maxKeyID {
		return nil, rejected("kid", errors.New("is too long"))
	}
	set, asked, err := k.current(ctx)
	if err != nil {
		return nil, err
	}
	payload, again, err := set.verify(token)
	if again && !asked {
		newer, lookUpErr := k.lookUp(ctx, set, name, p)
		switch {
		case lookUpErr != nil:
			return nil, lookUpErr
		case newer == set:
			return nil, err
		}
		payload, again, err = newer.verify(token)
	}
	if again {
		k.miss(name, p)
	}
	return payload, err
}

// current returns the keys, and asks for them where there are none or only old ones.
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

// lookUp returns keys that are newer than those in which a name was not found. It returns the same
// ones where the name was asked for lately.
func (k *keys) lookUp(ctx context.Context, seen *keySet, name string, p purpose) (*keySet, error) {
	k.mu.Lock()
	if k.set != seen {
		defer k.mu.Unlock()
		return k.set, nil
	}
	if now := k.now(); k.asking == nil && !k.failing() {
		if at, ok := k.missing[p].Get(name); ok && now.Sub(at) < askAgain {
			k.mu.Unlock()
			return seen, nil
		}
		if !k.budgets[p].AllowN(now, 1) {
			k.mu.Unlock()
			return nil, unavailable(errors.New("asked for too many unknown keys"))
		}
	}
	asked := k.ask(ctx)
	k.mu.Unlock()
	return asked.wait(ctx)
}

// miss remembers that the provider has no key of a name.
func (k *keys) miss(name string, p purpose) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.missing[p].Add(name, k.now())
}

// ask asks the provider, or joins those who wait for its answer already. A failure of a moment ago
// is the answer. The question goes on when the one who asks it does not wait any more. k.mu is
// held.
func (k *keys) ask(ctx context.Context) *question {
	if k.asking != nil {
		return k.asking
	}
	asked := &question{answered: make(chan struct{})}
	if k.failing() {
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
			asked.set = &keySet{keys: found, at: k.now()}
			k.set = asked.set
		}
		close(asked.answered)
	}()
	return asked
}

// failing reports whether the provider failed to answer a moment ago. k.mu is held.
func (k *keys) failing() bool {
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

func (k *keys) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	_, body, err := oauthclient.Get(ctx, k.client, k.url, "", map[string]string{"Accept": "application/jwk-set+json, application/json"})
	if err != nil {
		return nil, err
	}
	return parseKeys(body)
}

// parseKeys reads a JWK Set (RFC 7517, section 5). Keys that signatures cannot be checked with are
// left out: those of unknown kinds or for encryption, short ones, secret ones, and ones that are
// broken.
func parseKeys(body []byte) ([]jose.JSONWebKey, error) {
	var document struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return nil, fmt.Errorf("no JWK Set: %w", err)
	}
	if len(document.Keys) > maxKeys {
		return nil, fmt.Errorf("%d keys, more than %d", len(document.Keys), maxKeys)
	}
	var found []jose.JSONWebKey
	for _, text := range document.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(text) == nil && signs(&key) {
			found = append(found, key)
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no key that signatures can be checked with")
	}
	return found, nil
}

// signs reports whether a key is a public one that signatures can be checked with.
func signs(key *jose.JSONWebKey) bool {
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

// verify returns the payload of a token. Again says that newer keys could tell more: the token's
// key is not there. Where it is there and does not fit, nothing newer would.
func (s *keySet) verify(token *jose.JSONWebSignature) (payload []byte, again bool, err error) {
	header := token.Signatures[0].Protected
	if header.KeyID == "" {
		return s.verifyUnnamed(token)
	}
	err = rejected("kid", nil)
	again = true
	for i := range s.keys {
		key := &s.keys[i]
		if key.KeyID != header.KeyID {
			continue
		}
		again = false
		if !suits(key, header.Algorithm) {
			err = rejected("alg", nil)
			continue
		}
		if payload, err = token.Verify(key.Key); err == nil {
			return payload, false, nil
		}
		err = rejected("signature", err)
	}
	return nil, again, err
}

// verifyUnnamed checks a token that does not name its key, which is allowed where there is but one
// (OpenID Connect Core 1.0, section 10.1). A provider that names no keys cannot announce that it
// has another one, so newer keys could tell more even where the signature is wrong.
func (s *keySet) verifyUnnamed(token *jose.JSONWebSignature) (payload []byte, again bool, err error) {
	if len(s.keys) != 1 {
		return nil, true, rejected("kid", errors.New("names none of several keys"))
	}
	if !suits(&s.keys[0], token.Signatures[0].Protected.Algorithm) {
		return nil, true, rejected("alg", nil)
	}
	payload, err = token.Verify(s.keys[0].Key)
	if err != nil {
		return nil, true, rejected("signature", err)
	}
	return payload, false, nil
}

// suits reports whether a key is one for an algorithm: of the kind it takes, and where the key is
// for one algorithm only (RFC 7517, section 4.4) for that one.
func suits(key *jose.JSONWebKey, algorithm string) bool {
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

// signatures is the oidc.KeySet for one token that has been parsed already. What is found is kept,
// because go-oidc makes text of errors.
type signatures struct {
	keys    *keys
	purpose purpose
	token   *jose.JSONWebSignature

	payload []byte
	err     error
}

// VerifySignature is oidc.KeySet's.
func (s *signatures) VerifySignature(ctx context.Context, _ string) ([]byte, error) {
	s.payload, s.err = s.keys.verify(ctx, s.token, s.purpose)
	return s.payload, s.err
}

func rejected(reason string, err error) error { return &login.RejectedError{Reason: reason, Err: err} }

func unavailable(err error) error { return fmt.Errorf("%w: %w", login.ErrProviderUnavailable, err) }
