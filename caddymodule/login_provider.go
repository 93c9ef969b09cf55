package caddymodule

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/claims"
)

// ProviderLogin has the options that OIDCLogin and OAuth2Login share. People sign in at another site,
// the provider, where the gateway is registered as a client.
type ProviderLogin struct {
	// ID is the login's name: letters, digits and . _ - It is part of every account's id, and of the
	// redirect URI.
	ID string `json:"id"`

	// Name is the provider's name on the sign-in page. Default: the preset's, or the id
	Name string `json:"name,omitempty"`

	// ClientID is the gateway's client id at the provider. Global placeholders are replaced.
	ClientID string `json:"client_id"`

	// ClientSecret is the client's secret. Global placeholders are replaced, such as
	// {env.CLIENT_SECRET} or {file./run/secrets/client}.
	ClientSecret string `json:"client_secret,omitempty"`

	// Scopes are the scopes to request. The default depends on the kind of login.
	Scopes []string `json:"scopes,omitempty"`

	// RedirectURI is the redirect URI for all sites: an origin, the app's path, and /callback/ or
	// /oauth2/callback/ with the id. Global placeholders are replaced. Default: the origin of the site
	// that the browser is at, with /callback/ and the id.
	RedirectURI string `json:"redirect_uri,omitempty"`

	// Prompt is what the gateway asks the provider to do if a browser with accounts adds another one:
	// "select_account" or "login". With "off" the provider decides. Default: select_account
	Prompt string `json:"prompt,omitempty"`

	// Claims maps the provider's claims.
	Claims *Claims `json:"claims,omitempty"`

	// UserNamePrefix is put before user names, so that those of different logins differ.
	UserNamePrefix string `json:"user_name_prefix,omitempty"`

	// SharedUserNames allows accounts of this login to have user names that accounts of other logins
	// have: to apps they are the same people. Default: a user name belongs to one account
	SharedUserNames bool `json:"shared_user_names,omitempty"`

	// GroupPrefix is put before groups, so that nobody can create one at the provider that has the name
	// of a group of another login. With "off" nothing is. Default: "github:" with the preset github,
	// where everybody can create an organisation with any free name; otherwise nothing
	GroupPrefix string `json:"group_prefix,omitempty"`

	// Allow has rules about who may sign in; an account needs to meet one of them. Default: everybody
	// with an account at the provider
	Allow claims.Rules `json:"allow,omitempty"`

	// Parameters are further parameters of the authorization request.
	Parameters map[string]string `json:"parameters,omitempty"`

	// Expose names the tokens that sites can give to upstreams, "access_token" and "id_token", as
	// {http.auth.user.access_token} and {http.auth.user.id_token}.
	Expose []string `json:"expose,omitempty"`

	// NoRefresh stores no refresh token. The account then stays as it was at sign-in, and an exposed
	// access token is absent once it has expired.
	NoRefresh bool `json:"no_refresh,omitempty"`

	// CAFile is a file with the certificates, in PEM, of the only authorities that may vouch for the
	// provider's servers. Global placeholders are replaced. Default: the system's authorities
	CAFile string `json:"ca_file,omitempty"`

	// InsecureHTTP allows a provider over plain HTTP that is not on this machine. Anybody on the network
	// path can then sign in as anybody.
	InsecureHTTP bool `json:"insecure_http,omitempty"`

	log *zap.Logger
}

// Claims maps a provider's claims. Each is the name of a claim, or a dotted path into nested ones, such
// as realm_access.roles. The defaults are the claims of OpenID Connect, or those of the preset.
type Claims struct {
	// Subject identifies an account: it is unique and never given to somebody else. OAuth2Login alone
	// takes it; with OpenID Connect it is always sub.
	Subject string `json:"subject,omitempty"`

	// UserName is the user name for upstreams: the first of these claims that the account has. An
	// e-mail address counts only if it is verified.
	UserName []string `json:"user_name,omitempty"`

	// Name is the display name.
	Name string `json:"name,omitempty"`

	// Email is the e-mail address.
	Email string `json:"email,omitempty"`

	// EmailVerified is true if the provider has verified the e-mail address.
	EmailVerified string `json:"email_verified,omitempty"`

	// Picture is the URL of a picture.
	Picture string `json:"picture,omitempty"`

	// Groups is a list of groups.
	Groups string `json:"groups,omitempty"`

	// KeepGroups are the groups that accounts have here: names as the provider has them, in which * stands
	// for any text. An account must not have more than some 400. Default: all
	KeepGroups []string `json:"keep_groups,omitempty"`

	// Keep names the claims to store for rules and headers. Default: all that are about the account
	Keep []string `json:"keep,omitempty"`
}

// The values of ProviderLogin.Expose.
const (
	ExposeAccessToken = "access_token"
	ExposeIDToken     = "id_token"
)

// idInPath matches ids that every server and browser reads alike as part of a path.
var idInPath = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// provision checks the id, which errors name the login by, and replaces placeholders.
func (l *ProviderLogin) provision(ctx caddy.Context, options ...option) error {
	l.log = ctx.Logger().With(zap.String("login", l.ID))
	switch {
	case l.ID == "":
		return errors.New("login: an id is missing, which names it to providers and upstreams")
	case !idInPath.MatchString(l.ID) || strings.Trim(l.ID, ".") == "":
		return fmt.Errorf("login %q: the id must have letters, digits and . _ - only: it is a part of paths", l.ID)
	}
	return l.replace(append(options,
		option{"client_id", &l.ClientID},
		option{"client_secret", &l.ClientSecret},
		option{"redirect_uri", &l.RedirectURI},
		option{"ca_file", &l.CAFile},
	)...)
}

// option is an option whose placeholders are replaced.
type option struct {
	name string
	text *string
}

func (l *ProviderLogin) replace(options ...option) error {
	for _, o := range options {
		value, err := replacePlaceholders(*o.text)
		if err != nil {
			return fmt.Errorf("login %s: %s: %w", l.ID, o.name, err)
		}
		*o.text = value
	}
	return nil
}

// mapping translates Claims for package claims.
func (l *ProviderLogin) mapping(groupPrefix string) claims.Mapping {
	switch l.GroupPrefix {
	case "":
	case off:
		groupPrefix = ""
	default:
		groupPrefix = l.GroupPrefix
	}
	m := claims.Mapping{UserNamePrefix: l.UserNamePrefix, GroupPrefix: groupPrefix}
	if c := l.Claims; c != nil {
		m.Subject, m.UserName, m.Name, m.Picture = c.Subject, c.UserName, c.Name, c.Picture
		m.Email, m.EmailVerified = c.Email, c.EmailVerified
		m.Groups, m.KeepGroups, m.Keep = c.Groups, c.KeepGroups, c.Keep
	}
	return m
}

// exposed translates Expose for package login. The kind of login has the tokens named in known.
func (l *ProviderLogin) exposed(kinds ...string) (e login.Exposed, err error) {
	for _, name := range l.Expose {
		if err := validateExposed(name, kinds); err != nil {
			return login.Exposed{}, fmt.Errorf("login %s: %w", l.ID, err)
		}
		e.Access = e.Access || name == ExposeAccessToken
		e.ID = e.ID || name == ExposeIDToken
	}
	return e, nil
}

// validateExposed refuses a token that the login does not have.
func validateExposed(name string, kinds []string) error {
	for _, kind := range kinds {
		if name == kind {
			return nil
		}
	}
	return fmt.Errorf("expose: %q is not %s", name, strings.Join(kinds, " or "))
}

// personalTenant is the tenant of all personal accounts at Microsoft Entra ID.
const personalTenant = "9188040d-6c67-4c5b-b112-36a304b66dad"

// publicProviders are sites, by host, at which anybody can get an account. If there are prefixes, that
// holds only for paths that begin with one of them.
var publicProviders = map[string][]string{
	"accounts.google.com": nil,
	"appleid.apple.com":   nil,
	"api.login.yahoo.com": nil,
	"bitbucket.org":       nil,
	"codeberg.org":        nil,
	"discord.com":         nil,
	"github.com":          nil,
	"gitlab.com":          nil,
	"id.twitch.tv":        nil,
	"login.microsoftonline.com": {
		"/common/", "/organizations/", "/consumers/",
		"/" + personalTenant + "/",
	},
	"slack.com":        nil,
	"www.facebook.com": nil,
	"www.linkedin.com": nil,
	"x.com":            nil,
}

// letsInAnybody reports whether anybody can sign in: there is no rule, and the provider is known to
// give anybody an account.
func (l *ProviderLogin) letsInAnybody(provider string) bool {
	u, err := url.Parse(provider)
	if err != nil || len(l.Allow) > 0 {
		return false
	}
	paths, public := publicProviders[strings.ToLower(u.Hostname())]
	if !public || paths == nil {
		return public
	}
	for _, path := range paths {
		if strings.HasPrefix(u.Path+"/", path) {
			return true
		}
	}
	return false
}
