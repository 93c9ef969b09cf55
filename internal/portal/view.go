package portal

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// updateView is setView with the current state of the visitor's jar. If the jar cannot be read, the
// gate sets the view with its next answer.
func (p *Portal) updateView(w http.ResponseWriter, r *http.Request, v Visitor) {
	if now, err := p.manager.Visit(r.Context(), v.Token); err == nil {
		v.setView(w, now.InRun(v.Cookies.ReadRun()))
	}
}

// setView gives the browser its current view, under which it stores answers from now on. Every
// answer that may have changed the active session calls it, so that the next request does not use
// anything stored before.
func (v Visitor) setView(w http.ResponseWriter, now session.Visit) {
	if v.Cookie.PerHost {
		// The view is that of this host, even if the choice was made for another one. The other
		// host sets its own with its next answer.
		here, err := session.ParseSite(origin.Host(v.Origin()))
		if err != nil {
			return
		}
		now = now.At(here)
	}
	if view := now.View(); view != v.Cookies.ReadView() {
		v.Cookie.SetView(w.Header(), view)
	}
}
