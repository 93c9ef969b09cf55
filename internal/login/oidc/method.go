package oidc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
	"github.com/caddy-multi-session/gateway/internal/session"
)

var (
	_ login.Renewer         = (*Method)(nil)
	_ login.LogoutInitiator = (*Method)(nil)
	_ login.LogoutReceiver  = (*Method)(nil)

	_ login.FrontChannelReceiver = (*Method)(nil)
)

// ID implements login.Method.
func (m *Method) ID() string { return m.id }

// Label implements login.Provider.
func (m *Method) Label() string { return m.label }

// Available implements login.Provider. It reports whether the last fetch of metadata succeeded and the
// provider answered since, and is true before the first fetch.
func (m *Method) Available() bool { return m.provider.available() }

// RedirectURI implements login.Provider.
func (m *Method) RedirectURI() string { return m.redirectURI }

// Exposes implements login.Provider.
func (m *Method) Exposes() login.Exposed { return m.expose }

// SharesUserNames implements login.NameSharer.
func (m *Method) SharesUserNames() bool { return m.sharesNames }

// Current implements session.Directory. The recorded identity is the newest known. It counts while
// its issuer is the configured one, its tenant may sign in, and the rules let it in.
func (m *Method) Current(recorded *session.Identity) (*session.Identity, bool) {
	if recorded.Issuer != m.issuer || !m.allow.Allow(recorded) {
		return nil, false
	}
	if _, _, ok := m.tenants.split(recorded.Account.Subject); !ok {
		return nil, false
	}
	return recorded, true
}

// Authorize implements login.Provider.
func (m *Method) Authorize(ctx context.Context, r login.AuthorizationRequest) (string, login.Pending, error) {
	if err := oauthclient.CheckClient(r, m.scopes); err != nil {
		return "", login.Pending{}, err
	}
	known, err := m.provider.metadata(ctx)
	if err != nil {
		return "", login.Pending{}, err
	}
	config, client, err := m.client(known, r.RedirectURI)
	if err != nil {
		return "", login.Pending{}, err
	}
	prompts := oauthclient.Prompts(m.prompt, m.supportedPrompts(known), m.parameters, r)
	pending := login.Pending{RedirectURI: r.RedirectURI, Verifier: oauth2.GenerateVerifier(), Nonce: rand.Text(), Prompt: prompts[0], Prompts: prompts[1:]}
	if !m.push && !known.mustPush {
		return oauthclient.AuthCodeURL(config, r.State, pending.Verifier, m.requestParameters(r, pending)), pending, nil
	}
	if known.push == "" {
		return "", login.Pending{}, fmt.Errorf("%w: the provider has no pushed_authorization_request_endpoint", login.ErrMisconfigured)
	}
	for {
		location, err := oauthclient.Push(ctx, client, known.push, config, r.State, pending.Verifier, m.requestParameters(r, pending))
		if err == nil {
			return location, pending, nil
		}
		// A provider that refuses the prompt says so here, and not through the browser.
		answer := new(login.AnswerError)
		errors.As(err, &answer)
		prompts, ok := pending.Retry(&login.DeniedError{Code: answer.Code})
		if !ok {
			return "", login.Pending{}, err
		}
		pending.Prompt, pending.Prompts = prompts[0], prompts[1:]
	}
}

// requestParameters returns the parameters of the authorization request that the pending one is for.
func (m *Method) requestParameters(r login.AuthorizationRequest, pending login.Pending) map[string]string {
	parameters := oauthclient.RequestParameters(pending.Prompt, m.parameters, "login_hint", r)
	parameters["nonce"] = pending.Nonce
	if m.responseMode != "" {
		parameters["response_mode"] = m.responseMode
	}
	return parameters
}

// googlePrompts are the prompts of Google, whose metadata names none. For any other value Google shows
// a page of its own, from which nobody comes back.
var googlePrompts = []string{"none", "consent", oauthclient.PromptSelectAccount}

// supportedPrompts returns the prompts that the provider supports; nil if that is not known.
func (m *Method) supportedPrompts(known *metadata) []string {
	if len(known.prompts) == 0 && m.issuer == "https://accounts.google.com" {
		return googlePrompts
	}
	return known.prompts
}

// Redeem implements login.Provider.
func (m *Method) Redeem(ctx context.Context, pending login.Pending, answer url.Values) (*login.Granted, error) {
	known, err := m.provider.metadata(ctx)
	if err != nil {
		return nil, err
	}
	issuer := m.issuer
	if named := answer.Get("iss"); m.isIssuer(known, named) {
		issuer = named
	}
	code, err := oauthclient.Code(answer, issuer, known.answersIss)
	if err != nil {
		return nil, err
	}
	config, client, err := m.client(known, pending.RedirectURI)
	if err != nil {
		return nil, err
	}
	token, err := oauthclient.Exchange(ctx, client, config, code, pending.Verifier)
	if err != nil {
		return nil, err
	}
	raw, _ := token.Extra("id_token").(string)
	said, err := m.idToken(ctx, known, raw, expected{nonce: pending.Nonce, access: token.AccessToken, maxAge: m.maxAge})
	if err != nil {
		return nil, err
	}
	subject, _ := said.text("sub")
	more, err := m.userInfo(ctx, known, token.AccessToken, subject)
	if err != nil && !m.suffices(known, said, err) {
		return nil, err
	}
	tenant := ""
	if len(m.tenants) > 0 {
		tenant, _ = said.text("tid")
	}
	identity, err := m.identity(tenant, m.merge(said, more))
	if err != nil {
		return nil, err
	}
	if m.refresh && token.RefreshToken == "" {
		m.noRefresh.Do(func() { m.log.Warn(oauthclient.NoRefreshToken) })
	}
	sid, _ := said.text("sid")
	return &login.Granted{Identity: identity, Tokens: m.keep(token, raw), SID: sid}, nil
}

// Renew implements login.Renewer. New tokens of the provider are returned even if the provider then
// cannot say who the account is, because the old refresh token may be used up. The identity is then
// the recorded one.
//
// A grant without a SID belongs to the same session as before.
func (m *Method) Renew(ctx context.Context, recorded *session.Identity, tokens login.Tokens) (*login.Granted, error) {
	if recorded.Issuer != m.issuer {
		return nil, rejected("iss", errors.New("is not the issuer of the account"))
	}
	if _, _, ok := m.tenants.split(recorded.Account.Subject); !ok {
		return nil, &login.NotAllowedError{Account: recorded.Account}
	}
	known, err := m.provider.metadata(ctx)
	if err != nil {
		return nil, err
	}
	config, client, err := m.client(known, "")
	if err != nil {
		return nil, err
	}
	token, err := oauthclient.Refresh(ctx, client, config, tokens.Refresh)
	if err != nil {
		return nil, err
	}
	renewed, err := m.readRenewed(ctx, known, recorded, tokens.ID, token)
	if errors.Is(err, login.ErrProviderUnavailable) {
		m.log.Warn("tokens are renewed, but not the account", zap.String("account", recorded.Account.ID()), zap.Error(err))
		renewed, err = &login.Granted{Identity: recorded, Tokens: m.keep(token, tokens.ID)}, nil
	}
	if err != nil {
		return nil, err
	}
	if err := m.allow.Check(renewed.Identity); err != nil {
		return nil, err
	}
	return renewed, nil
}

// readRenewed returns the account and tokens after a renewal. before is the previous ID token.
func (m *Method) readRenewed(ctx context.Context, known *metadata, recorded *session.Identity, before string, token *oauth2.Token) (*login.Granted, error) {
	tenant, subject, _ := m.tenants.split(recorded.Account.Subject)
	previous := parseKept(before)
	raw, _ := token.Extra("id_token").(string)
	said := payload(nil)
	if raw != "" && raw != before { // the same token again has nothing new
		var err error
		said, err = m.idToken(ctx, known, raw, expected{access: token.AccessToken, previous: previous, subject: subject, tenant: tenant})
		if err != nil {
			return nil, err
		}
	} else {
		raw = before
	}
	more, err := m.userInfo(ctx, known, token.AccessToken, subject)
	if err != nil && (errors.Is(err, login.ErrProviderUnavailable) || !m.suffices(known, said, err)) {
		return nil, err
	}
	granted := &login.Granted{Identity: recorded, Tokens: m.keep(token, raw)}
	granted.SID, _ = previous.text("sid")
	if sid, ok := said.text("sid"); ok {
		granted.SID = sid
	}
	var all payload
	switch {
	case said != nil:
		all = m.merge(said, more)
	case more != nil && len(previous) > 0:
		all = m.merge(more, previous)
	default:
		return granted, nil
	}
	granted.Identity, err = m.identity(tenant, all)
	return granted, err
}

// idToken returns the claims of an ID token. A provider that has changed its algorithms or the place
// of its keys may need to be discovered again for it.
func (m *Method) idToken(ctx context.Context, known *metadata, raw string, want expected) (payload, error) {
	claims, err := m.verifier(known).idToken(ctx, raw, want)
	if newer, ok := m.newerMetadata(ctx, known, err); ok {
		claims, err = m.verifier(newer).idToken(ctx, raw, want)
	}
	return claims, err
}

// newerMetadata returns newer metadata than the known if a token was rejected for something that
// metadata decides. It asks the provider at most once in askAgain, whoever sends how many tokens.
func (m *Method) newerMetadata(ctx context.Context, known *metadata, err error) (*metadata, bool) {
	var rejection *login.RejectedError
	if !errors.As(err, &rejection) {
		return nil, false
	}
	switch rejection.Reason {
	case "alg", "kid", "signature":
	default:
		return nil, false
	}
	newer := m.provider.rediscover(ctx, known)
	return newer, newer != known
}

// parseKept returns the claims of an ID token that was verified when it was received and that the
// gateway kept since. Without one it returns empty claims, not nil.
func parseKept(raw string) payload {
	token, err := parseToken(raw, asymmetric)
	if err != nil {
		return payload{}
	}
	claims, err := parsePayload(token.signed.UnsafePayloadWithoutVerification())
	if err != nil {
		return payload{}
	}
	return claims
}

// identity returns the identity that the claims of a tenant's account describe. It refuses accounts that
// are not let in.
func (m *Method) identity(tenant string, all payload) (*session.Identity, error) {
	identity, err := m.mapping.Identity(m.id, m.issuer, all)
	if err != nil {
		return nil, rejected("claims", err)
	}
	identity.Account.Subject = accountSubject(tenant, identity.Account.Subject)
	if err := identity.Validate(); err != nil {
		return nil, rejected("claims", err)
	}
	if unusable := m.mapping.Unusable(all); len(unusable) > 0 {
		m.log.Warn("groups are left out", zap.String("account", identity.Account.ID()), zap.Strings("groups", unusable))
	}
	if m.mapping.GroupsElsewhere(all) {
		m.log.Warn("the provider leaves out the groups of an account, because there are too many; it has none here",
			zap.String("account", identity.Account.ID()), zap.String("claim", m.mapping.Groups))
	}
	if err := m.allow.Check(identity); err != nil {
		return nil, err
	}
	return identity, nil
}

// keep returns the tokens that are used later. The ID token is kept with a refresh token, because
// the next ID token is compared with it.
func (m *Method) keep(token *oauth2.Token, id string) login.Tokens {
	kept := login.Tokens{}
	if !token.Expiry.IsZero() {
		kept.Expiry = m.now().Add(time.Until(token.Expiry).Round(time.Second)) // the library uses the system's clock
	}
	if m.expose.Access {
		kept.Access = token.AccessToken
	}
	if m.refresh {
		kept.Refresh = token.RefreshToken
	}
	if m.expose.ID || m.logout || kept.Refresh != "" {
		kept.ID = id
	}
	return kept
}

// client returns the OAuth client for a provider, and the HTTP client for its requests. Errors are
// login.ErrMisconfigured.
func (m *Method) client(known *metadata, redirectURI string) (oauth2.Config, *http.Client, error) {
	config := oauth2.Config{
		ClientID:    m.clientID,
		Endpoint:    known.endpoint,
		RedirectURL: redirectURI,
		Scopes:      m.scopes,
	}
	client, err := m.auth.Use(&config, m.provider.client, known.clientAuth)
	return config, client, err
}

func (m *Method) verifier(known *metadata) verifier {
	return verifier{login: m.id, issuer: m.issuer, tenants: m.tenants, clientID: m.clientID, metadata: known, now: m.now}
}
