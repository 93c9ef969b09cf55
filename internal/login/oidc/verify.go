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
	// leeway is the maximum difference between the provider's clock and the gateway's.
	leeway = time.Minute

	// maxIDTokenAge is the maximum age of an ID token. The provider issues one for each sign-in.
	maxIDTokenAge = 10 * time.Minute

	maxTokenBytes = 64 << 10
)

// Google uses two issuers in ID tokens, which its documentation says. No other provider may.
const (
	googleIssuer      = "https://accounts.google.com"
	googleShortIssuer = "accounts.google.com"
)

// verifier checks the tokens that a provider signs for a client. Its errors are
// *login.RejectedError, and those of keys.
type verifier struct {
	login    string // id of the login
	issuer   string
	tenants  tenants
	clientID string
	metadata *metadata
	now      func() time.Time
}

// expected is what an ID token must say, in addition to what all ID tokens of the client must say.
type expected struct {
	nonce  string         // of the authorization request; not checked with previous
	access string         // the access token that came with it
	maxAge *time.Duration // maximum time since the user last proved who they are; nil: any

	previous payload // claims of the ID token that this one replaces; nil: none
	subject  string  // required sub; empty: any
	tenant   string  // required tenant; empty: any that may sign in
}

// idToken returns the claims of an ID token (OpenID Connect Core 1.0, section 3.1.3.7).
//
// Both go-oidc and this code check it: go-oidc checks fewer claims, distinguishes most failures by
// their text only, and ignores the case of claim names.
func (v verifier) idToken(ctx context.Context, raw string, want expected) (payload, error) {
	if raw == "" {
		return nil, rejected("no_id_token", nil)
	}
	token, err := parseToken(raw, v.metadata.algorithms)
	if err != nil {
		return nil, err
	}
	if isOtherKind(token.kind) {
		return nil, rejected("typ", clip(fmt.Errorf("%q is not the type of an ID token", token.kind)))
	}
	checked := &signatures{keys: v.metadata.keys, purpose: forSignIn, token: token.signed}
	byLibrary, libraryErr := oidc.NewVerifier(v.issuer, checked, &oidc.Config{
		ClientID:             v.clientID,
		SkipIssuerCheck:      len(v.tenants) > 0, // check does it
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
	if err := v.checkKeyIssuer(token, claims); err != nil {
		return nil, err
	}
	if libraryErr != nil {
		return nil, rejected("malformed", clip(libraryErr))
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
	if tenant, _ := claims.text("tid"); want.tenant != "" && tenant != want.tenant {
		return rejected("tid", nil)
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
	if len(v.tenants) > 0 {
		_, err := v.tenants.check(v.metadata.issuer, v.login, claims)
		return err
	}
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

// checkAuthorizedParty refuses tokens that were issued to another client. A token with several
// audiences must name its client.
func (v verifier) checkAuthorizedParty(claims payload) error {
	if !claims.has("azp") {
		audience, _ := claims.texts("aud")
		if slices.ContainsFunc(audience, func(a string) bool { return a != v.clientID }) {
			return rejected("azp", errors.New("is missing, although there are several audiences"))
		}
		return nil
	}
	if party, ok := claims.text("azp"); !ok || party != v.clientID {
		return rejected("azp", nil)
	}
	return nil
}

// checkTimes checks exp and iat, nbf if it is there, and auth_time if maxAge is set.
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
		// OpenID Connect Core 1.0, section 3.1.2.1: max_age in the request makes auth_time
		// required.
		proved, ok := claims.time("auth_time")
		if !ok || proved.Add(*maxAge).Add(leeway).Before(now) {
			return rejected("auth_time", nil)
		}
	}
	return nil
}

// checkSuccession compares the ID token of a renewal with the previous one (OpenID Connect Core
// 1.0, section 12.2). The subject is already checked. Empty previous claims mean that no token was
// kept, so there is nothing to compare.
func checkSuccession(claims, previous payload) error {
	before, _ := previous.texts("aud")
	now, _ := claims.texts("aud")
	if slices.ContainsFunc(before, func(a string) bool { return !slices.Contains(now, a) }) {
		return rejected("aud", errors.New("lacks an audience of the previous token"))
	}
	if claims.has("nonce") && len(previous) > 0 {
		nonce, _ := claims.text("nonce")
		if was, ok := previous.text("nonce"); !ok || nonce != was {
			return rejected("nonce", nil)
		}
	}
	return nil
}

// signedToken is a JWT whose signature is not verified yet.
type signedToken struct {
	signed *jose.JSONWebSignature
	kind   string // typ, in lower case and without application/; empty: none
}

// parseToken reads a JWT in the compact serialization (RFC 7515, section 7.1), the only one that
// JWTs have (RFC 7519, section 1). Libraries also accept JSON and white space. Tokens with critical
// extensions are refused (RFC 7515, section 4.1.11).
func parseToken(raw string, allowed []jose.SignatureAlgorithm) (*signedToken, error) {
	if len(raw) > maxTokenBytes {
		return nil, rejected("malformed", fmt.Errorf("has more than %d bytes", maxTokenBytes))
	}
	if strings.ContainsFunc(raw, func(c rune) bool { return !isTokenCharacter(c) }) {
		return nil, rejected("malformed", errors.New("is not a compact JWT"))
	}
	signed, err := jose.ParseSignedCompact(raw, allowed)
	if unexpected := (*jose.ErrUnexpectedSignatureAlgorithm)(nil); errors.As(err, &unexpected) {
		return nil, rejected("alg", clip(err))
	}
	if err != nil {
		return nil, rejected("malformed", clip(err))
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
			return nil, rejected("typ", errors.New("is not a string"))
		}
		token.kind = strings.TrimPrefix(strings.ToLower(text), "application/") // RFC 7515, section 4.1.9
	}
	return token, nil
}

func isTokenCharacter(c rune) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '.'
}

// isOtherKind reports whether a typ says that a JWT is not an ID token (RFC 8725, section 3.11). ID
// tokens have no type of their own, and providers use different ones.
func isOtherKind(kind string) bool { return strings.HasSuffix(kind, "+jwt") }

func names(algorithms []jose.SignatureAlgorithm) []string {
	texts := make([]string, len(algorithms))
	for i, a := range algorithms {
		texts[i] = string(a)
	}
	return texts
}

// payload is the claims of a JWT. Names are case-sensitive, and the last of two equal names counts
// (RFC 7519, section 4).
type payload map[string]any

func parsePayload(text []byte) (payload, error) {
	var claims payload
	if err := strictjson.Decode(text, &claims); err != nil {
		return nil, rejected("malformed", err)
	}
	return claims, nil
}

// has reports whether there is a claim of the name, with any value.
func (p payload) has(name string) bool {
	_, ok := p[name]
	return ok
}

// text returns a claim that is a string, and false if it is missing, empty or something else.
func (p payload) text(name string) (string, bool) {
	text, ok := p[name].(string)
	return text, ok && text != ""
}

// texts returns a claim that is a string or a list of strings, and false if there is none.
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

// maxUnixTime is the end of the year 9999. Not every format can express later times.
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
