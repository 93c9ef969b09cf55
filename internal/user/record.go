package user

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// recordVersion is the version of the records that this code writes, and the only one it reads: a
// record of a later release is refused, not guessed at.
const recordVersion = 1

// The keys of the records.
const (
	userPrefix = "user:"       // and the user's id
	secretKey  = "user-secret" // see Users.Secret
)

// noExpiry is the expiry of records that are to stay.
var noExpiry = time.Date(9999, time.January, 1, 0, 0, 0, 0, time.UTC)

// ErrUnreadable reports a stored user or invitation that this release cannot read: damaged, or
// written by a later release. It is left as it is.
var ErrUnreadable = errors.New("stored user is not readable")

// userRecord is the stored form of a user. Of a deleted one there is left what keeps the names from
// being given to somebody else, and the epoch.
type userRecord struct {
	Version         int       `json:"v"`
	ID              string    `json:"id"`
	Deleted         bool      `json:"deleted,omitempty"`
	Name            string    `json:"name,omitempty"`
	Email           string    `json:"email,omitempty"`
	EmailVerified   bool      `json:"email_verified,omitempty"`
	DisplayName     string    `json:"display_name,omitempty"`
	DisplayUserName string    `json:"display_user_name,omitempty"` // of earlier releases: none
	Picture         string    `json:"picture,omitempty"`
	Groups          []string  `json:"groups,omitempty"`
	Disabled        bool      `json:"disabled,omitempty"`
	Hash            string    `json:"hash,omitempty"`
	Epoch           uint64    `json:"epoch,omitempty"`
	FormerNames     []string  `json:"former_names,omitempty"`
	CreatedAt       time.Time `json:"created_at"`
	UpdatedAt       time.Time `json:"updated_at"`
}

func encodeUser(u *User, deleted bool) (storage.Record, error) {
	rec := userRecord{
		Version:         recordVersion,
		ID:              u.ID,
		Deleted:         deleted,
		Name:            u.Name,
		Email:           u.Email,
		EmailVerified:   u.EmailVerified,
		DisplayName:     u.DisplayName,
		DisplayUserName: u.DisplayUserName,
		Picture:         u.Picture,
		Groups:          u.Groups,
		Disabled:        u.Disabled,
		Hash:            u.Hash,
		Epoch:           u.Epoch,
		FormerNames:     u.FormerNames,
		CreatedAt:       u.CreatedAt,
		UpdatedAt:       u.UpdatedAt,
	}
	value, err := json.Marshal(rec)
	if err != nil {
		return storage.Record{}, fmt.Errorf("encode user %s: %w", u.ID, err)
	}
	return storage.Record{Key: userPrefix + u.ID, Value: value, Expiry: noExpiry}, nil
}

// decodeUser reads a record, and refuses one that no release has written.
func decodeUser(record storage.Record) (u *User, deleted bool, err error) {
	var rec userRecord
	if err := decode(record.Value, &rec); err != nil {
		return nil, false, err
	}
	u = &User{
		ID:              rec.ID,
		Name:            rec.Name,
		Email:           rec.Email,
		EmailVerified:   rec.EmailVerified,
		DisplayName:     rec.DisplayName,
		DisplayUserName: rec.DisplayUserName,
		Picture:         rec.Picture,
		Groups:          rec.Groups,
		Disabled:        rec.Disabled,
		Hash:            rec.Hash,
		Epoch:           rec.Epoch,
		FormerNames:     rec.FormerNames,
		CreatedAt:       rec.CreatedAt,
		UpdatedAt:       rec.UpdatedAt,
	}
	if record.Key != userPrefix+u.ID {
		return nil, false, fmt.Errorf("%w: it has another user's key", ErrUnreadable)
	}
	if rec.Deleted {
		return u, true, nil
	}
	if err := u.Validate(); err != nil {
		return nil, false, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return u, false, nil
}

// decode reads the JSON of a record of this version.
func decode(value []byte, into any) error {
	var head struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(value, &head); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if head.V != recordVersion {
		return fmt.Errorf("%w: version %d, want %d", ErrUnreadable, head.V, recordVersion)
	}
	dec := json.NewDecoder(bytes.NewReader(value))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return nil
}
