package gate

import (
	"net/http"
	"strings"
)

// refuseSpeculation reports whether a request is for a page that a browser fetches ahead of a
// visit. It is refused then, and the browser fetches the page when somebody goes to it. A browser
// shows such a page without asking again, minutes later and whatever its headers say, so it could
// be the page of an account that is not the active one any more. Public pages are the same for
// everybody and pass.
func (q *Request) refuseSpeculation(w http.ResponseWriter, r *http.Request, o *Options) bool {
	if !isSpeculativeNavigation(r) {
		return false
	}
	if q.gate.Portal.Owns(q.url.Path) {
		if q.gate.Portal.Static(q.url.Path) {
			return false
		}
	} else if q.phase != received || o.Cache == nil || o.Cache.isPublic(q.asMade(r)) {
		return false
	}
	q.gate.Portal.RefuseSpeculation(q.answer(w))
	return true
}

// isSpeculativeNavigation reports whether a browser prefetches or prerenders a page (Fetch, section
// 2.2.5, "Sec-Purpose"). Older browsers send Purpose, and browsers without Fetch Metadata show by
// Accept that it is a page. Requests of scripts may have Purpose as well, and are not meant.
func isSpeculativeNavigation(r *http.Request) bool {
	purpose, ok := r.Header["Sec-Purpose"]
	if !ok {
		if purpose, ok = r.Header["Purpose"]; !ok {
			return false
		}
	}
	if !hasPurpose(purpose) {
		return false
	}
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" {
		return mode == "navigate"
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

func hasPurpose(lines []string) bool {
	for _, line := range lines {
		line = strings.ToLower(line)
		if strings.Contains(line, "prefetch") || strings.Contains(line, "prerender") {
			return true
		}
	}
	return false
}
