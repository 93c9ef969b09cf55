// Package session is the domain of the gateway: jars of sessions, and their rules.
//
// A Jar is the record of one browser. It holds sessions, each of one signed-in Account. At most one
// of them is active, or at most one for each Site. Only the browser has the Token that names its
// jar; the store has the token's hash. A Manager applies the rules (lifetimes, limits, replacement,
// promotion) and asks a Directory who an account is now.
//
// Everything else rests on two properties:
//
//   - A session is dead as soon as one of its conditions fails: its absolute or idle time is over,
//     its account is gone, or it is no longer in the jar. Every look at a session checks this, so
//     no background work is needed to end one.
//   - Nobody becomes somebody else without having chosen it. If the active session ends by itself,
//     no other one takes its place. Only revoking it promotes another session, at the site where
//     it was revoked.
//
// The package knows neither HTTP nor Caddy.
package session
