package isolation

import (
	"slices"

	"github.com/caddy-multi-session/gateway/internal/cookie"
)

// exchangeScripted sees to the cookies of Options.Scripted. While the host's cookie says that they belong
// to the active slot they are sent as they are. Else none is sent but what the slot has kept, and before the next
// page the plain ones are kept in their slot and the active slot's take their place.
func (x *Exchange) exchangeScripted(page bool) {
	r := &x.request
	holder, known := r.Cookies.Scripted.Only()
	mine := known && holder == x.slot || x.alone
	held := false
	for i := range x.items {
		k := &x.items[i]
		switch {
		case !x.options.scripted(k.name):
		case k.plain() && mine:
			stale := slices.ContainsFunc(x.items, func(o item) bool {
				return o.has(guessed) && o.tag != x.slot && o.name == k.name && o.value == k.value
			})
			if stale || x.alone && (x.first && !x.uncounted() || x.holds(k)) {
				held = true
				x.hold(k.name)
				continue
			}
			k.send = true
		case !k.plain() && !mine && k.tag == x.slot && k.has(guessed):
			k.send = true
		}
	}
	switch {
	case mine && !held:
		if !known || holder != x.slot {
			x.always = append(x.always, r.Spec.SetScripted(x.slot))
		}
	case !mine && page:
		x.swapScripted(holder)
	}
}

// swapScripted keeps the plain cookies in the slot of their holder, if its session lives, and puts those
// in their place that the active slot has kept.
func (x *Exchange) swapScripted(holder string) {
	r := &x.request
	keep := holder == cookie.Anonymous || holder != "" && r.Accounts.HasSlot(holder)
	secure := flags(0)
	if r.Spec.Secure {
		secure = secureFlag
	}
	for i := range x.items {
		k := &x.items[i]
		if !x.options.scripted(k.name) || !writable(k.name) {
			continue
		}
		twin := func(tag string, plain bool) bool {
			return slices.ContainsFunc(x.items, func(o item) bool { return o.name == k.name && o.tag == tag && o.plain() == plain })
		}
		switch {
		case k.plain():
			saved := stored{flags: readable | guessed | secure, path: "/", value: k.value}
			if keep && fits(cookie.SlotName(holder, k.name), saved.encode()) {
				x.plan = append(x.plan, saved.slotField(holder, k.name))
			}
			if !twin(x.slot, false) {
				x.plan = append(x.plan, stored{path: "/"}.clear(k.name))
			}
		case !k.has(guessed):
		case k.tag == x.slot:
			x.plan = append(x.plan, k.plainField(k.name))
		case k.tag == holder && !twin("", true):
			x.plan = append(x.plan, k.clear(cookie.SlotName(holder, k.name))) // a script has deleted it
		}
	}
	x.plan = append(x.plan, r.Spec.SetScripted(x.slot))
}
