// Package caddymodule makes the gateway a part of Caddy: the app that holds what all sites share,
// the handler in front of an upstream, the guest modules of the app, their Caddyfile syntax, and the
// administration. It translates and decides nothing: package gateway makes a running gateway of the
// configuration, and package gate serves the requests. Of the packages that do the work, no other
// knows Caddy.
//
// The modules are
//
//	multi_session                       the app, a global option in a Caddyfile
//	multi_session.stores.bbolt          keeps sessions in a file
//	multi_session.logins.password       signs in with a password
//	multi_session.logins.oidc           signs in at an OpenID provider
//	multi_session.logins.oauth2         signs in at a service that has OAuth 2.0 alone, such as GitHub
//	http.handlers.multi_session         the gate and the portal, a directive in a Caddyfile
//	http.handlers.multi_session_clean   the gate's first step alone; gates add it to error routes
//	admin.api.multi_session             the administration, on Caddy's admin endpoint
//
// The command `caddy multi-session` is the administration for people.
package caddymodule
