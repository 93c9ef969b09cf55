package user

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/storage"
)

// Saved is the records of this package as a store had them at one instant. The zero Saved has none.
type Saved struct {
	last        string // key
	index       Users  // those who are not deleted, as readers would find them
	deleted     []*User
	invitations []storage.Record
	ids         map[string]bool // of invitations
	names       []storage.Record
	secret      *storage.Record
}

// maxEpoch is more than sessions can have been ended, and leaves room to raise it.
const maxEpoch = 1 << 53

// Add takes in the record that comes next in the order of keys. Errors are about a record that no
// store can have had there, or that this release cannot read.
func (s *Saved) Add(record storage.Record) error {
	if record.Key <= s.last {
		return errors.New("record is not in the order of keys")
	}
	s.last = record.Key
	if len(record.Terms) > 0 {
		return errors.New("record has index terms, which none of a user has")
	}
	switch {
	case strings.HasPrefix(record.Key, invitationPrefix):
		return s.addInvitation(record)
	case !record.Expiry.Equal(noExpiry):
		return errors.New("record expires, which none of a user does")
	case record.Key == secretKey:
		if len(record.Value) != secretBytes {
			return fmt.Errorf("secret: %w", ErrUnreadable)
		}
		s.secret = &record
		return nil
	case strings.HasPrefix(record.Key, userPrefix):
		return s.addUser(record)
	case strings.HasPrefix(record.Key, namePrefix):
		_, err := decodeName(record)
		s.names = append(s.names, record)
		return err
	}
	return errors.New("record is not of a user, a user name or an invitation")
}

func (s *Saved) addUser(record storage.Record) error {
	user, deleted, err := decodeUser(record)
	if err != nil {
		return err
	}
	if user.Epoch > maxEpoch {
		return fmt.Errorf("%w: epoch %d is more than %d", ErrUnreadable, user.Epoch, uint64(maxEpoch))
	}
	if deleted {
		s.deleted = append(s.deleted, user)
		return nil
	}
	if s.index.byID == nil {
		s.index.clear()
	}
	if err := s.index.free(user, ""); err != nil {
		return fmt.Errorf("user %s: %w", user.ID, err)
	}
	s.index.put(nil, stored{User: user})
	return nil
}

func (s *Saved) addInvitation(record storage.Record) error {
	i, err := decodeInvitation(record)
	if err != nil {
		return err
	}
	hash, err := base64.RawURLEncoding.Strict().DecodeString(strings.TrimPrefix(record.Key, invitationPrefix))
	switch {
	case err != nil || len(hash) != codeHashBytes:
		return fmt.Errorf("%w: an invitation without the hash of a code", ErrUnreadable)
	case !record.Expiry.Equal(i.ExpiresAt):
		return fmt.Errorf("%w: an invitation that expires at two times", ErrUnreadable)
	case s.ids[i.ID]:
		return fmt.Errorf("%w: two invitations of one id", ErrUnreadable)
	}
	if err := i.validate(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	if s.ids == nil {
		s.ids = make(map[string]bool)
	}
	s.ids[i.ID] = true
	s.invitations = append(s.invitations, record)
	return nil
}

// Complete reports what is missing of a store's records.
func (s *Saved) Complete() error {
	if s.secret == nil {
		return errors.New("the secret of the users is missing")
	}
	return nil
}

// Len is how many users and invitations there are.
func (s *Saved) Len() (users, invitations int) { return len(s.index.byID), len(s.invitations) }

// Restore makes the users those that were saved, who must be Complete. Replace is given their records
// and has to make them, and what else it knows of, all that the store has. Nobody can change a user
// meanwhile.
//
// All sessions of a user that were ever made end: every epoch becomes a higher one than it was here
// and there. Who is here and was not saved is deleted, so that nobody takes over the name. For the same
// reason accounts of identity providers keep the names that they have here, unless it was saved that
// they are somebody else's.
func (u *Users) Restore(ctx context.Context, saved *Saved, replace func(context.Context, iter.Seq2[storage.Record, error]) error) error {
	u.writing.Lock()
	defer u.writing.Unlock()
	records, err := u.restored(ctx, saved)
	if err != nil {
		return fmt.Errorf("restore users: %w", err)
	}
	replacing := replace(ctx, func(yield func(storage.Record, error) bool) {
		for _, record := range records {
			if !yield(record, nil) {
				return
			}
		}
	})
	// Also where it failed: it may not be known what came of it, and memory must not differ.
	if err := u.reload(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(replacing, err)
	}
	return replacing
}

// restored returns the records to be stored.
func (u *Users) restored(ctx context.Context, saved *Saved) ([]storage.Record, error) {
	left := make(map[string]*User) // who is here, deleted or not, and is not met among the saved
	err := u.store.Walk(ctx, userPrefix, func(record storage.Record) error {
		user, deleted, err := decodeUser(record)
		if err != nil {
			return err
		}
		if !deleted {
			user = user.tombstone()
		}
		left[user.ID] = user
		return nil
	})
	if err != nil {
		return nil, err
	}
	records := append(slices.Clone(saved.invitations), *saved.secret)
	names, err := u.restoredNames(saved)
	if err != nil {
		return nil, err
	}
	records = append(records, names...)
	add := func(user *User, deleted bool) error {
		if here := left[user.ID]; here != nil {
			user.Epoch = max(user.Epoch, here.Epoch)
			delete(left, user.ID)
		}
		user.Epoch++
		record, err := encodeUser(user, deleted)
		records = append(records, record)
		return err
	}
	for _, s := range saved.index.byID {
		if err := add(s.User.clone(), false); err != nil {
			return nil, err
		}
	}
	for _, user := range saved.deleted {
		if err := add(user.clone(), true); err != nil {
			return nil, err
		}
	}
	for _, user := range left {
		if err := add(user, true); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// restoredNames returns the records of names to be stored.
func (u *Users) restoredNames(saved *Saved) ([]storage.Record, error) {
	records := slices.Clone(saved.names)
	is := make(map[string]bool, len(records))
	for _, record := range records {
		is[record.Key] = true
	}
	u.mu.RLock()
	defer u.mu.RUnlock()
	for key, o := range u.names.byKey {
		if is[key] {
			continue
		}
		record, err := encodeName(o)
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// Check reads every record of this package in a store, tells report of those that are not as they
// should be, and returns how many users there are. An error is the store's.
func (u *Users) Check(ctx context.Context, report func(problem string)) (users int, err error) {
	var seen Users
	seen.clear()
	err = u.store.Walk(ctx, userPrefix, func(record storage.Record) error {
		user, deleted, err := decodeUser(record)
		if err == nil && !deleted {
			users++
			err = seen.free(user, "")
			seen.put(nil, stored{User: user})
		}
		if err != nil {
			report(fmt.Sprintf("user %s: %v", strings.TrimPrefix(record.Key, userPrefix), err))
		}
		return nil
	})
	if err != nil {
		return users, fmt.Errorf("walk users: %w", err)
	}
	err = u.store.Walk(ctx, invitationPrefix, func(record storage.Record) error {
		if _, err := decodeInvitation(record); err != nil {
			report(fmt.Sprintf("%s: %v", record.Key, err))
		}
		return nil
	})
	if err != nil {
		return users, fmt.Errorf("walk invitations: %w", err)
	}
	if err := checkNames(ctx, u.store, &seen, report); err != nil {
		return users, err
	}
	record, _, err := u.store.Get(ctx, secretKey)
	switch {
	case errors.Is(err, storage.ErrNotFound) && users == 0:
		// Nobody has opened the store yet who makes one, as after a release that knew of no users.
	case errors.Is(err, storage.ErrNotFound):
		report("the secret of the users is missing")
	case err != nil:
		return users, fmt.Errorf("load secret: %w", err)
	case len(record.Value) != secretBytes:
		report("the secret of the users is not readable")
	}
	return users, nil
}
