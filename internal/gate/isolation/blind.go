package isolation

import (
	"net/http"
	"slices"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// maxSlots bounds how many slots of one request the store is asked about.
const maxSlots = 8

// readBlind is Read for requests of which it is not known whose they are: those that show neither the jar nor
// marks, or of which nothing is known. The browser is told nothing by their answers but what the app sets.
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
	x.pair() // so that copies go with what they are copies of
	for i := range x.items {
		if k := &x.items[i]; !k.plain() && r.Accounts != nil && x.own(k) {
			k.send = true
		}
	}
	x.join()
}

// onlyLiveSlot returns the tag of the one live slot whose cookies a request shows. Where there is none it is nobody's,
// and where there are several it is of no slot at all.
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
