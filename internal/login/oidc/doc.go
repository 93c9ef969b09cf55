// Package oidc signs in at OpenID providers: a Method is a Relying Party that uses the
// authorization code flow with PKCE (OpenID Connect Core 1.0, section 3.1; RFC 7636).
//
// An account is a subject of an issuer. Nothing else makes two accounts the same, and a subject of
// another issuer under the same login is not an account. Where an issuer stands for those of many
// tenants, the tenant is a part of the subject.
//
// A provider is a stranger on the network that may be away, slow or wrong, while the gateway keeps
// working. So its metadata is fetched in the background and kept across reloads, and every request
// to it is bounded in time and size. A token is accepted only if every check passes. The first one
// that fails is the reason of a login.RejectedError:
//
//	no_id_token, malformed, alg, typ, crit    there is no acceptable token
//	kid, signature                            the provider did not sign it, or with a key of another tenant
//	iss, aud, azp, exp, iat, nbf, auth_time   it is not for this client, or not for now
//	tid                                       it is of no tenant, or of another one
//	sub, nonce, at_hash                       it is not for this sign-in
//	events, jti, sid                          it is not a logout token
//	no_code, code                             the answer has no code, or the provider refuses it
//	userinfo, userinfo_sub                    UserInfo is refused, or is about another subject
//	claims                                    the claims do not make an identity
package oidc
