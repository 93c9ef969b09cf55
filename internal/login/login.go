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

// MaxEmailBytes is how long an e-mail address can be: what the paths of RFC 5321, section 4.5.3.1.3,
// have room for.
const MaxEmailBytes = 254

var (
	// ErrBadCredentials says that user name and password do not belong together, and not why.
	ErrBadCredentials = errors.New("bad credentials")

	// ErrPasswordTooLong says that the password is longer than any that could be right.
	ErrPasswordTooLong = errors.New("password too long")
)

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

// Current implements session.Directory: accounts of a method that is not configured are gone.
func (m *Methods) Current(recorded *session.Identity) (*session.Identity, bool) {
	method := m.byID[recorded.Account.Method]
	if method == nil {
		return nil, false
	}
	return method.Current(recorded)
}
