package caddymodule

import (
	"fmt"
	"slices"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/login/oauthclient"
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

	// DiscoveryURL is where the provider's configuration is, if not below the issuer: where the gateway
	// reaches the provider by another address than browsers do. The configuration must name the issuer all
	// the same. Global placeholders are replaced, as in the endpoints.
	DiscoveryURL string `json:"discovery_url,omitempty"`

	// AuthorizationEndpoint and the others replace those of the provider's configuration. With
	// AuthorizationEndpoint, TokenEndpoint and JWKSURI, and without DiscoveryURL, nothing is discovered.
	AuthorizationEndpoint string `json:"authorization_endpoint,omitempty"`

	// TokenEndpoint is the URL at which the gateway exchanges an authorization code for tokens.
	TokenEndpoint string `json:"token_endpoint,omitempty"`

	// UserInfoEndpoint is the URL that answers an access token with claims.
	UserInfoEndpoint string `json:"userinfo_endpoint,omitempty"`

	// JWKSURI is the URL of the keys that the provider signs with.
	JWKSURI string `json:"jwks_uri,omitempty"`

	// EndSessionEndpoint is the URL that browsers are sent to for signing out.
	EndSessionEndpoint string `json:"end_session_endpoint,omitempty"`

	// Tenants are the tenants whose accounts may sign in, by their ids, at a provider whose issuer stands for
	// many of them: Microsoft Entra ID with "organizations" or "common" in the issuer. They are needed there,
	// because anybody can have a tenant.
	Tenants []string `json:"tenants,omitempty"`

	// ClientAuthentication is how the gateway proves to the provider who it is: "client_secret_basic", with
	// the secret in a header, "client_secret_post", in the body, "private_key_jwt", with a signed JWT, or
	// "none", as a public client. Default: private_key_jwt with ClientKeyFile or ClientAssertionFile, with a
	// secret the one that the provider names first of client_secret_basic and client_secret_post, else none
	ClientAuthentication string `json:"client_authentication,omitempty"`

	// ClientKeyFile is the file with the client's private key, in PEM or as a JWK. With a certificate beside
	// the key, in PEM, the JWT names its thumbprint. Global placeholders are replaced.
	ClientKeyFile string `json:"client_key_file,omitempty"`

	// ClientKeyAlgorithm is the algorithm to sign with. Default: the JWK's, or by the type of the key RS256,
	// ES256, ES384, ES512 or EdDSA
	ClientKeyAlgorithm string `json:"client_key_algorithm,omitempty"`

	// ClientKeyID is the name that the provider knows the key by. Default: the JWK's, or none
	ClientKeyID string `json:"client_key_id,omitempty"`

	// ClientAssertionFile is a file with a JWT that the platform signs for the gateway, such as a Kubernetes
	// service account's token. It is read anew for each request. Global placeholders are replaced.
	ClientAssertionFile string `json:"client_assertion_file,omitempty"`

	// PushedAuthorization sends the authorization request to the provider itself, so that the browser
	// carries a reference only (RFC 9126). Providers whose metadata requires that get it in any case.
	PushedAuthorization bool `json:"pushed_authorization,omitempty"`

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
	return l.provision(ctx,
		option{"issuer", &l.Issuer},
		option{"discovery_url", &l.DiscoveryURL},
		option{"authorization_endpoint", &l.AuthorizationEndpoint},
		option{"token_endpoint", &l.TokenEndpoint},
		option{"userinfo_endpoint", &l.UserInfoEndpoint},
		option{"jwks_uri", &l.JWKSURI},
		option{"end_session_endpoint", &l.EndSessionEndpoint},
		option{"client_key_file", &l.ClientKeyFile},
		option{"client_assertion_file", &l.ClientAssertionFile},
	)
}

// oidcTokens are the tokens that OpenID providers issue.
var oidcTokens = []string{ExposeAccessToken, ExposeIDToken}

// LoginMethod implements Login.
func (l *OIDCLogin) LoginMethod(memory *Memory) (login.Method, error) {
	if l.Claims != nil && l.Claims.Subject != "" {
		return nil, fmt.Errorf("login %s: claims: subject: cannot be chosen, an OpenID provider has it in sub", l.ID)
	}
	tenants, err := l.tenants()
	if err != nil {
		return nil, err
	}
	exposed, err := l.exposed(oidcTokens...)
	if err != nil {
		return nil, err
	}
	return oidc.New(oidc.Config{
		ID:       l.ID,
		Label:    l.Name,
		Issuer:   l.Issuer,
		ClientID: l.ClientID,
		Credentials: oauthclient.Credentials{
			Method:        l.ClientAuthentication,
			Secret:        l.ClientSecret,
			KeyFile:       l.ClientKeyFile,
			KeyAlgorithm:  l.ClientKeyAlgorithm,
			KeyID:         l.ClientKeyID,
			AssertionFile: l.ClientAssertionFile,
		},
		PushRequests:    l.PushedAuthorization,
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
		Tenants:         tenants,
		Endpoints: oidc.Endpoints{
			Discovery:     l.DiscoveryURL,
			Authorization: l.AuthorizationEndpoint,
			Token:         l.TokenEndpoint,
			UserInfo:      l.UserInfoEndpoint,
			Keys:          l.JWKSURI,
			EndSession:    l.EndSessionEndpoint,
		},
		AuthoritiesFile: l.CAFile,
		Providers:       memory.Providers,
		Log:             l.log,
	})
}

// tenants returns the tenants with their placeholders replaced.
func (l *OIDCLogin) tenants() ([]string, error) {
	var all []string
	for _, tenant := range l.Tenants {
		id, err := replacePlaceholders(tenant)
		if err != nil {
			return nil, fmt.Errorf("login %s: tenants: %w", l.ID, err)
		}
		all = append(all, id)
	}
	return all, nil
}

// letsInAnybody implements publicLogin. The tenants that may sign in are somebody's, except for the one of
// all personal accounts.
func (l *OIDCLogin) letsInAnybody() bool {
	if len(l.Tenants) > 0 {
		return len(l.Allow) == 0 && slices.Contains(l.Tenants, personalTenant)
	}
	return l.ProviderLogin.letsInAnybody(l.Issuer)
}

// Interface guards
var (
	_ Login             = (*OIDCLogin)(nil)
	_ publicLogin       = (*OIDCLogin)(nil)
	_ caddy.Provisioner = (*OIDCLogin)(nil)
)
