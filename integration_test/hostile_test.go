package integration

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// hostile is an OpenID provider that lies where it is told to. Without a lie it is a sound one, except
// that it asks nobody, signs in one and the same person, and takes a code as often as it is sent.
type hostile struct {
	t      testing.TB
	server *httptest.Server
	issuer string
	key    *signer

	mu       sync.Mutex
	lie      lie
	asked    map[string]url.Values // by code, the authorization request
	requests map[string]int        // by path
	passing  []string              // what passes through the browser, and is to be known to nobody else
	lasting  []string              // what nobody but the gateway is to know
}

// lie is what a hostile provider does otherwise than it should. What is nil it does as it should.
type lie struct {
	discovery func(metadata object)
	answer    func(answer url.Values)             // to the authorization request
	claims    func(claims object)                 // of the ID token
	idToken   func(h *hostile, claims object) any // in place of the signed one
	tokens    func(response object)               // of the token endpoint
	userInfo  func(claims object)                 // of the UserInfo endpoint
	keys      func(h *hostile) jose.JSONWebKeySet // that are published
	endpoints map[string]http.HandlerFunc         // by path, in place of the provider
}

// The paths of a hostile provider.
const (
	hostileAuthorize = "/authorize"
	hostileToken     = "/token"
	hostileKeys      = "/keys"
	hostileUserInfo  = "/userinfo"
)

// newHostile runs one until the test ends.
func newHostile(t testing.TB) *hostile {
	t.Helper()
	h := &hostile{t: t, key: newSigner(t, jose.RS256), asked: map[string]url.Values{}, requests: map[string]int{}}
	h.server = httptest.NewServer(h)
	t.Cleanup(h.server.Close)
	h.issuer = localOrigin(h.server.Listener.Addr().String())
	return h
}

// login is the block of a Caddyfile for it.
func (h *hostile) login(id string, options ...string) string {
	return oidcLogin(id, h.issuer, options...)
}

// tell has it lie so from now on.
func (h *hostile) tell(l lie) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lie = l
}

func (h *hostile) lies() lie {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lie
}

// count is how many requests a path had.
func (h *hostile) count(path string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.requests[path]
}

// issue makes a token.
func (h *hostile) issue() string {
	token := rand.Text()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lasting = append(h.lasting, token)
	return token
}

// issued is what nobody but the gateway is to know.
func (h *hostile) issued() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(h.lasting), func(secret string) bool { return secret == "" })
}

// told is that, and what passes through the browser.
func (h *hostile) told() []string {
	issued := h.issued()
	h.mu.Lock()
	defer h.mu.Unlock()
	return append(issued, h.passing...)
}

func (h *hostile) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	h.requests[r.URL.Path]++
	h.mu.Unlock()
	l := h.lies()
	if instead := l.endpoints[r.URL.Path]; instead != nil {
		instead(w, r)
		return
	}
	switch r.URL.Path {
	case discoveryEndpoint:
		h.discover(w, l)
	case hostileAuthorize:
		h.authorize(w, r, l)
	case hostileToken:
		h.token(w, r, l)
	case hostileKeys:
		set := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{h.key.jwk(false)}}
		if l.keys != nil {
			set = l.keys(h)
		}
		writeObject(w, set)
	case hostileUserInfo:
		claims := hostileClaims()
		apply(l.userInfo, claims)
		writeObject(w, claims)
	default:
		http.NotFound(w, r)
	}
}

func (h *hostile) discover(w http.ResponseWriter, l lie) {
	metadata := object{
		"issuer":                                         h.issuer,
		"authorization_endpoint":                         h.issuer + hostileAuthorize,
		"token_endpoint":                                 h.issuer + hostileToken,
		"jwks_uri":                                       h.issuer + hostileKeys,
		"userinfo_endpoint":                              h.issuer + hostileUserInfo,
		"response_types_supported":                       []string{"code"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"RS256"},
		"code_challenge_methods_supported":               []string{"S256"},
		"authorization_response_iss_parameter_supported": true,
		"backchannel_logout_supported":                   true,
		"backchannel_logout_session_supported":           true,
	}
	apply(l.discovery, metadata)
	writeObject(w, metadata)
}

// authorize answers at once.
func (h *hostile) authorize(w http.ResponseWriter, r *http.Request, l lie) {
	request := r.URL.Query()
	answer := url.Values{"code": {rand.Text()}, "state": {request.Get("state")}, "iss": {h.issuer}}
	h.mu.Lock()
	h.asked[answer.Get("code")] = request
	h.passing = append(h.passing, answer.Get("code"), request.Get("state"), request.Get("nonce"))
	h.mu.Unlock()
	if l.answer != nil {
		l.answer(answer)
	}
	http.Redirect(w, r, request.Get("redirect_uri")+"?"+answer.Encode(), http.StatusSeeOther)
}

func (h *hostile) token(w http.ResponseWriter, r *http.Request, l lie) {
	h.mu.Lock()
	request, ok := h.asked[r.PostFormValue("code")]
	h.lasting = append(h.lasting, r.PostFormValue("code_verifier"))
	h.mu.Unlock()
	challenge := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !ok || base64.RawURLEncoding.EncodeToString(challenge[:]) != request.Get("code_challenge") {
		refusing("invalid_grant")(w, r)
		return
	}
	now := time.Now()
	claims := hostileClaims()
	claims["iss"], claims["aud"], claims["nonce"] = h.issuer, clientID, request.Get("nonce")
	claims["iat"], claims["exp"] = now.Unix(), now.Add(time.Hour).Unix()
	apply(l.claims, claims)
	var idToken any
	if l.idToken != nil {
		idToken = l.idToken(h, claims)
	} else {
		idToken = h.key.sign(h.t, "JWT", claims)
	}
	response := object{
		"access_token": h.issue(), "refresh_token": h.issue(), "id_token": idToken,
		"token_type": "Bearer", "expires_in": 3600,
	}
	apply(l.tokens, response)
	writeObject(w, response)
}

// hostileClaims is who the one person is.
func hostileClaims() object {
	return object{"sub": "mallory-1", "preferred_username": "mallory", "name": "Mallory", "email": "mallory@example.com", "email_verified": true, "sid": "sid-1"}
}

func apply(change func(object), to object) {
	if change != nil {
		change(to)
	}
}

func writeObject(w http.ResponseWriter, value any) { writeStatus(w, http.StatusOK, value) }

func writeStatus(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

// setting is a change of one member; nil takes it away.
func setting(name string, value any) func(object) {
	return func(o object) {
		if value == nil {
			delete(o, name)
			return
		}
		o[name] = value
	}
}

// answering is a change of one parameter of an answer; no value takes it away.
func answering(name string, values ...string) func(url.Values) {
	return func(answer url.Values) {
		delete(answer, name)
		if len(values) > 0 {
			answer[name] = values
		}
	}
}

// unsigned is an ID token that says that it needs no signature, in one of the spellings of that.
func unsigned(alg string) func(*hostile, object) any {
	return func(h *hostile, claims object) any {
		return h.signingInput(object{"alg": alg, "typ": "JWT"}, claims) + "."
	}
}

// hmacWithPublicKey is an ID token whose signature anybody can make who reads the provider's keys.
func hmacWithPublicKey(h *hostile, claims object) any {
	der, err := x509.MarshalPKIXPublicKey(h.key.key.Public())
	if err != nil {
		h.t.Error(err)
	}
	return h.hmac(claims, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// hmacWithSecret is one that is signed with the client's secret, which is not agreed on.
func hmacWithSecret(h *hostile, claims object) any { return h.hmac(claims, []byte(clientSecret)) }

func (h *hostile) hmac(claims object, key []byte) string {
	input := h.signingInput(object{"alg": "HS256", "typ": "JWT", "kid": h.key.id}, claims)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(input))
	return input + "." + base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (h *hostile) signingInput(header, claims object) string {
	var parts []string
	for _, part := range []object{header, claims} {
		data, err := json.Marshal(part)
		if err != nil {
			h.t.Error(err)
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(data))
	}
	return strings.Join(parts, ".")
}

// unknownKey is an ID token of a key that is published nowhere.
func unknownKey(h *hostile, claims object) any {
	return newSigner(h.t, jose.RS256).sign(h.t, "JWT", claims)
}

// forgedKey is one of another key that calls itself by the published one's name.
func forgedKey(h *hostile, claims object) any {
	other := newSigner(h.t, jose.RS256)
	other.id = h.key.id
	return other.sign(h.t, "JWT", claims)
}

// tampered is one whose claims were changed after it was signed.
func tampered(h *hostile, claims object) any {
	parts := strings.Split(h.key.sign(h.t, "JWT", claims), ".")
	claims["sub"] = "somebody-else"
	parts[1] = strings.Split(h.signingInput(object{}, claims), ".")[1]
	return strings.Join(parts, ".")
}

// huge answers with more than anybody needs, for as long as it is read.
func huge(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	chunk := []byte(strings.Repeat(" ", 64<<10))
	for range 256 {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
}

// slow answers when nobody waits any more.
func slow(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body) // only then it is seen that nobody waits
	select {
	case <-r.Context().Done():
	case <-time.After(time.Minute):
	}
}

// redirecting sends whoever asks to another host.
func redirecting(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusTemporaryRedirect) }
}

// refusing answers a token request as RFC 6749, section 5.2, has it.
func refusing(code string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		writeStatus(w, http.StatusBadRequest, object{"error": code, "error_description": "<b>no</b>"})
	}
}

// failing answers with a status, and words that are not for people.
func failing(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "<b>wires</b> crossed", status) }
}
