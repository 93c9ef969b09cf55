package oauth2

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// timeout bounds all requests of one sign-in or renewal together.
const timeout = 20 * time.Second

// Method signs in at one service. Its methods may be called concurrently.
type Method struct {
	config Config
	issuer string // of its accounts
	oauth  oauth2.Config
	http   *http.Client
	health *oauthclient.Health // of what http asks
	about  func(ctx context.Context, accessToken string) (map[string]any, error)

	noRefresh sync.Once // logs oauthclient.NoRefreshToken
}

// New returns the method. It sends no request.
func New(config Config) (*Method, error) {
	filled, err := config.withDefaults()
	if err == nil {
		err = filled.validate()
	}
	if err != nil {
		return nil, fmt.Errorf("login %s: %w", config.ID, err)
	}
	options := oauthclient.Options{}
	if filled.AuthoritiesFile != "" {
		if options.Authorities, err = oauthclient.ReadAuthorities(filled.AuthoritiesFile); err != nil {
			return nil, fmt.Errorf("login %s: ca_file: %w", config.ID, err)
		}
	}
	m := &Method{
		config: filled,
		issuer: filled.AuthorizationEndpoint,
		oauth:  filled.client(),
		health: oauthclient.NewHealth(filled.Now),
	}
	m.http = m.health.Watch(oauthclient.NewHTTPClient(options))
	m.about = m.userInfo
	if filled.Preset == PresetGitHub {
		m.issuer = filled.BaseURL
		m.about = (&github{api: filled.api(), http: m.http}).about
	}
	return m, nil
}

// ID implements login.Method.
func (m *Method) ID() string { return m.config.ID }

// Label implements login.Provider.
func (m *Method) Label() string { return m.config.Label }

// RedirectURI implements login.Provider.
func (m *Method) RedirectURI() string { return m.config.RedirectURI }

// Exposes implements login.Provider.
func (m *Method) Exposes() login.Exposed { return m.config.Expose }

// Available implements login.Provider. It is true before the first sign-in.
func (m *Method) Available() bool { return m.health.Answers() }

// SharesUserNames implements login.NameSharer.
func (m *Method) SharesUserNames() bool { return m.config.SharedUserNames }

// Current implements login.Method. The service is asked at renewals only. Until then an account is
// as recorded, and the current rules decide whether it is let in.
func (m *Method) Current(recorded *session.Identity) (*session.Identity, bool) {
	if recorded.Account.Method != m.config.ID || recorded.Issuer != m.issuer || !m.config.Allow.Allow(recorded) {
		return nil, false
	}
	return recorded, true
}

// Authorize implements login.Provider.
func (m *Method) Authorize(_ context.Context, r login.AuthorizationRequest) (string, login.Pending, error) {
	if err := oauthclient.CheckClient(r, m.config.Scopes); err != nil {
		return "", login.Pending{}, err
	}
	oauth := m.oauth
	oauth.RedirectURL = r.RedirectURI
	prompts := oauthclient.Prompts(m.config.Prompt, m.supportedPrompts(), m.config.Parameters, r)
	pending := login.Pending{RedirectURI: r.RedirectURI, Verifier: oauth2.GenerateVerifier(), Prompt: prompts[0], Prompts: prompts[1:]}
	parameters := oauthclient.RequestParameters(pending.Prompt, m.config.Parameters, m.hintParameter(), r)
	return oauthclient.AuthCodeURL(oauth, r.State, pending.Verifier, parameters), pending, nil
}

// Redeem implements login.Provider.
func (m *Method) Redeem(ctx context.Context, pending login.Pending, answer url.Values) (*login.Granted, error) {
	code, err := oauthclient.Code(answer, m.config.Issuer, true)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	oauth := m.oauth
	oauth.RedirectURL = pending.RedirectURI
	token, err := oauthclient.Exchange(ctx, m.http, oauth, code, pending.Verifier)
	if err != nil {
		return nil, m.logMisconfiguration("exchange of a code", err)
	}
	identity, err := m.identity(ctx, token.AccessToken)
	if err != nil {
		return nil, m.logMisconfiguration("user info", rejected(err))
	}
	if err := m.config.Allow.Check(identity); err != nil {
		return nil, err
	}
	if m.config.Refresh && token.RefreshToken == "" {
		m.noRefresh.Do(func() { m.config.Log.Warn(oauthclient.NoRefreshToken) })
	}
	return &login.Granted{Identity: identity, Tokens: m.tokens(token)}, nil
}

// Renew implements login.Renewer. It asks the service again who the account is. If the service
// cannot say, the account stays as recorded: the old refresh token may be used up, and the new one
// must not be lost.
func (m *Method) Renew(ctx context.Context, recorded *session.Identity, tokens login.Tokens) (*login.Granted, error) {
	switch {
	case recorded.Account.Method != m.config.ID || recorded.Issuer != m.issuer:
		// The configuration has changed. The token is another service's secret.
		return nil, fmt.Errorf("%w: the account belongs to another service", login.ErrRefused)
	case tokens.Refresh == "":
		return nil, fmt.Errorf("%w: there is no refresh token", login.ErrRefused)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	token, err := oauthclient.Refresh(ctx, m.http, m.oauth, tokens.Refresh)
	if err != nil {
		return nil, m.logMisconfiguration("renewal", err)
	}
	identity, err := m.identity(ctx, token.AccessToken)
	switch {
	case err == nil && identity.Account != recorded.Account:
		return nil, &login.RejectedError{Reason: "sub", Err: errors.New("the renewed token belongs to another account")}
	case oauthclient.Denied(err):
		return nil, m.logMisconfiguration("user info at a renewal", rejected(err))
	case err != nil:
		m.config.Log.Warn("user info is not renewed", zap.String("login", m.config.ID), zap.Error(err))
		identity = recorded
	default:
		identity = m.replace(recorded, identity)
	}
	if err := m.config.Allow.Check(identity); err != nil {
		return nil, err
	}
	return &login.Granted{Identity: identity, Tokens: m.tokens(token)}, nil
}

// identity asks the service who the account is.
func (m *Method) identity(ctx context.Context, accessToken string) (*session.Identity, error) {
	about, err := m.about(ctx, accessToken)
	if err != nil {
		return nil, err
	}
	identity, err := m.config.Claims.Identity(m.config.ID, m.issuer, about)
	if err != nil {
		return nil, err
	}
	if unusable := m.config.Claims.Unusable(about); len(unusable) > 0 {
		m.config.Log.Debug("groups that no header can carry are left out",
			zap.String("login", m.config.ID), zap.String("account", identity.Account.ID()), zap.Strings("groups", unusable))
	}
	return identity, nil
}

// replace returns the new identity of an account, with the times of the recorded one. If nothing
// has changed, it returns the recorded identity.
func (m *Method) replace(recorded, now *session.Identity) *session.Identity {
	now.CreatedAt, now.UpdatedAt = recorded.CreatedAt, recorded.UpdatedAt
	if reflect.DeepEqual(recorded, now) {
		return recorded
	}
	now.UpdatedAt = m.config.Now().UTC().Truncate(time.Millisecond)
	return now
}

// userInfo reads the user-info endpoint.
func (m *Method) userInfo(ctx context.Context, accessToken string) (map[string]any, error) {
	var about map[string]any
	if _, err := oauthclient.GetJSON(ctx, m.http, m.config.UserInfoEndpoint, accessToken, nil, &about); err != nil {
		return nil, fmt.Errorf("userinfo endpoint: %w", err)
	}
	return about, nil
}

// rejected turns an error of identity into an error of Redeem or Renew.
func rejected(err error) error {
	if errors.Is(err, login.ErrProviderUnavailable) {
		return err
	}
	return &login.RejectedError{Reason: "userinfo", Err: err}
}

// tokens returns the tokens that are kept. What is not kept cannot be stolen.
func (m *Method) tokens(token *oauth2.Token) login.Tokens {
	var kept login.Tokens
	if m.config.Refresh && token.RefreshToken != "" {
		kept.Refresh, kept.Expiry = token.RefreshToken, token.Expiry
	}
	if m.config.Expose.Access {
		kept.Access, kept.Expiry = token.AccessToken, token.Expiry
	}
	return kept
}

// logMisconfiguration logs an error that only an administrator can fix, and returns every error as
// it is: people only learn that the service is not available.
func (m *Method) logMisconfiguration(doing string, err error) error {
	if errors.Is(err, login.ErrMisconfigured) {
		m.config.Log.Error("the provider refuses this client", zap.String("login", m.config.ID), zap.String("doing", doing), zap.Error(err))
	}
	return err
}

// Interface guards
var (
	_ login.Renewer    = (*Method)(nil)
	_ login.NameSharer = (*Method)(nil)
)
