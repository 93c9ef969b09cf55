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
// # Sign-ins and tokens
//
// Each sign-in to a jar replaces the jar's token. Whoever has learned or planted the old one before
// has nothing of the account that signs in. But people double-click, answers get lost, and pages
// send several sign-ins at once. All of these come with the token that the first of them has just
// replaced, and the browser's other accounts must not be lost by that. So for a short time a
// sign-in with the replaced token joins the moved jar, and nothing else is possible with it. Other
// requests with it are signed out, also those that a page had sent just before: served, they would
// be made as the account that has just signed in.
//
//   - All answers give the browser the same new token, so it does not matter which one arrives last.
//     The token is derived from the replaced one and a random salt in the jar (Token.next). Neither
//     alone says anything about it, and the store has no token.
//   - The replaced token is worthless once the new one comes from the browser. Sign-ins that had
//     arrived in full before that are still finished (Manager.JarOf).
//   - The account that made the jar move may sign in again for 30 seconds, from anywhere: a phone
//     that has lost the answer may have changed networks. Whoever does that has proved the account,
//     and so neither joins a jar of somebody else nor lets somebody else in.
//   - Another account may join for 5 seconds, if its request has the same client address and
//     User-Agent as the sign-in that moved the jar, and if the host has used the jar before.
//
// Without the last conditions a token could be fixed (CWE-384): an attacker plants the token of his
// jar in a browser and moves the jar himself, and what signs in with the planted token next would
// join a jar whose new token he knows. A host-only cookie over HTTPS cannot be planted from
// elsewhere. That of a domain can, but there the jar is confirmed at each host by a cookie that
// cannot. A thief of the token could have used the whole jar until the sign-in. To stay in it he
// would have to sign in with an account of his own within the moment until the browser's next
// request, at the same address. A browser that changes its address in this moment, or a jar that no
// request has used at the host, is treated as before: the sign-in gets a jar of its own.
//
// A browser without a jar has no token that could tie two first sign-ins to each other. Each gets a
// jar, and the browser keeps the one whose answer arrives last.
//
// The package knows neither HTTP nor Caddy.
package session
