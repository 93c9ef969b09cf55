package oidc

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-multi-session/gateway/internal/login"
)

// TestIDToken is what an ID token may and must say (OpenID Connect Core 1.0, section 3.1.3.7).
func TestIDToken(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	now := w.clock().Unix()
	var evil any = "https://evil.example.com"
	for name, tc := range map[string]struct {
		change object
		want   string
	}{
		"all in order": {nil, "accepted"},

		"iss of another":          {object{"iss": evil}, "iss"},
		"iss with a slash":        {object{"iss": w.issuer() + "/"}, "iss"},
		"iss in capitals":         {object{"iss": strings.ToUpper(w.issuer())}, "iss"},
		"iss missing":             {object{"iss": nil}, "iss"},
		"iss null":                {object{"iss": null}, "iss"},
		"iss a list":              {object{"iss": []string{w.issuer()}}, "iss"},
		"iss in another spelling": {object{"iss": nil, "ISS": w.issuer()}, "iss"},
		"iss of Google's":         {object{"iss": googleShortIssuer}, "iss"},

		"aud of another":           {object{"aud": "other"}, "aud"},
		"aud missing":              {object{"aud": nil}, "aud"},
		"aud empty":                {object{"aud": ""}, "aud"},
		"aud empty list":           {object{"aud": []string{}}, "aud"},
		"aud a list":               {object{"aud": []string{clientID}}, "accepted"},
		"aud a number":             {object{"aud": 1}, "aud"},
		"aud a list with a number": {object{"aud": []any{clientID, 1}}, "aud"},
		"aud an object":            {object{"aud": object{clientID: clientID}}, "aud"},
		"aud longer":               {object{"aud": clientID + "2"}, "aud"},

		"azp":                          {object{"azp": clientID}, "accepted"},
		"azp of another":               {object{"azp": "other"}, "azp"},
		"azp null":                     {object{"azp": null}, "azp"},
		"azp empty":                    {object{"azp": ""}, "azp"},
		"azp a list":                   {object{"azp": []string{clientID}}, "azp"},
		"several aud":                  {object{"aud": []string{clientID, "other"}}, "azp"},
		"several aud and azp":          {object{"aud": []string{"other", clientID}, "azp": clientID}, "accepted"},
		"several aud, azp of another":  {object{"aud": []string{clientID, "other"}, "azp": "other"}, "azp"},
		"several aud, none the client": {object{"aud": []string{"x", "y"}, "azp": clientID}, "aud"},

		"exp passed":      {object{"exp": now - 61}, "exp"},
		"exp just passed": {object{"exp": now - 60}, "exp"},
		"exp with leeway": {object{"exp": now - 59}, "accepted"},
		"exp missing":     {object{"exp": nil}, "exp"},
		"exp text":        {object{"exp": "9999999999"}, "exp"},
		"exp fraction":    {object{"exp": float64(now) + 60.5}, "accepted"},
		"exp negative":    {object{"exp": -1}, "exp"},
		"exp far away":    {object{"exp": 1e300}, "exp"},
		"exp null":        {object{"exp": null}, "exp"},

		"iat missing":          {object{"iat": nil}, "iat"},
		"iat ahead":            {object{"iat": now + 61}, "iat"},
		"iat within leeway":    {object{"iat": now + 60}, "accepted"},
		"iat long ago":         {object{"iat": now - 601}, "iat"},
		"iat a while ago":      {object{"iat": now - 600}, "accepted"},
		"iat text":             {object{"iat": "now"}, "iat"},
		"nbf ahead":            {object{"nbf": now + 61}, "nbf"},
		"nbf within leeway":    {object{"nbf": now + 60}, "accepted"},
		"nbf text":             {object{"nbf": "now"}, "nbf"},
		"sub missing":          {object{"sub": nil}, "sub"},
		"sub empty":            {object{"sub": ""}, "sub"},
		"sub a number":         {object{"sub": 248289761001}, "sub"},
		"sub null":             {object{"sub": null}, "sub"},
		"sub in capitals":      {object{"sub": nil, "SUB": alice}, "sub"},
		"sub twice, by case":   {object{"Sub": "mallory"}, "accepted"},
		"sub that is no text":  {object{"sub": "a\x00b"}, "claims"},
		"sub with white space": {object{"sub": " " + alice}, "claims"},

		"nonce of another":       {object{"nonce": "other"}, "nonce"},
		"nonce missing":          {object{"nonce": nil}, "nonce"},
		"nonce empty":            {object{"nonce": ""}, "nonce"},
		"nonce null":             {object{"nonce": null}, "nonce"},
		"nonce under other case": {object{"nonce": nil, "Nonce": "any"}, "nonce"},

		"at_hash":            {object{"at_hash": atHash("access-1")}, "accepted"},
		"at_hash of another": {object{"at_hash": atHash("access-2")}, "at_hash"},
		"at_hash empty":      {object{"at_hash": ""}, "at_hash"},
		"at_hash null":       {object{"at_hash": null}, "at_hash"},
		"at_hash a number":   {object{"at_hash": 1}, "malformed"},

		"claims from nowhere": {object{"_claim_names": object{"groups": "src1"}}, "malformed"},
		"claims from others":  {object{"_claim_names": object{"groups": "src1"}, "_claim_sources": object{"src1": object{"endpoint": evil}}}, "accepted"},
	} {
		t.Run(name, func(t *testing.T) {
			granted, err := w.signIn(m, tc.change)
			wantReason(t, err, tc.want)
			if err == nil && granted.Identity.Account.Subject != alice {
				t.Errorf("signed in as %q", granted.Identity.Account.Subject)
			}
		})
	}
}

// atHash is what an ID token that is signed with ES256 says of an access token.
func atHash(access string) string {
	sum := sha256.Sum256([]byte(access))
	return base64.RawURLEncoding.EncodeToString(sum[:16])
}

func TestAttackForgedIDToken(t *testing.T) {
	w := newWorld(t)
	w.publish("rsa", rsaKey().Public())
	publicPEM := func() []byte {
		der, err := x509.MarshalPKIXPublicKey(rsaKey().Public())
		if err != nil {
			t.Fatal(err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	}()
	forger := ecKey(t)
	forgerJWK := jose.JSONWebKey{Key: forger.Public(), KeyID: "key-1"}
	m := w.method()
	for name, tc := range map[string]struct {
		token func(claims object) string
		want  string
	}{
		"no token":    {func(object) string { return "" }, "no_id_token"},
		"not a token": {func(object) string { return "hello" }, "malformed"},
		"alg none": {func(c object) string {
			return signWith(t, nil, object{"alg": "none"}, c)
		}, "alg"},
		"alg None with a name": {func(c object) string {
			return signWith(t, nil, object{"alg": "None", "kid": w.kid}, c)
		}, "alg"},
		"alg none after a signed one": {func(c object) string {
			raw := w.sign(c)
			return raw[:strings.LastIndexByte(raw, '.')+1]
		}, "signature"},
		"no alg": {func(c object) string {
			return signWith(t, w.signer, object{"kid": w.kid}, c)
		}, "alg"},
		"alg a list": {func(c object) string {
			return signWith(t, w.signer, `{"alg":["ES256"],"kid":"key-1"}`, c)
		}, "alg"},
		"HS256 with the client's secret": {func(c object) string {
			return signWith(t, []byte(clientSecret), object{"alg": "HS256"}, c)
		}, "alg"},
		"HS256 with the public key": {func(c object) string {
			return signWith(t, publicPEM, object{"alg": "HS256", "kid": "rsa"}, c)
		}, "alg"},
		"alg that the provider does not have": {func(c object) string {
			return signWith(t, rsaKey(), object{"alg": "RS512", "kid": "rsa"}, c)
		}, "alg"},
		"alg of another kind of key": {func(c object) string {
			return signWith(t, rsaKey(), object{"alg": "RS256", "kid": w.kid}, c)
		}, "alg"},
		"kid of another key": {func(c object) string {
			return w.signAs(object{"kid": "other"}, c)
		}, "kid"},
		"kid that leads away": {func(c object) string {
			return w.signAs(object{"kid": "../../../../dev/null"}, c)
		}, "kid"},
		"kid missing": {func(c object) string { return w.signAs(object{"kid": nil}, c) }, "kid"},
		"kid a number": {func(c object) string {
			return w.signAs(object{"kid": 1}, c)
		}, "malformed"},
		"another's signature": {func(c object) string {
			return signWith(t, forger, object{"alg": "ES256", "kid": w.kid}, c)
		}, "signature"},
		"key that it brings itself": {func(c object) string {
			return signWith(t, forger, object{"alg": "ES256", "kid": w.kid, "jwk": forgerJWK}, c)
		}, "signature"},
		"key from elsewhere": {func(c object) string {
			return signWith(t, forger, object{"alg": "ES256", "kid": "key-9", "jku": "https://evil.example.com/keys"}, c)
		}, "kid"},
		"JSON serialization": {func(c object) string {
			parts := strings.Split(w.sign(c), ".")
			return `{"protected":"` + parts[0] + `","payload":"` + parts[1] + `","signature":"` + parts[2] + `"}`
		}, "malformed"},
		"two signatures": {func(c object) string {
			return w.sign(c) + "." + w.sign(c)
		}, "malformed"},
		"white space":       {func(c object) string { return w.sign(c) + "\n" }, "malformed"},
		"white space in it": {func(c object) string { return strings.Replace(w.sign(c), ".", ".\n", 1) }, "malformed"},
		"padding":           {func(c object) string { return w.sign(c) + "=" }, "malformed"},
		"critical extension": {func(c object) string {
			return w.signAs(object{"crit": []string{"exp"}, "exp": 1}, c)
		}, "crit"},
		"empty crit": {func(c object) string {
			return w.signAs(object{"crit": []string{}}, c)
		}, "crit"},
		"payload that is not encoded": {func(c object) string {
			return w.signAs(object{"b64": false, "crit": []string{"b64"}}, c)
		}, "crit"},
		"payload that is not encoded, unsaid": {func(c object) string {
			return w.signAs(object{"b64": false}, c)
		}, "crit"},
		"header twice": {func(c object) string {
			return signWith(t, forger, `{"alg":"none","alg":"ES256","kid":"key-1"}`, c)
		}, "malformed"},
		"header no object": {func(c object) string { return signWith(t, w.signer, `[]`, c) }, "malformed"},
		"typ of an access token": {func(c object) string {
			return w.signAs(object{"typ": "at+jwt"}, c)
		}, "typ"},
		"typ of a logout token": {func(c object) string {
			return w.signAs(object{"typ": "application/logout+JWT"}, c)
		}, "typ"},
		"typ a number":       {func(c object) string { return w.signAs(object{"typ": 1}, c) }, "typ"},
		"typ in small":       {func(c object) string { return w.signAs(object{"typ": "jwt"}, c) }, "accepted"},
		"typ missing":        {func(c object) string { return w.signAs(object{"typ": nil}, c) }, "accepted"},
		"signed with RS256":  {func(c object) string { return signWith(t, rsaKey(), object{"alg": "RS256", "kid": "rsa"}, c) }, "accepted"},
		"payload no object":  {func(object) string { return signWith(t, w.signer, object{"alg": "ES256", "kid": w.kid}, `["iss"]`) }, "malformed"},
		"payload null":       {func(object) string { return signWith(t, w.signer, object{"alg": "ES256", "kid": w.kid}, `null`) }, "malformed"},
		"payload not JSON":   {func(object) string { return signWith(t, w.signer, object{"alg": "ES256", "kid": w.kid}, `iss`) }, "malformed"},
		"payload goes on":    {func(object) string { return signWith(t, w.signer, object{"alg": "ES256", "kid": w.kid}, `{} {}`) }, "malformed"},
		"too long":           {func(c object) string { return w.sign(with(c, object{"x": strings.Repeat("x", maxTokenBytes)})) }, "malformed"},
		"logout token":       {func(object) string { return w.signAs(object{"typ": "logout+jwt"}, w.logoutClaims()) }, "typ"},
		"older logout token": {func(object) string { return w.sign(w.logoutClaims()) }, "nonce"},
		"encrypted token":    {func(object) string { return "eyJhbGciOiJSU0EtT0FFUCJ9.AA.AA.AA.AA" }, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			w.pass(askAgain) // each can have its key looked up
			_, err := w.signInBy(m, tc.token)
			wantReason(t, err, tc.want)
		})
	}
}

// TestAttackAnotherSignInsToken redeems the code of one sign-in in another one of the same browser.
func TestAttackAnotherSignInsToken(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	first, _ := w.authorize(m, login.AuthorizationRequest{})
	_, pending := w.authorize(m, login.AuthorizationRequest{})
	w.idToken = func() string { return w.sign(with(w.claims(), object{"nonce": first.Get("nonce")})) }
	_, err := m.Redeem(t.Context(), pending, url.Values{"code": {"code-1"}})
	wantReason(t, err, "nonce")
}

func TestAttackNoNonceOnEitherSide(t *testing.T) {
	w := newWorld(t)
	m := w.method()
	for _, nonce := range []any{nil, ""} {
		w.idToken = func() string { return w.sign(with(w.claims(), object{"nonce": nonce})) }
		_, err := m.Redeem(t.Context(), login.Pending{RedirectURI: redirectURI, Verifier: "v"}, url.Values{"code": {"code-1"}})
		wantReason(t, err, "nonce")
	}
}

func TestAlgorithmsOfTheProvider(t *testing.T) {
	for name, tc := range map[string]struct {
		named []string
		want  string
	}{
		"none named":    {nil, "RS256"},
		"usual":         {[]string{"RS256"}, "RS256"},
		"some of each":  {[]string{"none", "HS256", "ES256", "RS256", "ES256K"}, "RS256 ES256"},
		"only a secret": {[]string{"HS256", "HS512"}, ""},
		"only none":     {[]string{"none"}, ""},
		"misspelt":      {[]string{"rs256"}, ""},
	} {
		found, err := algorithms(tc.named)
		if got := strings.Join(names(found), " "); got != tc.want || (err != nil) != (tc.want == "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// TestGoogleNamesItselfInTwoWays is an exemption, and for Google alone.
func TestGoogleNamesItselfInTwoWays(t *testing.T) {
	for issuer, want := range map[string]string{googleIssuer: "accepted", "https://accounts.example.com": "iss"} {
		v := verifier{issuer: issuer}
		wantReason(t, v.checkIssuer(payload{"iss": googleShortIssuer}), want)
	}
}

func TestMaxAge(t *testing.T) {
	w := newWorld(t)
	m := w.method(func(c *Config) { c.Parameters = map[string]string{"max_age": "600"} })
	query, _ := w.authorize(m, login.AuthorizationRequest{})
	if got := query.Get("max_age"); got != "600" {
		t.Errorf("max_age is %q", got)
	}
	now := w.clock()
	for name, tc := range map[string]struct {
		proved any
		want   string
	}{
		"just now":     {now.Unix(), "accepted"},
		"long enough":  {now.Add(-601 * time.Second).Unix(), "accepted"},
		"too long ago": {now.Add(-661 * time.Second).Unix(), "auth_time"},
		"not said":     {nil, "auth_time"},
		"text":         {"now", "auth_time"},
	} {
		_, err := w.signIn(m, object{"auth_time": tc.proved})
		if got := reason(err); got != tc.want {
			t.Errorf("%s: %s, want %s", name, got, tc.want)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	w := newWorld(f)
	f.Add(w.sign(w.claims()))
	f.Add(signWith(f, nil, `{"alg":"none"}`, `{}`))
	f.Add(signWith(f, []byte("k"), `{"alg":"HS256","typ":"JWT"}`, `{}`))
	f.Add(signWith(f, nil, `{"alg":"ES256","crit":["b64"],"b64":false}`, `{}`))
	f.Add(signWith(f, nil, `{"alg":"RS256","typ":7,"kid":""}`, `null`))
	f.Fuzz(func(t *testing.T, raw string) {
		token, err := parseToken(raw, asymmetric)
		if err != nil {
			if r := reason(err); !slices.Contains([]string{"malformed", "alg", "typ", "crit"}, r) {
				t.Fatalf("rejected with %q", r)
			}
			return
		}
		header := token.signed.Signatures[0].Protected
		if !slices.Contains(asymmetric, jose.SignatureAlgorithm(header.Algorithm)) {
			t.Fatalf("accepted %q", header.Algorithm)
		}
		if strings.Count(raw, ".") != 2 || token.kind != strings.ToLower(token.kind) {
			t.Fatalf("%q is no compact token of kind %q", raw, token.kind)
		}
	})
}

func FuzzCheckClaims(f *testing.F) {
	w := newWorld(f)
	good := with(w.claims(), object{"nonce": "nonce"})
	f.Add(encodeText(f, good))
	f.Add(encodeText(f, with(good, object{"aud": []any{clientID, "x"}, "azp": clientID, "exp": 1e20})))
	f.Add(`{"iss":1,"iss":2}`)
	v := verifier{issuer: w.issuer(), clientID: clientID, now: w.clock}
	f.Fuzz(func(t *testing.T, text string) {
		claims, err := parsePayload([]byte(text))
		if err != nil {
			wantReason(t, err, "malformed")
			return
		}
		before := maps.Clone(claims)
		if v.check(claims, expected{nonce: "nonce"}) == nil {
			if claims["iss"] != w.issuer() || claims["nonce"] != "nonce" || !strings.Contains(text, clientID) {
				t.Fatalf("accepted %s", text)
			}
		}
		if _, err := v.readLogout(claims); err == nil && (claims.has("nonce") || !claims.has("events") || !claims.has("jti")) {
			t.Fatalf("accepted as a logout %s", text)
		}
		if len(before) != len(claims) {
			t.Fatal("checking changes claims")
		}
	})
}

func encodeText(t testing.TB, claims object) string {
	text, err := base64.RawURLEncoding.DecodeString(encode(t, claims))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
