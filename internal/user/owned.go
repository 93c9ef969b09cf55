package user

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/storage"
)

// namePrefix begins the keys of owned names. What follows is a digest of the folded name, as any
// text can be a provider's user name and keys have a length.
const namePrefix = "user-name:"

// nameNotes begins the keys under which earlier releases kept owned names, with the same digests.
var nameNotes = session.NoteKeys("user-name")

// maxOwnedNames is how many user names an account can have had, so that nobody keeps any number of
// names from others by taking one after the other. A user of the gateway can have had as many.
const maxOwnedNames = MaxFormerNames + 1

// ownedName is a user name that belongs to an account of an identity provider.
type ownedName struct {
	Version int    `json:"v"`
	Name    string `json:"name,omitempty"` // as the account last had it; empty in records of earlier releases
	Account string `json:"account"`        // id

	key string // of its record
}

func encodeName(o ownedName) (storage.Record, error) {
	o.Version = recordVersion
	value, err := json.Marshal(o)
	if err != nil {
		return storage.Record{}, fmt.Errorf("encode user name: %w", err)
	}
	return storage.Record{Key: o.key, Value: value, Expiry: noExpiry}, nil
}

// decodeName reads the record of an owned name, and refuses one that no release has written.
func decodeName(record storage.Record) (ownedName, error) {
	o := ownedName{key: record.Key}
	if err := decode(record.Value, &o); err != nil {
		return ownedName{}, err
	}
	method, subject, _ := strings.Cut(o.Account, ":")
	now, before := nameKeys(o.Name)
	switch {
	case method == "" || subject == "":
		return ownedName{}, fmt.Errorf("%w: a user name of no account", ErrUnreadable)
	case o.Name != "" && o.key != now && o.key != before:
		return ownedName{}, fmt.Errorf("%w: it has another name's key", ErrUnreadable)
	}
	return o, nil
}

// nameOfNote returns the record that the note of an earlier release becomes.
func nameOfNote(note storage.Record) (storage.Record, error) {
	return encodeName(ownedName{
		Account: string(note.Value),
		key:     namePrefix + strings.TrimPrefix(note.Key, nameNotes),
	})
}

// nameKeys returns the keys of a name as it is folded now and as it was folded before. For most names
// they are one.
func nameKeys(name string) (now, before string) {
	now = nameKey(FoldName(name))
	if isASCII(name) {
		return now, now
	}
	return now, nameKey(foldNameByCase(name))
}

func nameKey(folded string) string {
	sum := sha256.Sum256([]byte(folded))
	return namePrefix + base64.RawURLEncoding.EncodeToString(sum[:])
}

// names is which account a name belongs to. The zero value has none.
type names struct {
	byKey     map[string]ownedName
	byAccount map[string]int // how many each has
}

func (n *names) add(o ownedName) {
	if n.byKey == nil {
		n.byKey, n.byAccount = make(map[string]ownedName), make(map[string]int)
	}
	n.remove(o.key)
	n.byKey[o.key] = o
	n.byAccount[o.Account]++
}

func (n *names) remove(key string) {
	o, ok := n.byKey[key]
	if !ok {
		return
	}
	delete(n.byKey, key)
	if n.byAccount[o.Account]--; n.byAccount[o.Account] == 0 {
		delete(n.byAccount, o.Account)
	}
}

// find returns who has a name: first by the way that names are folded now, then as they were before.
func (n *names) find(name string) (o ownedName, ok bool) {
	now, before := nameKeys(name)
	if o, ok = n.byKey[now]; !ok {
		o, ok = n.byKey[before]
	}
	return o, ok
}

// loadNames reads the owned names of a store.
func loadNames(ctx context.Context, store storage.Store) (names, error) {
	if err := moveNames(ctx, store); err != nil && !errors.Is(err, storage.ErrReadOnly) {
		return names{}, fmt.Errorf("move user names: %w", err)
	}
	var n names
	err := walkNames(ctx, store, func(record storage.Record) error {
		o, err := decodeName(record)
		if err == nil {
			n.add(o)
		}
		return err
	})
	return n, err
}

// walkNames calls visit with the records of a store's owned names, also those that cannot be moved
// from where an earlier release kept them, because the store is read only.
func walkNames(ctx context.Context, store storage.Store, visit func(storage.Record) error) error {
	err := store.Walk(ctx, nameNotes, func(note storage.Record) error {
		record, err := nameOfNote(note)
		if err != nil {
			return err
		}
		return visit(record)
	})
	if err != nil {
		return fmt.Errorf("walk user names: %w", err)
	}
	if err = store.Walk(ctx, namePrefix, visit); err != nil {
		return fmt.Errorf("walk user names: %w", err)
	}
	return nil
}

// moveNames moves what an earlier release kept as notes to records of its own. It can be interrupted
// at any time and begun again.
func moveNames(ctx context.Context, store storage.Store) error {
	var notes []storage.Record
	err := store.Walk(ctx, nameNotes, func(note storage.Record) error {
		notes = append(notes, note)
		return nil
	})
	if err != nil {
		return err
	}
	for _, note := range notes {
		record, err := nameOfNote(note)
		if err != nil {
			return err
		}
		_, revision, err := store.Get(ctx, note.Key)
		if err == nil {
			_, err = store.CompareAndSwap(ctx, note.Key, revision, record)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ClaimName makes a user name an account's of an identity provider, for good. It is ErrNameTaken if
// the name is somebody else's, if a user has it or had it, or if the account has had too many names.
//
// An account that had a name before names with invisible characters were folded keeps it, also
// where somebody else has what it looks like.
func (u *Users) ClaimName(ctx context.Context, name, account string) error {
	u.writing.Lock()
	defer u.writing.Unlock()
	now, before := nameKeys(name)
	u.mu.RLock()
	owner, owned := u.names.byKey[now]
	earlier, isEarlier := u.names.byKey[before]
	count := u.names.byAccount[account]
	u.mu.RUnlock()
	free := !owned && !u.Holds(FoldName(name))

	claimed := ownedName{Name: name, Account: account, key: now}
	switch {
	case owned && owner.Account == account:
		if owner.Name != "" {
			return nil
		}
		return u.storeName(ctx, now, claimed)
	case isEarlier && earlier.Account == account && free:
		return u.storeName(ctx, before, claimed)
	case isEarlier && earlier.Account == account:
		if earlier.Name != "" {
			return nil
		}
		claimed.key = before
		return u.storeName(ctx, before, claimed)
	case owned:
		return fmt.Errorf("it is of %s: %w", owner.Account, ErrNameTaken)
	case isEarlier:
		return fmt.Errorf("it is of %s: %w", earlier.Account, ErrNameTaken)
	case !free:
		return fmt.Errorf("it is of a local user: %w", ErrNameTaken)
	case count >= maxOwnedNames:
		return fmt.Errorf("%s has had %d user names: %w", account, count, ErrNameTaken)
	}
	return u.storeName(ctx, "", claimed)
}

// storeName stores an owned name in place of the record with the key, or a new one where it is empty.
// The caller holds the lock of changes.
func (u *Users) storeName(ctx context.Context, old string, o ownedName) error {
	record, err := encodeName(o)
	if err != nil {
		return err
	}
	revision, key := storage.Revision(0), o.key
	if old != "" {
		key = old
		if _, revision, err = u.store.Get(ctx, old); err != nil {
			return fmt.Errorf("store user name: %w", err)
		}
	}
	if _, err := u.swap(ctx, key, revision, record); err != nil {
		return fmt.Errorf("store user name: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.names.remove(old)
	u.names.add(o)
	return nil
}

// NameOwner returns the id of the provider's account that a user name belongs to, and false if it
// belongs to none.
func (u *Users) NameOwner(name string) (account string, owned bool) {
	u.mu.RLock()
	defer u.mu.RUnlock()
	o, owned := u.names.find(name)
	return o.Account, owned
}

// OwnsNames reports whether an account of an identity provider has any user name.
func (u *Users) OwnsNames(account string) bool {
	u.mu.RLock()
	defer u.mu.RUnlock()
	return u.names.byAccount[account] > 0
}

// KeepsName reports whether an account has had a user name since before names with invisible
// characters were folded, although somebody else may have it without these characters.
func (u *Users) KeepsName(name, account string) bool {
	if isASCII(name) {
		return false // the two ways to fold agree
	}
	now, before := nameKeys(name)
	u.mu.RLock()
	defer u.mu.RUnlock()
	return now != before && u.names.byKey[before].Account == account
}

// ReleaseName gives a user name back, so that the next account that signs in with it can have it. It
// returns the id of the account that had it, and false if none had.
func (u *Users) ReleaseName(ctx context.Context, name string) (account string, owned bool, err error) {
	u.writing.Lock()
	defer u.writing.Unlock()
	u.mu.RLock()
	o, owned := u.names.find(name)
	u.mu.RUnlock()
	if !owned {
		return "", false, nil
	}
	_, revision, err := u.store.Get(ctx, o.key)
	if err == nil {
		err = u.store.Delete(ctx, o.key, revision)
	}
	if err != nil && !errors.Is(err, storage.ErrNotFound) {
		return "", false, fmt.Errorf("release user name: %w", err)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.names.remove(o.key)
	return o.Account, true, nil
}

// checkNames tells report of records that are not as they should be, and of names of two accounts
// that look alike, or of an account and a user.
func checkNames(ctx context.Context, store storage.Store, users *Users, report func(problem string)) error {
	alike := make(map[string]ownedName)
	return walkNames(ctx, store, func(record storage.Record) error {
		o, err := decodeName(record)
		if err != nil {
			report(fmt.Sprintf("%s: %v", record.Key, err))
			return nil
		}
		if o.Name == "" {
			return nil
		}
		folded := FoldName(o.Name)
		if other, ok := alike[folded]; ok && other.Account != o.Account {
			report(fmt.Sprintf("user names %+q of %s and %+q of %s look alike: release one of them", other.Name, other.Account, o.Name, o.Account))
		}
		alike[folded] = o
		if o.key != nameKey(folded) && users.Holds(folded) {
			report(fmt.Sprintf("user name %+q of %s looks like that of a user: release it", o.Name, o.Account))
		}
		return nil
	})
}
