package portal

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/login"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// signUp makes an account and signs it in. The browser keeps its other accounts.
//
// It refuses a full browser first, because an account that nobody is signed in to would look like a
// failed sign-up. If the browser becomes full meanwhile, the account exists and can be signed in to
// later.
func (p *Portal) signUp(w http.ResponseWriter, r *http.Request, v Visitor, registration login.Registration, remember bool) (session.Entry, error) {
	method, _, open := p.logins.Registrar()
	if !open {
		return session.Entry{}, errSignUpDisabled
	}
	client, err := p.client(r, v, remember)
	if err != nil {
		return session.Entry{}, err
	}
	registration.ClientIP = v.ClientIP
	identity, err := p.register(r, v, method, registration)
	if err != nil {
		p.audit.logFailedEvent(r, v, eventSignUp, err)
		return session.Entry{}, err
	}
	p.audit.logSignUp(r, v, identity)
	done, err := p.admit(w, r, v, identity, nil, client)
	return done.Entry, err
}

func (p *Portal) register(r *http.Request, v Visitor, method login.Registrar, registration login.Registration) (*session.Identity, error) {
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
