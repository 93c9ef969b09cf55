package portal

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// credentials are what came through one of the doors.
type credentials struct {
	identifier login.Identifier
	password   string
	remember   bool // the browser keeps the cookie when it closes
}

// signIn signs an account in, in addition to those that the browser has, and gives the browser the
// jar's new token.
func (p *Portal) signIn(w http.ResponseWriter, r *http.Request, v Visitor, c credentials) (session.Entry, error) {
	method, ok := p.logins.Password()
	if !ok {
		return session.Entry{}, errNoPasswords
	}
	identity, err := p.authenticated(r.Context(), method, v, c)
	if err == nil {
		var entry session.Entry
		if entry, err = p.admit(w, r, v, identity, nil, c.remember); err == nil {
			return entry, nil
		}
	}
	p.audit.signInFailed(r, v, method.ID(), c.identifier, err)
	return session.Entry{}, err
}

// admit adds a session of the identity's account to those that the browser has, and gives the browser
// the jar's new token. The grant is a provider's, or nil.
func (p *Portal) admit(w http.ResponseWriter, r *http.Request, v Visitor, identity *session.Identity, grant *session.Grant, remember bool) (session.Entry, error) {
	client := session.Client{IP: v.ip(), UserAgent: r.UserAgent(), Transient: !remember}
	done, err := p.manager.At(v.Visit.Site()).SignIn(r.Context(), v.Token, identity, grant, client)
	if err != nil {
		return session.Entry{}, err
	}
	maxAge := p.manager.Lifetime()
	if !remember {
		maxAge = 0
	}
	v.Cookie.Set(w.Header(), done.Token, maxAge)
	p.showView(w, r, v, done.Token)
	p.audit.signedIn(r, v, done)
	return done.Entry, nil
}

func (p *Portal) authenticated(ctx context.Context, method login.PasswordMethod, v Visitor, c credentials) (*session.Identity, error) {
	if err := checkIdentifier(method, c); err != nil {
		return nil, err
	}
	identity, err := method.Authenticate(ctx, login.Credentials{
		Identifier: c.identifier,
		Password:   c.password,
		ClientIP:   v.ClientIP,
	})
	if errors.Is(err, login.ErrBadCredentials) {
		return nil, fmt.Errorf("%w: %w", wrong(c.identifier), err) // the second is for the log
	}
	return identity, err
}

// wrong is the answer to credentials that do not belong together. It does not say which is wrong.
func wrong(id login.Identifier) *problem {
	if id.Email != "" {
		return errWrongEmail
	}
	return errWrongUsername
}

// checkIdentifier refuses what can be nobody's, in the words of the wire contract, before it costs
// an attempt. What it says follows from the shape alone.
func checkIdentifier(method login.PasswordMethod, c credentials) error {
	if c.identifier.Email != "" {
		if !looksLikeEmail(c.identifier.Email) {
			return errInvalidEmail
		}
		return nil
	}
	if c.identifier.UserName == "" || c.password == "" {
		return errWrongUsername
	}
	least, most := method.UserNameLength()
	return checkUserName(c.identifier.UserName, least, most)
}

// checkUserName refuses what can be nobody's user name.
func checkUserName(name string, least, most int) error {
	switch n := utf8.RuneCountInString(name); {
	case n < least:
		return errUsernameTooShort
	case n > most:
		return errUsernameTooLong
	case strings.ContainsFunc(name, notInUserName):
		return errInvalidUsername
	}
	return nil
}

// notInUserName knows the letters of the wire contract's user names, and the hyphen, which the
// gateway's have besides.
func notInUserName(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("._-", c))
}

// looksLikeEmail is laxer than what mail servers take: whether the address is somebody's, the login
// method knows.
func looksLikeEmail(text string) bool {
	at := strings.LastIndexByte(text, '@')
	return at > 0 && at < len(text)-1 && len(text) <= session.MaxEmailBytes && !strings.ContainsFunc(text, notInEmail)
}

func notInEmail(c rune) bool {
	return unicode.IsSpace(c) || unicode.IsControl(c) || c == utf8.RuneError
}
