// Package tokens keeps the provider's tokens of sessions, and renews them.
//
// A Manager encrypts tokens, so that a copy of the database is useless, and exchanges them for new
// ones before they expire. If the provider refuses, the session ends. That is how the gateway
// learns that an account was closed or a consent withdrawn.
//
// A provider may accept each refresh token once, and treat a second use as theft (RFC 9700, section
// 4.14.2). So only one renewal of a session runs at a time, and it first checks that it is still
// needed. Its result is kept until it is stored, even if the request that started it is gone.
//
// A provider that does not answer signs nobody out, and people wait for it once: see outage.
package tokens
