package portal

import (
	"errors"
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// What the owner of the active account does to it, by either door.

// changePassword returns the active session afterwards. With endOthers, the account's other sessions
// have ended, on every device. The active one is then made anew, with a new token of the jar: a copy of
// the old one that somebody may have is worth nothing any more.
func (p *Portal) changePassword(w http.ResponseWriter, r *http.Request, v Visitor, active session.Entry, current, next string, endOthers bool) (session.Entry, error) {
	entry, err := p.passwordChanged(w, r, v, active, current, next, endOthers)
	p.audit.changed(r, v, eventChange, active, err)
	if err != nil {
		return session.Entry{}, err
	}
	if endOthers {
		// They are dead already, by the account's new epoch. What is left of them goes with this; the
		// password is changed whatever comes of it.
		if err := p.endOthers(r, v, entry); err != nil {
			p.logFailure(r, v, err)
		}
	}
	return entry, nil
}

func (p *Portal) passwordChanged(w http.ResponseWriter, r *http.Request, v Visitor, active session.Entry, current, next string, endOthers bool) (session.Entry, error) {
	editor, ok := p.logins.AccountEditor(active.Identity.Account)
	if !ok {
		return session.Entry{}, errNoCredential
	}
	identity, err := editor.ChangePassword(r.Context(), login.PasswordChange{
		Account:     active.Identity.Account,
		Current:     current,
		New:         next,
		EndSessions: endOthers,
		ClientIP:    v.ClientIP,
	})
	switch {
	case errors.Is(err, login.ErrBadCredentials):
		return session.Entry{}, errInvalidPassword
	case errors.Is(err, login.ErrNotKept):
		return session.Entry{}, errNoCredential
	case err != nil:
		return session.Entry{}, err
	case endOthers:
		return p.admit(w, r, v, identity, nil, !v.Visit.Transient())
	}
	active.Identity = identity
	return active, nil
}

// updateProfile returns the active session with who its account is afterwards.
func (p *Portal) updateProfile(r *http.Request, v Visitor, active session.Entry, profile login.Profile) (session.Entry, error) {
	identity, err := p.profileUpdated(r, active, profile)
	p.audit.changed(r, v, eventUpdate, active, err)
	active.Identity = identity
	return active, err
}

func (p *Portal) profileUpdated(r *http.Request, active session.Entry, profile login.Profile) (*session.Identity, error) {
	editor, ok := p.logins.AccountEditor(active.Identity.Account)
	if !ok {
		return nil, errNotKept
	}
	if name := profile.UserName; name != nil && *name != active.Identity.UserName {
		if err := checkUserName(*name, login.MinUserName, login.MaxUserName); err != nil {
			return nil, err
		}
	}
	return editor.UpdateProfile(r.Context(), active.Identity.Account, profile)
}

// devices returns every live session of the active account, on whatever device it is.
func (p *Portal) devices(r *http.Request, v Visitor, active session.Entry) ([]session.Found, error) {
	found, err := p.manager.Sessions(r.Context(), session.Selection{Account: active.Identity.Account})
	if errors.Is(err, session.ErrUnreadable) {
		p.logFailure(r, v, err)
		err = nil
	}
	return found, err
}

// endSession ends the session of the active account that a name is the id or the handle of. A name
// that is none of its sessions' is no error, and ends nothing.
func (p *Portal) endSession(w http.ResponseWriter, r *http.Request, v Visitor, active session.Entry, name string) error {
	err := p.end(r, v, active, func(s *session.Session) bool { return s.ID != name && s.Handle != name })
	if err == nil {
		p.showLeft(w, r, v)
	}
	return err
}

// endOthers ends every session of the active account but the active one.
func (p *Portal) endOthers(r *http.Request, v Visitor, active session.Entry) error {
	return p.end(r, v, active, func(s *session.Session) bool { return s.ID == active.ID })
}

// endAll ends every session of the active account. Those that a sign-in under way is about to make end
// with them where the account has epochs.
func (p *Portal) endAll(w http.ResponseWriter, r *http.Request, v Visitor, active session.Entry) error {
	if editor, ok := p.logins.AccountEditor(active.Identity.Account); ok {
		if err := editor.EndSessions(r.Context(), active.Identity.Account); err != nil {
			return err
		}
	}
	err := p.end(r, v, active, nil)
	if err == nil {
		p.showLeft(w, r, v)
	}
	return err
}

// end ends the sessions of the active account that are not spared.
func (p *Portal) end(r *http.Request, v Visitor, active session.Entry, spare func(*session.Session) bool) error {
	ended, err := p.manager.End(r.Context(), session.Selection{Account: active.Identity.Account}, spare)
	p.audit.ended(r, v, active, ended)
	if errors.Is(err, session.ErrUnreadable) {
		p.logFailure(r, v, err)
		return nil
	}
	return err
}

// showLeft tells the browser what is left of its accounts, and takes the cookie from one that has none.
func (p *Portal) showLeft(w http.ResponseWriter, r *http.Request, v Visitor) {
	left, err := p.manager.Visit(r.Context(), v.Token)
	if err != nil {
		return
	}
	if len(left.Entries()) == 0 {
		v.Cookie.Clear(w.Header())
	}
	v.show(w, r, left)
}
