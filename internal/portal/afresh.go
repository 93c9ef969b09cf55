package portal

import (
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/portal/page"
)

// Afresh answers a navigation with a page that has the browser forget what it has of this host in memory, and
// come to the same address once more. A page with these two policies is isolated from all others (HTML, sections
// 7.1.3 and 7.1.4): it cannot be in the process of one without, and what it leads to is in another one again.
//
// Foreign says that another site's page has led here. What comes next must not look as if this site had: the
// page is then one of no origin, for which browsers leave out the cookies that they keep from other sites.
func (p *Portal) Afresh(w http.ResponseWriter, foreign bool) {
	h := w.Header()
	secure(h)
	h.Set("Clear-Site-Data", `"cache"`)
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Refresh", "0") // to the same address, byte for byte
	page.WriteAfresh(w, foreign)
}
