package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
)

const (
	clientID     = "gateway"
	clientSecret = "open sesame: with=characters&of+forms"
	redirectURI  = "https://app.example.com/.auth/callback/corp"
	alice        = "248289761001"
)

// rsaKey takes long to make.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func ecKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

type object = map[string]any

// world is a provider, and a gateway that is its client. The provider lies where a test wants it
// to.
type world struct {
	t      testing.TB
	server *httptest.Server

	mu       sync.Mutex
	now      time.Time
	requests map[string]int              // by path
	instead  map[string]http.HandlerFunc // by path
	keys     []jose.JSONWebKey           // published
	document object                      // what is added to the metadata
	answer   object                      // what the token endpoint answers with, without id_token
	idToken  func() string               // nil: none
	userInfo object                      // nil: there is no such endpoint
	form     url.Values                  // of the last request to the token endpoint
	basic    [2]string                   // user and password of it
	bearer   string                      // of the last request to the UserInfo endpoint

	signer crypto.Signer // signs what has no other key named
	kid    string
}

func newWorld(t testing.TB) *world {
	w := newSilentWorld(t)
	w.server = httptest.NewServer(w)
	t.Cleanup(w.server.Close)
	return w
}

// newSilentWorld is a world without a network, at an HTTPS address. Methods reach it by connect.
func newSilentWorld(t testing.TB) *world {
	w := &world{
		t:        t,
		now:      time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC),
		requests: make(map[string]int),
		instead:  make(map[string]http.HandlerFunc),
		document: object{},
		answer:   object{"access_token": "access-1", "token_type": "Bearer", "expires_in": 300, "refresh_token": "refresh-1"},
		signer:   ecKey(t),
		kid:      "key-1",
	}
	w.publish(w.kid, w.signer.Public())
	w.server = &httptest.Server{URL: "https://id.example.com"}
	return w
}

// connect has a method reach the world without a network.
func (w *world) connect(m *Method) *Method {
	m.provider.client = &http.Client{Transport: w}
	return m
}

// RoundTrip is the network.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	w.ServeHTTP(answer, r)
	return answer.Result(), nil
}

func (w *world) issuer() string { return w.server.URL }

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) pass(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

// publish adds a key to those at the jwks_uri.
func (w *world) publish(kid string, public any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys = append(w.keys, jose.JSONWebKey{Key: public, KeyID: kid, Use: "sig"})
}

// rotate replaces the provider's key, with one of another name.
func (w *world) rotate(kid string) {
	w.signer, w.kid = ecKey(w.t), kid
	w.mu.Lock()
	w.keys = nil
	w.mu.Unlock()
	w.publish(kid, w.signer.Public())
}

// say has the provider say something else of itself; nil is what it says of itself.
func (w *world) say(name string, value any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.document[name] = value; value == nil {
		delete(w.document, name)
	}
}

func (w *world) asked(path string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.requests[path]
}

// respond has a handler answer instead of the provider; nil is the provider again.
func (w *world) respond(path string, handler http.HandlerFunc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.instead[path] = handler
}

func (w *world) ServeHTTP(out http.ResponseWriter, in *http.Request) {
	w.mu.Lock()
	w.requests[in.URL.Path]++
	handler := w.instead[in.URL.Path]
	w.mu.Unlock()
	switch {
	case handler != nil:
		handler(out, in)
	case in.URL.Path == pathDiscovery:
		w.serve(out, w.metadata())
	case in.URL.Path == pathKeys:
		w.mu.Lock()
		set := jose.JSONWebKeySet{Keys: w.keys}
		w.mu.Unlock()
		w.serve(out, set)
	case in.URL.Path == pathToken && in.Method == http.MethodPost:
		w.serveToken(out, in)
	case in.URL.Path == pathUserInfo:
		w.mu.Lock()
		w.bearer = in.Header.Get("Authorization")
		answer := w.userInfo
		w.mu.Unlock()
		w.serve(out, answer)
	default:
		http.NotFound(out, in)
	}
}

const (
	pathDiscovery = "/.well-known/openid-configuration"
	pathKeys      = "/keys"
	pathToken     = "/token"
	pathUserInfo  = "/userinfo"
)

func (w *world) metadata() object {
	document := object{
		"issuer":                 w.issuer(),
		"authorization_endpoint": w.issuer() + "/authorize?tenant=1",
		"token_endpoint":         w.issuer() + pathToken,
		"jwks_uri":               w.issuer() + pathKeys,
		"id_token_signing_alg_values_supported": []string{
			"RS256", "ES256", "EdDSA", "PS256", "HS256", "none",
		},
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.userInfo != nil {
		document["userinfo_endpoint"] = w.issuer() + pathUserInfo
	}
	maps.Copy(document, w.document)
	return document
}

func (w *world) serveToken(out http.ResponseWriter, in *http.Request) {
	in.ParseForm()
	w.mu.Lock()
	w.form = in.PostForm
	w.basic[0], w.basic[1], _ = in.BasicAuth()
	answer, idToken := maps.Clone(w.answer), w.idToken
	w.mu.Unlock()
	if idToken != nil {
		answer["id_token"] = idToken()
	}
	w.serve(out, answer)
}

func (w *world) serve(out http.ResponseWriter, document any) {
	out.Header().Set("Content-Type", "application/json")
	json.NewEncoder(out).Encode(document)
}

// claims are what an ID token of Alice's says that holds in every way.
func (w *world) claims() object {
	now := w.clock().Unix()
	return object{
		"iss": w.issuer(), "aud": clientID, "sub": alice,
		"iat": now, "exp": now + 300,
		"preferred_username": "alice", "name": "Alice Example",
		"email": "alice@example.com", "email_verified": true,
		"sid": "session-1",
	}
}

// logoutClaims are what a logout token of Alice's says that holds in every way.
func (w *world) logoutClaims() object {
	now := w.clock().Unix()
	return object{
		"iss": w.issuer(), "aud": clientID, "sub": alice, "sid": "session-1",
		"iat": now, "exp": now + 120, "jti": "logout-1",
		"events": object{logoutEvent: object{}},
	}
}

// with returns the claims with changes; a change to nil takes the claim away, and one to null sets
// it to that.
func with(claims, changes object) object {
	changed := maps.Clone(claims)
	for name, value := range changes {
		switch value {
		case nil:
			delete(changed, name)
		case null:
			changed[name] = nil
		default:
			changed[name] = value
		}
	}
	return changed
}

var null = new(int)

// sign signs claims with the provider's key.
func (w *world) sign(claims object) string { return w.signAs(object{}, claims) }

// signAs signs claims with the provider's key under a header with changes.
func (w *world) signAs(header, claims object) string {
	return signWith(w.t, w.signer, with(object{"alg": algorithmOf(w.signer), "kid": w.kid, "typ": "JWT"}, header), claims)
}

func algorithmOf(key any) string {
	switch key.(type) {
	case *ecdsa.PrivateKey:
		return "ES256"
	case *rsa.PrivateKey:
		return "RS256"
	case ed25519.PrivateKey:
		return "EdDSA"
	case []byte:
		return "HS256"
	}
	return "none"
}

// signWith makes a token as no library would: the header is taken as it is. A []byte is a secret of
// HMAC, and nil leaves the signature empty.
func signWith(t testing.TB, key any, header, claims any) string {
	t.Helper()
	signed := encode(t, header) + "." + encode(t, claims)
	digest := sha256.Sum256([]byte(signed))
	var signature []byte
	var err error
	switch k := key.(type) {
	case nil:
	case *ecdsa.PrivateKey:
		r, s, signErr := ecdsa.Sign(rand.Reader, k, digest[:])
		err = signErr
		signature = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case *rsa.PrivateKey:
		signature, err = rsa.SignPKCS1v15(rand.Reader, k, crypto.SHA256, digest[:])
	case ed25519.PrivateKey:
		signature = ed25519.Sign(k, []byte(signed))
	case []byte:
		mac := hmac.New(sha256.New, k)
		mac.Write([]byte(signed))
		signature = mac.Sum(nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

// encode is a part of a token; text is taken for JSON.
func encode(t testing.TB, part any) string {
	t.Helper()
	text, ok := part.(string)
	if !ok {
		encoded, err := json.Marshal(part)
		if err != nil {
			t.Fatal(err)
		}
		text = string(encoded)
	}
	return base64.RawURLEncoding.EncodeToString([]byte(text))
}

// method is a gateway of the world's, whose configuration change changes.
func (w *world) method(change ...func(*Config)) *Method {
	w.t.Helper()
	c := Config{
		ID: "corp", Label: "Corporation", Issuer: w.issuer(),
		ClientID: clientID, Credentials: oauthclient.Credentials{Secret: clientSecret},
		UserInfo: true, Refresh: true, Logout: true,
		Now: w.clock,
	}
	for _, f := range change {
		f(&c)
	}
	m, err := New(c)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// authorize begins a sign-in.
func (w *world) authorize(m *Method, r login.AuthorizationRequest) (url.Values, login.Pending) {
	w.t.Helper()
	r.State, r.RedirectURI = "state-1", redirectURI
	location, pending, err := m.Authorize(w.t.Context(), r)
	if err != nil {
		w.t.Fatal(err)
	}
	u, err := url.Parse(location)
	if err != nil {
		w.t.Fatal(err)
	}
	return u.Query(), pending
}

// signIn signs in with what change makes of the ID token's claims; the nonce is there already.
func (w *world) signIn(m *Method, change object) (*login.Granted, error) {
	w.t.Helper()
	return w.signInBy(m, func(claims object) string { return w.sign(with(claims, change)) })
}

// signInBy signs in with the token that is made of claims that hold.
func (w *world) signInBy(m *Method, token func(claims object) string) (*login.Granted, error) {
	w.t.Helper()
	query, pending := w.authorize(m, login.AuthorizationRequest{})
	w.idToken = func() string {
		return token(with(w.claims(), object{"nonce": query.Get("nonce")}))
	}
	return m.Redeem(w.t.Context(), pending, url.Values{"code": {"code-1"}, "state": {"state-1"}})
}

func (w *world) mustSignIn(m *Method, change object) *login.Granted {
	w.t.Helper()
	granted, err := w.signIn(m, change)
	if err != nil {
		w.t.Fatal(err)
	}
	return granted
}

// reason is the word of a *login.RejectedError, unavailable, or what else an error is.
func reason(err error) string {
	var rejection *login.RejectedError
	var denial *login.DeniedError
	var parameter *login.ParameterError
	switch {
	case err == nil:
		return "accepted"
	case errors.Is(err, login.ErrProviderUnavailable):
		return "unavailable"
	case errors.Is(err, login.ErrNotAllowed):
		return "not allowed"
	case errors.Is(err, login.ErrRefused):
		return "refused"
	case errors.As(err, &rejection):
		return rejection.Reason
	case errors.As(err, &denial):
		return "denied: " + denial.Code
	case errors.As(err, &parameter):
		return "parameter: " + parameter.Name
	}
	return err.Error()
}

func wantReason(t testing.TB, err error, want string) {
	t.Helper()
	if got := reason(err); got != want {
		t.Errorf("%s (%v), want %s", got, err, want)
	}
}

func wantAsked(t testing.TB, w *world, path string, want int) {
	t.Helper()
	if got := w.asked(path); got != want {
		t.Errorf("%s was asked for %d times, want %d", path, got, want)
	}
}
