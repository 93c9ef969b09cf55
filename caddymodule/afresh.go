package caddymodule

import (
	"io"
	"net/http"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// What a browser has in memory of a page, its images first of all, it shows again when somebody goes back to
// that page, without asking and whatever the images' headers say. It forgets it with the process that the
// page was in. So the first page of a host that is shown under another view than the last is preceded by one
// of the gateway's that no process of the site may show, which leads to the page that was asked for.

// beginAfresh answers a navigation by which the browser is to forget what it was shown. Where it returns false
// there is no need to. The browser has to have brought the mark that the answer changes, so that one which
// keeps no cookies is not sent round.
func (a *arrival) beginAfresh(w http.ResponseWriter, r *http.Request, by *IsolateCache) bool {
	if by == nil || by.KeepOnSwitch || a.passing || a.caches.settled || a.err != nil || !topNavigation(r) {
		return false
	}
	original := a.request(r)
	view := cookie.View(a.Visit.Slot())
	shown, ok := a.Cookie.ReadShown(r.Header)
	if !ok || shown == view || shown == cookie.Anonymous || by.isPublic(original) {
		return false
	}
	w = a.answer(w)
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Clear-Site-Data", `"cache"`)
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cross-Origin-Embedder-Policy", "require-corp")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Refresh", "0") // to the same address, byte for byte
	h.Set("X-Content-Type-Options", "nosniff")
	a.Cookie.SetShown(h, view)
	if a.Cookie.ReadView(r.Header) != view {
		a.Cookie.SetView(h, view)
	}
	_, _ = io.WriteString(w, afresh) // fails only when the browser has gone
	return true
}

const afresh = `<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>One moment</title><p>The account was switched. <a href="">Go on</a></p></html>
`

// topNavigation reports whether somebody goes to an address in a tab. A browser that does not say so has nothing
// by which it could be told to forget.
func topNavigation(r *http.Request) bool {
	return r.Method == http.MethodGet && r.Header.Get("Sec-Fetch-Mode") == "navigate" && r.Header.Get("Sec-Fetch-Dest") == "document"
}
