package oidc

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// verifyKeys checks a token's signature alone.
func verifyKeys(ctx context.Context, k *keys, raw string, p purpose) error {
	token, err := parseToken(raw, asymmetric)
	if err != nil {
		return err
	}
	_, err = k.verify(ctx, token.signed, p)
	return err
}

func (w *world) keySet() *keys { return newKeys(w.issuer()+pathKeys, http.DefaultClient, w.clock) }

func TestKeysAreAskedForOnce(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	for range 5 {
		wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
	}
	wantAsked(t, w, pathKeys, 1)
}

func TestRotatedKeyIsKnownAtOnce(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
	old := w.sign(w.claims())
	w.rotate("key-2")
	wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
	wantReason(t, verifyKeys(t.Context(), k, old, forSignIn), "kid")
}

func TestRotatedKeyIsAskedForOnceByMany(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
	w.rotate("key-2")
	raw := w.sign(w.claims())
	var people sync.WaitGroup
	for range 20 {
		people.Go(func() { wantReason(t, verifyKeys(t.Context(), k, raw, forSignIn), "accepted") })
	}
	people.Wait()
	wantAsked(t, w, pathKeys, 2)
}

func TestAttackBadSignatureUnderAKnownName(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	forged := signWith(t, ecKey(t), object{"alg": "ES256", "kid": w.kid}, w.claims())
	for range 5 {
		for range 10 {
			wantReason(t, verifyKeys(t.Context(), k, forged, forSignIn), "signature")
			wantReason(t, verifyKeys(t.Context(), k, forged, forLogout), "signature")
		}
		w.pass(askAgain)
	}
	wantAsked(t, w, pathKeys, 5*int(purposes)) // the first request of all is the look-up of the first token
}

// TestKeyChangesUnderItsName has a provider replace its key, and keep the name of the old one.
func TestKeyChangesUnderItsName(t *testing.T) {
	for name, replace := range map[string]func(w *world){
		"another of the type": func(w *world) { w.rotate(w.kid) },
		"of another type": func(w *world) {
			w.rotate(w.kid)
			w.signer = rsaKey()
			w.keys = nil
			w.publish(w.kid, w.signer.Public())
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			k := w.keySet()
			old := w.sign(w.claims())
			wantReason(t, verifyKeys(t.Context(), k, old, forSignIn), "accepted")
			replace(w)
			wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
			wantAsked(t, w, pathKeys, 2)
			if got := reason(verifyKeys(t.Context(), k, old, forSignIn)); got != "signature" && got != "alg" {
				t.Errorf("a token of the old key: %s", got)
			}
		})
	}
}

func TestAttackChangedPayload(t *testing.T) {
	w := newWorld(t)
	parts := strings.Split(w.sign(w.claims()), ".")
	parts[1] = encode(t, with(w.claims(), object{"sub": "mallory"}))
	wantReason(t, verifyKeys(t.Context(), w.keySet(), strings.Join(parts, "."), forSignIn), "signature")
}

func TestUnknownNameIsAskedForOnceAMinute(t *testing.T) {
	for name, p := range map[string]purpose{"sign-in": forSignIn, "logout": forLogout} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			k := w.keySet()
			wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), p), "accepted")
			unknown := w.signAs(object{"kid": "key-2"}, w.claims())
			for range 3 {
				for range 3 {
					wantReason(t, verifyKeys(t.Context(), k, unknown, p), "kid")
				}
				w.pass(askAgain - time.Second)
				wantReason(t, verifyKeys(t.Context(), k, unknown, p), "kid")
				w.pass(time.Second)
			}
			wantAsked(t, w, pathKeys, 1+3)
		})
	}
}

// TestLookUpTakesWhatOthersFound has somebody look a name up in keys that others have replaced
// since.
func TestLookUpTakesWhatOthersFound(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
	seen := k.set
	w.rotate("key-2")
	wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
	newer, err := k.lookUp(t.Context(), seen, "key-2", forSignIn)
	if err != nil || newer == seen || newer != k.set {
		t.Errorf("%v, %v", newer, err)
	}
	wantAsked(t, w, pathKeys, 2)
}

func TestAttackUnknownNameAtFirst(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	wantReason(t, verifyKeys(t.Context(), k, w.signAs(object{"kid": "other"}, w.claims()), forLogout), "kid")
	wantAsked(t, w, pathKeys, 1) // what has just been asked for is not asked for again
}

// TestAttackFloodOfUnknownNames sends logout tokens with names of keys that nobody has, for ten
// minutes, and rotates the keys meanwhile.
func TestAttackFloodOfUnknownNames(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
	forger := ecKey(t)
	const minutes = 10
	for minute := range minutes {
		for i := range 120 {
			forged := signWith(t, forger, object{"alg": "ES256", "kid": fmt.Sprint("forged-", minute, "-", i)}, "{}")
			if got := reason(verifyKeys(t.Context(), k, forged, forLogout)); got != "kid" && got != "unavailable" {
				t.Fatalf("forged token: %s", got)
			}
			w.pass(time.Minute / 120)
		}
		w.rotate(fmt.Sprint("real-", minute))
		wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
	}
	most := 1 + minutes + budgets[forLogout]*(minutes+1)
	if got := w.asked(pathKeys); got > most {
		t.Errorf("the keys were asked for %d times, want %d at most", got, most)
	}
}

// TestAttackAskForTheNextName has a logout token ask for the name that the provider will give its
// next key, so that the sign-in that comes with it is not looked up.
func TestAttackAskForTheNextName(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
	forged := signWith(t, ecKey(t), object{"alg": "ES256", "kid": "key-2"}, "{}")
	wantReason(t, verifyKeys(t.Context(), k, forged, forLogout), "kid")
	w.rotate("key-2")
	wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
}

func TestWithdrawnKeyIsForgotten(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	old := w.sign(w.claims())
	wantReason(t, verifyKeys(t.Context(), k, old, forSignIn), "accepted")
	w.rotate("key-2")
	w.pass(keysFresh - time.Second)
	wantReason(t, verifyKeys(t.Context(), k, old, forSignIn), "accepted")
	w.pass(time.Second)
	wantReason(t, verifyKeys(t.Context(), k, old, forSignIn), "kid")
}

func TestKeysOutliveAFailureOfTheProvider(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	raw := w.sign(w.claims())
	wantReason(t, verifyKeys(t.Context(), k, raw, forSignIn), "accepted")
	w.respond(pathKeys, unwell)
	w.pass(keysFresh)
	for range 3 {
		wantReason(t, verifyKeys(t.Context(), k, raw, forSignIn), "accepted")
	}
	wantAsked(t, w, pathKeys, 2)
	w.pass(keysStale - keysFresh)
	wantReason(t, verifyKeys(t.Context(), k, raw, forSignIn), "unavailable")
	w.respond(pathKeys, nil)
	w.pass(retryAfter)
	wantReason(t, verifyKeys(t.Context(), k, raw, forSignIn), "accepted")
}

func unwell(out http.ResponseWriter, _ *http.Request) {
	http.Error(out, "not now", http.StatusServiceUnavailable)
}

func TestFailureIsRememberedForAMoment(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	raw := w.sign(w.claims())
	w.respond(pathKeys, unwell)
	for range 10 {
		wantReason(t, verifyKeys(t.Context(), k, raw, forLogout), "unavailable")
	}
	wantAsked(t, w, pathKeys, 1)
	w.respond(pathKeys, nil)
	w.pass(retryAfter)
	wantReason(t, verifyKeys(t.Context(), k, raw, forSignIn), "accepted")
}

// TestFailedLookUpIsNoAnswer has the provider fail where a rotated key is looked for: the key is
// not unknown because of that, nor is the budget used up by those who try again.
func TestFailedLookUpIsNoAnswer(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
	w.rotate("key-2")
	w.respond(pathKeys, unwell)
	for range 2 * budgets[forSignIn] {
		wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "unavailable")
	}
	w.respond(pathKeys, nil)
	w.pass(retryAfter)
	wantReason(t, verifyKeys(t.Context(), k, w.sign(w.claims()), forSignIn), "accepted")
}

func TestQuestionGoesOnWithoutTheOneWhoAsked(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	raw := w.sign(w.claims())
	asked, release := make(chan struct{}), make(chan struct{})
	w.respond(pathKeys, func(out http.ResponseWriter, in *http.Request) {
		close(asked)
		<-release
		w.respond(pathKeys, nil)
		w.ServeHTTP(out, in)
	})
	ctx, cancel := context.WithCancel(t.Context())
	var people sync.WaitGroup
	people.Go(func() { wantReason(t, verifyKeys(ctx, k, raw, forSignIn), "unavailable") })
	<-asked
	cancel()
	people.Wait()
	people.Go(func() { wantReason(t, verifyKeys(t.Context(), k, raw, forSignIn), "accepted") })
	close(release)
	people.Wait()
}

func TestTokenWithoutAName(t *testing.T) {
	one, other := ecKey(t), ecKey(t)
	for name, tc := range map[string]struct {
		published []any
		kid       string
		want      string
	}{
		"one key":               {[]any{one.Public()}, "", "accepted"},
		"one other key":         {[]any{other.Public()}, "", "signature"},
		"several keys":          {[]any{one.Public(), other.Public()}, "", "kid"},
		"one of another kind":   {[]any{rsaKey().Public()}, "", "alg"},
		"name that no key has":  {[]any{one.Public()}, "key-2", "kid"},
		"key without the name":  {[]any{jose.JSONWebKey{Key: one.Public()}}, "key-1", "kid"},
		"neither has a name":    {[]any{jose.JSONWebKey{Key: one.Public()}}, "", "accepted"},
		"another to encrypt to": {[]any{one.Public(), jose.JSONWebKey{Key: other.Public(), KeyID: "e", Use: "enc"}}, "", "accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.keys = nil
			for _, key := range tc.published {
				if whole, ok := key.(jose.JSONWebKey); ok {
					w.keys = append(w.keys, whole)
				} else {
					w.publish("key-1", key)
				}
			}
			header := object{"alg": "ES256"}
			if tc.kid != "" {
				header["kid"] = tc.kid
			}
			wantReason(t, verifyKeys(t.Context(), w.keySet(), signWith(t, one, header, w.claims()), forSignIn), tc.want)
		})
	}
}

// TestOnlyKeyWithoutANameIsRotated has a provider that names no keys: nothing but the signature
// says that there is another one.
func TestOnlyKeyWithoutANameIsRotated(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	sign := func() string { return signWith(t, w.signer, object{"alg": "ES256"}, w.claims()) }
	wantReason(t, verifyKeys(t.Context(), k, sign(), forSignIn), "accepted")
	w.rotate("")
	wantReason(t, verifyKeys(t.Context(), k, sign(), forSignIn), "accepted")
	forged := signWith(t, ecKey(t), object{"alg": "ES256"}, w.claims())
	for range 5 {
		wantReason(t, verifyKeys(t.Context(), k, forged, forSignIn), "signature")
	}
	wantAsked(t, w, pathKeys, 3)
}

func TestKeyIsForItsAlgorithmOnly(t *testing.T) {
	_, edKey, _ := ed25519.GenerateKey(rand.Reader)
	ec := ecKey(t)
	for name, tc := range map[string]struct {
		key       jose.JSONWebKey
		signer    any
		algorithm string
		want      string
	}{
		"RSA":                     {jose.JSONWebKey{Key: rsaKey().Public()}, rsaKey(), "RS256", "accepted"},
		"RSA for RS256":           {jose.JSONWebKey{Key: rsaKey().Public(), Algorithm: "RS256"}, rsaKey(), "RS256", "accepted"},
		"RSA for PS256":           {jose.JSONWebKey{Key: rsaKey().Public(), Algorithm: "PS256"}, rsaKey(), "RS256", "alg"},
		"RSA to encrypt":          {jose.JSONWebKey{Key: rsaKey().Public(), Use: "enc"}, rsaKey(), "RS256", "kid"},
		"RSA for key encryption":  {jose.JSONWebKey{Key: rsaKey().Public(), Algorithm: "RSA-OAEP"}, rsaKey(), "RS256", "alg"},
		"RSA with ES256":          {jose.JSONWebKey{Key: rsaKey().Public()}, ec, "ES256", "alg"},
		"EC":                      {jose.JSONWebKey{Key: ec.Public()}, ec, "ES256", "accepted"},
		"EC of another curve":     {jose.JSONWebKey{Key: ec.Public()}, ec, "ES384", "alg"},
		"EC with RS256":           {jose.JSONWebKey{Key: ec.Public()}, rsaKey(), "RS256", "alg"},
		"Ed25519":                 {jose.JSONWebKey{Key: edKey.Public()}, edKey, "EdDSA", "accepted"},
		"Ed25519 for another use": {jose.JSONWebKey{Key: edKey.Public(), Algorithm: "ES256"}, edKey, "EdDSA", "alg"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tc.key.KeyID = "key-1"
			w.keys = append([]jose.JSONWebKey{tc.key}, jose.JSONWebKey{Key: ecKey(t).Public(), KeyID: "another"})
			raw := signWith(t, tc.signer, object{"alg": tc.algorithm, "kid": "key-1"}, w.claims())
			wantReason(t, verifyKeys(t.Context(), w.keySet(), raw, forSignIn), tc.want)
		})
	}
}

func TestKeysThatAreLeftOut(t *testing.T) {
	good := jose.JSONWebKey{Key: ecKey(t).Public(), KeyID: "good"}
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	key := func(k jose.JSONWebKey) string {
		text, err := json.Marshal(k)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for name, other := range map[string]string{
		"of an unknown kind":   `{"kty":"AKP","alg":"ML-DSA-44","pub":"AAAA","kid":"x"}`,
		"of an unknown curve":  `{"kty":"EC","crv":"secp256k1","x":"AAAA","y":"AAAA","kid":"x"}`,
		"not on the curve":     `{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `","kid":"x"}`,
		"a secret":             key(jose.JSONWebKey{Key: []byte(clientSecret), KeyID: "x"}),
		"a private key":        key(jose.JSONWebKey{Key: ecKey(t), KeyID: "x"}),
		"a short RSA key":      key(jose.JSONWebKey{Key: weak.Public(), KeyID: "x"}),
		"an enormous RSA key":  `{"kty":"RSA","e":"AQAB","n":"` + strings.Repeat("_", 100_000) + `","kid":"x"}`,
		"an RSA key with none": `{"kty":"RSA","kid":"x"}`,
		"no object":            `"key"`,
		"null":                 `null`,
	} {
		found, err := parseKeys([]byte(`{"keys":[` + other + `,` + key(good) + `]}`))
		if err != nil || len(found.keys) != 1 || found.keys[0].KeyID != "good" {
			t.Errorf("%s: %v, %v", name, found, err)
		}
		if _, err := parseKeys([]byte(`{"keys":[` + other + `]}`)); err == nil {
			t.Errorf("%s: is a key", name)
		}
	}
	for name, body := range map[string]string{
		"nothing":        ``,
		"no JSON":        `<html>`,
		"no object":      `[]`,
		"no keys":        `{}`,
		"keys are none":  `{"keys":{}}`,
		"keys are empty": `{"keys":[]}`,
		"too many":       `{"keys":[` + strings.Repeat(key(good)+",", maxKeys) + key(good) + `]}`,
	} {
		if found, err := parseKeys([]byte(body)); err == nil {
			t.Errorf("%s: %v", name, found)
		}
	}
}

func TestAttackLongKeyName(t *testing.T) {
	w := newWorld(t)
	k := w.keySet()
	raw := w.signAs(object{"kid": strings.Repeat("k", maxKeyID+1)}, w.claims())
	wantReason(t, verifyKeys(t.Context(), k, raw, forLogout), "kid")
	wantAsked(t, w, pathKeys, 0)
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"EC","crv":"P-256","x":"AA","y":"AA","kid":"x"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"RSA","e":"AQAB","n":"AQAB"}]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AAAA"}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		found, err := parseKeys(body)
		if (err == nil) != (found != nil && len(found.keys) > 0) {
			t.Fatalf("%v, %v", found, err)
		}
		if err != nil {
			return
		}
		for i := range found.keys {
			if !found.keys[i].IsPublic() || !canVerify(&found.keys[i]) {
				t.Fatalf("%v is no public key for signatures", found.keys[i])
			}
		}
	})
}
