package tokens

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// ErrLost says that a session's tokens cannot be decrypted: they were sealed with a key that is no
// longer configured, or for another account.
var ErrLost = errors.New("tokens of the session cannot be decrypted")

// Seal returns the part of a provider's answer that a session keeps, nil if there is nothing to
// keep. It fails if the grant is too large to be stored or the SID is not valid.
func (m *Manager) Seal(g *login.Granted) (*session.Grant, error) {
	kept := g.Tokens != login.Tokens{Expiry: g.Tokens.Expiry}
	if !kept && g.SID == "" {
		return nil, nil
	}
	grant := &session.Grant{SID: g.SID}
	if kept {
		account := g.Identity.Account
		grant.Sealed = m.sealer.Seal(encode(g.Tokens), []byte(account.ID()))
		grant.ExpiresAt = g.Tokens.Expiry.UTC().Truncate(time.Millisecond)
		if _, ok := m.renewer(account); ok && g.Tokens.Refresh != "" {
			grant.RenewAt = renewAt(grant.ExpiresAt, m.now())
		}
	}
	if err := grant.Validate(); err != nil {
		return nil, fmt.Errorf("grant of %s: %w", g.Identity.Account.Method, err)
	}
	if err := grant.Fits(); err != nil {
		return nil, fmt.Errorf("grant of %s: %w", g.Identity.Account.Method, err)
	}
	return grant, nil
}

const (
	// maxMargin is the longest time before their expiry that tokens are renewed. It bridges shorter
	// outages of a provider, and few requests have to wait because a token has expired.
	maxMargin = 5 * time.Minute

	// unknownLife is after how long tokens are renewed whose provider does not say when they expire. A
	// provider that issues a refresh token takes it, and asking is how the gateway learns that an account
	// is closed.
	unknownLife = time.Hour

	// minAge is the shortest time between two renewals. Without it, a provider whose clock is wrong
	// and whose tokens arrive expired would be asked at every request.
	minAge = time.Second
)

// renewAt returns when tokens that were issued now are due for renewal: when four fifths of their
// life have passed, but no earlier than maxMargin before their expiry. Without an expiry it is after
// unknownLife.
func renewAt(expiry, now time.Time) time.Time {
	if expiry.IsZero() {
		return now.Add(unknownLife).UTC().Truncate(time.Millisecond)
	}
	at := expiry.Add(-min(maxMargin, expiry.Sub(now)/5))
	if first := now.Add(minAge); at.Before(first) {
		at = first
	}
	return at.UTC().Truncate(time.Millisecond)
}

// Open returns a session's tokens, and false if there are none or they cannot be decrypted.
func (m *Manager) Open(s *session.Session) (login.Tokens, bool) {
	if s.Grant == nil || len(s.Grant.Sealed) == 0 {
		return login.Tokens{}, false
	}
	plain, err := m.sealer.Open(s.Grant.Sealed, []byte(s.Recorded.Account.ID()))
	if err != nil {
		return login.Tokens{}, false
	}
	return decode(string(plain))
}

// Exposed returns the tokens of a session that upstreams may see: those that the provider's
// configuration exposes, and the access token only until it expires.
func (m *Manager) Exposed(s *session.Session) login.Tokens {
	if s.Grant == nil {
		return login.Tokens{}
	}
	provider, ok := m.logins.Provider(s.Recorded.Account.Method)
	if !ok {
		return login.Tokens{}
	}
	exposes := provider.Exposes()
	if exposes == (login.Exposed{}) {
		return login.Tokens{}
	}
	all, _ := m.Open(s)
	var exposed login.Tokens
	if exposes.ID {
		exposed.ID = all.ID
	}
	if exposes.Access && (all.Expiry.IsZero() || m.now().Before(all.Expiry)) {
		exposed.Access, exposed.Expiry = all.Access, all.Expiry
	}
	return exposed
}

// tokensVersion is the version of the format in which tokens are sealed, and the only one that is
// read.
//
//	version u8; expiry in milliseconds since 1970 as a varint, 0 for none; then the access, refresh
//	and ID token, each as its length, a uvarint, and its bytes
//
// Every request to an upstream that sees tokens reads it. JSON would take ten times as long as the
// decryption.
const tokensVersion = 1

func encode(t login.Tokens) []byte {
	b := make([]byte, 1, 1+4*binary.MaxVarintLen64+len(t.Access)+len(t.Refresh)+len(t.ID))
	b[0] = tokensVersion
	var expiry int64
	if !t.Expiry.IsZero() {
		expiry = t.Expiry.UnixMilli()
	}
	b = binary.AppendVarint(b, expiry)
	for _, token := range []string{t.Access, t.Refresh, t.ID} {
		b = binary.AppendUvarint(b, uint64(len(token)))
		b = append(b, token...)
	}
	return b
}

// decode is the inverse of encode. It returns false for anything that encode did not write.
func decode(text string) (t login.Tokens, ok bool) {
	if text == "" || text[0] != tokensVersion {
		return login.Tokens{}, false
	}
	text = text[1:]
	expiry, n := varint(text)
	if n <= 0 {
		return login.Tokens{}, false
	}
	text = text[n:]
	if expiry != 0 {
		t.Expiry = time.UnixMilli(expiry).UTC()
	}
	for _, token := range []*string{&t.Access, &t.Refresh, &t.ID} {
		length, n := uvarint(text)
		if n <= 0 || length > uint64(len(text)-n) {
			return login.Tokens{}, false
		}
		*token, text = text[n:n+int(length)], text[n+int(length):]
	}
	return t, text == ""
}

func varint(text string) (int64, int) {
	return binary.Varint([]byte(text[:min(len(text), binary.MaxVarintLen64)]))
}

func uvarint(text string) (uint64, int) {
	return binary.Uvarint([]byte(text[:min(len(text), binary.MaxVarintLen64)]))
}
