// Package oidc signs in at OpenID providers: a Method is a Relying Party that uses the authorization
// code flow with PKCE (OpenID Connect Core 1.0, section 3.1; RFC 7636).
//
// An account is the issuer's subject. Nothing else makes two accounts one, and a subject of another
// issuer under the same login is nobody.
//
// A provider is a stranger on the network who may be away, slow or wrong, and the rest of the gateway
// goes on: it is discovered in the background, what it said is remembered beyond reloads, and each
// question to it has bounds of time and size. What it signed is believed only where everything about
// the token is as it must be, and the first thing that is not is the one word of a
// login.RejectedError:
//
//	no_id_token, malformed, alg, typ, crit    what came is no token that could be believed
//	kid, signature                            nor did the provider sign it
//	iss, aud, azp, exp, iat, nbf, auth_time   nor was it for this client, and now
//	sub, nonce, at_hash                       nor for this sign-in
//	events, jti, sid                          nor is it a logout token
//	no_code, code                             the answer has no code, or not a good one
//	userinfo, userinfo_sub                    UserInfo was refused, or is about somebody else
//	claims                                    the claims make no account
package oidc
