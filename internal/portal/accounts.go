package portal

import (
	"net/http"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// switchTo makes another of the browser's accounts the active one, where the visit is to.
func (p *Portal) switchTo(w http.ResponseWriter, r *http.Request, v Visitor, handle string) (session.Entry, error) {
	entry, err := p.manager.At(v.Visit.Site()).SetActive(r.Context(), v.Token, handle)
	if err != nil {
		p.audit.failed(r, v, eventSwitch, err)
		return session.Entry{}, err
	}
	p.showView(w, r, v, v.Token)
	p.audit.switched(r, v, entry)
	return entry, nil
}

// revoke signs one account out.
func (p *Portal) revoke(w http.ResponseWriter, r *http.Request, v Visitor, handle string) (session.Revoked, error) {
	done, err := p.manager.At(v.Visit.Site()).Revoke(r.Context(), v.Token, handle)
	if err != nil {
		p.audit.failed(r, v, eventRevoke, err)
		return session.Revoked{}, err
	}
	if done.Empty {
		v.Cookie.Clear(w.Header())
	}
	p.showView(w, r, v, v.Token)
	p.audit.revoked(r, v, done)
	return done, nil
}

// signOut signs all of the browser's accounts out, and returns their sessions. It is no error if there
// are none.
func (p *Portal) signOut(w http.ResponseWriter, r *http.Request, v Visitor) ([]session.Session, error) {
	ended, err := p.manager.SignOut(r.Context(), v.Token)
	if err != nil {
		return nil, err
	}
	if brought(r.Header, v.Cookie.Name) {
		v.Cookie.Clear(w.Header())
	}
	v.show(w, r, session.Visit{})
	p.audit.signedOut(r, v, ended)
	return ended, nil
}

// brought reports whether a cookie of the name came with the request, however malformed and however
// often. Where it is mistaken a cookie is cleared that is not there.
func brought(h http.Header, name string) bool {
	for _, line := range h["Cookie"] {
		if strings.Contains(line, name) {
			return true
		}
	}
	return false
}
