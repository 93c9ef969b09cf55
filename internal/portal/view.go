package portal

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// showView tells the browser by which view it is to know what it stores from now on. Whatever may have made
// another session the active one says so in its own answer, so that what comes next already asks for nothing
// that was stored before. The token is the jar's as the browser has it then. Where it is not known who is
// active the gate tells it, with the first answer that shows the need.
func (p *Portal) showView(w http.ResponseWriter, r *http.Request, v Visitor, token session.Token) {
	now, err := p.manager.Visit(r.Context(), token)
	if err != nil {
		return
	}
	if v.Cookie.PerHost {
		// Of this host, whichever the choice was for: that one is told with its own first answer.
		here, err := session.ParseSite(hostOf(v.Origin()))
		if err != nil {
			return
		}
		now = now.At(here)
	}
	if view := cookie.View(now.Slot()); view != v.Cookie.ReadView(r.Header) {
		v.Cookie.SetView(w.Header(), view)
	}
}
