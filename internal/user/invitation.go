package user

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

// Invitation lets people sign up who know its code.
type Invitation struct {
	ID        string // public; never a way in
	Email     string // lower case; the only address that can sign up with it, or empty for any
	Groups    []string
	Uses      int // how many may still sign up, at least 1
	CreatedAt time.Time
	ExpiresAt time.Time
}

// Bounds of an Invitation.
const (
	MaxInvitationUses     = 10_000
	MaxInvitationLifetime = 365 * 24 * time.Hour
	maxInvitationGroups   = 64
)

// ErrInvitation reports a code of no invitation that is good for this sign-up: unknown, used up,
// expired or for another address, which are not told apart.
var ErrInvitation = errors.New("invitation code is not valid")

// invitationPrefix begins the keys of invitations. Behind it is the code's SHA-256: the code has all
// the entropy of the hash, and who reads the store cannot sign up with what it says.
const invitationPrefix = "invitation:"

const codeHashBytes = sha256.Size

type invitationRecord struct {
	Version   int       `json:"v"`
	ID        string    `json:"id"`
	Email     string    `json:"email,omitempty"`
	Groups    []string  `json:"groups,omitempty"`
	Uses      int       `json:"uses"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at"`
}

func invitationKey(code string) string {
	sum := sha256.Sum256([]byte(code))
	return invitationPrefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

func encodeInvitation(key string, i *Invitation) (storage.Record, error) {
	value, err := json.Marshal(invitationRecord{recordVersion, i.ID, i.Email, i.Groups, i.Uses, i.CreatedAt, i.ExpiresAt})
	if err != nil {
		return storage.Record{}, fmt.Errorf("encode invitation %s: %w", i.ID, err)
	}
	return storage.Record{Key: key, Value: value, Expiry: i.ExpiresAt}, nil
}

func decodeInvitation(record storage.Record) (*Invitation, error) {
	var rec invitationRecord
	if err := decode(record.Value, &rec); err != nil {
		return nil, err
	}
	i := &Invitation{rec.ID, rec.Email, rec.Groups, rec.Uses, rec.CreatedAt, rec.ExpiresAt}
	if i.ID == "" || i.Uses < 1 {
		return nil, fmt.Errorf("%w: an invitation without an id or uses", ErrUnreadable)
	}
	return i, nil
}

// Invite stores an invitation with what is given, beside ID and CreatedAt, and returns it with its
// code. The code is told this once: the store does not know it. Errors are *InvalidError or the
// store's.
func (u *Users) Invite(ctx context.Context, given Invitation) (invitation *Invitation, code string, err error) {
	i := given
	i.ID = randomText()
	i.CreatedAt = u.now()
	i.ExpiresAt = i.ExpiresAt.UTC().Truncate(time.Millisecond)
	if err := i.validate(); err != nil {
		return nil, "", &InvalidError{err}
	}
	code = randomText()
	record, err := encodeInvitation(invitationKey(code), &i)
	if err != nil {
		return nil, "", err
	}
	if _, err := u.store.CompareAndSwap(ctx, record.Key, 0, record); err != nil {
		return nil, "", fmt.Errorf("store invitation: %w", err)
	}
	return &i, code, nil
}

func (i *Invitation) validate() error {
	switch lasts := i.ExpiresAt.Sub(i.CreatedAt); {
	case i.Uses < 1 || i.Uses > MaxInvitationUses:
		return fmt.Errorf("uses: %d: must be from 1 to %d", i.Uses, MaxInvitationUses)
	case lasts <= 0 || lasts > MaxInvitationLifetime:
		return fmt.Errorf("expires: must be within %d days from now", MaxInvitationLifetime/(24*time.Hour))
	case len(i.Groups) > maxInvitationGroups:
		return fmt.Errorf("groups: %d are more than %d", len(i.Groups), maxInvitationGroups)
	}
	// Whoever signs up with it must come out as a user that can be.
	invited := &User{ID: idMark + "invited", Name: "invited", Email: i.Email, Groups: i.Groups}
	return invited.Validate()
}

// Invitations returns all that can still be used, the newest first.
func (u *Users) Invitations(ctx context.Context) ([]*Invitation, error) {
	var all []*Invitation
	err := u.store.Walk(ctx, invitationPrefix, func(record storage.Record) error {
		i, err := decodeInvitation(record)
		if err != nil {
			return err
		}
		all = append(all, i)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list invitations: %w", err)
	}
	slices.SortFunc(all, func(a, b *Invitation) int { return b.CreatedAt.Compare(a.CreatedAt) })
	return all, nil
}

// Withdraw ends the invitation with the id. ErrNotFound is the error where there is none.
func (u *Users) Withdraw(ctx context.Context, id string) error {
	u.writing.Lock()
	defer u.writing.Unlock()
	found := ""
	err := u.store.Walk(ctx, invitationPrefix, func(record storage.Record) error {
		i, err := decodeInvitation(record)
		if err == nil && i.ID == id {
			found = record.Key
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("find invitation: %w", err)
	}
	if found == "" {
		return ErrNotFound
	}
	_, revision, err := u.store.Get(ctx, found)
	if errors.Is(err, storage.ErrNotFound) {
		return ErrNotFound
	}
	if err == nil {
		err = u.store.Delete(ctx, found, revision)
	}
	if err != nil {
		return fmt.Errorf("withdraw invitation: %w", err)
	}
	return nil
}

// Admissible reports whether a code is good for somebody with the e-mail address, and the error
// otherwise is ErrInvitation or the store's. It uses nothing up: it is for refusing a sign-up before
// it costs anything.
func (u *Users) Admissible(ctx context.Context, code, email string) error {
	_, _, err := u.invitation(ctx, code, email)
	return err
}

func (u *Users) invitation(ctx context.Context, code, email string) (*Invitation, storage.Revision, error) {
	record, revision, err := u.store.Get(ctx, invitationKey(code))
	if errors.Is(err, storage.ErrNotFound) {
		return nil, 0, ErrInvitation
	}
	if err != nil {
		return nil, 0, fmt.Errorf("load invitation: %w", err)
	}
	i, err := decodeInvitation(record)
	if err != nil {
		return nil, 0, err
	}
	if i.Email != "" && i.Email != email {
		return nil, 0, ErrInvitation
	}
	return i, revision, nil
}

// CreateInvited is Create for somebody who signs up by the code of an invitation, whose groups are
// added. One use is taken first and given back where the user cannot be created, so that there are
// never more users by an invitation than it has uses; a process that ends in between costs a use.
func (u *Users) CreateInvited(ctx context.Context, given User, code string) (*User, error) {
	u.writing.Lock()
	defer u.writing.Unlock()
	i, revision, err := u.invitation(ctx, code, given.Email)
	if err != nil {
		return nil, err
	}
	key := invitationKey(code)
	if revision, err = u.use(ctx, key, i, revision); err != nil {
		return nil, err
	}
	for _, group := range i.Groups {
		if !slices.Contains(given.Groups, group) {
			given.Groups = append(slices.Clip(given.Groups), group)
		}
	}
	created, err := u.create(ctx, given, false)
	if err != nil {
		return nil, errors.Join(err, u.giveBack(context.WithoutCancel(ctx), key, i, revision))
	}
	return created, nil
}

// use takes one use from the invitation, and returns its revision then: zero where it was the last.
func (u *Users) use(ctx context.Context, key string, i *Invitation, revision storage.Revision) (storage.Revision, error) {
	if i.Uses == 1 {
		if err := u.store.Delete(ctx, key, revision); err != nil {
			return 0, fmt.Errorf("use invitation: %w", err)
		}
		return 0, nil
	}
	less := *i
	less.Uses--
	record, err := encodeInvitation(key, &less)
	if err != nil {
		return 0, err
	}
	revision, err = u.store.CompareAndSwap(ctx, key, revision, record)
	if err != nil {
		return 0, fmt.Errorf("use invitation: %w", err)
	}
	return revision, nil
}

// giveBack stores the invitation as it was before the use.
func (u *Users) giveBack(ctx context.Context, key string, i *Invitation, revision storage.Revision) error {
	record, err := encodeInvitation(key, i)
	if err == nil {
		_, err = u.store.CompareAndSwap(ctx, key, revision, record)
	}
	if err != nil {
		return fmt.Errorf("give the use of the invitation back: %w", err)
	}
	return nil
}
