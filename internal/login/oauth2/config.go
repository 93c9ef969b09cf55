// Package oauth2 signs in at services that speak OAuth 2.0 and not OpenID Connect: an authorization
// code with PKCE (RFC 6749, RFC 7636) is traded for a token, and the service asked with it who the
// account is.
package oauth2

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/claims"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Config is a method as it is configured.
type Config struct {
	ID    string
	Label string // default: the preset's, or the id

	// Preset is PresetGitHub, or empty: the endpoints are then to be given, and the claims that are
	// the subject and the user name.
	Preset string

	// BaseURL is of the preset's service, where it is not the public one: that of a GitHub Enterprise
	// Server.
	BaseURL string

	AuthorizationEndpoint string
	TokenEndpoint         string
	UserInfoEndpoint      string // answers GET by a bearer token with a JSON object

	ClientID     string
	ClientSecret string

	// ClientAuthentication is oauthclient.ClientSecretBasic, which every service must support, or
	// ClientSecretPost, which is what some have instead. Default: the preset's, or the former
	ClientAuthentication string

	// Issuer is what the service says in each of its answers that it is, where it does (RFC 9207). Any
	// other answer is rejected then. Default: it is not looked at
	Issuer string

	Scopes      []string // default: the preset's
	RedirectURI string   // default: where the browser is
	Prompt      string   // one of oauthclient's
	Claims      claims.Mapping
	Allow       claims.Rules
	Parameters  map[string]string // fixed further ones of the authorization request

	// SharedUserNames says that the accounts are the same people as those of their user names at other
	// logins.
	SharedUserNames bool

	Refresh      bool // keep the refresh token, and renew by it
	Expose       login.Exposed
	InsecureHTTP bool

	Log *zap.Logger      // default: none
	Now func() time.Time // default: time.Now
}

// filled is the configuration with its defaults.
func (c Config) filled() (Config, error) {
	switch c.Preset {
	case PresetGitHub:
		if c.AuthorizationEndpoint != "" || c.TokenEndpoint != "" || c.UserInfoEndpoint != "" {
			return c, errors.New("has a preset and endpoints, which are those of the preset")
		}
		if c.Claims.Subject != "" || c.Claims.Email != "" || c.Claims.EmailVerified != "" {
			return c, errors.New("claims: subject, email and email_verified are the preset's")
		}
		if err := c.fillGitHub(); err != nil {
			return c, err
		}
	case "":
		if c.BaseURL != "" {
			return c, errors.New("has a base URL, which is for a preset")
		}
	default:
		return c, fmt.Errorf("preset %q: there is none of that name", c.Preset)
	}
	c.Label = cmp.Or(c.Label, c.ID)
	c.ClientAuthentication = cmp.Or(c.ClientAuthentication, oauthclient.ClientSecretBasic)
	c.Claims = c.Claims.Or(standard()).Keeping(c.Allow)
	if c.Log == nil {
		c.Log = zap.NewNop()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, nil
}

// standard is OpenID Connect's claims, which many services have too, but for those that name the
// account: which of its members a service never changes and never gives to somebody else has to be
// said.
func standard() claims.Mapping {
	m := claims.Standard()
	m.Subject, m.UserName = "", nil
	return m
}

// validate refuses what could not work, or not safely. It expects the defaults to be filled in.
func (c Config) validate() error {
	switch {
	case c.ID == "" || strings.Contains(c.ID, ":") || session.ValidText(c.ID) != nil:
		return fmt.Errorf("id %q: must be text without a colon", c.ID)
	case c.ClientID == "":
		return errors.New("client_id: missing")
	case c.ClientSecret == "":
		return errors.New("client_secret: missing")
	case c.Expose.ID:
		return errors.New("expose: the service has no id_token")
	case c.ClientAuthentication != oauthclient.ClientSecretBasic && c.ClientAuthentication != oauthclient.ClientSecretPost:
		return fmt.Errorf("client authentication %q: must be %s or %s", c.ClientAuthentication, oauthclient.ClientSecretBasic, oauthclient.ClientSecretPost)
	}
	for _, address := range []struct{ name, value string }{
		{"authorization_endpoint", c.AuthorizationEndpoint},
		{"token_endpoint", c.TokenEndpoint},
		{"userinfo_endpoint", c.UserInfoEndpoint},
	} {
		if address.value == "" {
			return fmt.Errorf("%s: missing", address.name)
		}
		if err := oauthclient.ValidateURL(address.value, c.InsecureHTTP); err != nil {
			return fmt.Errorf("%s: %w", address.name, err)
		}
	}
	if err := session.ValidText(c.AuthorizationEndpoint); err != nil { // the issuer of identities
		return fmt.Errorf("authorization_endpoint: %w", err)
	}
	return cmp.Or(
		oauthclient.CheckOptions(c.RedirectURI, c.Scopes, c.Prompt, c.Parameters),
		c.Claims.Validate(),
		c.Allow.Validate(),
	)
}

// client is what the requests to the authorization and token endpoints are made of.
func (c Config) client() oauth2.Config {
	style := oauth2.AuthStyleInHeader
	if c.ClientAuthentication == oauthclient.ClientSecretPost {
		style = oauth2.AuthStyleInParams
	}
	return oauth2.Config{
		ClientID:     c.ClientID,
		ClientSecret: c.ClientSecret,
		Scopes:       c.Scopes,
		Endpoint:     oauth2.Endpoint{AuthURL: c.AuthorizationEndpoint, TokenURL: c.TokenEndpoint, AuthStyle: style},
	}
}
