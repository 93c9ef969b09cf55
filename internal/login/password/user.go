package password

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"

	"github.com/caddy-multi-session/gateway/internal/session"
	"github.com/caddy-multi-session/gateway/internal/user"
)

// User is one that the configuration names.
type User struct {
	// Name is the user name and the account's subject: a user who is renamed is another one. It has
	// 1 to 64 letters and digits of ASCII, dots, hyphens and underscores, and begins with none of
	// the dots and hyphens. Case does not tell two users apart.
	Name string

	// Email is optional, a plain address in ASCII, and held to be verified, for an administrator
	// wrote it. Case does not tell two addresses apart. An address may be signed in with in place
	// of the name.
	Email string

	// Hash is an argon2id or bcrypt hash as caddy hash-password prints it.
	Hash string

	// What upstreams are told of the user, all optional. What Claims hold must not be changed
	// after.
	DisplayName string
	Picture     string // URL
	Groups      []string
	Claims      map[string]any
}

// hashEpoch returns the epoch of a user with a hash. A new hash is another epoch, so that the sessions
// that somebody has who knew the old password end.
//
// Epochs are stored with sessions. Nobody can try passwords with one who does not have the hash: its salt
// alone has 64 bits at least, and they are not those of a decoy's secret, which is made of the hash too.
func hashEpoch(hash string) uint64 {
	mac := hmac.New(sha256.New, []byte(hash))
	mac.Write([]byte("session epoch"))
	return binary.BigEndian.Uint64(mac.Sum(nil)) | 1 // never that of sessions without an epoch
}

// identity returns who the user is, or what is wrong with the user.
func (u *User) identity(method string) (*session.Identity, error) {
	if err := user.ValidateName(u.Name); err != nil {
		return nil, err
	}
	if err := user.ValidateEmail(u.Email); err != nil {
		return nil, fmt.Errorf("e-mail %q: %w", u.Email, err)
	}
	id := &session.Identity{
		Account:       session.Account{Method: method, Subject: u.Name},
		UserName:      u.Name,
		Name:          u.DisplayName,
		Email:         user.Fold(u.Email),
		EmailVerified: u.Email != "",
		Picture:       u.Picture,
		Groups:        slices.Clone(u.Groups),
		Claims:        maps.Clone(u.Claims),
		Epoch:         hashEpoch(u.Hash),
	}
	return id, id.Validate()
}
