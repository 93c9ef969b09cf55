// Package caddymodule makes the gateway a part of Caddy: the app that holds what all sites share,
// the handler that stands in front of an upstream, the modules that are configured inside the app,
// their Caddyfile syntax, and the administration. It is the only package that knows Caddy.
//
// The modules are
//
//	multi_session                       the app, a global option in a Caddyfile
//	multi_session.stores.bbolt          where sessions are kept
//	multi_session.logins.password       to sign in with a password
//	multi_session.logins.oidc           to sign in at an OpenID provider
//	multi_session.logins.oauth2         to sign in at a service that has OAuth 2.0 alone, as GitHub
//	http.handlers.multi_session         the gate and the portal, a directive in a Caddyfile
//	http.handlers.multi_session_clean   the gate's first step alone, put into error routes by itself
//	admin.api.multi_session             the administration, on Caddy's admin endpoint
//
// and beside them there is the command `caddy multi-session`, which is the administration for people.
package caddymodule
