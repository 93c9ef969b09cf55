package oidc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/strictjson"
)

// userInfo asks the provider for more claims of a subject (OpenID Connect Core 1.0, section 5.3), and
// returns none where that is not wanted or not possible. Errors are *login.RejectedError, also where
// the provider does not take the access token that it has just issued, and
// login.ErrProviderUnavailable.
func (m *Method) userInfo(ctx context.Context, known *metadata, access, subject string) (payload, error) {
	if !m.wantsUserInfo || known.userInfo == "" {
		return nil, nil
	}
	claims, err := m.fetchUserInfo(ctx, known, access)
	if err != nil {
		return nil, err
	}
	// Section 5.3.2: claims of another subject must not be used.
	if got, ok := claims.text("sub"); !ok || got != subject {
		return nil, rejected("userinfo_sub", nil)
	}
	return claims, nil
}

func (m *Method) fetchUserInfo(ctx context.Context, known *metadata, access string) (payload, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, known.userInfo, nil)
	if err != nil {
		return nil, unavailable(err)
	}
	request.Header.Set("Accept", "application/json, application/jwt")
	request.Header.Set("Authorization", "Bearer "+access)
	answer, err := m.provider.client.Do(request)
	if err != nil {
		return nil, unavailable(fmt.Errorf("userinfo: %w", err))
	}
	defer answer.Body.Close()
	switch answer.StatusCode {
	case http.StatusOK:
	case http.StatusUnauthorized, http.StatusForbidden: // RFC 6750, section 3.1
		return nil, rejected("userinfo", fmt.Errorf("answered %s", answer.Status))
	default:
		return nil, unavailable(fmt.Errorf("userinfo: answered %s", answer.Status))
	}
	body, err := io.ReadAll(answer.Body) // the client bounds it
	if err != nil {
		return nil, unavailable(fmt.Errorf("userinfo: %w", err))
	}
	if kind, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type")); kind == "application/jwt" {
		return m.verifier(known).userInfo(ctx, string(body))
	}
	var claims map[string]any
	if err := strictjson.Decode(body, &claims); err != nil {
		return nil, unavailable(fmt.Errorf("userinfo: %w", err))
	}
	return claims, nil
}

// userInfo returns what a signed answer of the UserInfo endpoint says. It need not say who issued it
// to whom, but must not say that somebody else did.
func (v verifier) userInfo(ctx context.Context, raw string) (payload, error) {
	token, err := parseToken(raw, asymmetric)
	if err != nil {
		return nil, err
	}
	text, err := v.metadata.keys.verify(ctx, token.signed, forSignIn)
	if err != nil {
		return nil, err
	}
	claims, err := parsePayload(text)
	if err != nil {
		return nil, err
	}
	if claims.has("iss") {
		if err := v.checkIssuer(claims); err != nil {
			return nil, err
		}
	}
	if claims.has("aud") {
		if err := v.checkAudience(claims); err != nil {
			return nil, err
		}
	}
	if claims.has("events") || isOtherKind(token.kind) {
		return nil, rejected("typ", errors.New("is no UserInfo"))
	}
	return claims, nil
}

// merge returns the claims of both, of which the stronger win. Whether an e-mail address is verified
// is only ever said by the source that names the address: else one source's word for one address
// would stand for another.
func (m *Method) merge(stronger, weaker payload) payload {
	address, ok := stronger.at(m.mapping.Email)
	other, otherOK := weaker.at(m.mapping.Email)
	switch {
	case ok && otherOK && sameText(address, other):
	case ok:
		weaker = weaker.without(m.mapping.EmailVerified)
	case otherOK:
		stronger = stronger.without(m.mapping.EmailVerified)
	}
	merged := make(payload, len(stronger)+len(weaker))
	maps.Copy(merged, weaker)
	maps.Copy(merged, stronger)
	return merged
}

func sameText(a, b any) bool {
	one, ok := a.(string)
	other, otherOK := b.(string)
	return ok && otherOK && one == other
}

// at returns the claim at a path, as session.ClaimAt does.
func (p payload) at(path string) (any, bool) {
	return session.ClaimAt(p, path)
}

// without returns the claims without the one at a path, and what is around it.
func (p payload) without(path string) payload {
	if _, ok := p.at(path); !ok {
		return p
	}
	rest := maps.Clone(p)
	for name := range p {
		if path == name || strings.HasPrefix(path, name+".") {
			delete(rest, name)
		}
	}
	return rest
}
