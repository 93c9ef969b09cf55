package oidc

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/go-jose/go-jose/v4"

	"github.com/caddy-multi-session/gateway/internal/strictjson"
)

const (
	// leeway is how far the provider's clock and the gateway's may be apart.
	leeway = time.Minute

	// maxIDTokenAge is how long ago an ID token may have been issued. It is fetched from the provider,
	// which issues it for the occasion.
	maxIDTokenAge = 10 * time.Minute

	maxTokenBytes = 64 << 10
)

// Google names itself in one of two ways in ID tokens, and says so in its documentation. No other
// provider is let off.
const (
	googleIssuer      = "https://accounts.google.com"
	googleShortIssuer = "accounts.google.com"
)

// verifier checks the tokens that a provider signs for a client. All it finds wrong is a
// *login.RejectedError.
type verifier struct {
	issuer   string
	clientID string
	metadata *metadata
	now      func() time.Time
}

// expected is what an ID token has to say beyond what every one of a client's has to.
type expected struct {
	nonce  string         // of the authorization request; not asked for with previous
	access string         // the access token that came with it
	maxAge *time.Duration // since the user proved who they are; nil: any

	previous payload // what the ID token said that is to be replaced; nil: none is
	subject  string  // of previous; empty: any
}

// idToken returns what an ID token says (OpenID Connect Core 1.0, section 3.1.3.7).
//
// go-oidc checks it, and so does this code: go-oidc looks at fewer claims, tells most failures apart
// by their text only, and matches the names of claims without regard to case.
func (v verifier) idToken(ctx context.Context, raw string, want expected) (payload, error) {
	if raw == "" {
		return nil, rejected("no_id_token", nil)
	}
	token, err := parseToken(raw, v.metadata.algorithms)
	if err != nil {
		return nil, err
	}
	if isOtherKind(token.kind) {
		return nil, rejected("typ", clipped(fmt.Errorf("%q is no ID token's", token.kind)))
	}
	checked := &signatures{keys: v.metadata.keys, purpose: forSignIn, token: token.signed}
	byLibrary, libraryErr := oidc.NewVerifier(v.issuer, checked, &oidc.Config{
		ClientID:             v.clientID,
		SupportedSigningAlgs: names(v.metadata.algorithms),
		Now:                  func() time.Time { return v.now().Add(-leeway) },
	}).Verify(ctx, raw)
	if checked.err != nil {
		return nil, checked.err
	}
	claims, err := parsePayload(checked.payload)
	if err != nil {
		return nil, err
	}
	if err := v.check(claims, want); err != nil {
		return nil, err
	}
	if libraryErr != nil {
		return nil, rejected("malformed", clipped(libraryErr))
	}
	if claims.has("at_hash") {
		if err := byLibrary.VerifyAccessToken(want.access); err != nil {
			return nil, rejected("at_hash", err)
		}
	}
	return claims, nil
}

// check checks the claims of an ID token.
func (v verifier) check(claims payload, want expected) error {
	if err := v.checkIssuer(claims); err != nil {
		return err
	}
	if err := v.checkAudience(claims); err != nil {
		return err
	}
	if err := v.checkAuthorizedParty(claims); err != nil {
		return err
	}
	if err := v.checkTimes(claims, want.maxAge); err != nil {
		return err
	}
	subject, ok := claims.text("sub")
	if !ok || want.subject != "" && subject != want.subject {
		return rejected("sub", nil)
	}
	if want.previous != nil {
		return checkSuccession(claims, want.previous)
	}
	nonce, ok := claims.text("nonce")
	if !ok || subtle.ConstantTimeCompare([]byte(nonce), []byte(want.nonce)) != 1 {
		return rejected("nonce", nil)
	}
	return nil
}

func (v verifier) checkIssuer(claims payload) error {
	issuer, ok := claims.text("iss")
	if ok && (issuer == v.issuer || v.issuer == googleIssuer && issuer == googleShortIssuer) {
		return nil
	}
	return rejected("iss", nil)
}

func (v verifier) checkAudience(claims payload) error {
	audience, ok := claims.texts("aud")
	if !ok || !slices.Contains(audience, v.clientID) {
		return rejected("aud", nil)
	}
	return nil
}

// checkAuthorizedParty refuses what was issued to another client. A token for several must say to
// which of them it was issued.
func (v verifier) checkAuthorizedParty(claims payload) error {
	if !claims.has("azp") {
		audience, _ := claims.texts("aud")
		if slices.ContainsFunc(audience, func(a string) bool { return a != v.clientID }) {
			return rejected("azp", errors.New("is missing, with several audiences"))
		}
		return nil
	}
	if party, ok := claims.text("azp"); !ok || party != v.clientID {
		return rejected("azp", nil)
	}
	return nil
}

// checkTimes checks exp, iat, and nbf and auth_time where they matter.
func (v verifier) checkTimes(claims payload, maxAge *time.Duration) error {
	now := v.now()
	if expiry, ok := claims.time("exp"); !ok || !now.Before(expiry.Add(leeway)) {
		return rejected("exp", nil)
	}
	issued, ok := claims.time("iat")
	if !ok || issued.After(now.Add(leeway)) || issued.Before(now.Add(-maxIDTokenAge)) {
		return rejected("iat", nil)
	}
	if claims.has("nbf") {
		if begin, ok := claims.time("nbf"); !ok || begin.After(now.Add(leeway)) {
			return rejected("nbf", nil)
		}
	}
	if maxAge != nil {
		// OpenID Connect Core 1.0, section 3.1.2.1: auth_time is there where max_age was asked for.
		proved, ok := claims.time("auth_time")
		if !ok || proved.Add(*maxAge).Add(leeway).Before(now) {
			return rejected("auth_time", nil)
		}
	}
	return nil
}

// checkSuccession checks an ID token that comes with a refresh against the one before it (OpenID
// Connect Core 1.0, section 12.2). The subject has been checked by then. An empty previous one, which
// nobody kept, has nothing to compare with.
func checkSuccession(claims, previous payload) error {
	before, _ := previous.texts("aud")
	now, _ := claims.texts("aud")
	if slices.ContainsFunc(before, func(a string) bool { return !slices.Contains(now, a) }) {
		return rejected("aud", errors.New("lacks one that was there before"))
	}
	if claims.has("nonce") && len(previous) > 0 {
		nonce, _ := claims.text("nonce")
		if was, ok := previous.text("nonce"); !ok || nonce != was {
			return rejected("nonce", nil)
		}
	}
	return nil
}

// signedToken is a JWT whose signature has not been checked yet.
type signedToken struct {
	signed *jose.JSONWebSignature
	kind   string // typ, lower case and without application/; empty where there is none
}

// parseToken reads a JWT in the compact serialization (RFC 7515, section 7.1), which is the only one
// that JWTs have (RFC 7519, section 1). Libraries are more generous: they take JSON, and skip white
// space. Extensions that must be understood are not (RFC 7515, section 4.1.11).
func parseToken(raw string, allowed []jose.SignatureAlgorithm) (*signedToken, error) {
	if len(raw) > maxTokenBytes {
		return nil, rejected("malformed", fmt.Errorf("takes more than %d bytes", maxTokenBytes))
	}
	if strings.ContainsFunc(raw, func(c rune) bool { return !isTokenCharacter(c) }) {
		return nil, rejected("malformed", errors.New("is no compact JWT"))
	}
	signed, err := jose.ParseSignedCompact(raw, allowed)
	if unexpected := (*jose.ErrUnexpectedSignatureAlgorithm)(nil); errors.As(err, &unexpected) {
		return nil, rejected("alg", clipped(err))
	}
	if err != nil {
		return nil, rejected("malformed", clipped(err))
	}
	extra := signed.Signatures[0].Protected.ExtraHeaders
	if _, ok := extra["crit"]; ok {
		return nil, rejected("crit", nil)
	}
	if _, ok := extra["b64"]; ok {
		return nil, rejected("crit", errors.New("has b64, which must be critical")) // RFC 7797, section 6
	}
	token := &signedToken{signed: signed}
	if kind, ok := extra[jose.HeaderType]; ok {
		text, ok := kind.(string)
		if !ok || text == "" {
			return nil, rejected("typ", errors.New("is no text"))
		}
		token.kind = strings.TrimPrefix(strings.ToLower(text), "application/") // RFC 7515, section 4.1.9
	}
	return token, nil
}

func isTokenCharacter(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

// isOtherKind reports whether a typ says that a JWT is of a kind that is not an ID token (RFC 8725,
// section 3.11). ID tokens have no kind of their own, and providers differ in what they write.
func isOtherKind(kind string) bool { return strings.HasSuffix(kind, "+jwt") }

func names(algorithms []jose.SignatureAlgorithm) []string {
	texts := make([]string, len(algorithms))
	for i, a := range algorithms {
		texts[i] = string(a)
	}
	return texts
}

// payload is the claims of a JWT. Names are exact, and of two claims with one name the last counts
// (RFC 7519, section 4).
type payload map[string]any

func parsePayload(text []byte) (payload, error) {
	var claims payload
	if err := strictjson.Decode(text, &claims); err != nil {
		return nil, rejected("malformed", err)
	}
	return claims, nil
}

// has reports whether there is a claim of the name, whatever it is.
func (p payload) has(name string) bool {
	_, ok := p[name]
	return ok
}

// text returns a claim that is a text, and false where it is none or empty.
func (p payload) text(name string) (string, bool) {
	text, ok := p[name].(string)
	return text, ok && text != ""
}

// texts returns a claim that is a text or a list of texts, one at least.
func (p payload) texts(name string) ([]string, bool) {
	if text, ok := p.text(name); ok {
		return []string{text}, true
	}
	list, _ := p[name].([]any)
	texts := make([]string, len(list))
	for i, element := range list {
		text, ok := element.(string)
		if !ok {
			return nil, false
		}
		texts[i] = text
	}
	return texts, len(texts) > 0
}

// maxUnixTime is the end of the year 9999, after which times cannot be written everywhere.
const maxUnixTime = 253402300799

// time returns a claim that is a NumericDate (RFC 7519, section 2), to the second.
func (p payload) time(name string) (time.Time, bool) {
	number, ok := p[name].(json.Number)
	if !ok {
		return time.Time{}, false
	}
	seconds, err := number.Float64()
	if err != nil || !(seconds >= 0 && seconds <= maxUnixTime) {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0), true
}
