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

// ProviderLogin is what OIDCLogin and OAuth2Login have in common: people sign in at another site, the
// provider, which knows the gateway as a client.
type ProviderLogin struct {
	// ID is the method's name, which is part of every account's id and of the paths that the provider
	// leads back to: letters, digits and . _ -
	ID string `json:"id"`

	// Name is what people know the provider by. Default: the preset's, or the id
	Name string `json:"name,omitempty"`

	// ClientID is what the provider knows the gateway by. Global placeholders are replaced.
	ClientID string `json:"client_id"`

	// ClientSecret is what the gateway proves that with. Global placeholders are replaced, such as
	// {env.CLIENT_SECRET} or {file./run/secrets/client}.
	ClientSecret string `json:"client_secret,omitempty"`

	// Scopes are what is asked for. The default is the kind's own.
	Scopes []string `json:"scopes,omitempty"`

	// RedirectURI is where the provider leads back to, whichever site the browser came from: its
	// origin, the app's path, and /callback/ or /oauth2/callback/ with the id. Default: the site that
	// the browser came from, with /callback/ and the id. Global placeholders are replaced.
	RedirectURI string `json:"redirect_uri,omitempty"`

	// Prompt is what the provider is to do when a browser that has accounts adds another one:
	// "select_account" or "login"; with "off" that is left to the provider. Default: select_account
	Prompt string `json:"prompt,omitempty"`

	// Claims says which claim is what.
	Claims *Claims `json:"claims,omitempty"`

	// UserNamePrefix is put before user names, so that those of several logins are told apart.
	UserNamePrefix string `json:"user_name_prefix,omitempty"`

	// SharedUserNames says that accounts of this login are the same people as those of their user names
	// elsewhere: apps take them for one another. Default: a user name is one account's
	SharedUserNames bool `json:"shared_user_names,omitempty"`

	// GroupPrefix is put before groups, so that nobody can make one at the provider that has the name
	// of another login's; with "off" nothing is. Default: "github:" with the preset github, where
	// everybody can make an organisation of any free name, else nothing
	GroupPrefix string `json:"group_prefix,omitempty"`

	// Allow lets in whom any of these rules lets in. Default: everybody who has an account there
	Allow claims.Rules `json:"allow,omitempty"`

	// Parameters are further ones of the request that a browser is sent to the provider with.
	Parameters map[string]string `json:"parameters,omitempty"`

	// Expose names the tokens that sites can give to upstreams, "access_token" and "id_token", as
	// {http.auth.user.access_token} and {http.auth.user.id_token}.
	Expose []string `json:"expose,omitempty"`

	// NoRefresh keeps no refresh token. Who the account is stays as it was at sign-in, and an exposed
	// access token is gone when it has expired.
	NoRefresh bool `json:"no_refresh,omitempty"`

	// InsecureHTTP allows a provider at plain HTTP that is not on this machine. Whoever is on the way
	// can then sign in as anybody.
	InsecureHTTP bool `json:"insecure_http,omitempty"`

	log *zap.Logger
}

// Claims says which claim is what. Each is a claim's own name, or a dotted path into nested ones such
// as realm_access.roles. Defaults are the claims of OpenID Connect, and with a preset the service's own.
type Claims struct {
	// Subject is what tells accounts apart: unique, and never given to somebody else. It is for
	// OAuth2Login alone; of an OpenID provider it is always sub.
	Subject string `json:"subject,omitempty"`

	// UserName is what upstreams know the account by: the first of these that it has. An e-mail
	// address counts only where it is verified.
	UserName []string `json:"user_name,omitempty"`

	// Name is how the account's owner is called.
	Name string `json:"name,omitempty"`

	// Email is the e-mail address.
	Email string `json:"email,omitempty"`

	// EmailVerified is true where the address is known to be the owner's.
	EmailVerified string `json:"email_verified,omitempty"`

	// Picture is the URL of one.
	Picture string `json:"picture,omitempty"`

	// Groups is a list.
	Groups string `json:"groups,omitempty"`

	// Keep names the claims that are kept for rules and headers. Default: all that are about the account
	Keep []string `json:"keep,omitempty"`
}

// The values of ProviderLogin.Expose.
const (
	ExposeAccessToken = "access_token"
	ExposeIDToken     = "id_token"
)

// idInPath is what an id must be to be a part of a path that every server and browser reads alike.
var idInPath = regexp.MustCompile(`^[A-Za-z0-9._-]+$`)

// provision checks the id, by which everything else is named, and replaces placeholders.
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
	)...)
}

// option is the text of an option in which placeholders are replaced.
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

// mapping is Claims as package claims has it.
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
		m.Groups, m.Keep = c.Groups, c.Keep
	}
	return m
}

// exposed is Expose as package login has it. The kind has tokens of these names.
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

// validateExposed refuses a token that there is none of.
func validateExposed(name string, kinds []string) error {
	for _, kind := range kinds {
		if name == kind {
			return nil
		}
	}
	return fmt.Errorf("expose: %q is not %s", name, strings.Join(kinds, " or "))
}

// publicProviders are sites at which anybody can have an account, by host. Only the paths with one of
// the prefixes are for everybody, where there are such.
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
		"/9188040d-6c67-4c5b-b112-36a304b66dad/", // the tenant of all personal accounts
	},
	"slack.com":        nil,
	"www.facebook.com": nil,
	"www.linkedin.com": nil,
	"x.com":            nil,
}

// letsInAnybody reports whether there is no rule about who is let in, and anybody can make an account
// at the provider, as far as that is known of the site.
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
