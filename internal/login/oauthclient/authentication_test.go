package oauthclient

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"math/big"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// rsaKey takes long to make.
var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func ecKey(t *testing.T, curve elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// keyFile writes a file, and returns its name.
func keyFile(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func pemOf(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func pkcs8(t *testing.T, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return pemOf(t, "PRIVATE KEY", der, err)
}

func jwk(t *testing.T, key jose.JSONWebKey) string {
	t.Helper()
	text, err := json.Marshal(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// endpoint answers tokens to exchanges and refreshes and a reference to pushed requests, and keeps what
// was sent.
type endpoint struct {
	forms []url.Values
	basic []string // user and password of each request
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	user, password, _ := r.BasicAuth()
	e.forms, e.basic = append(e.forms, r.PostForm), append(e.basic, user+":"+password)
	w.Header().Set("Content-Type", "application/json")
	if r.URL.Path == "/par" {
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte(`{"request_uri": "urn:ietf:params:oauth:request_uri:6esc", "expires_in": 60}`))
		return
	}
	_, _ = w.Write([]byte(`{"access_token": "a", "token_type": "Bearer"}`))
}

// askAll makes each kind of request for which the client authenticates.
func askAll(t *testing.T, c Credentials, supported ...string) (*endpoint, string, error) {
	t.Helper()
	e := new(endpoint)
	address := serve(t, e.ServeHTTP)
	a, err := NewAuthentication("gateway", c, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	config := oauth2.Config{
		ClientID: "gateway", RedirectURL: "https://app.example/callback",
		Endpoint: oauth2.Endpoint{AuthURL: address + "/authorize?tenant=1", TokenURL: address + "/token"},
	}
	asking, err := a.Use(&config, client(t), supported)
	if err != nil {
		return e, "", err
	}
	_, exchangeErr := Exchange(t.Context(), asking, config, code, verifier)
	_, refreshErr := Refresh(t.Context(), asking, config, refresh)
	location, pushErr := Push(t.Context(), asking, address+"/par", config, "state", verifier, map[string]string{"nonce": "n"})
	return e, location, errors.Join(exchangeErr, refreshErr, pushErr)
}

func TestClientAuthenticatesEverywhere(t *testing.T) {
	for name, tc := range map[string]struct {
		credentials Credentials
		supported   []string
		want        string // client_secret_basic, client_secret_post or none
	}{
		"secret, nothing said":     {Credentials{Secret: secret}, nil, ClientSecretBasic},
		"secret, both":             {Credentials{Secret: secret}, []string{ClientSecretPost, ClientSecretBasic}, ClientSecretBasic},
		"secret, post alone":       {Credentials{Secret: secret}, []string{PrivateKeyJWT, ClientSecretPost}, ClientSecretPost},
		"post although both":       {Credentials{Secret: secret, Method: ClientSecretPost}, []string{ClientSecretPost, ClientSecretBasic}, ClientSecretPost},
		"basic although post":      {Credentials{Secret: secret, Method: ClientSecretBasic}, []string{ClientSecretPost}, ClientSecretBasic},
		"public client":            {Credentials{}, []string{ClientSecretBasic}, ClientNone},
		"public client, by option": {Credentials{Method: ClientNone}, nil, ClientNone},
	} {
		t.Run(name, func(t *testing.T) {
			e, _, err := askAll(t, tc.credentials, tc.supported...)
			if err != nil || len(e.forms) != 3 {
				t.Fatalf("%d requests, %v", len(e.forms), err)
			}
			for i, form := range e.forms {
				got := ClientNone
				switch {
				case e.basic[i] == "gateway:"+secret && !form.Has("client_secret"):
					got = ClientSecretBasic
				case e.basic[i] == ":" && form.Get("client_secret") == secret && form.Get("client_id") == "gateway":
					got = ClientSecretPost
				case e.basic[i] != ":" || form.Has("client_secret") || form.Get("client_id") != "gateway":
					got = "something else"
				}
				if got != tc.want || form.Has("client_assertion") {
					t.Errorf("request %d: %s with %v, want %s", i, got, form, tc.want)
				}
			}
		})
	}
	t.Run("no way that the provider takes", func(t *testing.T) {
		e, _, err := askAll(t, Credentials{Secret: secret}, PrivateKeyJWT, ClientNone)
		if !errors.Is(err, login.ErrMisconfigured) || !strings.Contains(err.Error(), PrivateKeyJWT) || len(e.forms) > 0 {
			t.Errorf("%v, after %d requests", err, len(e.forms))
		}
	})
}

func TestPrivateKeyJWT(t *testing.T) {
	ec, ed := ecKey(t, elliptic.P256()), ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	ec384 := ecKey(t, elliptic.P384())
	sec1, sec1Err := x509.MarshalECPrivateKey(ec384)
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certificate, certificateErr := x509.CreateCertificate(rand.Reader, template, template, ec.Public(), ec)
	sum := sha256.Sum256(certificate)
	for name, tc := range map[string]struct {
		credentials Credentials
		public      crypto.PublicKey
		header      map[string]string
	}{
		"RSA in PKCS #8":       {Credentials{KeyFile: keyFile(t, pkcs8(t, rsaKey()))}, rsaKey().Public(), map[string]string{"alg": "RS256"}},
		"RSA in PKCS #1":       {Credentials{KeyFile: keyFile(t, pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(rsaKey()), nil))}, rsaKey().Public(), map[string]string{"alg": "RS256"}},
		"another algorithm":    {Credentials{KeyFile: keyFile(t, pkcs8(t, rsaKey())), KeyAlgorithm: "PS256", KeyID: "k"}, rsaKey().Public(), map[string]string{"alg": "PS256", "kid": "k"}},
		"P-256":                {Credentials{KeyFile: keyFile(t, pkcs8(t, ec)), Method: PrivateKeyJWT}, ec.Public(), map[string]string{"alg": "ES256"}},
		"P-384 in SEC 1":       {Credentials{KeyFile: keyFile(t, "-----BEGIN EC PARAMETERS-----\nBgUrgQQAIg==\n-----END EC PARAMETERS-----\n"+pemOf(t, "EC PRIVATE KEY", sec1, sec1Err))}, ec384.Public(), map[string]string{"alg": "ES384"}},
		"Ed25519":              {Credentials{KeyFile: keyFile(t, pkcs8(t, ed))}, ed.Public(), map[string]string{"alg": "EdDSA"}},
		"JWK":                  {Credentials{KeyFile: keyFile(t, jwk(t, jose.JSONWebKey{Key: rsaKey(), KeyID: "j", Algorithm: "RS512"}))}, rsaKey().Public(), map[string]string{"alg": "RS512", "kid": "j"}},
		"JWK, another name":    {Credentials{KeyFile: keyFile(t, jwk(t, jose.JSONWebKey{Key: ec, KeyID: "j"})), KeyID: "k"}, ec.Public(), map[string]string{"alg": "ES256", "kid": "k"}},
		"beside a certificate": {Credentials{KeyFile: keyFile(t, pkcs8(t, ec)+pemOf(t, "CERTIFICATE", certificate, certificateErr))}, ec.Public(), map[string]string{"alg": "ES256", "x5t#S256": base64.RawURLEncoding.EncodeToString(sum[:])}},
	} {
		t.Run(name, func(t *testing.T) {
			e, _, err := askAll(t, tc.credentials, ClientSecretBasic)
			if err != nil || len(e.forms) != 3 {
				t.Fatalf("%d requests, %v", len(e.forms), err)
			}
			seen := make(map[any]bool)
			for i, form := range e.forms {
				if form.Get("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" ||
					form.Get("client_id") != "gateway" || form.Has("client_secret") || e.basic[i] != ":" {
					t.Errorf("request %d authenticates by %v", i, form)
				}
				assertion := form.Get("client_assertion")
				signed, err := jose.ParseSignedCompact(assertion, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(tc.header["alg"])})
				if err != nil {
					t.Fatal(err)
				}
				payload, err := signed.Verify(tc.public)
				if err != nil {
					t.Fatal(err)
				}
				var claims map[string]any
				_ = json.Unmarshal(payload, &claims)
				audience, _ := claims["aud"].(string)
				expiry, _ := claims["exp"].(float64)
				left := time.Until(time.Unix(int64(expiry), 0))
				if claims["iss"] != "gateway" || claims["sub"] != "gateway" || !strings.HasSuffix(audience, "/token") ||
					left <= 0 || left > assertionLife+time.Second || seen[claims["jti"]] {
					t.Errorf("request %d says %v", i, claims)
				}
				seen[claims["jti"]] = true
				encoded, _, _ := strings.Cut(assertion, ".")
				text, _ := base64.RawURLEncoding.DecodeString(encoded)
				var header map[string]string
				_ = json.Unmarshal(text, &header)
				delete(header, "typ")
				if len(header) != len(tc.header) {
					t.Errorf("header %v, want %v", header, tc.header)
				}
				for name, want := range tc.header {
					if header[name] != want {
						t.Errorf("header %v, want %v", header, tc.header)
					}
				}
			}
		})
	}
}

// The platform replaces the file, and the next request has the new assertion.
func TestAssertionFileIsReadAnew(t *testing.T) {
	name := keyFile(t, "e30.e30.first\n")
	a, err := NewAuthentication("gateway", Credentials{AssertionFile: name}, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	e := new(endpoint)
	config := oauth2.Config{ClientID: "gateway", Endpoint: oauth2.Endpoint{TokenURL: serve(t, e.ServeHTTP) + "/token"}}
	asking, err := a.Use(&config, client(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	health := NewHealth(time.Now)
	ask := func() error {
		_, err := Refresh(t.Context(), asking, config, refresh)
		return err
	}
	for _, want := range []string{"first", "second"} {
		if err := os.WriteFile(name, []byte("e30.e30."+want+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := ask(); err != nil || e.forms[len(e.forms)-1].Get("client_assertion") != "e30.e30."+want {
			t.Errorf("%v, sent %v", err, e.forms[len(e.forms)-1])
		}
	}
	for problem, text := range map[string]string{"empty": "", "no JWT": "hunter2", "two lines": "e30.e30.a\ne30.e30.b", "too large": "e30.e30." + strings.Repeat("a", maxAssertionBytes)} {
		_ = os.WriteFile(name, []byte(text), 0o600)
		if err := ask(); !errors.Is(err, login.ErrMisconfigured) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", problem, err)
		}
	}
	_ = os.Remove(name)
	if err := ask(); !errors.Is(err, login.ErrMisconfigured) || !strings.Contains(err.Error(), name) || len(e.forms) != 2 || !health.Answers() {
		t.Errorf("gone: %v, after %d requests", err, len(e.forms))
	}
}

func TestRefusedCredentials(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	good := keyFile(t, pkcs8(t, rsaKey()))
	assertion := keyFile(t, "a.b.c")
	for name, tc := range map[string]struct {
		credentials Credentials
		want        string
	}{
		"unknown method":                {Credentials{Method: "client_secret_jwt", Secret: secret}, "must be"},
		"basic without a secret":        {Credentials{Method: ClientSecretBasic}, "client_secret"},
		"post without a secret":         {Credentials{Method: ClientSecretPost}, "client_secret"},
		"none with a secret":            {Credentials{Method: ClientNone, Secret: secret}, "client_secret"},
		"none with a key":               {Credentials{Method: ClientNone, KeyFile: good}, "client_key_file"},
		"basic with a key":              {Credentials{Method: ClientSecretBasic, Secret: secret, KeyFile: good}, "client_key_file"},
		"basic with an assertion":       {Credentials{Method: ClientSecretBasic, Secret: secret, AssertionFile: assertion}, "client_assertion_file"},
		"a key and a secret":            {Credentials{Secret: secret, KeyFile: good}, "client_secret"},
		"a key and an assertion":        {Credentials{KeyFile: good, AssertionFile: assertion}, "not both"},
		"private_key_jwt without a key": {Credentials{Method: PrivateKeyJWT}, "client_key_file"},
		"an algorithm without a key":    {Credentials{Secret: secret, KeyAlgorithm: "RS256"}, "client_key_file"},
		"a key id without a key":        {Credentials{AssertionFile: assertion, KeyID: "k"}, "client_key_file"},
		"no such file":                  {Credentials{KeyFile: good + "x"}, good + "x"},
		"no key in the file":            {Credentials{KeyFile: assertion}, "no private key"},
		"an empty file":                 {Credentials{KeyFile: keyFile(t, "")}, "no private key"},
		"half a JWK":                    {Credentials{KeyFile: keyFile(t, `{"kty":"RSA"`)}, "JWK"},
		"a public JWK":                  {Credentials{KeyFile: keyFile(t, jwk(t, jose.JSONWebKey{Key: rsaKey().Public()}))}, "not a private key"},
		"a secret JWK":                  {Credentials{KeyFile: keyFile(t, jwk(t, jose.JSONWebKey{Key: []byte(secret)}))}, "not a private key"},
		"a public key in PEM":           {Credentials{KeyFile: keyFile(t, pemOf(t, "PUBLIC KEY", nil, nil))}, "no private key"},
		"a small RSA key":               {Credentials{KeyFile: keyFile(t, pkcs8(t, small))}, "1024 bits"},
		"P-224":                         {Credentials{KeyFile: keyFile(t, pkcs8(t, ecKey(t, elliptic.P224())))}, "no algorithm"},
		"an algorithm of another type":  {Credentials{KeyFile: good, KeyAlgorithm: "ES256"}, "ES256"},
		"an algorithm with the secret":  {Credentials{KeyFile: good, KeyAlgorithm: "HS256"}, "HS256"},
		"no algorithm":                  {Credentials{KeyFile: good, KeyAlgorithm: "none"}, "none"},
	} {
		_, err := NewAuthentication("gateway", tc.credentials, time.Now)
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v, want an error with %q", name, err, tc.want)
		}
	}
}
