// Package session is the domain of the gateway: jars of sessions, and the rules they live by.
//
// A Jar is the record of one browser. It holds sessions, each one signed-in Account, and at most
// one of them is active, or at most one for each Site. A browser names its jar by a Token that only it has; the store knows only
// the token's hash. A Manager applies the rules (lifetimes, limits, replacement, promotion) and
// asks a Directory who an account is at this moment.
//
// Two properties carry everything else:
//
//   - A session is dead the moment any of its conditions fails: its absolute or idle time is over,
//     its account is gone, or it is no longer in the jar. Dead sessions are judged when they are
//     looked at, so nothing has to run for them to end.
//   - Nobody becomes somebody else without having chosen it. When the active session dies by
//     itself no other takes its place; only revoking it deliberately promotes another one, and that
//     only at the site where it was revoked.
//
// The package knows neither HTTP nor Caddy.
package session
