package portal

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// showView is show for the jar of a token as it is now. Where that cannot be found out the gate shows it, with the
// first answer that has need of it.
func (p *Portal) showView(w http.ResponseWriter, r *http.Request, v Visitor, token session.Token) {
	if now, err := p.manager.Visit(r.Context(), token); err == nil {
		v.show(w, r, now)
	}
}

// show tells the browser by which view it is to know what it stores from now on: that of who is active in its
// jar by now. Whatever may have made another session the active one says so in its own answer, so that what comes next
// already asks for nothing that was stored before.
func (v Visitor) show(w http.ResponseWriter, r *http.Request, now session.Visit) {
	if v.Cookie.PerHost {
		// Of this host, whichever the choice was for: that one is told with its own first answer.
		here, err := session.ParseSite(origin.Host(v.Origin()))
		if err != nil {
			return
		}
		now = now.At(here)
	}
	if view := cookie.View(now.Slot()); view != v.Cookie.ReadView(r.Header) {
		v.Cookie.SetView(w.Header(), view)
	}
}
