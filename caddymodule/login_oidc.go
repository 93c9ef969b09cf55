package caddymodule

import (
	"fmt"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/oidc"
)

func init() {
	caddy.RegisterModule(OIDCLogin{})
}

// OIDCLogin signs people in at an OpenID provider, by the authorization code flow of OpenID Connect.
// The gateway discovers the provider's configuration while it serves, so a provider that is down does
// not keep people from signing in in other ways.
type OIDCLogin struct {
	ProviderLogin

	// Issuer is the provider's issuer identifier, exactly: the https URL below which it serves
	// /.well-known/openid-configuration. Global placeholders are replaced.
	Issuer string `json:"issuer"`

	// NoUserInfo leaves out the UserInfo endpoint: all claims come from the ID token.
	NoUserInfo bool `json:"no_userinfo,omitempty"`

	// NoLogout leaves people signed in at the provider when they sign out here.
	NoLogout bool `json:"no_logout,omitempty"`

	// NoPostLogoutRedirect leaves the post-logout redirect URI out of sign-outs at the provider. People
	// then end on the provider's page. It is for clients for which no such URI is registered: many
	// providers refuse their sign-outs otherwise.
	NoPostLogoutRedirect bool `json:"no_post_logout_redirect,omitempty"`

	// ResponseMode is how the provider sends its answer through the browser: "query", or "form_post",
	// which Apple needs for the scopes name and email. Default: the provider's, which is query
	ResponseMode string `json:"response_mode,omitempty"`
}

// CaddyModule implements caddy.Module.
func (OIDCLogin) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{
		ID:  "multi_session.logins.oidc",
		New: func() caddy.Module { return new(OIDCLogin) },
	}
}

// Provision replaces placeholders.
func (l *OIDCLogin) Provision(ctx caddy.Context) error {
	return l.provision(ctx, option{"issuer", &l.Issuer})
}

// oidcTokens are the tokens that OpenID providers issue.
var oidcTokens = []string{ExposeAccessToken, ExposeIDToken}

// LoginMethod implements Login.
func (l *OIDCLogin) LoginMethod(memory *Memory) (login.Method, error) {
	if l.Claims != nil && l.Claims.Subject != "" {
		return nil, fmt.Errorf("login %s: claims: subject: cannot be chosen, an OpenID provider has it in sub", l.ID)
	}
	exposed, err := l.exposed(oidcTokens...)
	if err != nil {
		return nil, err
	}
	return oidc.New(oidc.Config{
		ID:              l.ID,
		Label:           l.Name,
		Issuer:          l.Issuer,
		ClientID:        l.ClientID,
		ClientSecret:    l.ClientSecret,
		Scopes:          l.Scopes,
		RedirectURI:     l.RedirectURI,
		Prompt:          l.Prompt,
		Claims:          l.mapping(""),
		Allow:           l.Allow,
		Parameters:      l.Parameters,
		UserInfo:        !l.NoUserInfo,
		Refresh:         !l.NoRefresh,
		Logout:          !l.NoLogout,
		LogoutEndsThere: l.NoPostLogoutRedirect,
		ResponseMode:    l.ResponseMode,
		Expose:          exposed,
		SharedUserNames: l.SharedUserNames,
		InsecureHTTP:    l.InsecureHTTP,
		Providers:       memory.Providers,
		Log:             l.log,
	})
}

func (l *OIDCLogin) letsInAnybody() bool { return l.ProviderLogin.letsInAnybody(l.Issuer) }

// Interface guards
var (
	_ Login             = (*OIDCLogin)(nil)
	_ publicLogin       = (*OIDCLogin)(nil)
	_ caddy.Provisioner = (*OIDCLogin)(nil)
)
