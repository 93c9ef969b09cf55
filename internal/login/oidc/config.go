package oidc

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/claims"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Config is the configuration of a Method.
type Config struct {
	ID           string // of the login method; has no colon
	Label        string // empty: the ID
	Issuer       string // exactly as the provider writes it
	ClientID     string
	Credentials  oauthclient.Credentials // none: a public client
	Scopes       []string                // empty: openid profile email; openid is always added
	RedirectURI  string                  // empty: the site that the browser comes from
	Prompt       string                  // one of oauthclient's; empty: oauthclient.PromptSelectAccount, if it is supported
	ResponseMode string                  // ResponseModeQuery or ResponseModeFormPost; empty: the provider's default

	// Tenants are the tenants whose accounts may sign in, where the issuer stands for those of many
	// tenants. A tenant is named as in the claim tid. They are required for such an issuer.
	Tenants []string

	Claims claims.Mapping // overrides claims.Standard; the subject is always sub
	Allow  claims.Rules

	// Parameters are fixed parameters of the authorization request. With max_age, in seconds, ID
	// tokens must say when people last proved who they are.
	Parameters map[string]string

	// PushRequests sends authorization requests to the provider itself (RFC 9126). Providers that require
	// it get them so in any case.
	PushRequests bool

	UserInfo bool // also ask the UserInfo endpoint
	Refresh  bool // keep refresh tokens
	Logout   bool // also sign out at the provider; its logout tokens always count
	Expose   login.Exposed

	// LogoutEndsThere says that no post-logout redirect URI is registered for the gateway. A provider
	// that gets one all the same shows an error and may not sign out.
	LogoutEndsThere bool

	// SharedUserNames says that accounts with one user name at several logins are the same person.
	SharedUserNames bool

	Endpoints Endpoints // that differ from what the provider says

	// AuthoritiesFile has the certificates, in PEM, of the only authorities that may vouch for the
	// provider's server. Default: the system's
	AuthoritiesFile string

	InsecureHTTP bool // allow providers at plain HTTP that are not on loopback

	Providers *Providers       // nil: a new one, which no reload keeps
	Log       *zap.Logger      // nil: none
	Now       func() time.Time // nil: time.Now
}

// Ways in which a provider sends its answer through the browser (OAuth 2.0 Multiple Response Type
// Encoding Practices, section 2.1; OAuth 2.0 Form Post Response Mode).
const (
	ResponseModeQuery    = "query"
	ResponseModeFormPost = "form_post"
)

// Method is a login.Provider, login.Renewer, login.LogoutInitiator and login.LogoutReceiver.
type Method struct {
	id, label     string
	issuer        string
	tenants       tenants
	clientID      string
	auth          *oauthclient.Authentication
	scopes        []string
	redirectURI   string
	prompt        string
	responseMode  string
	mapping       claims.Mapping
	allow         claims.Rules
	parameters    map[string]string
	maxAge        *time.Duration
	push          bool
	wantsUserInfo bool
	refresh       bool
	logout        bool
	expose        login.Exposed
	sharesNames   bool
	provider      *provider
	noRefresh     sync.Once // logs oauthclient.NoRefreshToken
	log           *zap.Logger
	now           func() time.Time

	logoutEndsThere bool
}

// New returns the method for a configuration, or an error that names the login and the problem, but
// no secret. It sends no request, so a provider that is not available does not prevent a start.
func New(c Config) (*Method, error) {
	m, err := newMethod(c)
	if err != nil {
		return nil, fmt.Errorf("login %s: %w", c.ID, err)
	}
	return m, nil
}

func newMethod(c Config) (*Method, error) {
	m := &Method{
		id:            c.ID,
		label:         cmp.Or(c.Label, c.ID),
		issuer:        c.Issuer,
		tenants:       slices.Clone(c.Tenants),
		clientID:      c.ClientID,
		scopes:        scopes(c.Scopes),
		redirectURI:   c.RedirectURI,
		prompt:        c.Prompt,
		responseMode:  c.ResponseMode,
		mapping:       c.Claims.Or(claims.Standard()).Keeping(c.Allow),
		allow:         c.Allow,
		parameters:    maps.Clone(c.Parameters),
		push:          c.PushRequests,
		wantsUserInfo: c.UserInfo,
		refresh:       c.Refresh,
		logout:        c.Logout,
		expose:        c.Expose,
		sharesNames:   c.SharedUserNames,
		log:           cmp.Or(c.Log, zap.NewNop()),
		now:           c.Now,

		logoutEndsThere: c.LogoutEndsThere,
	}
	if m.now == nil {
		m.now = time.Now
	}
	if err := c.validate(m.mapping); err != nil {
		return nil, err
	}
	var err error
	if m.auth, err = oauthclient.NewAuthentication(c.ClientID, c.Credentials, m.now); err != nil {
		return nil, err
	}
	if text, ok := c.Parameters["max_age"]; ok {
		seconds, err := strconv.ParseUint(text, 10, 31)
		if err != nil {
			return nil, fmt.Errorf("parameter max_age %q: must be a number of seconds", text)
		}
		age := time.Duration(seconds) * time.Second
		m.maxAge = &age
	}
	key := providerKey{issuer: c.Issuer, insecureHTTP: c.InsecureHTTP, endpoints: c.Endpoints, tenanted: len(c.Tenants) > 0}
	if c.AuthoritiesFile != "" {
		if key.authorities, err = oauthclient.ReadAuthorities(c.AuthoritiesFile); err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
	}
	m.provider = cmp.Or(c.Providers, NewProviders()).get(key, m.now)
	return m, nil
}

func (c Config) validate(mapping claims.Mapping) error {
	switch {
	case c.ID == "" || strings.Contains(c.ID, ":"):
		return errors.New("the id must not be empty or have a colon")
	case c.ClientID == "":
		return errors.New("client_id: is missing")
	case c.ResponseMode != "" && c.ResponseMode != ResponseModeQuery && c.ResponseMode != ResponseModeFormPost:
		return fmt.Errorf("response_mode %q: must be %s or %s", c.ResponseMode, ResponseModeQuery, ResponseModeFormPost)
	case mapping.Subject != "sub":
		return fmt.Errorf("claim %q: the subject of an OpenID provider is sub", mapping.Subject)
	}
	if err := validateIssuer(c.Issuer, c.InsecureHTTP); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	if len(c.Tenants) > 0 && c.Endpoints.complete() {
		return errors.New("tenants: need the provider's metadata: leave out an endpoint, or name its discovery_url")
	}
	return cmp.Or(
		tenants(c.Tenants).validate(),
		c.Endpoints.validate(c.InsecureHTTP),
		oauthclient.CheckOptions(c.RedirectURI, c.Scopes, c.Prompt, c.Parameters),
		mapping.Validate(),
		mapping.ValidateRules(c.Allow),
	)
}

// validateIssuer refuses texts that are not an issuer (OpenID Connect Discovery 1.0, section 2) or
// that no account can have as its issuer.
func validateIssuer(issuer string, insecureHTTP bool) error {
	if issuer == "" {
		return errors.New("is missing")
	}
	if err := oauthclient.ValidateURL(issuer, insecureHTTP); err != nil {
		return err
	}
	if strings.Contains(issuer, "?") {
		return fmt.Errorf("%q: must not have a query", issuer)
	}
	return session.ValidText(issuer)
}

// scopes returns the scopes of the authorization request. openid comes first: without it the
// request is not one of OpenID Connect.
func scopes(configured []string) []string {
	if len(configured) == 0 {
		return []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail}
	}
	if slices.Contains(configured, oidc.ScopeOpenID) {
		return slices.Clone(configured)
	}
	return append([]string{oidc.ScopeOpenID}, configured...)
}
