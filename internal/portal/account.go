package portal

import (
	"errors"
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// What the owner of the active account can change. Forms and the API both call these functions.

// changePassword changes the active account's password and returns the active session afterwards.
//
// With endOthers it ends the account's other sessions, on every device. The active session is then
// replaced and the jar gets a new token, so that a stolen copy of the old token is worthless.
func (p *Portal) changePassword(w http.ResponseWriter, r *http.Request, v Visitor, active session.Entry, current, next string, endOthers bool) (session.Entry, error) {
	entry, err := p.setPassword(w, r, v, active, current, next, endOthers)
	p.audit.logChange(r, v, eventChange, active, err)
	if err != nil {
		return session.Entry{}, err
	}
	if endOthers {
		// The account's new epoch has ended them already. This removes their records. If that
		// fails, the password has changed all the same.
		if err := p.endOthers(r, v, entry); err != nil {
			p.logFailure(r, v, err)
		}
	}
	return entry, nil
}

func (p *Portal) setPassword(w http.ResponseWriter, r *http.Request, v Visitor, active session.Entry, current, next string, endOthers bool) (session.Entry, error) {
	editor, ok := p.logins.AccountEditor(active.Identity.Account)
	if !ok {
		return session.Entry{}, errNoCredential
	}
	client, err := p.client(r, v, active.Run == "" && !v.Visit.Transient())
	if err != nil {
		return session.Entry{}, err
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
		done, err := p.admit(w, r, v, identity, nil, client)
		return done.Entry, err
	}
	active.Identity = identity
	return active, nil
}

// updateProfile changes the active account's profile. It returns the active session with the
// changed identity.
func (p *Portal) updateProfile(r *http.Request, v Visitor, active session.Entry, profile login.Profile) (session.Entry, error) {
	profile.ClientIP = v.ClientIP
	identity, err := p.saveProfile(r, active, profile)
	p.audit.logChange(r, v, eventUpdate, active, err)
	active.Identity = identity
	return active, err
}

func (p *Portal) saveProfile(r *http.Request, active session.Entry, profile login.Profile) (*session.Identity, error) {
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

// devices returns all live sessions of the active account, on every device.
func (p *Portal) devices(r *http.Request, v Visitor, active session.Entry) ([]session.Found, error) {
	found, err := p.manager.Sessions(r.Context(), session.Selection{Account: active.Identity.Account})
	if errors.Is(err, session.ErrUnreadable) {
		p.logFailure(r, v, err)
		err = nil
	}
	return found, err
}

// endSession ends the session of the active account whose id or handle is name. It does nothing,
// and returns no error, where the account has no such session.
func (p *Portal) endSession(w http.ResponseWriter, r *http.Request, v Visitor, active session.Entry, name string) error {
	err := p.end(r, v, active, func(s *session.Session) bool { return s.ID != name && s.Handle != name })
	if err == nil {
		p.updateBrowser(w, r, v)
	}
	return err
}

// endOthers ends all sessions of the active account except the active one.
func (p *Portal) endOthers(r *http.Request, v Visitor, active session.Entry) error {
	return p.end(r, v, active, func(s *session.Session) bool { return s.ID == active.ID })
}

// endAll ends all sessions of the active account. Where the account has epochs, sign-ins that are
// still under way end with them.
func (p *Portal) endAll(w http.ResponseWriter, r *http.Request, v Visitor, active session.Entry) error {
	if editor, ok := p.logins.AccountEditor(active.Identity.Account); ok {
		if err := editor.EndSessions(r.Context(), active.Identity.Account); err != nil {
			return err
		}
	}
	err := p.end(r, v, active, nil)
	if err == nil {
		p.updateBrowser(w, r, v)
	}
	return err
}

// end ends the sessions of the active account for which spare is false. A nil spare spares none.
func (p *Portal) end(r *http.Request, v Visitor, active session.Entry, spare func(*session.Session) bool) error {
	ended, err := p.manager.End(r.Context(), session.Selection{Account: active.Identity.Account}, spare)
	p.audit.logEndedSessions(r, v, active, ended)
	if errors.Is(err, session.ErrUnreadable) {
		p.logFailure(r, v, err)
		return nil
	}
	return err
}

// updateBrowser sets the view of what is left of the browser's accounts. It clears the jar's cookie
// where nothing is left.
func (p *Portal) updateBrowser(w http.ResponseWriter, r *http.Request, v Visitor) {
	left, err := p.manager.Visit(r.Context(), v.Token)
	if err != nil {
		return
	}
	left = left.InRun(v.Cookies.ReadRun())
	if len(left.Entries()) == 0 {
		p.clearJar(w, r, v)
	}
	v.setView(w, left)
}
