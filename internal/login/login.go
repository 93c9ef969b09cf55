// Package login is the contract between the gateway and the ways to sign in. Each way is a
// package below this one; the portal knows only the interfaces here.
package login

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// Method is a configured way to sign in. Its methods may be called concurrently.
//
// What a method can do beyond this is a further interface, such as PasswordMethod.
type Method interface {
	// ID is the name that the configuration gives the method. It is part of every account's id,
	// so a method that is renamed has other accounts. It has no colon.
	ID() string

	// Current is session.Directory's, for the accounts of this method.
	Current(recorded *session.Identity) (*session.Identity, bool)
}

// Lister is a method that knows all its accounts, so that the sessions of those that are gone can
// be ended even while nobody uses them.
type Lister interface {
	// Subjects returns the subject of every account there is now.
	Subjects() []string
}

// EpochLister is a method that tells by the epochs of its accounts that sessions are over (see
// session.Identity), and that stores nothing about them.
type EpochLister interface {
	Lister

	// Epochs returns the epochs of such accounts by their subjects.
	Epochs() map[string]uint64
}

// Runner is a method that has something to do beside requests.
type Runner interface {
	Method

	// Run does it until ctx ends, and returns soon after. It is called once, while the method's other
	// methods are.
	Run(ctx context.Context)
}

// PasswordMethod is a method that checks a password itself.
type PasswordMethod interface {
	Method

	// Authenticate returns whom the credentials belong to. An unknown user and a wrong password
	// are the same ErrBadCredentials and cost the same. ErrPasswordTooLong is returned without
	// any work done, and *ThrottledError when the attempt was not made at all.
	Authenticate(ctx context.Context, c Credentials) (*session.Identity, error)

	// UserNameLength returns the least and the greatest number of characters of a user name that
	// can belong to anybody.
	UserNameLength() (least, most int)
}

// Registrar is a method at which people sign themselves up.
type Registrar interface {
	Method

	// Registration returns what signing up takes, and false where it is turned off.
	Registration() (Rules, bool)

	// Register makes an account, and returns who it is. Errors are ErrNotInvited, ErrNameTaken,
	// ErrEmailTaken, *InvalidError, those of a new password, *ThrottledError, or technical.
	Register(ctx context.Context, r Registration) (*session.Identity, error)

	// IsFree reports whether somebody who signs up could have a user name. Errors are *InvalidError,
	// *ThrottledError, or technical.
	IsFree(ctx context.Context, name string, client netip.Addr) (bool, error)
}

// Rules are what signing up takes.
type Rules struct {
	Invitation  bool // an invitation code lets people in
	OnlyInvited bool // and nothing else does
}

// The least and the greatest number of characters of a password that people choose themselves.
const (
	MinPassword = 8
	MaxPassword = 128
)

// The least and the greatest number of characters of a user name that people choose themselves.
const (
	MinUserName = 3
	MaxUserName = 30
)

// Registration is what somebody typed who signs up, and from where.
type Registration struct {
	UserName        string // empty: one is made of the address
	DisplayUserName string // the user name as it is to be shown; empty: as it is
	Email           string
	Name            string
	Picture         string
	Password        string
	Invitation      string // code, or empty
	ClientIP        netip.Addr
}

// AccountEditor is a method that keeps accounts which their owners can change.
type AccountEditor interface {
	Method

	// Keeps reports whether the account's owner can change it here. Else the calls below are
	// ErrNotKept.
	Keeps(account session.Account) bool

	// ChangePassword returns who the account is then. With EndSessions, all sessions of the account
	// that were made before have ended. A wrong current password is ErrBadCredentials; other errors
	// are those of a new password, ErrNotKept, *ThrottledError, or technical.
	ChangePassword(ctx context.Context, c PasswordChange) (*session.Identity, error)

	// UpdateProfile changes what is not nil, all of it or nothing. Errors are ErrNameTaken,
	// *InvalidError, ErrNotKept, *ThrottledError, or technical.
	UpdateProfile(ctx context.Context, account session.Account, p Profile) (*session.Identity, error)

	// EndSessions ends all sessions of the account that were made before.
	EndSessions(ctx context.Context, account session.Account) error
}

// PasswordChange is a wish for another password.
type PasswordChange struct {
	Account      session.Account
	Current, New string
	EndSessions  bool
	ClientIP     netip.Addr
}

// Profile is what the owner of an account can change about it. A nil field stays as it is.
type Profile struct {
	Name            *string
	UserName        *string
	DisplayUserName *string // the user name as it is to be shown; empty: as it is
	Picture         *string // empty: none

	ClientIP netip.Addr
}

// Credentials are what somebody typed, and from where.
type Credentials struct {
	Identifier Identifier
	Password   string
	ClientIP   netip.Addr // as Caddy trusts it; may be invalid where there is none (a Unix socket)
}

// Identifier names the user who wants to sign in, in one of two ways that are never mixed: a user
// name that looks like an e-mail address does not stand for that address.
type Identifier struct {
	UserName string
	Email    string
}

var (
	// ErrBadCredentials says that user name and password do not belong together, and not why.
	ErrBadCredentials = errors.New("bad credentials")

	// ErrDisabled is ErrBadCredentials of somebody who gave the right ones and may not sign in. It is
	// told apart in the log only.
	ErrDisabled = fmt.Errorf("account is disabled: %w", ErrBadCredentials)

	// ErrPasswordTooLong says that the password is longer than any that could be right.
	ErrPasswordTooLong = errors.New("password too long")

	// ErrPasswordTooShort says that a new password is too easily guessed for its length.
	ErrPasswordTooShort = errors.New("password too short")

	// ErrPasswordCommon says that a new password is one of those that guessers try first.
	ErrPasswordCommon = errors.New("password is one of the most common")

	// ErrNotInvited says that whoever signs up has neither an address nor an invitation that lets
	// people in. Which of them would do is not told apart.
	ErrNotInvited = errors.New("sign-up is not allowed")

	// ErrNameTaken says that a user name is somebody else's, or was.
	ErrNameTaken = errors.New("user name is taken")

	// ErrEmailTaken says that an e-mail address is somebody else's.
	ErrEmailTaken = errors.New("e-mail address is taken")

	// ErrNotKept says that the account is looked after elsewhere and cannot be changed here.
	ErrNotKept = errors.New("account cannot be changed here")
)

// The fields of an InvalidError.
const (
	FieldUserName        = "username"
	FieldDisplayUserName = "displayUsername"
	FieldEmail           = "email"
	FieldName            = "name"
	FieldPicture         = "picture"
)

// InvalidError says that something could never be part of an account.
type InvalidError struct {
	Field string
	Why   string // a reason that may be told
}

func (e *InvalidError) Error() string { return e.Field + ": " + e.Why }

// ThrottledError says that an attempt was not made, because there were too many.
type ThrottledError struct {
	Reason     string        // for the log: which limit was reached
	RetryAfter time.Duration // after which an attempt can be made; positive
}

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("throttled (%s), retry after %s", e.Reason, e.RetryAfter)
}

// Methods are the configured methods, in order. It is the session.Directory of the gateway.
type Methods struct {
	all  []Method
	byID map[string]Method
}

// NewMethods refuses two methods of one id, and more than one that takes passwords: the sign-in
// form has no way to say which of them it means.
func NewMethods(all ...Method) (*Methods, error) {
	m := &Methods{all: all, byID: make(map[string]Method, len(all))}
	var password string
	for _, method := range all {
		id := method.ID()
		if m.byID[id] != nil {
			return nil, fmt.Errorf("login %s: the id is used twice", id)
		}
		m.byID[id] = method
		if _, ok := method.(PasswordMethod); ok {
			if password != "" {
				return nil, fmt.Errorf("login %s: %s takes passwords already, and only one login can", id, password)
			}
			password = id
		}
	}
	return m, nil
}

// All returns the methods in the order of the configuration.
func (m *Methods) All() []Method { return m.all }

// Password returns the method that takes passwords, if there is one.
func (m *Methods) Password() (PasswordMethod, bool) {
	for _, method := range m.all {
		if p, ok := method.(PasswordMethod); ok {
			return p, true
		}
	}
	return nil, false
}

// Registrar returns the method at which people can sign themselves up, if there is one.
func (m *Methods) Registrar() (Registrar, Rules, bool) {
	for _, method := range m.all {
		if r, ok := method.(Registrar); ok {
			if rules, open := r.Registration(); open {
				return r, rules, true
			}
		}
	}
	return nil, Rules{}, false
}

// AccountEditor returns the method at which the account's owner can change it, if there is one.
func (m *Methods) AccountEditor(account session.Account) (AccountEditor, bool) {
	k, ok := m.byID[account.Method].(AccountEditor)
	if !ok || !k.Keeps(account) {
		return nil, false
	}
	return k, true
}

// Current implements session.Directory: accounts of a method that is not configured are gone, and so
// are a provider's whose user name a local user has by now.
func (m *Methods) Current(recorded *session.Identity) (*session.Identity, bool) {
	method := m.byID[recorded.Account.Method]
	if method == nil {
		return nil, false
	}
	identity, ok := method.Current(recorded)
	if !ok || m.shadowed(identity) {
		return nil, false
	}
	return identity, true
}
