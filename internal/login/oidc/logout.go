package oidc

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/origin"
)

const (
	// logoutEvent is the event that makes a token a logout token.
	logoutEvent = "http://schemas.openid.net/event/backchannel-logout"

	// logoutWindow is how far from now a logout token may have been issued, in both directions.
	logoutWindow = 5 * time.Minute

	// maxHintBytes is the maximum length of an ID token in a URL. Many servers refuse URLs longer
	// than 8 KiB.
	maxHintBytes = 6 << 10

	maxNameBytes = 1024 // of a jti, a sub and a sid
)

// SendsBack implements login.LogoutInitiator.
func (m *Method) SendsBack() bool { return !m.logoutEndsThere }

// EndSession implements login.LogoutInitiator (OpenID Connect RP-Initiated Logout 1.0, section 2).
// It sends no request: an undiscovered provider has no known logout page.
func (m *Method) EndSession(tokens login.Tokens, postLogoutRedirectURI, state string) (string, bool) {
	known := m.provider.peek()
	if !m.logout || known == nil || known.endSession == "" {
		return "", false
	}
	location, err := url.Parse(known.endSession)
	if err != nil {
		return "", false
	}
	query := location.Query() // may contain parameters of the provider
	set := func(name, value string) {
		if value != "" {
			query.Set(name, value)
		}
	}
	if len(tokens.ID) <= maxHintBytes {
		set("id_token_hint", tokens.ID)
	}
	set("client_id", m.clientID)
	set("post_logout_redirect_uri", postLogoutRedirectURI)
	if postLogoutRedirectURI != "" {
		set("state", state)
	}
	location.RawQuery = query.Encode()
	return location.String(), true
}

// FrontChannelLogout implements login.FrontChannelReceiver (OpenID Connect Front-Channel Logout 1.0,
// section 2). The request carries no proof, and browsers withhold the gateway's cookies from it, so the
// session's id has to be there: nobody but the provider and the user knows it.
func (m *Method) FrontChannelLogout(query url.Values) (*login.Logout, error) {
	if issuers := query["iss"]; len(issuers) != 1 || !m.isIssuer(m.provider.peek(), issuers[0]) {
		return nil, rejected("iss", nil)
	}
	sids := query["sid"]
	if len(sids) != 1 || sids[0] == "" || len(sids[0]) > maxNameBytes {
		return nil, rejected("sid", nil)
	}
	return &login.Logout{SID: sids[0]}, nil
}

// PageOrigins implements login.FrontChannelReceiver. The page that signs people out may be at another
// origin than the issuer.
func (m *Method) PageOrigins() []string {
	pages := []string{m.issuer}
	if known := m.provider.peek(); known != nil && known.endSession != "" {
		pages = append(pages, known.endSession)
	}
	var origins []string
	for _, page := range pages {
		if there, _, err := origin.Cut(page); err == nil && !slices.Contains(origins, there) {
			origins = append(origins, there)
		}
	}
	return origins
}

// VerifyLogout implements login.LogoutReceiver (OpenID Connect Back-Channel Logout 1.0, section
// 2.6).
func (m *Method) VerifyLogout(ctx context.Context, raw string) (*login.Logout, error) {
	known, err := m.provider.metadata(ctx)
	if err != nil {
		return nil, err
	}
	logout, err := m.verifier(known).logoutToken(ctx, raw)
	if newer, ok := m.newerMetadata(ctx, known, err); ok {
		logout, err = m.verifier(newer).logoutToken(ctx, raw)
	}
	return logout, err
}

// logoutToken returns the content of a logout token. Anybody can send one, so its signature is
// verified before its claims are used.
func (v verifier) logoutToken(ctx context.Context, raw string) (*login.Logout, error) {
	token, err := parseToken(raw, v.metadata.algorithms)
	if err != nil {
		return nil, err
	}
	switch token.kind {
	case "logout+jwt":
	case "", "jwt": // older providers do not set the type (section 2.4)
	default:
		return nil, rejected("typ", clip(fmt.Errorf("%q is not the type of a logout token", token.kind)))
	}
	text, err := v.metadata.keys.verify(ctx, token.signed, forLogout)
	if err != nil {
		return nil, err
	}
	claims, err := parsePayload(text)
	if err != nil {
		return nil, err
	}
	if err := v.checkIssuer(claims); errors.Is(err, login.ErrNotAllowed) {
		return nil, rejected("tid", errors.New("is not a tenant that may sign in"))
	} else if err != nil {
		return nil, err
	}
	if err := v.checkKeyIssuer(token, claims); err != nil {
		return nil, err
	}
	if err := v.checkAudience(claims); err != nil {
		return nil, err
	}
	logout, err := v.readLogout(claims)
	if err == nil && len(v.tenants) > 0 && logout.Subject != "" {
		tenant, _ := claims.text("tid")
		logout.Subject = accountSubject(tenant, logout.Subject)
	}
	return logout, err
}

// readLogout reads the claims that make a token a logout token. ID tokens and access tokens lack
// the event, and ID tokens of sign-ins have a nonce.
func (v verifier) readLogout(claims payload) (*login.Logout, error) {
	until, err := v.logoutExpiry(claims)
	if err != nil {
		return nil, err
	}
	events, _ := claims["events"].(map[string]any)
	if _, ok := events[logoutEvent].(map[string]any); !ok { // further events are for others (section 2.4)
		return nil, rejected("events", nil)
	}
	if claims.has("nonce") {
		return nil, rejected("nonce", errors.New("must be absent"))
	}
	logout := &login.Logout{Expiry: until}
	for _, c := range []struct {
		name     string
		value    *string
		optional bool
	}{
		{"jti", &logout.JTI, false},
		{"sub", &logout.Subject, true},
		{"sid", &logout.SID, true},
	} {
		if c.optional && !claims.has(c.name) {
			continue
		}
		text, ok := claims.text(c.name)
		if !ok || len(text) > maxNameBytes {
			return nil, rejected(c.name, nil)
		}
		*c.value = text
	}
	if logout.Subject == "" && logout.SID == "" {
		return nil, rejected("sub", errors.New("is missing, and so is sid"))
	}
	return logout, nil
}

// logoutExpiry checks when a logout token was issued and expires, and returns when it stops being
// accepted. Some providers omit exp, which was optional once.
func (v verifier) logoutExpiry(claims payload) (time.Time, error) {
	now := v.now()
	issued, ok := claims.time("iat")
	if !ok || issued.After(now.Add(logoutWindow)) || !now.Before(issued.Add(logoutWindow)) {
		return time.Time{}, rejected("iat", nil)
	}
	until := issued.Add(logoutWindow)
	if !claims.has("exp") {
		return until, nil
	}
	expiry, ok := claims.time("exp")
	if expiry = expiry.Add(leeway); !ok || !now.Before(expiry) {
		return time.Time{}, rejected("exp", nil)
	}
	if expiry.Before(until) {
		until = expiry
	}
	return until, nil
}
