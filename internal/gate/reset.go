package gate

import (
	"net/http"
	"slices"
	"strings"

	"github.com/caddy-multi-session/gateway/internal/cookie"
	"github.com/caddy-multi-session/gateway/internal/origin"
	"github.com/caddy-multi-session/gateway/internal/session"
)

// Browsers keep pages in memory, above all their images, and show them again when somebody goes
// back in the history. They do not ask first, whatever the images' headers say, and forget them
// only with the process that showed the page. So before the first page that a host shows under
// another view, the gate sends the reset page. Browsers never show that page in a process of the
// site, and it leads to the page that was asked for.
//
// A cookie says under which view the host was shown last, so the reset page comes once for each
// host, in the tab that asks first. Another tab that shows a page of the account before keeps what
// it has in memory until that page is left.

// resetBrowser reports whether the browser gets the reset page first, which is the answer then.
// Only browsers that sent the cookie of the last shown view get it, so clients without cookies
// cannot loop. The guard keeps browsers from looping that do not take a new cookie.
func (q *Request) resetBrowser(w http.ResponseWriter, r *http.Request, o *Options) bool {
	c := &q.cache
	if q.phase != received || q.err != nil || !c.isolated || len(c.shown) == 0 {
		return false
	}
	host := origin.WithoutPort(q.Host) // as cookies have it
	q.gate.resets.observe(host, c.shown, c.view)
	if o.Cache.KeepOnSwitch || !c.changesShown() || !c.shownToSomebody() || !q.gate.resets.allow(host, c.shown, c.view, q.requestURI) {
		return false
	}
	foreign := r.Header.Get("Sec-Fetch-Site") == "cross-site" && !q.ledByPortal()
	w = q.answer(w)
	q.tidyCookies(w, o)
	q.Cookie.SetShown(w.Header(), c.view)
	if c.browserView != c.view {
		q.Cookie.SetView(w.Header(), c.view)
	}
	q.gate.Portal.Reset(w, q.Visitor, foreign, o.ClearStorageOnSwitch)
	return true
}

// changesShown reports whether the answer is the first page of the host under another view than the
// last. A browser with two cookies, of which one may have been planted, does not say. A browser in
// which nobody has signed in yet has nothing to remember.
func (c *cacheExchange) changesShown() bool {
	if !c.page || !c.isolated || c.unowned || c.public {
		return false
	}
	if len(c.shown) == 0 {
		return c.view != cookie.Anonymous
	}
	return slices.ContainsFunc(c.shown, func(shown string) bool { return shown != c.view })
}

// shownToSomebody reports whether the host may have been shown to an account before.
func (c *cacheExchange) shownToSomebody() bool {
	return slices.ContainsFunc(c.shown, func(shown string) bool { return shown != cookie.Anonymous })
}

// noteRedirect remembers where the portal sends the browser. After a sign-in at a provider,
// browsers say that the provider's site has led them there; the reset page must not ask whether
// somebody wants what they have just signed in for.
func (q *Request) noteRedirect(h http.Header) {
	to := h.Get("Location")
	if to == "" {
		return
	}
	if strings.HasPrefix(to, "/") {
		to = q.Origin() + to
	}
	to, _, _ = strings.Cut(to, "#") // browsers do not send the fragment
	token := q.Token
	if given, ok := q.Cookie.Given(h); ok {
		token = given
	}
	if browser := q.browser(token); browser != "" {
		q.gate.portalRedirects.add(browser + " " + to)
	}
}

// ledByPortal reports whether the portal has sent the browser to the request's address.
func (q *Request) ledByPortal() bool {
	browser := q.browser(q.Token)
	return browser != "" && q.gate.portalRedirects.has(browser+" "+q.Origin()+q.requestURI)
}

// browser returns what no other browser has: the token of its jar, or if it has none, the views
// that this host has shown it. It is empty if the browser has neither.
func (q *Request) browser(token session.Token) string {
	if !token.IsZero() {
		return "jar " + token.Reveal()
	}
	if shown := q.Cookie.ReadShown(q.header); len(shown) > 0 {
		return "shown " + strings.Join(shown, " ")
	}
	return ""
}

// isTopNavigation reports whether somebody goes to an address in a tab. Browsers that do not say so
// do not know the headers either by which the reset page has them forget.
func isTopNavigation(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}
