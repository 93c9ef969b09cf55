package portal

import (
	"net/http"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/session"
)

// switchTo makes one of the browser's accounts active: for the whole jar, or with "active per_host" for
// the visit's site. It confirms the jar at this host.
func (p *Portal) switchTo(w http.ResponseWriter, r *http.Request, v Visitor, handle string) (session.Entry, error) {
	event := eventSwitch
	if !v.Visit.Confirmed() {
		event = eventContinue
	}
	entry, err := p.manager.For(v.Visit).SetActive(r.Context(), v.Token, handle)
	if err != nil {
		p.audit.logFailedEvent(r, v, event, err)
		return session.Entry{}, err
	}
	v.confirm(w, r, v.Visit.JarID())
	p.updateView(w, r, v)
	p.audit.logSwitch(r, v, event, entry)
	return entry, nil
}

// revoke signs out one account.
func (p *Portal) revoke(w http.ResponseWriter, r *http.Request, v Visitor, handle string) (session.Revoked, error) {
	done, err := p.manager.For(v.Visit).Revoke(r.Context(), v.Token, handle)
	if err != nil {
		p.audit.logFailedEvent(r, v, eventRevoke, err)
		return session.Revoked{}, err
	}
	if done.Empty {
		p.clearJar(w, r, v)
	}
	if v.Visit.Confirmed() { // else no account has a view here
		p.updateView(w, r, v)
	}
	p.audit.logRevocation(r, v, done)
	return done, nil
}

// signOut signs out all of the browser's accounts and returns their sessions. A browser without
// accounts is no error.
func (p *Portal) signOut(w http.ResponseWriter, r *http.Request, v Visitor) ([]session.Session, error) {
	ended, err := p.manager.SignOut(r.Context(), v.Token, v.Visit)
	if err != nil {
		return nil, err
	}
	if mentionsCookie(r.Header, v.Cookie.Name) {
		p.clearJar(w, r, v)
	}
	v.setView(w, session.Visit{})
	if len(ended) > 0 {
		// The next user of a shared computer finds nothing in the browser's files.
		w.Header().Set("Clear-Site-Data", `"cache"`)
	}
	p.audit.logSignOut(r, v, ended)
	return ended, nil
}

// mentionsCookie reports whether the request's Cookie headers contain the name anywhere, however
// malformed they are. A false positive only clears a cookie that is not there.
func mentionsCookie(h http.Header, name string) bool {
	for _, line := range h["Cookie"] {
		if strings.Contains(line, name) {
			return true
		}
	}
	return false
}
