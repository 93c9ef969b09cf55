package oidc

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"mime"
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/strictjson"
)

// userInfo returns further claims of a subject from the provider (OpenID Connect Core 1.0, section
// 5.3), and none if that is not configured or not offered. Errors are login.ErrProviderUnavailable,
// and *login.RejectedError: with the reason "userinfo" if the provider refuses its own access token,
// and with another one if the answer does not hold.
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

// suffices reports whether an account can do without what the UserInfo endpoint failed to answer: the
// ID token settles its user name. All else that is missing only takes rights away, because rules let
// in whom a claim names, and keep nobody out. It logs that. An answer that does not hold is never done
// without.
func (m *Method) suffices(known *metadata, said payload, err error) bool {
	var rejection *login.RejectedError
	failed := errors.Is(err, login.ErrProviderUnavailable) || errors.As(err, &rejection) && rejection.Reason == "userinfo"
	if !failed || !m.mapping.SettlesUserName(said, known.claims) {
		return false
	}
	m.log.Warn("the UserInfo endpoint fails; the ID token alone says who the account is", zap.Error(err))
	return true
}

func (m *Method) fetchUserInfo(ctx context.Context, known *metadata, access string) (payload, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	header, body, err := oauthclient.Get(ctx, m.provider.client, known.userInfo, access,
		map[string]string{"Accept": "application/json, application/jwt"})
	switch {
	case oauthclient.Denied(err):
		return nil, rejected("userinfo", err)
	case err != nil:
		return nil, unavailable(fmt.Errorf("userinfo: %w", err))
	}
	if kind, _, _ := mime.ParseMediaType(header.Get("Content-Type")); kind == "application/jwt" {
		return m.verifier(known).userInfo(ctx, string(body))
	}
	var claims payload
	if err := strictjson.Decode(body, &claims); err != nil {
		return nil, unavailable(fmt.Errorf("userinfo: %w", err))
	}
	return claims, nil
}

// userInfo returns the claims of a signed answer of the UserInfo endpoint. The answer need not name
// issuer and audience, but must not name others.
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
		return nil, rejected("typ", errors.New("is not a UserInfo response"))
	}
	return claims, nil
}

// merge returns the claims of both sources; those of the stronger one win. Whether an e-mail
// address is verified only counts from the source that has the address: one source's word for one
// address must not vouch for another.
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

// at returns the claim at a path, like session.ClaimAt.
func (p payload) at(path string) (any, bool) {
	return session.ClaimAt(p, path)
}

// without returns the claims without the one at a path and the object that contains it.
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
