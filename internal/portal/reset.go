package portal

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/portal/page"
)

// Reset answers a navigation with the reset page. The page makes the browser drop what it has in
// memory of this host, and leads to the same address again.
//
// The page's embedder and opener policies isolate it from all other pages (HTML, sections 7.1.3 and
// 7.1.4): it gets a process of its own, and the page after it gets another one again.
//
// With clearStorage the browser also drops everything that scripts have stored at this host, for
// all accounts.
//
// Foreign says that a page of another site led here. A page that continued by itself would then
// look like a request of this site, and browsers would send it cookies that they withhold from
// other sites. So a foreign navigation continues only after a click.
func (p *Portal) Reset(w http.ResponseWriter, v Visitor, foreign, clearStorage bool) {
	h := w.Header()
	setCommonHeaders(h)
	h.Set("Clear-Site-Data", `"cache"`)
	if clearStorage {
		h.Set("Clear-Site-Data", `"cache", "storage"`)
	}
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if !foreign {
		h.Set("Referrer-Policy", "no-referrer") // keep this page out of the next request's Referer
		page.WriteAutomaticReset(w, http.StatusOK)
		return
	}
	view := page.Reset{Frame: page.Frame{Prefix: p.prefix, Site: v.Host}} // no State: it does not follow other tabs
	if active, ok := v.Visit.Active(); ok {
		view.Name = active.Identity.DisplayName()
	}
	page.WriteReset(w, http.StatusOK, view)
}
