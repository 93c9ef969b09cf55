package session

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Grant is what a session has of the identity provider that its account signed in at. Once handed
// out it is not changed.
type Grant struct {
	// SID is the provider's own name of its session with the browser, empty where it gave none.
	SID string `json:"sid,omitempty"`

	// Sealed is the tokens, encrypted by whoever keeps them.
	Sealed []byte `json:"sealed,omitempty"`

	// RenewAt is from when on the tokens are to be renewed, and ExpiresAt when the access token has
	// expired. Zero is never.
	RenewAt   time.Time `json:"renew_at,omitzero"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// maxGrantBytes bounds a grant as it is stored, so that a jar of MaxSessionsLimit sessions stays within
// storage.MaxValueBytes. It has room for three tokens of 12 KiB each, where large ones, those with an
// account's groups in them, have 8.
const maxGrantBytes = 48 << 10

// Validate refuses a grant of nothing, times without tokens that they could be of, and a SID that
// would not come back from the store as it was.
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

// Fits refuses a grant that is too large to be stored, or that cannot be.
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

// Equal reports whether two grants are the same one, wherever they were read from. No grant equals
// another one's absence only.
func (g *Grant) Equal(other *Grant) bool {
	if g == nil || other == nil {
		return g == other
	}
	return g.SID == other.SID && bytes.Equal(g.Sealed, other.Sealed) &&
		g.RenewAt.Equal(other.RenewAt) && g.ExpiresAt.Equal(other.ExpiresAt)
}

// toStore returns the grant as it is kept: checked, and with times as all others of a session are.
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
