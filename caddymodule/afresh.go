package caddymodule

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// What a browser has in memory of a page, its images first of all, it shows again when somebody goes back to
// that page, without asking and whatever the images' headers say. It forgets it with the process that the
// page was in. So the first page of a host that is shown under another view than the last is preceded by one
// of the gateway's that no process of the site may show, which leads to the page that was asked for.

// beginsAfresh reports whether the browser is first to forget what it was shown, which has been answered then. It
// has to have brought the mark that the answer changes, so that one which keeps no cookies is not sent round.
func (a *arrival) beginsAfresh(w http.ResponseWriter, r *http.Request, by apart) bool {
	c := &a.caches
	if !c.markable() || by.caches.KeepOnSwitch || a.err != nil || c.shown == "" || c.shown == c.view || c.shown == cookie.Anonymous {
		return false
	}
	// Neither is one that keeps the mark and does not take another for it.
	address := a.request(r).RequestURI
	if !a.engine.afresh.first(a.Visit.JarID() + " " + c.view + " " + a.Host + address) {
		return false
	}
	own := a.answer(w)
	a.Cookie.SetShown(own.Header(), c.view)
	if c.at != c.view {
		a.Cookie.SetView(own.Header(), c.view)
	}
	foreign := r.Header.Get("Sec-Fetch-Site") == "cross-site" && !a.engine.led.has(a.way(address))
	a.engine.portal.Afresh(own, a.Visitor, foreign, by.clearStorage)
	return true
}

// recent is how long the engine remembers whom it has sent to begin afresh, and whom the portal has led where.
const recent = 10 * time.Second

// remember takes note of where the portal sends the browser. By way of a provider that counts for browsers as
// led there by the provider's site, and nobody is to be asked whether they want what they have just signed in for.
func (a *arrival) remember(h http.Header) {
	if to := h.Get("Location"); to != "" {
		a.engine.led.add(a.way(to))
	}
}

// way is who is led where. The address may be one of this host.
func (a *arrival) way(address string) string {
	if strings.HasPrefix(address, "/") {
		address = a.Origin() + address
	}
	address, _, _ = strings.Cut(address, "#") // which only the browser knows
	return a.ClientIP.String() + " " + address
}

// topNavigation reports whether somebody goes to an address in a tab. A browser that does not say so has nothing
// by which it could be told to forget.
func topNavigation(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}
