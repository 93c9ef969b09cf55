package isolation

import (
	"net/http"
	"slices"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// maxSlots bounds how many slots of one request are looked up in the store.
const maxSlots = 8

// readBlind is Read for requests whose account is not known, because they may have come without the
// jar's cookie and the marks, or because nothing is known about the browser. Their answers tell the
// browser only what the app sets.
func (x *Exchange) readBlind(h http.Header) {
	r := &x.request
	if r.Cookies.Apps == 0 {
		return
	}
	x.parse(h)
	x.always = nil
	if r.Accounts != nil && x.blind && r.LeftOut {
		x.slot = x.onlyLiveSlot()
	}
	x.pair() // so that the answer can clear copies with their cookies
	for i := range x.items {
		if k := &x.items[i]; !k.plain() && r.Accounts != nil && x.own(k) {
			k.send = true
		}
	}
	x.join()
}

// onlyLiveSlot returns the tag of the live slot whose cookies a request shows. If there is none, it
// returns nobody's. If there are several, or too many to look up, it returns an empty tag.
func (x *Exchange) onlyLiveSlot() string {
	var seen []string
	live := cookie.Anonymous
	for i := range x.items {
		tag := x.items[i].tag
		if tag == "" || tag == cookie.Anonymous || slices.Contains(seen, tag) {
			continue
		}
		if seen = append(seen, tag); len(seen) > maxSlots {
			return ""
		}
		switch {
		case !x.request.Accounts.SlotIsLive(tag):
		case live != cookie.Anonymous:
			return ""
		default:
			live = tag
		}
	}
	return live
}
