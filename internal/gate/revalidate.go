package gate

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/gate/cache"
)

// cacheExchange is a request and its answer as far as caches are concerned.
type cacheExchange struct {
	cache.Exchange
	isolated bool // caches are kept apart; the fields below have no meaning otherwise
	public   bool // the answer is the same for everybody
	unowned  bool // whose the answer is nobody knows, so no browser may store it
	page     bool // somebody goes to the address in a tab

	view        string   // the one that the request is made under
	browserView string   // the one that the browser's cookie says, and its stored answers belong to
	shown       []string // the ones that the browser says the host's last page was shown under
}

// readView finds out under which view a request is made, and which one the browser has. It runs
// before isolateCookies takes the gateway's cookies out.
func (q *Request) readView(r *http.Request, o *Options) {
	if q.phase != received {
		return
	}
	q.cache = cacheExchange{isolated: o.Cache != nil}
	if o.Cache == nil {
		return
	}
	c := &q.cache
	c.browserView, c.view = q.Cookies.ReadView(), q.view()
	c.unowned = !q.known(o)
	c.public = !c.unowned && o.Cache.isPublic(q.asMade(r))
	// Whoever is nobody for sure has no view: the upstream's validators are nobody's too.
	var view cache.View
	if c.unowned || c.view != cookie.Anonymous {
		view = cache.NewView(c.view)
	}
	c.Exchange = cache.NewExchange(q.method, r.Header, view, c.public)
	if c.page = isTopNavigation(r); c.page {
		c.shown = q.Cookie.ReadShown(r.Header)
	}
}

// view returns the view of the active session.
func (q *Request) view() string {
	if !q.signedIn {
		return cookie.Anonymous
	}
	return q.active.View()
}

// revalidateCache changes the conditions of a request to what the upstream has said under the
// request's view. It does so once, however often the request is forwarded.
func (q *Request) revalidateCache(r *http.Request) {
	if q.phase == received && q.cache.isolated {
		q.cache.OpenRequest(r.Header)
	}
}

// markAnswer has browsers store an answer for the view that it was asked under, and tells the browser
// that view if it is still the active session's.
func (q *Request) markAnswer(h http.Header, status int) {
	c := &q.cache
	if !c.isolated {
		return
	}
	hasCookie := q.Cookie.Name != ""
	stale := c.browserView != c.view && hasCookie && !c.public
	shows := c.changesShown() && hasCookie
	late := c.unowned
	if !late && (stale || shows || c.Storable(h, status)) {
		late = !q.StillActive()
	}
	if stale && !late {
		q.Cookie.SetView(h, c.view)
	}
	if shows && !late {
		q.Cookie.SetShown(h, c.view)
	}
	// A browser stores an answer under the view that it had when it asked.
	c.SealAnswer(h, status, late || stale)
}
