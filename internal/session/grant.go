package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Grant is what a session keeps of its account's identity provider. It is immutable once handed
// out.
type Grant struct {
	// SID is the provider's name of its session with the browser, empty if it gave none.
	SID string `json:"sid,omitempty"`

	// Sealed is the encrypted tokens. Only their keeper can decrypt them.
	Sealed []byte `json:"sealed,omitempty"`

	// RenewAt is when the tokens become due for renewal, and ExpiresAt when the access token
	// expires. Zero means never.
	RenewAt   time.Time `json:"renew_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// maxGrantBytes bounds a stored grant, so that a jar of MaxSessionsLimit sessions stays within
// storage.MaxValueBytes. It has room for three tokens of 12 KiB each. Large tokens, which list the
// groups of an account, have 8 KiB.
const maxGrantBytes = 48 << 10

// Validate refuses an empty grant, times without tokens, and a SID that the store would not return
// unchanged.
func (g *Grant) Validate() error {
	switch {
	case g.SID == "" && len(g.Sealed) == 0:
		return errors.New("has neither tokens nor a SID")
	case len(g.Sealed) == 0 && !(g.RenewAt.IsZero() && g.ExpiresAt.IsZero()):
		return errors.New("has times and no tokens")
	}
	if err := ValidText(g.SID); err != nil {
		return fmt.Errorf("SID %q: %w", g.SID, err)
	}
	return nil
}

// Fits refuses a grant that is too large to be stored or cannot be encoded.
func (g *Grant) Fits() error {
	stored, err := json.Marshal(g)
	if err != nil {
		return err
	}
	if len(stored) > maxGrantBytes {
		return fmt.Errorf("takes %d bytes with its tokens, more than %d", len(stored), maxGrantBytes)
	}
	return nil
}

// Equal reports whether two grants are the same, also if they were read separately. A grant never
// equals a missing one.
func (g *Grant) Equal(other *Grant) bool {
	if g == nil || other == nil {
		return g == other
	}
	return g.SID == other.SID && bytes.Equal(g.Sealed, other.Sealed) &&
		g.RenewAt.Equal(other.RenewAt) && g.ExpiresAt.Equal(other.ExpiresAt)
}

// toStore returns the grant as it is stored: validated, and with its times in the form of a
// session's other times.
func (g *Grant) toStore() (*Grant, error) {
	if g == nil {
		return nil, nil
	}
	kept := *g
	for _, t := range []*time.Time{&kept.RenewAt, &kept.ExpiresAt} {
		if !t.IsZero() {
			*t = t.UTC().Truncate(time.Millisecond)
		}
	}
	if err := kept.Validate(); err != nil {
		return nil, err
	}
	if err := kept.Fits(); err != nil {
		return nil, err
	}
	return &kept, nil
}
