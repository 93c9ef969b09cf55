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

// OAuth2Login signs people in at a service that has OAuth 2.0 and no OpenID Connect: a preset knows
// how, or the endpoints are named. Who somebody is, is what the service's user-info endpoint says.
type OAuth2Login struct {
	ProviderLogin

	// Preset is a service whose endpoints and claims are known: "github". Its groups are organisations,
	// as github:acme, and their teams, as github:acme/developers.
	Preset string `json:"preset,omitempty"`

	// BaseURL is the service of the preset that people run themselves, such as GitHub Enterprise
	// Server. Default: the public one. Global placeholders are replaced.
	BaseURL string `json:"base_url,omitempty"`

	// AuthorizationEndpoint is where browsers are sent to. It, TokenEndpoint and UserInfoEndpoint are
	// for services without a preset. Global placeholders are replaced in each.
	AuthorizationEndpoint string `json:"authorization_endpoint,omitempty"`

	// TokenEndpoint is where the gateway trades an answer for a token.
	TokenEndpoint string `json:"token_endpoint,omitempty"`

	// UserInfoEndpoint answers a token with a JSON object of claims.
	UserInfoEndpoint string `json:"userinfo_endpoint,omitempty"`

	// ClientAuthentication is how the token endpoint takes the client secret: "client_secret_basic", in
	// a header, or "client_secret_post", in the body. Default: the preset's, or client_secret_basic
	ClientAuthentication string `json:"client_authentication,omitempty"`

	// Issuer is what the service names itself in its answers (RFC 9207); an answer of another one is
	// refused. Default: it is not looked at. Global placeholders are replaced.
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
		Log:                   l.log,
	})
}

// letsInAnybody reports whether the service is one for everybody: the preset's own is.
func (l *OAuth2Login) letsInAnybody() bool {
	return l.ProviderLogin.letsInAnybody(cmp.Or(l.AuthorizationEndpoint, l.BaseURL, presetSites[l.Preset]))
}

// presetSites are where presets are without a BaseURL.
var presetSites = map[string]string{oauth2.PresetGitHub: "https://github.com"}

// presetGroupPrefixes are those of presets whose groups anybody can make.
var presetGroupPrefixes = map[string]string{oauth2.PresetGitHub: "github:"}

// Interface guards
var (
	_ Login             = (*OAuth2Login)(nil)
	_ publicLogin       = (*OAuth2Login)(nil)
	_ caddy.Provisioner = (*OAuth2Login)(nil)
)
