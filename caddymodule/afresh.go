package caddymodule

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// What a browser has in memory of a page, its images first of all, it shows again when somebody goes back to
// that page, without asking and whatever the images' headers say. It forgets it with the process that the
// page was in. So the first page of a host that is shown under another view than the last is preceded by one
// of the gateway's that no process of the site may show, which leads to the page that was asked for.

// beginAfresh answers a navigation by which the browser is to forget what it was shown. Where it returns false
// there is no need to. The browser has to have brought the mark that the answer changes, so that one which
// keeps no cookies is not sent round.
func (a *arrival) beginAfresh(w http.ResponseWriter, r *http.Request, by apart) bool {
	if by.caches == nil || by.caches.KeepOnSwitch || a.passing || a.caches.settled || a.err != nil || !topNavigation(r) {
		return false
	}
	original := a.request(r)
	view := cookie.View(a.Visit.Slot())
	shown, ok := a.Cookie.ReadShown(r.Header)
	if !ok || shown == view || shown == cookie.Anonymous || by.caches.isPublic(original) {
		return false
	}
	// Neither is one that keeps the mark and does not take another for it.
	if !a.engine.afresh.first(a.Visit.JarID()+" "+view+" "+a.Host+original.RequestURI, time.Now()) {
		return false
	}
	own := a.answer(w)
	a.Cookie.SetShown(own.Header(), view)
	if a.Cookie.ReadView(r.Header) != view {
		a.Cookie.SetView(own.Header(), view)
	}
	foreign := r.Header.Get("Sec-Fetch-Site") == "cross-site" && !a.engine.led.has(a.way(original.RequestURI), time.Now())
	a.engine.portal.Afresh(own, a.Visitor, foreign, by.clearStorage)
	return true
}

// remember takes note of where the portal sends the browser. By way of a provider that counts for browsers as
// led there by the provider's site, and nobody is to be asked whether they want what they have just signed in for.
func (a *arrival) remember(h http.Header) {
	if to := h.Get("Location"); to != "" {
		a.engine.led.first(a.way(to), time.Now())
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

// lately is what came up in the last seconds.
type lately struct {
	mu   sync.Mutex
	seen map[string]time.Time
}

// recent is how long something counts as having come up lately.
const recent = 10 * time.Second

// has reports whether something has come up lately.
func (l *lately) has(what string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hasLocked(what, now)
}

func (l *lately) hasLocked(what string, now time.Time) bool {
	at, ok := l.seen[what]
	return ok && now.Sub(at) < recent
}

// first reports whether something has not come up lately, and has it come up. Where very many things do, it
// forgets some early.
func (l *lately) first(what string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.hasLocked(what, now) {
		return false
	}
	if l.seen == nil || len(l.seen) >= maxNotices {
		l.seen = make(map[string]time.Time)
	}
	l.seen[what] = now
	return true
}
