// Package oauth2 signs in at services that support OAuth 2.0 but not OpenID Connect. It exchanges
// an authorization code with PKCE (RFC 6749, RFC 7636) for a token, and asks the service with it
// who the account is.
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

// Config is the configuration of a Method.
type Config struct {
	ID    string
	Label string // default: the preset's, or the id

	// Preset is PresetGitHub, or empty. Without a preset, the endpoints and the claims of subject
	// and user name are required.
	Preset string

	// BaseURL is the URL of a GitHub Enterprise Server. Default: the preset's public service
	BaseURL string

	AuthorizationEndpoint string
	TokenEndpoint         string
	UserInfoEndpoint      string // answers GET with a bearer token by a JSON object

	ClientID     string
	ClientSecret string

	// ClientAuthentication is oauthclient.ClientSecretBasic, which every service must support, or
	// ClientSecretPost, which some support instead. Default: the preset's, or ClientSecretBasic
	ClientAuthentication string

	// Issuer is the issuer that the service names in its answers (RFC 9207). Answers that name
	// another one, or none, are rejected. Default: not checked
	Issuer string

	Scopes      []string // default: the preset's
	RedirectURI string   // default: the site that the browser comes from
	Prompt      string   // one of oauthclient's
	Claims      claims.Mapping
	Allow       claims.Rules
	Parameters  map[string]string // fixed parameters of the authorization request

	// SharedUserNames says that accounts with one user name at several logins are the same person.
	SharedUserNames bool

	Refresh      bool // keep refresh tokens and renew accounts with them
	Expose       login.Exposed
	InsecureHTTP bool

	// AuthoritiesFile has the certificates, in PEM, of the only authorities that may vouch for the
	// service's servers. Default: the system's
	AuthoritiesFile string

	Log *zap.Logger      // default: none
	Now func() time.Time // default: time.Now
}

// withDefaults returns the configuration with its defaults, or an error if it contradicts the
// preset.
func (c Config) withDefaults() (Config, error) {
	switch c.Preset {
	case PresetGitHub:
		if c.AuthorizationEndpoint != "" || c.TokenEndpoint != "" || c.UserInfoEndpoint != "" {
			return c, errors.New("endpoints: the preset sets them")
		}
		if c.Claims.Subject != "" || c.Claims.Email != "" || c.Claims.EmailVerified != "" {
			return c, errors.New("claims: the preset sets subject, email and email_verified")
		}
		if err := c.fillGitHub(); err != nil {
			return c, err
		}
	case "":
		if c.BaseURL != "" {
			return c, errors.New("base_url: needs a preset")
		}
	default:
		return c, fmt.Errorf("preset %q: is unknown", c.Preset)
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

// standard returns OpenID Connect's claims, which many services use too, without subject and user
// name: only an administrator knows which member a service never changes and never reassigns.
func standard() claims.Mapping {
	m := claims.Standard()
	m.Subject, m.UserName = "", nil
	return m
}

// validate refuses a configuration that cannot work safely. Defaults must be set.
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
	if err := session.ValidText(c.AuthorizationEndpoint); err != nil { // it is the issuer of identities
		return fmt.Errorf("authorization_endpoint: %w", err)
	}
	return cmp.Or(
		oauthclient.CheckOptions(c.RedirectURI, c.Scopes, c.Prompt, c.Parameters),
		c.Claims.Validate(),
		c.Claims.ValidateRules(c.Allow),
	)
}

// client returns the client for the authorization and token endpoints.
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
