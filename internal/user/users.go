package user

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/caddy-multi-session/gateway/storage"
)

var (
	// ErrNotFound reports that there is no such user.
	ErrNotFound = errors.New("no such user")

	// ErrNameTaken reports a user name that somebody else has, or had before.
	ErrNameTaken = errors.New("user name is taken")

	// ErrEmailTaken reports an e-mail address that somebody else has.
	ErrEmailTaken = errors.New("e-mail address is taken")
)

// InvalidError says what is wrong with a user or an invitation that was to be stored.
type InvalidError struct{ Err error }

func (e *InvalidError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *InvalidError) Unwrap() error { return e.Err }

// Users is all users of one store. Its methods may be called concurrently; those that only read
// answer from memory.
type Users struct {
	store storage.Store
	now   func() time.Time

	// writing is held by a change from the comparison with everybody else to the end of the write.
	writing sync.Mutex

	mu      sync.RWMutex
	byID    map[string]stored
	byName  map[string]string // names that users have, lower case, to ids
	byEmail map[string]string
	retired map[string]string // names that users had, and those of deleted users, to the one id or none
	schemes map[string]int    // how many hashes there are of each scheme
	lengths nameLengths
	names   names // of accounts of identity providers
	secret  []byte
}

// stored is a user as the store has it.
type stored struct {
	*User
	revision storage.Revision
}

// Load reads all users of a store, to which nothing else may write users from then on. A user that
// is ErrUnreadable is an error: to go on without would let somebody else take the name.
func Load(ctx context.Context, store storage.Store, now func() time.Time) (*Users, error) {
	u := &Users{store: store}
	u.now = func() time.Time { return now().UTC().Truncate(time.Millisecond) }
	if err := u.Reload(ctx); err != nil {
		return nil, err
	}
	return u, nil
}

// Reload reads everything anew, after all of the store was replaced.
func (u *Users) Reload(ctx context.Context) error {
	u.writing.Lock()
	defer u.writing.Unlock()
	return u.reload(ctx)
}

func (u *Users) reload(ctx context.Context) error {
	var fresh Users
	fresh.clear()
	secret, err := loadSecret(ctx, u.store)
	if err != nil {
		return fmt.Errorf("load users: %w", err)
	}
	err = u.store.Walk(ctx, userPrefix, func(record storage.Record) error {
		user, deleted, err := decodeUser(record)
		if err != nil {
			return fmt.Errorf("user %s: %w", strings.TrimPrefix(record.Key, userPrefix), err)
		}
		if deleted {
			fresh.retire(user)
			return nil
		}
		if err := fresh.free(user, ""); err != nil {
			return fmt.Errorf("user %s: %w: %w", user.ID, ErrUnreadable, err)
		}
		fresh.put(nil, stored{User: user})
		return nil
	})
	if err != nil {
		return fmt.Errorf("load users: %w", err)
	}
	owned, err := loadNames(ctx, u.store)
	if err != nil {
		return fmt.Errorf("load user names: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.names = owned
	u.byID, u.byName, u.byEmail, u.retired, u.schemes, u.secret = fresh.byID, fresh.byName, fresh.byEmail, fresh.retired, fresh.schemes, secret
	u.lengths = fresh.lengths
	return nil
}

// clear makes the index that of nobody.
func (u *Users) clear() {
	u.byID = make(map[string]stored)
	u.byName = make(map[string]string)
	u.byEmail = make(map[string]string)
	u.retired = make(map[string]string)
	u.schemes = make(map[string]int)
	u.lengths = nameLengths{}
}

const secretBytes = 32

// loadSecret returns the secret of the store, which is made by whoever first asks for it.
func loadSecret(ctx context.Context, store storage.Store) ([]byte, error) {
	for {
		record, _, err := store.Get(ctx, secretKey)
		if err == nil {
			if len(record.Value) != secretBytes {
				return nil, fmt.Errorf("secret: %w", ErrUnreadable)
			}
			return record.Value, nil
		}
		if !errors.Is(err, storage.ErrNotFound) {
			return nil, err
		}
		secret := make([]byte, secretBytes)
		rand.Read(secret) // never fails: crypto/rand ends the process instead
		_, err = store.CompareAndSwap(ctx, secretKey, 0, storage.Record{Key: secretKey, Value: secret, Expiry: noExpiry})
		if err == nil || errors.Is(err, storage.ErrReadOnly) { // nobody signs in by what cannot be written
			return secret, nil
		}
		if !errors.Is(err, storage.ErrConflict) {
			return nil, err
		}
	}
}

// Secret is 32 random bytes that belong to this set of users and are nobody else's to know. They
// must not be changed.
func (u *Users) Secret() []byte {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.secret
}

// ByID returns the user with the id.
func (u *Users) ByID(id string) (*User, bool) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	found, ok := u.byID[id]
	return found.User, ok
}

// ByName returns the user who has the name now.
func (u *Users) ByName(name string) (*User, bool) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.named(u.byName, name)
}

// Holds reports whether a name is a user's, or was.
func (u *Users) Holds(name string) bool {
	u.mu.RLock()
	defer u.mu.RUnlock()
	name = Fold(name)
	_, retired := u.retired[name]
	return retired || u.byName[name] != ""
}

// ByEmail returns the user with the e-mail address.
func (u *Users) ByEmail(email string) (*User, bool) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.named(u.byEmail, email)
}

// named returns whom an index names. The caller holds the lock.
func (u *Users) named(index map[string]string, text string) (*User, bool) {
	id, ok := index[Fold(text)]
	if !ok {
		return nil, false
	}
	return u.byID[id].User, true
}

// Find returns the user whose id, name or e-mail address a text is: no two of them look alike.
func (u *Users) Find(text string) (*User, bool) {
	switch {
	case IsID(text):
		return u.ByID(text)
	case strings.Contains(text, "@"):
		return u.ByEmail(text)
	}
	return u.ByName(text)
}

// stored returns a user to be changed. The caller holds the lock of changes.
func (u *Users) stored(id string) (stored, error) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	found, ok := u.byID[id]
	if !ok {
		return stored{}, ErrNotFound
	}
	return found, nil
}

// All returns every user, in the order of their names.
func (u *Users) All() []*User {
	u.mu.RLock()
	all := make([]*User, 0, len(u.byID))
	for _, s := range u.byID {
		all = append(all, s.User)
	}
	u.mu.RUnlock()
	slices.SortFunc(all, func(a, b *User) int { return cmp.Compare(Fold(a.Name), Fold(b.Name)) })
	return all
}

// Len is how many users there are.
func (u *Users) Len() int {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return len(u.byID)
}

// Schemes returns how many hashes there are of each scheme: of what a hash's text says of its
// algorithm and parameters.
func (u *Users) Schemes() map[string]int {
	u.mu.RLock()
	defer u.mu.RUnlock()
	all := make(map[string]int, len(u.schemes))
	for scheme, n := range u.schemes {
		all[scheme] = n
	}
	return all
}

// nameLengths counts the users by the length of their names.
type nameLengths [MaxNameChars + 1]int

// NameLengths returns the lengths of the shortest and the longest user name there is, and
// MaxNameChars and zero where there is nobody.
func (u *Users) NameLengths() (shortest, longest int) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	shortest = MaxNameChars
	for length, n := range u.lengths {
		if n > 0 {
			shortest, longest = min(shortest, length), length
		}
	}
	return shortest, longest
}

// Create stores a new user with what is given, beside ID, Epoch, FormerNames and the times, which
// are set here. Reuse gives the user a name that another user had before or an account of an identity
// provider has, which is for an administrator to decide; a name that a user has is ErrNameTaken in
// any case. Other errors are
// ErrEmailTaken, *InvalidError, or the store's.
func (u *Users) Create(ctx context.Context, given User, reuse bool) (*User, error) {
	u.writing.Lock()
	defer u.writing.Unlock()
	return u.create(ctx, given, reuse)
}

func (u *Users) create(ctx context.Context, given User, reuse bool) (*User, error) {
	created := given.clone()
	created.ID = newID()
	created.Epoch, created.FormerNames = 0, nil
	created.CreatedAt = u.now()
	created.UpdatedAt = created.CreatedAt
	if err := created.Validate(); err != nil {
		return nil, &InvalidError{err}
	}
	if err := u.available(created, reuse); err != nil {
		return nil, err
	}
	return created, u.write(ctx, stored{}, created, false)
}

// Change stores what edit makes of the user, and returns it. Edit may be called once at most, and
// must not call a method of Users; its error is returned and nothing is written. ID and CreatedAt
// stay as they are; UpdatedAt is set where something that people are shown has changed. Reuse and
// errors are as with Create, and ErrNotFound.
func (u *Users) Change(ctx context.Context, id string, reuse bool, edit func(*User) error) (*User, error) {
	u.writing.Lock()
	defer u.writing.Unlock()
	old, err := u.stored(id)
	if err != nil {
		return nil, err
	}
	changed := old.clone()
	if err := edit(changed); err != nil {
		return nil, err
	}
	changed.ID, changed.CreatedAt = old.ID, old.CreatedAt
	changed.keepFormerName(old.Name)
	if shown(changed) != shown(old.User) || !slices.Equal(changed.Groups, old.Groups) {
		changed.UpdatedAt = u.now()
	}
	if err := changed.Validate(); err != nil {
		return nil, &InvalidError{err}
	}
	// Somebody may have been given a name that was another's, and keeps it.
	keeps := Fold(changed.Name) == Fold(old.Name)
	if err := u.available(changed, reuse || keeps); err != nil {
		return nil, err
	}
	return changed, u.write(ctx, old, changed, false)
}

// shown is what others see of a user, but for the groups.
func shown(u *User) [6]string {
	return [6]string{u.Name, u.Email, u.DisplayName, u.Picture, fmt.Sprint(u.EmailVerified), fmt.Sprint(u.Disabled)}
}

// Delete removes the user, whose sessions are dead from then on. What stays is that the names were
// somebody's.
func (u *Users) Delete(ctx context.Context, id string) (*User, error) {
	u.writing.Lock()
	defer u.writing.Unlock()
	old, err := u.stored(id)
	if err != nil {
		return nil, err
	}
	left := old.tombstone()
	left.UpdatedAt = u.now()
	return old.User, u.write(ctx, old, left, true)
}

// available refuses a name or an address that is somebody else's, an account's of an identity
// provider too.
func (u *Users) available(user *User, reuse bool) error {
	u.mu.RLock()
	defer u.mu.RUnlock()
	if id, ok := u.retired[Fold(user.Name)]; ok && id != user.ID && !reuse {
		return ErrNameTaken
	}
	if _, owned := u.names.find(user.Name); owned && !reuse {
		return ErrNameTaken
	}
	return u.free(user, user.ID)
}

// free refuses a name or an address that another user than self has now. The caller holds the lock.
func (u *Users) free(user *User, self string) error {
	if id, ok := u.byName[Fold(user.Name)]; ok && id != self {
		return ErrNameTaken
	}
	if id, ok := u.byEmail[user.Email]; ok && id != self {
		return ErrEmailTaken
	}
	return nil
}

// write stores a user in place of old, and then shows it to readers. The caller holds the lock of
// changes.
func (u *Users) write(ctx context.Context, old stored, user *User, deleted bool) error {
	record, err := encodeUser(user, deleted)
	if err != nil {
		return err
	}
	if old.User != nil && old.revision == 0 {
		_, revision, err := u.store.Get(ctx, record.Key)
		if err != nil {
			return fmt.Errorf("store user: %w", err)
		}
		old.revision = revision
	}
	revision, err := u.swap(ctx, record.Key, old.revision, record)
	if err != nil {
		return fmt.Errorf("store user: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if deleted {
		u.take(old.User)
		u.retire(user)
		return nil
	}
	u.put(old.User, stored{user, revision})
	return nil
}

// swap is the store's CompareAndSwap, which can fail without saying whether it was done, as when a
// connection broke: then the store is asked, or memory and store would differ for good.
func (u *Users) swap(ctx context.Context, key string, old storage.Revision, next storage.Record) (storage.Revision, error) {
	revision, err := u.store.CompareAndSwap(ctx, key, old, next)
	if err == nil || errors.Is(err, storage.ErrConflict) || errors.Is(err, storage.ErrInvalid) || errors.Is(err, storage.ErrClosed) {
		return revision, err
	}
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), askTimeout)
	defer cancel()
	record, revision, getErr := u.store.Get(asking, next.Key)
	if getErr == nil && revision != old && bytes.Equal(record.Value, next.Value) {
		return revision, nil
	}
	return 0, err
}

// askTimeout is how long a store is asked that has just failed.
const askTimeout = 5 * time.Second

// put shows a user to readers, in place of old unless that is nil. The caller holds the lock.
func (u *Users) put(old *User, s stored) {
	if old != nil {
		u.take(old)
	}
	u.byID[s.ID] = s
	u.byName[Fold(s.Name)] = s.ID
	if s.Email != "" {
		u.byEmail[s.Email] = s.ID
	}
	u.lengths[len(s.Name)]++
	if s.Hash != "" {
		u.schemes[scheme(s.Hash)]++
	}
	u.retire(s.User)
}

// take takes a user away from readers. The caller holds the lock.
func (u *Users) take(old *User) {
	delete(u.byID, old.ID)
	delete(u.byName, Fold(old.Name))
	u.lengths[len(old.Name)]--
	if old.Email != "" {
		delete(u.byEmail, old.Email)
	}
	if old.Hash == "" {
		return
	}
	if s := scheme(old.Hash); u.schemes[s] > 1 {
		u.schemes[s]--
	} else {
		delete(u.schemes, s)
	}
}

// retire keeps the names that a user had from others. The caller holds the lock.
func (u *Users) retire(user *User) {
	for _, name := range user.FormerNames {
		if id, ok := u.retired[name]; ok && id != user.ID {
			u.retired[name] = "" // of several, no one is owed it
			continue
		}
		u.retired[name] = user.ID
	}
}

// scheme is what a hash's text says before the salt: algorithm and parameters.
func scheme(hash string) string {
	if rest, ok := strings.CutPrefix(hash, "$2"); ok { // bcrypt: $2a$14$, and salt and key as one
		if end := strings.LastIndexByte(rest, '$'); end >= 0 {
			return hash[:2+end]
		}
		return hash
	}
	// The PHC string format: the last two fields are salt and key.
	for range 2 {
		end := strings.LastIndexByte(hash, '$')
		if end <= 0 {
			break
		}
		hash = hash[:end]
	}
	return hash
}

// newID makes an id of 128 random bits.
func newID() string { return idMark + randomText() }

func randomText() string {
	var b [16]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return base64.RawURLEncoding.EncodeToString(b[:])
}
