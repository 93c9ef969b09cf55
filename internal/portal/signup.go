package portal

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// signUp makes an account and signs it in, in addition to those that the browser has.
//
// A browser that is full is told so first, for an account that nobody is signed in to would look as
// if signing up had failed. Should it become full meanwhile, the account is there and can be signed in
// to later.
func (p *Portal) signUp(w http.ResponseWriter, r *http.Request, v Visitor, registration login.Registration, remember bool) (session.Entry, error) {
	method, _, open := p.logins.Registrar()
	if !open {
		return session.Entry{}, errSignUpDisabled
	}
	registration.ClientIP = v.ClientIP
	identity, err := p.registered(r, v, method, registration)
	if err != nil {
		p.audit.failed(r, v, eventSignUp, err)
		return session.Entry{}, err
	}
	p.audit.signedUp(r, v, identity)
	return p.admit(w, r, v, identity, nil, remember)
}

func (p *Portal) registered(r *http.Request, v Visitor, method login.Registrar, registration login.Registration) (*session.Identity, error) {
	if registration.UserName != "" {
		if err := checkUserName(registration.UserName, login.MinUserName, login.MaxUserName); err != nil {
			return nil, err
		}
	}
	if p.manager.Full(v.Visit) {
		return nil, session.ErrFull
	}
	return method.Register(r.Context(), registration)
}
