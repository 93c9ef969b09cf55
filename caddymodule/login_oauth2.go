package caddymodule

import (
	"cmp"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/oauth2"
)

func init() {
	caddy.RegisterModule(OAuth2Login{})
}

// OAuth2Login signs people in at a service that has OAuth 2.0 and no OpenID Connect. A preset or the
// options name its endpoints. The user-info endpoint says who an account is.
type OAuth2Login struct {
	ProviderLogin

	// Preset names a service whose endpoints and claims are known: "github". Its groups are
	// organisations, such as github:acme, and their teams, such as github:acme/developers.
	Preset string `json:"preset,omitempty"`

	// BaseURL is the URL of a self-hosted service of the preset, such as GitHub Enterprise Server.
	// Global placeholders are replaced. Default: the public service.
	BaseURL string `json:"base_url,omitempty"`

	// AuthorizationEndpoint is the URL that browsers are sent to. Only services without a preset need
	// it, TokenEndpoint and UserInfoEndpoint. Global placeholders are replaced in each.
	AuthorizationEndpoint string `json:"authorization_endpoint,omitempty"`

	// TokenEndpoint is the URL at which the gateway exchanges an authorization code for tokens.
	TokenEndpoint string `json:"token_endpoint,omitempty"`

	// UserInfoEndpoint is the URL that answers an access token with a JSON object of claims.
	UserInfoEndpoint string `json:"userinfo_endpoint,omitempty"`

	// ClientAuthentication is how the gateway sends the client secret to the token endpoint:
	// "client_secret_basic", in a header, or "client_secret_post", in the body. Default: the preset's, or
	// client_secret_basic
	ClientAuthentication string `json:"client_authentication,omitempty"`

	// Issuer is the service's identifier in its authorization responses (RFC 9207). Responses of others
	// are refused. Global placeholders are replaced. Default: it is not checked.
	Issuer string `json:"issuer,omitempty"`
}

// CaddyModule implements caddy.Module.
func (OAuth2Login) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "multi_session.logins.oauth2",
		New: func() caddy.Module { return new(OAuth2Login) },
	}
}

// Provision replaces placeholders.
func (l *OAuth2Login) Provision(ctx caddy.Context) error {
	return l.provision(ctx,
		option{"base_url", &l.BaseURL},
		option{"authorization_endpoint", &l.AuthorizationEndpoint},
		option{"token_endpoint", &l.TokenEndpoint},
		option{"userinfo_endpoint", &l.UserInfoEndpoint},
		option{"issuer", &l.Issuer},
	)
}

// oauth2Tokens are the tokens that OAuth 2.0 has.
var oauth2Tokens = []string{ExposeAccessToken}

// LoginMethod implements Login.
func (l *OAuth2Login) LoginMethod(*Memory) (login.Method, error) {
	exposed, err := l.exposed(oauth2Tokens...)
	if err != nil {
		return nil, err
	}
	return oauth2.New(oauth2.Config{
		ID:                    l.ID,
		Label:                 l.Name,
		Preset:                l.Preset,
		BaseURL:               l.BaseURL,
		AuthorizationEndpoint: l.AuthorizationEndpoint,
		TokenEndpoint:         l.TokenEndpoint,
		UserInfoEndpoint:      l.UserInfoEndpoint,
		ClientID:              l.ClientID,
		ClientSecret:          l.ClientSecret,
		ClientAuthentication:  l.ClientAuthentication,
		Issuer:                l.Issuer,
		Scopes:                l.Scopes,
		RedirectURI:           l.RedirectURI,
		Prompt:                l.Prompt,
		Claims:                l.mapping(presetGroupPrefixes[l.Preset]),
		Allow:                 l.Allow,
		Parameters:            l.Parameters,
		Refresh:               !l.NoRefresh,
		Expose:                exposed,
		SharedUserNames:       l.SharedUserNames,
		InsecureHTTP:          l.InsecureHTTP,
		AuthoritiesFile:       l.CAFile,
		Log:                   l.log,
	})
}

// letsInAnybody implements publicLogin. Anybody can get an account at a preset's public service.
func (l *OAuth2Login) letsInAnybody() bool {
	return l.ProviderLogin.letsInAnybody(cmp.Or(l.AuthorizationEndpoint, l.BaseURL, presetSites[l.Preset]))
}

// presetSites are the presets' public services.
var presetSites = map[string]string{oauth2.PresetGitHub: "https://github.com"}

// presetGroupPrefixes are the group prefixes of presets at which anybody can create groups.
var presetGroupPrefixes = map[string]string{oauth2.PresetGitHub: "github:"}

// Interface guards
var (
	_ Login             = (*OAuth2Login)(nil)
	_ publicLogin       = (*OAuth2Login)(nil)
	_ caddy.Provisioner = (*OAuth2Login)(nil)
)
