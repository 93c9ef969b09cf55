package portal

import (
	"cmp"
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

// credentials are what a form or an API call brought.
type credentials struct {
	identifier login.Identifier
	password   string
	remember   bool // the browser keeps the cookie when it closes
}

// signIn signs in an account by password. The browser keeps its other accounts and gets the jar's
// new token.
func (p *Portal) signIn(w http.ResponseWriter, r *http.Request, v Visitor, c credentials) (session.Entry, error) {
	method, ok := p.logins.Password()
	if !ok {
		return session.Entry{}, errNoPasswords
	}
	client, err := p.client(r, v, c.remember)
	if err != nil {
		return session.Entry{}, err
	}
	identity, err := p.authenticate(r.Context(), method, v, c)
	if err == nil {
		var done session.SignedIn
		if done, err = p.admit(w, r, v, identity, nil, client); err == nil {
			return done.Entry, nil
		}
	}
	p.audit.logSignInFailure(r, v, method.ID(), c.identifier, err)
	return session.Entry{}, err
}

// client describes the client of a sign-in whose request has arrived in full. It is called before
// the account is proved, which takes time: see session.Manager.JarOf.
func (p *Portal) client(r *http.Request, v Visitor, remember bool) (session.Client, error) {
	id, err := p.manager.JarOf(r.Context(), v.Token)
	if err != nil {
		return session.Client{}, err
	}
	run := ""
	if !remember {
		run = cmp.Or(v.Cookies.ReadRun(), session.NewRun())
	}
	return session.Client{
		IP:        v.ip(),
		UserAgent: r.UserAgent(),
		Run:       run,
		JarID:     id,
		Confirmed: v.Cookie.Confirms(&v.Cookies, id),
	}, nil
}

// admit adds a session for the identity to the browser's sessions, and gives the browser the jar's
// new token. The grant comes from a provider, or is nil.
func (p *Portal) admit(w http.ResponseWriter, r *http.Request, v Visitor, identity *session.Identity, grant *session.Grant, client session.Client) (session.SignedIn, error) {
	owns := p.ownsJarCookies(r, v) // before the sign-in replaces a token
	done, err := p.manager.For(v.Visit).SignIn(r.Context(), v.Token, identity, grant, client)
	if err != nil {
		return session.SignedIn{}, err
	}
	if client.Run != "" && client.Run != v.Cookies.ReadRun() {
		v.Cookie.SetRun(w.Header(), client.Run)
	}
	maxAge := p.manager.Lifetime()
	if done.Visit.Transient() {
		maxAge = 0
	}
	if owns {
		v.clearDoubles(w)
	}
	v.Cookie.Set(w.Header(), done.Token, maxAge)
	v.confirm(w, r, done.JarID)
	v.setView(w, done.Visit.InRun(cmp.Or(client.Run, v.Cookies.ReadRun())))
	p.audit.logSignIn(r, v, done)
	return done, nil
}

func (p *Portal) authenticate(ctx context.Context, method login.PasswordMethod, v Visitor, c credentials) (*session.Identity, error) {
	if err := checkIdentifier(method, c); err != nil {
		return nil, err
	}
	identity, err := method.Authenticate(ctx, login.Credentials{
		Identifier: c.identifier,
		Password:   c.password,
		ClientIP:   v.ClientIP,
	})
	if errors.Is(err, login.ErrBadCredentials) {
		return nil, fmt.Errorf("%w: %w", wrongCredentials(c), err) // the second is for the log
	}
	return identity, err
}

// wrongCredentials is the problem with credentials that do not match. It does not say which one is
// wrong, except that a password is longer than people can choose here. It is checked all the same
// before that, because the users of the configuration may have longer ones.
func wrongCredentials(c credentials) *problem {
	switch {
	case utf8.RuneCountInString(c.password) > login.MaxPassword:
		return errPasswordTooLong
	case c.identifier.Email != "":
		return errWrongEmail
	}
	return errWrongUsername
}

// checkIdentifier refuses identifiers that nobody can have, in the words of the wire contract,
// before they cost an attempt. The answer depends on the identifier's shape alone.
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

// checkUserName refuses user names that nobody can have.
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

// notInUserName allows the characters of user names in the wire contract, and the hyphen, which
// this gateway allows as well.
func notInUserName(c rune) bool {
	return !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.ContainsRune("._-", c))
}

// looksLikeEmail is laxer than mail servers are. The login method decides whether the address is
// somebody's.
func looksLikeEmail(text string) bool {
	at := strings.LastIndexByte(text, '@')
	return at > 0 && at < len(text)-1 && len(text) <= session.MaxEmailBytes && !strings.ContainsFunc(text, notInEmail)
}

func notInEmail(c rune) bool {
	return unicode.IsSpace(c) || unicode.IsControl(c) || c == utf8.RuneError
}
