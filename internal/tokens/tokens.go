package tokens

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// ErrLost says that a session's tokens do not open: they were sealed with a key that is not configured
// any more, or are not the account's.
var ErrLost = errors.New("tokens of the session do not open")

// Seal returns what a session keeps of a provider's answer, and nil where there is nothing to keep. An
// error says that it is more than can be stored, or a SID that cannot be.
func (k *Manager) Seal(g *login.Granted) (*session.Grant, error) {
	kept := g.Tokens != login.Tokens{Expiry: g.Tokens.Expiry}
	if !kept && g.SID == "" {
		return nil, nil
	}
	grant := &session.Grant{SID: g.SID}
	if kept {
		account := g.Identity.Account
		grant.Sealed = k.sealer.Seal(encode(g.Tokens), []byte(account.ID()))
		grant.ExpiresAt = g.Tokens.Expiry.UTC().Truncate(time.Millisecond)
		if _, ok := k.renewer(account); ok && g.Tokens.Refresh != "" {
			grant.RenewAt = renewAt(grant.ExpiresAt, k.now())
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
	// maxMargin is how long before their expiry tokens are renewed at most. A provider that is away for
	// less is not missed by anybody who uses the gateway now and then, and few requests find a token
	// that has expired and have to wait for a new one.
	maxMargin = 5 * time.Minute

	// minAge keeps a provider whose tokens come expired, as by a clock that is wrong, from being asked
	// on every request.
	minAge = time.Second
)

// renewAt is from when on tokens that were issued now are to be renewed: before the last fifth of their
// life, or maxMargin before its end. Where they have no expiry it is never.
func renewAt(expiry, now time.Time) time.Time {
	if expiry.IsZero() {
		return time.Time{}
	}
	at := expiry.Add(-min(maxMargin, expiry.Sub(now)/5))
	if first := now.Add(minAge); at.Before(first) {
		at = first
	}
	return at.UTC().Truncate(time.Millisecond)
}

// Open returns a session's tokens. It is false where there are none, and where they do not open.
func (k *Manager) Open(s *session.Session) (login.Tokens, bool) {
	if s.Grant == nil || len(s.Grant.Sealed) == 0 {
		return login.Tokens{}, false
	}
	plain, err := k.sealer.Open(s.Grant.Sealed, []byte(s.Recorded.Account.ID()))
	if err != nil {
		return login.Tokens{}, false
	}
	return decode(string(plain))
}

// Exposed returns the tokens of a session that upstreams may be given: those that the configuration of
// its provider exposes, and an access token only while it has not expired.
func (k *Manager) Exposed(s *session.Session) login.Tokens {
	if s.Grant == nil {
		return login.Tokens{}
	}
	provider, ok := k.logins.Provider(s.Recorded.Account.Method)
	if !ok {
		return login.Tokens{}
	}
	exposes := provider.Exposes()
	if exposes == (login.Exposed{}) {
		return login.Tokens{}
	}
	all, _ := k.Open(s)
	var exposed login.Tokens
	if exposes.ID {
		exposed.ID = all.ID
	}
	if exposes.Access && (all.Expiry.IsZero() || k.now().Before(all.Expiry)) {
		exposed.Access, exposed.Expiry = all.Access, all.Expiry
	}
	return exposed
}

// tokensVersion is the version of the form that tokens are sealed in, and the only one that is read.
//
//	version u8, expiry in milliseconds since 1970 as a varint, 0 where there is none; then the
//	access, refresh and ID token, each as its length, a varint, and its bytes
//
// It is read for every request to an upstream that is given tokens, and JSON would take ten times as
// long as to decrypt it.
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

// decode reads what encode has written, and is false for all else.
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
