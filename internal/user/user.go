package user

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// User is somebody whom the gateway keeps itself. Users are not changed once handed out: a change
// makes a new one.
type User struct {
	// ID is the user's for ever, whatever the name becomes. It begins with idMark, which no user
	// name has, so it is never taken for somebody of the configuration.
	ID string

	Name            string // user name, see ValidateName; unique, case does not tell two apart
	Email           string // lower case, see ValidateEmail; unique; may be empty where an administrator made the user
	EmailVerified   bool
	DisplayName     string
	DisplayUserName string // Name as its owner wants it shown; empty: as it is
	Picture         string // URL
	Groups          []string

	// Disabled users cannot sign in, and their sessions have ended.
	Disabled bool

	// Hash is of the password, as package password makes and reads it. It may be empty: then no
	// password is the user's.
	Hash string

	// Epoch is raised to end all sessions there are; see the package's documentation.
	Epoch uint64

	// FormerNames are the names that the user had before, lower case.
	FormerNames []string

	CreatedAt time.Time // UTC, to the millisecond
	UpdatedAt time.Time
}

// idMark begins every user's id.
const idMark = "~"

// MaxFormerNames bounds how many names a user can have had, and so how many one can keep from others
// by taking one after the other.
const MaxFormerNames = 10

// IsID reports whether text is a user's id rather than a name.
func IsID(text string) bool { return strings.HasPrefix(text, idMark) }

// Identity returns who the user is as an account of the login method.
func (u *User) Identity(method string) *session.Identity {
	return &session.Identity{
		Account:         session.Account{Method: method, Subject: u.ID},
		UserName:        u.Name,
		Name:            u.DisplayName,
		Email:           u.Email,
		EmailVerified:   u.EmailVerified,
		Picture:         u.Picture,
		Groups:          u.Groups,
		Epoch:           u.Epoch,
		CreatedAt:       u.CreatedAt,
		UpdatedAt:       u.UpdatedAt,
		DisplayUserName: u.DisplayUserName,
	}
}

// Validate names the first thing about the user that could not be: nothing else is ever stored.
func (u *User) Validate() error {
	if !IsID(u.ID) || len(u.ID) < 2 {
		return fmt.Errorf("id %q: is not a user's", u.ID)
	}
	if err := ValidateName(u.Name); err != nil {
		return err
	}
	if err := ValidateEmail(u.Email); err != nil {
		return fmt.Errorf("e-mail %q: %w", u.Email, err)
	}
	if u.Email != Fold(u.Email) {
		return fmt.Errorf("e-mail %q: must be in lower case", u.Email)
	}
	if u.EmailVerified && u.Email == "" {
		return errors.New("e-mail: there is none that could be verified")
	}
	if err := ValidatePicture(u.Picture); err != nil {
		return fmt.Errorf("picture %q: %w", u.Picture, err)
	}
	identity := u.Identity("local")
	if err := identity.Validate(); err != nil {
		return err
	}
	return identity.Fits()
}

// clone returns a copy that can be changed.
func (u *User) clone() *User {
	c := *u
	c.Groups = slices.Clone(u.Groups)
	c.FormerNames = slices.Clone(u.FormerNames)
	return &c
}

// keepFormerName notes the name that the user had before, if it was another one.
func (u *User) keepFormerName(before string) {
	was, is := Fold(before), Fold(u.Name)
	if was == is {
		return
	}
	u.FormerNames = slices.DeleteFunc(u.FormerNames, func(name string) bool { return name == is || name == was })
	u.FormerNames = append(u.FormerNames, was)
}

// tombstone is what stays of a user who is deleted: whose the names were, and the epoch, which is
// never to be that of an earlier session again, even where a backup brings the user back.
func (u *User) tombstone() *User {
	left := &User{ID: u.ID, Epoch: u.Epoch, CreatedAt: u.CreatedAt, UpdatedAt: u.UpdatedAt}
	left.FormerNames = append(slices.Clone(u.FormerNames), Fold(u.Name))
	return left
}
