package gate

import (
	"net/http"
	"strings"
	"time"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// Browsers keep pages in memory, above all their images, and show them again when somebody goes back
// in the history. They do not ask first, whatever the images' headers say, and forget them only with
// the process that showed the page. So before the first page that a host shows under another view,
// the gate sends the reset page. Browsers never show that page in a process of the site, and it
// leads to the page that was asked for.

// recent is how long the gate remembers which browsers it has sent to the reset page, and where the
// portal has sent which clients.
const recent = 10 * time.Second

// resetBrowser reports whether the browser gets the reset page first, which is the answer then. Only
// browsers that sent the cookie of the last shown view get it, so clients without cookies cannot
// loop; and each gets it once for an address in a while, so browsers that do not take a new cookie
// cannot loop either.
func (q *Request) resetBrowser(w http.ResponseWriter, r *http.Request, o *Options) bool {
	c := &q.cache
	if q.phase != received || o.Cache == nil || o.Cache.KeepOnSwitch || q.err != nil || !c.changesShown() || c.shown == "" || c.shown == cookie.Anonymous {
		return false
	}
	if !q.gate.resets.addNew(q.Visit.JarID() + " " + c.view + " " + q.Host + q.requestURI) {
		return false
	}
	w = q.answer(w)
	q.tidyCookies(w, o)
	q.Cookie.SetShown(w.Header(), c.view)
	if c.browserView != c.view {
		q.Cookie.SetView(w.Header(), c.view)
	}
	foreign := r.Header.Get("Sec-Fetch-Site") == "cross-site" && !q.gate.portalRedirects.has(q.redirectKey(q.requestURI))
	q.gate.Portal.Reset(w, q.Visitor, foreign, o.ClearStorageOnSwitch)
	return true
}

// noteRedirect remembers where the portal sends the browser. After a sign-in at a provider, browsers
// say that the provider's site has led them there; the reset page must not ask whether somebody
// wants what they have just signed in for.
func (q *Request) noteRedirect(h http.Header) {
	if to := h.Get("Location"); to != "" {
		q.gate.portalRedirects.add(q.redirectKey(to))
	}
}

// redirectKey is what portalRedirects knows a client and an address by. The address may be a path of
// this host.
func (q *Request) redirectKey(address string) string {
	if strings.HasPrefix(address, "/") {
		address = q.Origin() + address
	}
	address, _, _ = strings.Cut(address, "#") // browsers do not send the fragment
	return q.ClientIP.String() + " " + address
}

// isTopNavigation reports whether somebody goes to an address in a tab. Browsers that do not say so
// do not know the headers either by which the reset page has them forget.
func isTopNavigation(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}
