package oidc

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/claims"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Config is what an administrator says about the method.
type Config struct {
	ID           string // of the login method; has no colon
	Label        string // empty: the ID
	Issuer       string // exactly as the provider writes it
	ClientID     string
	ClientSecret string   // empty: a public client
	Scopes       []string // empty: openid profile email; openid is added where it is missing
	RedirectURI  string   // empty: where the browser is
	Prompt       string   // one of oauthclient's; empty: oauthclient.PromptSelectAccount

	Claims claims.Mapping // in the place of claims.Standard; the subject is always sub
	Allow  claims.Rules

	// Parameters are fixed further ones of the authorization request. With max_age, in seconds, the
	// provider's word that people proved who they are is required.
	Parameters map[string]string

	UserInfo bool // ask the UserInfo endpoint too
	Refresh  bool // keep refresh tokens
	Logout   bool // sign out at the provider too; its own word is heard in any case
	Expose   login.Exposed

	// SharedUserNames says that accounts are the same people as those of their user names
	// elsewhere.
	SharedUserNames bool

	InsecureHTTP bool // take a provider at plain HTTP that is not on loopback

	Providers *Providers       // nil: one of its own, which no reload keeps
	Log       *zap.Logger      // nil: none
	Now       func() time.Time // nil: time.Now
}

// Method is a login.Provider, login.Renewer, login.LogoutInitiator and login.LogoutReceiver.
type Method struct {
	id, label     string
	issuer        string
	clientID      string
	clientSecret  string
	scopes        []string
	redirectURI   string
	prompt        string
	mapping       claims.Mapping
	allow         claims.Rules
	parameters    map[string]string
	maxAge        *time.Duration
	wantsUserInfo bool
	refresh       bool
	logout        bool
	expose        login.Exposed
	sharesNames   bool
	provider      *provider
	log           *zap.Logger
	now           func() time.Time
}

// New returns the method for a configuration, or an error that names the login and what is wrong,
// but no secret. It asks nobody: a provider that is away is no reason not to start.
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
		clientID:      c.ClientID,
		clientSecret:  c.ClientSecret,
		scopes:        scopes(c.Scopes),
		redirectURI:   c.RedirectURI,
		prompt:        c.Prompt,
		mapping:       c.Claims.Or(claims.Standard()).Keeping(c.Allow),
		allow:         c.Allow,
		parameters:    maps.Clone(c.Parameters),
		wantsUserInfo: c.UserInfo,
		refresh:       c.Refresh,
		logout:        c.Logout,
		expose:        c.Expose,
		sharesNames:   c.SharedUserNames,
		log:           cmp.Or(c.Log, zap.NewNop()),
		now:           c.Now,
	}
	if m.now == nil {
		m.now = time.Now
	}
	if err := c.validate(m.mapping); err != nil {
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
	m.provider = cmp.Or(c.Providers, NewProviders()).get(providerKey{c.Issuer, c.InsecureHTTP}, m.now)
	return m, nil
}

func (c Config) validate(mapping claims.Mapping) error {
	switch {
	case c.ID == "" || strings.Contains(c.ID, ":"):
		return errors.New("the id must not be empty or have a colon")
	case c.ClientID == "":
		return errors.New("client_id: is missing")
	case mapping.Subject != "sub":
		return fmt.Errorf("claim %q: the subject of an OpenID provider is sub", mapping.Subject)
	}
	if err := validateIssuer(c.Issuer, c.InsecureHTTP); err != nil {
		return fmt.Errorf("issuer: %w", err)
	}
	return cmp.Or(
		oauthclient.CheckOptions(c.RedirectURI, c.Scopes, c.Prompt, c.Parameters),
		mapping.Validate(),
		c.Allow.Validate(),
	)
}

// validateIssuer refuses what can be no issuer (OpenID Connect Discovery 1.0, section 2), or none
// that an account could be of.
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

// scopes are those that are asked for, openid first, without which it would not be OpenID Connect.
func scopes(configured []string) []string {
	if len(configured) == 0 {
		return []string{oidc.ScopeOpenID, oidc.ScopeProfile, oidc.ScopeEmail}
	}
	if slices.Contains(configured, oidc.ScopeOpenID) {
		return slices.Clone(configured)
	}
	return append([]string{oidc.ScopeOpenID}, configured...)
}
