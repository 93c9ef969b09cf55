// Package tokens keeps the tokens of sessions whose accounts signed in at an identity provider, and
// keeps them valid.
//
// A Manager seals tokens so that a copy of the database is worth nothing, and trades them for new ones
// before they expire. A provider that refuses to has ended the session: that is how the gateway learns
// that an account was closed, or a consent taken back, where nobody tells it.
//
// Providers may take a refresh token once only, and take a second use for a theft (RFC 9700, section
// 4.14.2). So a session's tokens are renewed by one at a time, who looks first whether it is still to
// be done; and what came back is kept until it is stored, whatever becomes of the request that it was
// for.
package tokens
