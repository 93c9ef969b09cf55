package portal

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/portal/page"
)

// Afresh answers a navigation with a page that has the browser forget what it has of this host in memory, and
// come to the same address once more. A page with these two policies is isolated from all others (HTML, sections
// 7.1.3 and 7.1.4): it cannot be in the process of one without, and what it leads to is in another one again.
//
// With clearStorage what scripts have stored at this host goes too, whichever account's it is.
//
// Foreign says that another site's page has led here. What came next by itself would look as if this site had,
// and browsers would send the cookies with it that they keep from other sites. So somebody has to want it.
func (p *Portal) Afresh(w http.ResponseWriter, v Visitor, foreign, clearStorage bool) {
	h := w.Header()
	secure(h)
	h.Set("Clear-Site-Data", `"cache"`)
	if clearStorage {
		h.Set("Clear-Site-Data", `"cache", "storage"`)
	}
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if !foreign {
		h.Set("Referrer-Policy", "no-referrer") // this page has led nobody anywhere
		page.WriteReload(w, http.StatusOK)
		return
	}
	view := page.Afresh{Frame: page.Frame{Prefix: p.prefix, Site: v.Host}} // it follows no other tab
	if active, ok := v.Visit.Active(); ok {
		view.Name = active.Identity.DisplayName()
	}
	page.WriteAfresh(w, http.StatusOK, view)
}
